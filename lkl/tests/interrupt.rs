// SPDX-License-Identifier: GPL-2.0-only
//! A host signal ends the wait of the call it falls into: always, and never a later call.
//!
//! # Safety
//! Tasks are the calling threads'; pointers among the arguments are valid, or wrong on purpose where EFAULT is expected.
#![allow(unsafe_code)]

mod common;
use common::*;
use lkl::{Kernel, Task};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

const ERESTARTSYS: isize = -512;
const ERESTARTNOHAND: isize = -514;
const ERESTART_RESTARTBLOCK: isize = -516;
const EINTR: isize = -4;

static TASK: AtomicPtr<Task> = AtomicPtr::new(std::ptr::null_mut());
static TID: AtomicU32 = AtomicU32::new(0);
static ROUND: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicBool = AtomicBool::new(false);
static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_signal(_: i32) {
    HANDLED.fetch_add(1, SeqCst);
    if let Some(k) = Kernel::get() {
        // SAFETY: the handler runs on the task's own thread.
        unsafe { k.interrupt(TASK.load(SeqCst), lkl::Interruption::BySignal) };
    }
}

fn catch() {
    // SAFETY: a handler that does atomics and interrupt() only.
    unsafe {
        let mut sa: libc::sigaction = std::mem::zeroed();
        sa.sa_sigaction = on_signal as *const () as usize;
        sa.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGUSR1, &sa, std::ptr::null_mut());
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// One signal per round, a random while after the round began.
fn send_signals(max_delay_ns: u64) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut round = 0;
    while !DONE.load(SeqCst) {
        let now = ROUND.load(SeqCst);
        if now == round {
            std::hint::spin_loop();
            continue;
        }
        round = now;
        let until = Instant::now() + Duration::from_nanos(random.next(max_delay_ns));
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        // SAFETY: a signal to a live thread of ours.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), TID.load(SeqCst), libc::SIGUSR1) };
    }
}

/// A hang ends the process with a message.
fn watchdog(seconds: u64) {
    std::thread::spawn(move || {
        let mut last = (0, Instant::now());
        while last.1.elapsed() < Duration::from_secs(seconds) {
            std::thread::sleep(Duration::from_millis(200));
            let round = ROUND.load(SeqCst);
            if round != last.0 {
                last = (round, Instant::now());
            }
        }
        eprintln!("hang in round {} ({} signals handled)", last.0, HANDLED.load(SeqCst));
        std::process::abort();
    });
}

/// Other threads that keep the virtual CPU changing hands.
fn noise(k: Thread, dirfd: i32) -> Vec<std::thread::JoinHandle<()>> {
    let mut pipes = [[0i32; 2]; 2];
    for p in &mut pipes {
        k.call(libc::SYS_pipe2, &[p.as_mut_ptr() as usize, 0]).unwrap();
    }
    let player = move |from: i32, to: i32, first: bool| {
        let me = Thread::new();
        if first {
            me.write(to, b"x").unwrap();
        }
        while !DONE.load(SeqCst) {
            me.read(from, 1).unwrap();
            me.write(to, b"x").unwrap();
        }
        me.write(to, b"x").unwrap();
        me.release();
    };
    let writer = move || {
        let me = Thread::new();
        while !DONE.load(SeqCst) {
            me.write_file(dirfd, "noise", &sample_bytes(50_000)).unwrap();
        }
        me.release();
    };
    let (a, b) = (pipes[0], pipes[1]);
    vec![
        std::thread::spawn(move || player(a[0], b[1], true)),
        std::thread::spawn(move || player(b[0], a[1], false)),
        std::thread::spawn(writer),
    ]
}

