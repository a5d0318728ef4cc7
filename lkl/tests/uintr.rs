// SPDX-License-Identifier: GPL-2.0-only
//! User interrupts between threads of one process, with the emulator linked in.
//!
//! # Safety
//! Tasks are the calling threads'; pointers among the arguments are valid, or wrong on purpose where EFAULT is expected.
#![allow(unsafe_code)]

use lkl::uintr::{probe, Emulator, Target, Uintr};
use std::arch::global_asm;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Barrier, Mutex, OnceLock};
use std::time::{Duration, Instant};

static SEEN: AtomicU64 = AtomicU64::new(0);

global_asm!(
    ".globl stowaway_test_count",
    "stowaway_test_count:",
    "endbr64",
    "lock inc qword ptr [rip + {seen}]",
    "add rsp, 8",
    "uiret",
    seen = sym SEEN,
);
extern "C" {
    static stowaway_test_count: u8;
}

fn uintr() -> &'static Uintr {
    static FOUND: OnceLock<Uintr> = OnceLock::new();
    FOUND.get_or_init(|| {
        softuintr::install();
        let emulator = Emulator::find().expect("it is linked in");
        assert_eq!(emulator.notify, softuintr::NOTIFY);
        assert_eq!(size_of::<Emulator>(), size_of::<softuintr::Emulator>());
        // SAFETY: the function has this type.
        unsafe { (emulator.start)(lkl::sys::gate(), 0) };
        let found = probe().expect("emulated");
        assert!(found.is_emulated());
        found
    })
}

/// Runs `work` as a receiver.
fn receiving(work: impl FnOnce(Target)) {
    let stack = vec![0u128; 256];
    let top = stack.as_ptr_range().end as usize;
    // SAFETY: the handler keeps to the rules; the stack lives until the thread is no receiver any more.
    let target =
        unsafe { uintr().register(&raw const stowaway_test_count as usize, top, 4096) }.expect("registered");
    work(target);
    uintr().unregister(target);
}

static TURN: Mutex<()> = Mutex::new(());

#[test]
fn a_busy_thread_is_interrupted() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    receiving(|target| {
        let before = SEEN.load(SeqCst);
        let sender = std::thread::spawn(move || assert!(uintr().send(target)));
        let end = Instant::now() + Duration::from_secs(60);
        while SEEN.load(SeqCst) == before {
            assert!(Instant::now() < end, "no interrupt");
            std::hint::spin_loop();
        }
        sender.join().expect("the sender");
    });
}

#[test]
fn receivers_may_go_while_they_are_sent_to() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    static STOP: AtomicBool = AtomicBool::new(false);
    let start = Barrier::new(3);
    let before = SEEN.load(SeqCst);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                start.wait();
                // Whatever is registered at the moment: none of these sends may fault.
                while !STOP.load(SeqCst) {
                    for index in 0..4 {
                        uintr().send(Target::from_index(index).expect("a byte"));
                    }
                    // A receiver must get on between two of them.
                    std::thread::sleep(Duration::from_micros(100));
                }
            });
        }
        start.wait();
        // A send is no promise: on a busy machine more receivers than these may come and go unseen.
        let end = Instant::now() + Duration::from_secs(60);
        let mut receivers = 0;
        while receivers < 100 || (SEEN.load(SeqCst) == before && Instant::now() < end) {
            receivers += 1;
            std::thread::spawn(|| receiving(|_| (0..2000).for_each(|_| std::hint::spin_loop())))
                .join()
                .expect("a receiver");
        }
        STOP.store(true, SeqCst);
    });
    assert!(SEEN.load(SeqCst) > before, "nobody was ever interrupted");
}

#[test]
fn a_child_of_fork_registers_anew() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    receiving(|target| {
        // SAFETY: the child makes raw calls, executes instructions, and leaves.
        unsafe {
            let pid = libc::fork();
            if pid == 0 {
                uintr().reset_in_child();
                let is_gone = !uintr().send(target);
                let mut interrupted = false;
                receiving(|target| {
                    let before = SEEN.load(SeqCst);
                    uintr().send(target);
                    interrupted = SEEN.load(SeqCst) == before + 1;
                });
                libc::_exit(if is_gone && interrupted { 0 } else { 1 });
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
            assert_eq!(status, 0);
        }
        assert!(uintr().send(target), "the parent's is as it was");
    });
}
