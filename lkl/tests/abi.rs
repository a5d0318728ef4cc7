// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's binary interface is the host's: both sides evaluate the same rows
//! (`kernel/abi_rows.h`), the kernel with its headers, a C program with the host's.
//!
//! # Safety
//! Tasks are the calling threads'; pointers among the arguments are valid, or wrong on purpose where EFAULT is expected.
#![allow(unsafe_code)]

mod common;
use common::*;
use std::path::Path;

#[test]
fn same_as_the_hosts() {
    alone("same_as_the_hosts", || {
        let dir = scratch("abi");
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = dir.join("abi_host");
        let rows = here.join("overlay/arch/lkl/kernel");
        must(
            "gcc",
            &[
                "-w",
                "-o",
                program.to_str().unwrap(),
                "-I",
                rows.to_str().unwrap(),
                here.join("tests/abi_host.c").to_str().unwrap(),
            ],
        );
        let host: Vec<(String, u64)> = must(program.to_str().unwrap(), &[])
            .lines()
            .map(|l| {
                let (value, name) = l.split_once(' ').unwrap();
                (name.to_string(), value.parse().unwrap())
            })
            .collect();
        let k = start();
        let ours: Vec<(String, u64)> =
            k.k.abi().iter().map(|r| (r.name().to_str().unwrap().to_string(), r.value)).collect();
        assert!(ours.len() > 300, "{} rows", ours.len());
        let different: Vec<_> = host.iter().zip(&ours).filter(|(h, o)| h != o).collect();
        assert!(different.is_empty(), "host, kernel: {different:#?}");
        assert_eq!(host.len(), ours.len());
    });
}

#[test]
fn uname_says_x86_64() {
    alone("uname_says_x86_64", || {
        let k = start();
        // SAFETY: all zeros is a valid utsname.
        let mut u: libc::utsname = unsafe { std::mem::zeroed() };
        k.call(libc::SYS_uname, &[&raw mut u as usize]).unwrap();
        let text = |f: &[libc::c_char]| {
            f.iter().take_while(|c| **c != 0).map(|c| *c as u8 as char).collect::<String>()
        };
        assert_eq!(text(&u.machine), "x86_64");
        assert!(text(&u.release).starts_with("6.1."), "{}", text(&u.release));
    });
}

#[test]
fn calls_of_the_host_are_not_served() {
    alone("calls_of_the_host_are_not_served", || {
        let k = start();
        for nr in [
            libc::SYS_mmap,
            libc::SYS_munmap,
            libc::SYS_brk,
            libc::SYS_clone,
            libc::SYS_fork,
            libc::SYS_execve,
            libc::SYS_exit,
            libc::SYS_exit_group,
            libc::SYS_arch_prctl,
            libc::SYS_rt_sigreturn,
            libc::SYS_reboot,
            libc::SYS_chroot,
            451,
            4095,
            5000,
            -1,
            i64::MAX,
        ] {
            assert_eq!(k.raw(nr, &[]), -(libc::ENOSYS as isize), "call {nr}");
        }
    });
}

/// Threads of ours drive the virtual CPU too, and meet the bad pointers of whoever's call they serve.
#[test]
fn bad_pointers_are_efault_on_every_thread() {
    alone("bad_pointers_are_efault_on_every_thread", || {
        let dir = scratch("efault-threads");
        let image = ext4_image(&dir, 32);
        let k = start();
        k.mount_image(&image, "/mnt", 100, false).unwrap();
        let efault = -(libc::EFAULT as isize);
        std::thread::scope(|scope| {
            for n in 0..4 {
                scope.spawn(move || {
                    let k = Thread::new();
                    let fd = k.open(100, &format!("f{n}"), libc::O_RDWR | libc::O_CREAT).unwrap();
                    let pause = libc::timespec { tv_sec: 0, tv_nsec: 20_000 };
                    for round in 0..1000 {
                        k.call(libc::SYS_nanosleep, &[&raw const pause as usize, 0]).unwrap();
                        assert_eq!(k.raw(libc::SYS_write, &[fd as usize, 8, 10]), efault);
                        k.write(fd, b"some bytes").unwrap();
                        if round % 16 == 0 {
                            k.call(libc::SYS_fsync, &[fd as usize]).unwrap();
                        }
                        assert_eq!(k.raw(libc::SYS_pread64, &[fd as usize, 8, 10, 0]), efault);
                        assert_eq!(k.raw(libc::SYS_nanosleep, &[8, 0]), efault);
                    }
                    k.release();
                });
            }
        });
        k.shutdown().unwrap();
        check_ext4(&image);
    });
}

#[test]
fn bad_pointers_are_efault() {
    alone("bad_pointers_are_efault", || {
        let dir = scratch("efault");
        let image = ext4_image(&dir, 32);
        let k = start();
        k.mount_image(&image, "/mnt", 100, false).unwrap();
        let fd = k.open(100, "f", libc::O_RDWR | libc::O_CREAT).unwrap() as usize;
        k.write(fd as i32, b"some bytes").unwrap();
        const BAD: [usize; 4] = [0, 8, usize::MAX - 4096, 0x8000_0000_0000_0000];
        let efault = -(libc::EFAULT as isize);
        for bad in BAD {
            assert_eq!(k.raw(libc::SYS_write, &[fd, bad, 10]), efault, "write {bad:#x}");
            assert_eq!(k.raw(libc::SYS_pread64, &[fd, bad, 10, 0]), efault, "pread {bad:#x}");
            assert_eq!(k.raw(libc::SYS_fstat, &[fd, bad]), efault, "fstat {bad:#x}");
            assert_eq!(k.raw(libc::SYS_openat, &[100, bad, 0]), efault, "openat {bad:#x}");
            assert_eq!(k.raw(libc::SYS_nanosleep, &[bad, 0]), efault, "nanosleep {bad:#x}");
            assert_eq!(k.raw(libc::SYS_pipe2, &[bad, 0]), efault, "pipe2 {bad:#x}");
            assert_eq!(k.raw(libc::SYS_getdents64, &[100, bad, 100]), efault, "getdents {bad:#x}");
        }
        k.shutdown().unwrap();
        check_ext4(&image);
    });
}
