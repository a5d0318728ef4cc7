// SPDX-License-Identifier: GPL-2.0-only
//! A thread that is diverted, by signals and by (emulated) user interrupts, notices nothing: registers, flags, red zone and
//! vectors are checked in a loop while interrupts rain on it.
//!
//! No part of this depends on how fast the machine is. The interrupted thread counts its steps, and each interrupt waits
//! for a few of them: so the thread gets on however slowly it is scheduled. Limits are counts of interrupts, not times.
#![allow(unsafe_code)]

use softuintr::abi;
use std::arch::asm;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::Mutex;
use trampoline::{divert, thread};

static WORKED: AtomicU64 = AtomicU64::new(0);
static DEPTH: AtomicU64 = AtomicU64::new(0);
static NESTED: AtomicU64 = AtomicU64::new(0);
static GUARD: AtomicU32 = AtomicU32::new(0);
static STOP: AtomicBool = AtomicBool::new(false);
/// Steps of the interrupted thread: rounds of [`leaf`], and of the loop in [`work`].
static STEPS: AtomicU64 = AtomicU64::new(0);
/// Interrupts sent.
static SENT: AtomicU64 = AtomicU64::new(0);
/// An interrupt waits for 1 to this many steps after the one before.
const STEPS_MOST: u64 = 128;
/// Steps after which an interrupt that has not come is lost.
const STEPS_LOST: u64 = 1 << 20;
/// Interrupts within which the thread must have been diverted often enough: some 30 come to each run of [`work`], which
/// is not diverted again.
const SENT_MOST: u64 = 1 << 16;
/// The process's counters are looked at.
static TURN: Mutex<()> = Mutex::new(());

/// Changes whatever a function may change, for long enough to be interrupted itself.
extern "C" fn work() {
    NESTED.fetch_add(DEPTH.fetch_add(1, SeqCst), SeqCst);
    // SAFETY: clobbers caller-saved registers, as declared.
    unsafe {
        asm!(
            "mov rax, -1", "mov rcx, rax", "mov rdx, rax", "mov rsi, rax", "mov rdi, rax", "mov r8, rax",
            "mov r9, rax", "mov r10, rax", "mov r11, rax", "movq xmm0, rax", "movq xmm7, rax", "movq xmm15, rax",
            "mov ecx, 2000", "2:", "pause", "inc qword ptr [rip + {steps}]", "dec ecx", "jnz 2b", "std", "cld",
            steps = sym STEPS,
            out("rax") _, out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _, out("r8") _, out("r9") _,
            out("r10") _, out("r11") _, out("xmm0") _, out("xmm7") _, out("xmm15") _,
        );
    }
    WORKED.fetch_add(1, SeqCst);
    DEPTH.fetch_sub(1, SeqCst);
}

/// Live data everywhere; how many rounds found it changed (0 or 1).
#[inline(never)]
fn leaf(rounds: u64) -> u64 {
    let bad: u64;
    // SAFETY: touches its red zone, scratch registers, and the flags, which it puts right.
    unsafe {
        asm!(
            "mov rax, 0x1122334455667788", "mov [rsp - 128], rax", "not rax", "mov [rsp - 8], rax", "not rax",
            "movq xmm0, rax", "movq xmm7, rax", "movq xmm15, rax", "xor {bad}, {bad}",
            "lea rdx, [rax + 1]", "lea rsi, [rax + 2]", "lea rdi, [rax + 3]", "lea r8, [rax + 4]", "lea r9, [rax + 5]",
            "lea r10, [rax + 6]", "lea r11, [rax + 7]", "lea r12, [rax + 8]", "lea r13, [rax + 9]",
            "lea r14, [rax + 10]", "lea r15, [rax + 11]", "std", "stc",
            "2:", "jnc 9f",
            "cmp [rsp - 128], rax", "jne 9f", "mov rcx, rax", "not rcx", "cmp [rsp - 8], rcx", "jne 9f",
            ".irp x,xmm0,xmm7,xmm15", "movq rcx, \\x", "cmp rcx, rax", "jne 9f", ".endr",
            "lea rcx, [rax + 1]", ".irp r,rdx,rsi,rdi,r8,r9,r10,r11,r12,r13,r14,r15",
            "cmp rcx, \\r", "jne 9f", "inc rcx", ".endr",
            "lea rsp, [rsp - 128]", "pushfq", "pop rcx", "lea rsp, [rsp + 128]", "bt rcx, 10", "jnc 9f",
            "inc qword ptr [rip + {steps}]", "dec {n}", "stc", "jnz 2b", "jmp 8f",
            "9:", "inc {bad}", "8:", "cld",
            steps = sym STEPS, bad = out(reg) bad, n = inout(reg) rounds => _, out("rax") _, out("rcx") _, out("rdx") _, out("rsi") _,
            out("rdi") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _, out("r13") _,
            out("r14") _, out("r15") _, out("xmm0") _, out("xmm7") _, out("xmm15") _,
        );
    }
    bad
}

