// SPDX-License-Identifier: GPL-2.0-only
//! A redirected call is a call: same result, all registers but rcx and r11, flags, vectors and the red zone
//! kept; and it happens once. Threads are armed one by one, so each test arms its own.
#![allow(unsafe_code, missing_docs)]

use std::arch::asm;
use std::sync::atomic::{AtomicUsize, Ordering};

use trampoline::gate::gate;
use trampoline::{arm_thread, Frame, Vectors};

static SEEN: AtomicUsize = AtomicUsize::new(0);
/// A number no kernel has: answered by the handler alone.
const OURS: usize = 5000;

unsafe extern "C-unwind" fn handler(frame: &mut Frame) {
    let args = frame.args();
    if frame.nr == OURS {
        SEEN.fetch_add(1, Ordering::Relaxed);
        // Clobber what a careless handler would: vectors, through a copy that libc does with them.
        let noise = std::hint::black_box(vec![0x5au8; 4096]);
        let copy = std::hint::black_box(noise.clone());
        frame.rax = args.iter().sum::<usize>() + usize::from(copy[0] != 0x5a);
        return;
    }
    if frame.nr == libc::SYS_rt_sigprocmask as usize && args[1] != 0 && args[0] != libc::SIG_UNBLOCK as usize
    {
        // libc blocks everything around pthread_create; a dispatched call with SIGSYS blocked is death.
        // SAFETY: the caller's mask; the cleaned copy outlives the call.
        frame.rax = unsafe {
            let mask = *(args[1] as *const u64) & !(1 << (libc::SIGSYS - 1));
            let cleaned = [args[0], &raw const mask as usize, args[2], args[3], 0, 0];
            gate(libc::SYS_rt_sigprocmask, &cleaned)
        } as usize;
        return;
    }
    if frame.nr == libc::SYS_clone3 as usize {
        // libc falls back to clone, which needs the frame: the child runs behind the caller's site.
        frame.rax = -(libc::ENOSYS as isize) as usize;
        return;
    }
    if frame.nr == libc::SYS_clone as usize {
        // SAFETY: pthread_create hands over a fresh stack.
        frame.rax =
            unsafe { frame.clone_onto(libc::SYS_clone, &args, args[1], trampoline::Cloned::Thread) } as usize;
        return;
    }
    // SAFETY: the call is the caller's own.
    frame.rax = unsafe { gate(frame.nr as i64, &args) } as usize;
}

unsafe extern "C-unwind" fn foreign(_: i32, _: *mut libc::siginfo_t, _: *mut std::ffi::c_void, _: usize) {
    panic!("a SIGSYS that is not ours");
}

extern "C" fn child(_: bool) {}

/// Runs `test` on a thread that is armed while it runs.
fn armed(test: fn()) {
    std::thread::spawn(move || {
        trampoline::install(handler, foreign, child, Vectors::All)
            .expect("this kernel has no Syscall User Dispatch");
        test();
        disarm();
    })
    .join()
    .expect("the armed thread failed");
}

fn disarm() {
    // SAFETY: prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF).
    unsafe { gate(libc::SYS_prctl, &[59, 0, 0, 0, 0, 0]) };
}

#[test]
fn a_call_reaches_the_handler_once() {
    armed(|| {
        let before = SEEN.load(Ordering::Relaxed);
        // SAFETY: an unknown number with integers.
        let r = unsafe {
            libc::syscall(OURS as i64, 1usize, 20usize, 300usize, 4000usize, 50000usize, 600000usize)
        };
        assert_eq!(r, 654321);
        assert!(SEEN.load(Ordering::Relaxed) > before);
    });
}

#[test]
fn a_forwarded_call_gives_what_the_kernel_gives() {
    armed(|| {
        // SAFETY: calls without pointers, and one with a bad one.
        unsafe {
            assert_eq!(libc::syscall(libc::SYS_getpid), i64::from(std::process::id()));
            assert_eq!(libc::syscall(libc::SYS_write, -1, 0, 0), -1);
            assert_eq!(*libc::__errno_location(), libc::EBADF);
        }
    });
}

