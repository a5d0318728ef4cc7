// SPDX-License-Identifier: GPL-2.0-only
//! Many threads at once, coming and going.

mod common;
use common::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

static STOP: AtomicBool = AtomicBool::new(false);
static OPS: AtomicU64 = AtomicU64::new(0);

fn seconds() -> u64 {
    std::env::var("LKL_TEST_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(4)
}

fn worker(id: usize, pipes: &[[i32; 2]], dirfd: i32) {
    let k = Thread::new();
    let mut seed = id as u64 * 7919 + 1;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let name = format!("thread{id}");
    let fd = k.open(dirfd, &name, libc::O_RDWR | libc::O_CREAT).unwrap();
    let pattern = vec![id as u8; 8192];
    while !STOP.load(SeqCst) {
        match random(100) {
            0..=29 => {
                let len = 1 + random(8192) as usize;
                let args = [fd as usize, pattern.as_ptr() as usize, len, random(1 << 20) as usize];
                assert_eq!(k.call(libc::SYS_pwrite64, &args), Ok(len));
            }
            30..=59 => {
                let mut buf = [0u8; 4096];
                let args = [fd as usize, buf.as_mut_ptr() as usize, buf.len(), random(1 << 20) as usize];
                let n = k.call(libc::SYS_pread64, &args).unwrap();
                assert!(buf[..n].iter().all(|b| *b == id as u8 || *b == 0), "foreign data in {name}");
            }
            60..=63 => drop(k.call(libc::SYS_fsync, &[fd as usize]).unwrap()),
            64..=69 => {
                let n = format!("{name}-{}", random(8));
                k.write_file(dirfd, &n, &pattern[..random(8192) as usize]).unwrap();
            }
            70..=84 => drop(k.call(libc::SYS_getppid, &[]).unwrap()),
            85..=88 => {
                let ts = [0i64, random(300_000) as i64];
                k.call(libc::SYS_nanosleep, &[ts.as_ptr() as usize, 0]).unwrap();
            }
            _ => {
                let next = pipes[(id + 1) % pipes.len()];
                k.write(next[1], b"x").unwrap();
                k.read(pipes[id][0], 1).unwrap();
            }
        }
        OPS.fetch_add(1, SeqCst);
    }
    k.close(fd).unwrap();
    k.release();
}

fn visitor(n: usize) {
    let k = Thread::new();
    for _ in 0..5 {
        k.call(libc::SYS_gettid, &[]).unwrap();
    }
    if n % 2 == 1 {
        let ts = [0i64, 100_000];
        k.call(libc::SYS_nanosleep, &[ts.as_ptr() as usize, 0]).unwrap();
    }
    // Some threads never say good-bye, and their kernel stacks are never given back: so few that a
    // fast machine does not meet the kernel's limit of threads.
    if n % 32 != 2 || n / 32 >= 300 {
        k.release();
    }
}

#[test]
fn eight_threads_and_visitors() {
    alone("eight_threads_and_visitors", || {
        let dir = scratch("stress");
        let image = ext4_image(&dir, 128);
        let k = start();
        k.mount_image(&image, "/mnt", 100, false).unwrap();
        let mut pipes = [[0i32; 2]; 8];
        for p in &mut pipes {
            k.call(libc::SYS_pipe2, &[p.as_mut_ptr() as usize, 0]).unwrap();
            k.write(p[1], b"xx").unwrap();
        }
        let workers: Vec<_> =
            (0..pipes.len()).map(|id| std::thread::spawn(move || worker(id, &pipes, 100))).collect();
        let begin = Instant::now();
        let mut visitors = 0;
        while begin.elapsed() < Duration::from_secs(seconds()) {
            let some: Vec<_> = (0..4).map(|i| std::thread::spawn(move || visitor(i + visitors))).collect();
            visitors += some.len();
            some.into_iter().for_each(|t| t.join().unwrap());
        }
        STOP.store(true, SeqCst);
        for p in &pipes {
            k.write(p[1], &[b'x'; 64]).unwrap();
        }
        workers.into_iter().for_each(|t| t.join().unwrap());
        println!("{} operations, {visitors} visitors", OPS.load(SeqCst));
        k.shutdown().unwrap();
        check_ext4(&image);
    });
}

#[test]
fn five_hundred_threads() {
    alone("five_hundred_threads", || {
        let k = start();
        k.mount_none(c"tmpfs", c"/mnt", 100).unwrap();
        let mut pipe = [0i32; 2];
        k.call(libc::SYS_pipe2, &[pipe.as_mut_ptr() as usize, 0]).unwrap();
        let all: Vec<_> = (0..500)
            .map(|i| {
                std::thread::Builder::new()
                    .stack_size(64 << 10)
                    .spawn(move || {
                        let me = Thread::new();
                        me.write_file(100, &format!("f{i}"), b"x").unwrap();
                        assert_eq!(me.read(pipe[0], 1).unwrap(), b"g");
                        me.release();
                    })
                    .unwrap()
            })
            .collect();
        std::thread::sleep(Duration::from_millis(200));
        k.write(pipe[1], &[b'g'; 500]).unwrap();
        all.into_iter().for_each(|t| t.join().unwrap());
        k.shutdown().unwrap();
    });
}

#[test]
fn shutdown_under_load_leaves_a_clean_image() {
    alone("shutdown_under_load_leaves_a_clean_image", || {
        let dir = scratch("stress-end");
        let image = ext4_image(&dir, 64);
        let k = start();
        k.mount_image(&image, "/mnt", 100, false).unwrap();
        for id in 0..6 {
            std::thread::spawn(move || {
                let me = Thread::new();
                let mut i = 0;
                // until the shutdown makes a call fail
                while me.write_file(100, &format!("t{id}-{}", i % 20), &sample_bytes(30_000)).is_ok() {
                    i += 1;
                }
            });
        }
        std::thread::sleep(Duration::from_millis(300));
        k.shutdown().unwrap();
        check_ext4(&image);
    });
}

#[test]
fn threads_may_end_during_and_after_the_shutdown() {
    alone("threads_may_end_during_and_after_the_shutdown", || {
        let dir = scratch("stress-late");
        let image = ext4_image(&dir, 32);
        let k = start();
        k.mount_image(&image, "/mnt", 100, false).unwrap();
        let threads: Vec<_> = (0..24)
            .map(|id| {
                std::thread::spawn(move || {
                    let me = Thread::new();
                    while me.write_file(100, &format!("t{id}"), &sample_bytes(5_000)).is_ok() {}
                    if id % 2 == 1 {
                        std::thread::sleep(Duration::from_millis(id));
                    }
                    me.release();
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(100));
        k.shutdown().unwrap();
        threads.into_iter().for_each(|t| t.join().unwrap());
        std::thread::spawn(|| {
            let late = Thread::new();
            assert!(late.call(libc::SYS_getpid, &[]).is_err());
            late.release();
        })
        .join()
        .unwrap();
        k.release();
        check_ext4(&image);
    });
}