/// Makes the calling thread one that can be diverted, and computes under `kick`s from another thread.
fn under_rain(enroll: impl FnOnce() -> isize + Send, kick: fn(isize)) {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    softuintr::install();
    std::thread::scope(|scope| {
        let done = scope.spawn(|| {
            thread::adopt().expect("a block");
            divert::prepare(work, [0..0, 0..0]);
            // SAFETY: a static.
            unsafe { divert::enroll(&GUARD) };
            let target = enroll();
            STOP.store(false, SeqCst);
            let sender = std::thread::spawn(move || {
                for number in 0u64.. {
                    // Every distance, in an order that fits no loop of the other thread.
                    await_steps(1 + number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % STEPS_MOST, || false);
                    if STOP.load(SeqCst) {
                        break;
                    }
                    let before = met();
                    kick(target);
                    SENT.fetch_add(1, SeqCst);
                    await_steps(STEPS_LOST, || met() != before);
                }
            });
            let before = WORKED.load(SeqCst);
            let end = SENT.load(SeqCst) + SENT_MOST;
            while WORKED.load(SeqCst) - before <= 300 {
                assert!(SENT.load(SeqCst) < end, "diverted {} times", WORKED.load(SeqCst) - before);
                assert_eq!(leaf(2000), 0);
            }
            GUARD.store(1, SeqCst);
            let before = WORKED.load(SeqCst);
            let (refused, end) = (divert::counts().1, SENT.load(SeqCst) + SENT_MOST);
            while divert::counts().1 <= refused + 100 {
                assert!(SENT.load(SeqCst) < end, "no interrupts any more");
                assert_eq!(leaf(2000), 0);
            }
            assert_eq!(WORKED.load(SeqCst), before, "diverted against the guard");
            GUARD.store(0, SeqCst);
            STOP.store(true, SeqCst);
            sender.join().expect("the sender");
            // SAFETY: ends it.
            unsafe { divert::enroll(std::ptr::null()) };
            assert_eq!(NESTED.load(SeqCst), 0, "diverted amid the work");
        });
        if let Err(panic) = done.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Waits until the interrupted thread has gone on by `steps`, or `enough` holds, or it is to be stopped.
fn await_steps(steps: u64, enough: impl Fn() -> bool) {
    let before = STEPS.load(SeqCst);
    while STEPS.load(SeqCst).wrapping_sub(before) < steps && !enough() && !STOP.load(SeqCst) {
        for _ in 0..1024 {
            std::hint::spin_loop();
        }
        // The other thread may be waiting for this very CPU.
        std::thread::yield_now();
    }
}

/// Interrupts that have come to the thread.
fn met() -> u64 {
    let (diverted, refused) = divert::counts();
    diverted + refused
}

const KICK: i32 = 60;

unsafe extern "C" fn on_kick(_: i32, _: *mut libc::siginfo_t, uc: *mut libc::c_void) {
    // SAFETY: the host's context, on a thread with a block.
    divert::redirect(unsafe { &mut *uc.cast() });
}

#[test]
fn by_signals() {
    // SAFETY: plain libc; the structure is zeroed and filled.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        action.sa_sigaction = on_kick as *const () as usize;
        assert_eq!(libc::sigaction(KICK, &action, std::ptr::null_mut()), 0);
    }
    static TID: AtomicI64 = AtomicI64::new(0);
    let enroll = || {
        // SAFETY: asks only.
        TID.store(i64::from(unsafe { libc::gettid() }), SeqCst);
        0
    };
    under_rain(enroll, |_| {
        // SAFETY: a signal to a thread that waits for its sender.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), TID.load(SeqCst), KICK) };
    });
}

#[test]
fn by_user_interrupts() {
    let enroll = || {
        let bytes = divert::INTERRUPT_STACK_BYTES;
        let top = vec![0u128; bytes / 16].leak().as_ptr_range().end as usize;
        // SAFETY: the handler is code, the stack the thread's.
        unsafe {
            assert_eq!(abi::call(abi::REGISTER_HANDLER, divert::user_interrupt_handler(), 0, 0), 0);
            assert_eq!(abi::call(abi::ALT_STACK, top, bytes, 0), 0);
            let index = abi::call(abi::REGISTER_SELF, 3, 0, 0);
            asm!("stui");
            index
        }
    };
    under_rain(enroll, |index| {
        // SAFETY: emulated.
        unsafe { asm!("senduipi {}", in(reg) index) };
    });
}
