// SPDX-License-Identifier: GPL-2.0-only
//! Boot, what it costs, and how a kernel dies.

mod common;
use common::*;
use lkl::{boot, BootConfig, BootError};
use std::time::Instant;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn costs() {
    alone("costs", || {
        let dir = scratch("costs");
        let image = ext4_image(&dir, 64);
        let disk = open_disk(&image, false).unwrap();
        let rss = resident_kib();
        let t = Instant::now();
        let k = start();
        let booted = t.elapsed();
        k.mount_disk(&disk, "/mnt", 100).unwrap();
        let mounted = t.elapsed();
        assert_eq!(k.read_file(100, "hello.txt").unwrap(), b"hello from the host\n");
        let used = resident_kib() - rss;
        let n = 1_000_000;
        let c = Instant::now();
        for _ in 0..n {
            k.raw(libc::SYS_getppid, &[]);
        }
        let call = c.elapsed() / n;
        let t = Instant::now();
        k.shutdown().unwrap();
        println!(
            "boot {booted:?}, mount {:?}, shutdown {:?}, RSS +{used} KiB, getppid {call:?}",
            mounted - booted,
            t.elapsed()
        );
        check_ext4(&image);
        assert!(used < 12 << 10, "{used} KiB");
    });
}

#[test]
fn once_per_process() {
    alone("once_per_process", || {
        let cfg = |mem_bytes| BootConfig { mem_bytes, kernel_log_fd: None, cmdline: c"" };
        assert_eq!(boot(&cfg(8 << 20)).err(), Some(BootError::TooLittleMemory));
        assert!(boot(&cfg(16 << 20)).is_ok());
        assert_eq!(boot(&cfg(16 << 20)).err(), Some(BootError::Again));
    });
}

#[test]
fn memory_that_is_used_up_is_an_error_of_the_call() {
    alone("memory_that_is_used_up_is_an_error_of_the_call", || {
        let k = start_with(16 << 20);
        let dir = scratch("thirst");
        let image = ext4_image(&dir, 16);
        k.mount_none(c"tmpfs", c"/mnt", 100).unwrap();
        k.mount_image(&image, "/disk", 101, false).unwrap();
        for _ in 0..3 {
            let failed =
                (0..1000).find_map(|i| k.write_file(100, &format!("f{i}"), &sample_bytes(1 << 20)).err());
            assert_eq!(failed, Some(lkl::Errno::ENOMEM));
        }
        assert_eq!(k.shutdown(), Ok(()));
        check_ext4(&image);
    });
}

#[test]
fn the_log_goes_where_it_is_told() {
    use std::io::{Read, Seek};
    use std::os::fd::AsRawFd;
    alone("the_log_goes_where_it_is_told", || {
        let dir = scratch("log");
        let open = |name| {
            std::fs::File::options()
                .create(true)
                .truncate(true)
                .read(true)
                .write(true)
                .open(dir.join(name))
                .unwrap()
        };
        let (mut live, mut dump) = (open("live"), open("dump"));
        let cfg = BootConfig { mem_bytes: 32 << 20, kernel_log_fd: Some(live.as_raw_fd()), cmdline: c"" };
        let k = boot(&cfg).unwrap();
        k.dump_log(dump.as_raw_fd());
        for f in [&mut live, &mut dump] {
            let mut text = String::new();
            f.rewind().unwrap();
            f.read_to_string(&mut text).unwrap();
            assert!(text.contains("Linux version 6.1."), "{text}");
            assert!(text.contains("Run /init as init process"), "{text}");
        }
    });
}