fn storm(name: &str, rounds: u64, with_noise: bool) {
    let dir = scratch(name);
    let image = ext4_image(&dir, 64);
    let k = start();
    k.mount_image(&image, "/mnt", 100, false).unwrap();
    let sock = |what| {
        let mut pair = [0i32; 2];
        k.call(libc::SYS_socketpair, &[libc::AF_UNIX as usize, what as usize, 0, pair.as_mut_ptr() as usize])
            .unwrap();
        pair[0] as usize
    };
    let (stream, dgram) = (sock(libc::SOCK_STREAM), sock(libc::SOCK_DGRAM));
    let event = k.call(libc::SYS_eventfd2, &[0, 0]).unwrap();
    let epoll = k.call(libc::SYS_epoll_create1, &[0]).unwrap();
    let mut buf = [0u8; 64];
    let b = buf.as_mut_ptr() as usize;
    let long = [1000i64, 0];
    let sleep = long.as_ptr() as usize;
    let poll = [event as u64 | 1 << 32];
    let waits: [(i64, [usize; 6], isize); 7] = [
        (libc::SYS_read, [event, b, 8, 0, 0, 0], ERESTARTSYS),
        (libc::SYS_read, [stream, b, 8, 0, 0, 0], ERESTARTSYS),
        (libc::SYS_recvfrom, [dgram, b, 8, 0, 0, 0], ERESTARTSYS),
        (libc::SYS_nanosleep, [sleep, 0, 0, 0, 0, 0], ERESTART_RESTARTBLOCK),
        (libc::SYS_epoll_wait, [epoll, b, 1, usize::MAX, 0, 0], EINTR),
        (libc::SYS_poll, [poll.as_ptr() as usize, 1, usize::MAX, 0, 0, 0], ERESTART_RESTARTBLOCK),
        (libc::SYS_ppoll, [poll.as_ptr() as usize, 1, sleep, 0, 0, 0], ERESTARTNOHAND),
    ];
    TASK.store(k.t, SeqCst);
    // SAFETY: plain.
    TID.store(unsafe { libc::gettid() } as u32, SeqCst);
    catch();
    watchdog(20);
    let others = if with_noise { noise(k, 100) } else { Vec::new() };
    let sender = std::thread::spawn(|| send_signals(60_000));
    for round in 1..=rounds {
        let (nr, args, want) = &waits[round as usize % waits.len()];
        ROUND.store(round, SeqCst);
        assert_eq!(k.raw(*nr, args), *want, "call {nr} in round {round}");
        assert_eq!(HANDLED.load(SeqCst), round);
        // what follows is not disturbed
        assert_eq!(k.raw(libc::SYS_getuid, &[]), 0);
        let soon = [0i64, 1000];
        if round % 16 == 0 {
            assert_eq!(k.raw(libc::SYS_nanosleep, &[soon.as_ptr() as usize, 0]), 0);
        }
    }
    DONE.store(true, SeqCst);
    sender.join().unwrap();
    for o in others {
        o.join().unwrap();
    }
    ROUND.store(rounds + 1, SeqCst);
    k.shutdown().unwrap();
    check_ext4(&image);
}

#[test]
fn ten_thousand_signals() {
    alone("ten_thousand_signals", || storm("intr", 10_000, false));
}

#[test]
fn signals_among_busy_threads() {
    alone("signals_among_busy_threads", || storm("intr-noise", 5_000, true));
}

#[test]
fn a_signal_outside_costs_one_restart_at_most() {
    alone("a_signal_outside_costs_one_restart_at_most", || {
        let k = start();
        TASK.store(k.t, SeqCst);
        k.call(libc::SYS_getuid, &[]).unwrap();
        catch();
        // SAFETY: plain.
        unsafe { libc::raise(libc::SIGUSR1) };
        let soon = [0i64, 100_000];
        // a call that does not wait takes the kick with it
        assert_eq!(k.raw(libc::SYS_getuid, &[]), 0);
        for _ in 0..10 {
            assert_eq!(k.raw(libc::SYS_nanosleep, &[soon.as_ptr() as usize, 0]), 0);
        }
        // SAFETY: plain.
        unsafe { libc::raise(libc::SIGUSR1) };
        assert_eq!(k.raw(libc::SYS_nanosleep, &[soon.as_ptr() as usize, 0]), ERESTART_RESTARTBLOCK);
        assert_eq!(k.raw(libc::SYS_restart_syscall, &[]), 0);
        k.shutdown().unwrap();
    });
}