#[test]
fn registers_flags_and_red_zone_are_kept() {
    armed(|| {
        let (mut rax, rcx, r11, flags, zone): (usize, usize, usize, usize, usize);
        let (rdi, rsi, r8, r10, r12, r15): (usize, usize, usize, usize, usize, usize);
        // SAFETY: writes only its own red zone; every register it changes is named.
        unsafe {
            asm!(
                "mov qword ptr [rsp - 128], 0x1234",
                "mov qword ptr [rsp - 8], 0x4321",
                "stc",
                "syscall",
                "pushfq",
                "pop {flags}",
                "mov {zone}, [rsp - 128]",
                inlateout("rax") OURS => rax,
                inlateout("rdi") 1usize => rdi, inlateout("rsi") 2usize => rsi, in("rdx") 3usize,
                inlateout("r10") 4usize => r10, inlateout("r8") 5usize => r8, in("r9") 6usize,
                inlateout("r12") 0x1212usize => r12, inlateout("r15") 0x1515usize => r15,
                out("rcx") rcx, out("r11") r11,
                flags = out(reg) flags, zone = out(reg) zone,
            );
        }
        assert_eq!(rax, 21);
        assert_eq!((rdi, rsi, r10, r8, r12, r15), (1, 2, 4, 5, 0x1212, 0x1515));
        assert_eq!(zone, 0x1234);
        assert_eq!(flags & 1, 1, "carry");
        // As `syscall` leaves them: where it returned to, and the flags.
        assert_eq!(r11 & 1, 1);
        let here = registers_flags_and_red_zone_are_kept as *const () as usize;
        assert!(rcx.abs_diff(here) < 1 << 20, "rcx is an address near by");
        rax = 0;
        let _ = rax;
    });
}

#[test]
fn vectors_are_kept() {
    if !std::is_x86_feature_detected!("avx") {
        eprintln!("skipped: no AVX on this CPU");
        return;
    }
    armed(|| {
        let (input, mut output) = ([0x1122_3344_5566_7788u64; 4], [0u64; 4]);
        // SAFETY: AVX was detected; ymm registers are declared as clobbered.
        unsafe {
            asm!(
                "vmovdqu ymm15, [{i}]",
                "vmovdqu ymm1, [{i}]",
                "mov eax, {nr}",
                "syscall",
                "vpxor ymm2, ymm1, ymm15",
                "vpor ymm15, ymm15, ymm2",
                "vmovdqu [{o}], ymm15",
                "vzeroupper",
                i = in(reg) &input, o = in(reg) &mut output, nr = const OURS,
                out("rax") _, out("rcx") _, out("r11") _, in("rdi") 0, in("rsi") 0, in("rdx") 0,
                in("r10") 0, in("r8") 0, in("r9") 0,
                out("ymm1") _, out("ymm2") _, out("ymm15") _,
            );
        }
        assert_eq!(input, output);
    });
}

#[test]
fn each_thread_is_armed_for_itself() {
    armed(|| {
        let other = std::thread::spawn(|| {
            // Armed from its first instruction: it was cloned through the frame.
            // SAFETY: an unknown number.
            let armed = unsafe { libc::syscall(OURS as i64, 1usize, 0usize, 0usize, 0usize, 0usize, 0usize) };
            disarm();
            // SAFETY: as above.
            let disarmed = unsafe { libc::syscall(OURS as i64, 1usize) };
            arm_thread().unwrap();
            // SAFETY: as above.
            let again = unsafe { libc::syscall(OURS as i64, 2usize, 0usize, 0usize, 0usize, 0usize, 0usize) };
            disarm();
            (armed, disarmed, again)
        });
        assert_eq!(other.join().unwrap(), (1, -1, 2));
    });
}
