// SPDX-License-Identifier: GPL-2.0-only
//! An ext4 image: mount, write, sync, read back, shut down; then e2fsck judges.

mod common;
use common::*;
use lkl::{Errno, Private};
use std::time::Instant;

#[test]
fn ext4_written_and_clean() {
    alone("ext4_written_and_clean", || {
        let dir = scratch("ext4");
        let image = ext4_image(&dir, 64);
        let begin = Instant::now();
        // before boot: growing the descriptor table of a process with threads is slow
        let disk = open_disk(&image, false).unwrap();
        let k = start();
        let booted = begin.elapsed();
        k.mount_disk(&disk, "/mnt/data", 100).unwrap();
        println!("boot {booted:?}, with mount {:?}", begin.elapsed());
        assert_eq!(k.read_file(100, "hello.txt").unwrap(), b"hello from the host\n");
        assert_eq!(k.read_file(100, "dir/deep.txt").unwrap(), b"deep\n");
        assert!(k.read_file(100, "big.bin").unwrap() == sample_bytes(1 << 20));
        k.write_file(100, "new.txt", b"by the kernel in here").unwrap();
        assert_eq!(k.read_file(100, "new.txt").unwrap(), b"by the kernel in here");
        k.write_file(100, "more.bin", &sample_bytes(20 << 20)).unwrap();
        let t = Instant::now();
        k.shutdown().unwrap();
        println!("shutdown {:?}", t.elapsed());
        check_ext4(&image);
        assert!(must("debugfs", &["-R", "cat new.txt", image.to_str().unwrap()]).contains("by the kernel"));
        assert_eq!(k.call(libc::SYS_getppid, &[]), Err(Errno::ENODEV));
    });
}

#[test]
fn open_files_do_not_stop_the_shutdown() {
    alone("open_files_do_not_stop_the_shutdown", || {
        let dir = scratch("ext4-open");
        let image = ext4_image(&dir, 64);
        let k = start();
        k.mount_image(&image, "/mnt/data", 100, false).unwrap();
        let fd = k.open(100, "left-open", libc::O_RDWR | libc::O_CREAT).unwrap();
        k.write(fd, b"not synced").unwrap();
        k.call(Private::ChdirAt as i64, &[100, c"dir".as_ptr() as usize]).unwrap();
        // another thread sleeps in a read of an empty pipe, with a file open as well
        let mut pipe = [0i32; 2];
        k.call(libc::SYS_pipe2, &[pipe.as_mut_ptr() as usize, 0]).unwrap();
        let reader = std::thread::spawn(move || {
            let me = Thread::new();
            me.read(pipe[0], 1)
        });
        std::thread::sleep(std::time::Duration::from_millis(100));
        k.shutdown().unwrap();
        let got = reader.join().unwrap();
        assert!(got.is_err(), "{got:?}");
        check_ext4(&image);
        assert!(must("debugfs", &["-R", "cat left-open", image.to_str().unwrap()]).contains("not synced"));
    });
}

#[test]
fn times_are_the_hosts() {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};
    alone("times_are_the_hosts", || {
        let dir = scratch("ext4-time");
        let image = ext4_image(&dir, 32);
        let k = start();
        k.mount_image(&image, "/mnt/data", 100, false).unwrap();
        for pause in [0, 1, 20, 1500] {
            std::thread::sleep(Duration::from_millis(pause));
            let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            k.write_file(100, "stamp", b"x").unwrap();
            let mut st = [0u64; 18];
            let args = [100, c"stamp".as_ptr() as usize, st.as_mut_ptr() as usize, 0];
            k.call(libc::SYS_newfstatat, &args).unwrap();
            let modified = Duration::new(st[11], st[12] as u32);
            // file times are those of the last tick: 4 ms, much more on a busy machine
            let slack = Duration::from_millis(700);
            assert!(modified + slack > before && modified < before + slack, "{before:?} {modified:?}");
        }
        k.shutdown().unwrap();
    });
}
