// SPDX-License-Identifier: GPL-2.0-only
//! Images as files: locks, sizes, read-only, discard, errors.
//!
//! # Safety
//! Tasks are the calling threads'; pointers among the arguments are valid, or wrong on purpose where EFAULT is expected.
#![allow(unsafe_code)]

mod common;
use common::*;
use lkl::{DiskError, Errno};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

#[test]
fn one_writer_or_many_readers() {
    alone("one_writer_or_many_readers", || {
        let dir = scratch("lock");
        let image = dir.join("img");
        make_file(&image, 1);
        let first = open_disk(&image, true).unwrap();
        assert!(first.fd() >= 700);
        let second = open_disk(&image, true).unwrap();
        assert!(matches!(open_disk(&image, false), Err(DiskError::Busy { .. })));
        first.close();
        second.close();
        open_disk(&image, false).unwrap().close();
        assert!(matches!(open_disk(&dir, true), Err(DiskError::Io(Errno::EISDIR))));
        assert!(matches!(open_disk(&dir.join("none"), true), Err(DiskError::Io(Errno::ENOENT))));
        assert!(matches!(open_disk("/dev/null".as_ref(), true), Err(DiskError::NotADisk)));
    });
}

#[test]
fn holds_an_image_for_the_next_test() {
    // the other process of the next test
    let Some(image) = std::env::var_os("LKL_TEST_IMAGE") else { return };
    let _disk = open_disk(image.as_ref(), false).unwrap();
    println!("\nheld");
    std::io::stdout().flush().unwrap();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

#[test]
fn the_holder_is_named() {
    alone("the_holder_is_named", || {
        let dir = scratch("holder");
        let image = dir.join("img");
        make_file(&image, 1);
        let mut holder = child("holds_an_image_for_the_next_test")
            .env("LKL_TEST_IMAGE", &image)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(holder.stdout.take().unwrap());
        assert!(out.lines().map_while(Result::ok).any(|l| l == "held"));
        for read_only in [false, true] {
            match open_disk(&image, read_only) {
                Err(DiskError::Busy { pid }) => assert_eq!(pid, Some(holder.id())),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(
            open_disk(&image, true).unwrap_err().to_string(),
            format!("in use by pid {}", holder.id())
        );
        drop(holder.stdin.take());
        holder.wait().unwrap();
        open_disk(&image, false).unwrap();
    });
}

#[test]
fn read_only_disks_are_not_written() {
    alone("read_only_disks_are_not_written", || {
        let dir = scratch("ro");
        let image = ext4_image(&dir, 32);
        let before = std::fs::read(&image).unwrap();
        let k = start();
        k.mount_image(&image, "/mnt", 100, true).unwrap();
        assert_eq!(k.read_file(100, "dir/deep.txt").unwrap(), b"deep\n");
        assert_eq!(k.open(100, "new", libc::O_CREAT | libc::O_WRONLY), Err(Errno::EROFS));
        k.shutdown().unwrap();
        assert!(std::fs::read(&image).unwrap() == before);
    });
}

#[test]
fn discard_gives_space_back() {
    use std::os::unix::fs::MetadataExt;
    alone("discard_gives_space_back", || {
        let dir = scratch("discard");
        let image = ext4_image(&dir, 128);
        let k = start();
        k.mount_image(&image, "/mnt", 100, false).unwrap();
        k.write_file(100, "large", &sample_bytes(40 << 20)).unwrap();
        let full = std::fs::metadata(&image).unwrap().blocks();
        k.call(libc::SYS_unlinkat, &[100, c"large".as_ptr() as usize, 0]).unwrap();
        k.call(libc::SYS_syncfs, &[100]).unwrap();
        const FITRIM: usize = 0xc018_5879;
        let range = [0u64, u64::MAX, 0];
        k.call(libc::SYS_ioctl, &[100, FITRIM, range.as_ptr() as usize]).unwrap();
        let trimmed = std::fs::metadata(&image).unwrap().blocks();
        assert!(trimmed + (30 << 11) < full, "{full} blocks, then {trimmed}");
        k.shutdown().unwrap();
        check_ext4(&image);
    });
}

#[test]
fn a_truncated_image_gives_errors_not_a_crash() {
    alone("a_truncated_image_gives_errors_not_a_crash", || {
        let dir = scratch("cut");
        let image = ext4_image(&dir, 64);
        let disk = open_disk(&image, false).unwrap();
        std::fs::File::options().write(true).open(&image).unwrap().set_len(3 << 20).unwrap();
        let k = start();
        let _ = k.mount_disk(&disk, "/mnt", 100);
        let _ = k.read_file(100, "big.bin");
        let _ = k.write_file(100, "x", b"y");
        let _ = k.shutdown();
    });
}

#[test]
fn full_image_is_enospc() {
    alone("full_image_is_enospc", || {
        let dir = scratch("enospc");
        let image = ext4_image(&dir, 8);
        let k = start();
        k.mount_image(&image, "/mnt", 100, false).unwrap();
        assert_eq!(k.write_file(100, "large", &sample_bytes(20 << 20)), Err(Errno::ENOSPC));
        k.write_file(100, "large", b"small").unwrap();
        k.shutdown().unwrap();
        check_ext4(&image);
    });
}

#[test]
fn a_lost_write_is_told_at_the_end() {
    alone("a_lost_write_is_told_at_the_end", || {
        let dir = scratch("lost");
        let image = ext4_image(&dir, 64);
        let disk = open_disk(&image, false).unwrap();
        let k = start();
        k.mount_disk(&disk, "/mnt", 100).unwrap();
        let fd = k.open(100, "new", libc::O_CREAT | libc::O_WRONLY).unwrap();
        k.write(fd, &sample_bytes(1 << 20)).unwrap();
        // the host takes no writes any more
        let ro = std::fs::File::open(&image).unwrap();
        // SAFETY: the kernel's descriptor is replaced by one of the same file.
        unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&ro), disk.fd()) };
        assert_eq!(k.shutdown(), Err(Errno::EBADF));
    });
}
