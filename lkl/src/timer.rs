// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's clock event: one host thread that sleeps until the armed deadline.
//!
//! It is made by a bare `clone`: no TLS of its own (it shares its maker's and uses none), all
//! signals blocked, a stack of ours.  It lives as long as the process.

use crate::host::monotonic_ns;
use crate::sys::{host, map_stack, raw};
use crate::Errno;
use std::mem::transmute;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};

/// Interrupt handlers and soft interrupts of the kernel run on it.
const STACK_BYTES: usize = 128 << 10;
const NEVER: u64 = u64::MAX;
const IRQ_TIMER: i32 = 0;

/// Absolute; 0: none.
static DEADLINE_NS: AtomicU64 = AtomicU64::new(0);
/// What the thread sleeps for: a deadline before this must wake it.
static SLEEPS_UNTIL_NS: AtomicU64 = AtomicU64::new(0);
/// Futex word: changes with each wake-up.
static GENERATION: AtomicU32 = AtomicU32::new(0);
static IRQ_ENTRY: AtomicUsize = AtomicUsize::new(0);

/// `ops.timer_arm`: one shot, from any thread.
pub(crate) unsafe extern "C" fn arm(delta_ns: u64) {
    let deadline = monotonic_ns() + delta_ns;
    DEADLINE_NS.store(deadline, SeqCst);
    if deadline < SLEEPS_UNTIL_NS.load(SeqCst) {
        GENERATION.fetch_add(1, SeqCst);
        let op = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as usize;
        host(libc::SYS_futex, [GENERATION.as_ptr() as usize, op, 1, 0, 0, 0]);
    }
}

/// Starts the thread.  `irq` is the kernel's `lkl_irq`.
pub(crate) fn start(irq: usize) -> Result<(), Errno> {
    IRQ_ENTRY.store(irq, SeqCst);
    // A parent's, if this is the child of a fork.
    DEADLINE_NS.store(0, SeqCst);
    // Whoever arms before the thread sleeps has nobody to wake; the thread looks when it starts.
    SLEEPS_UNTIL_NS.store(0, SeqCst);
    let (_, top) = map_stack(STACK_BYTES)?;
    // `raw` returns in the child to the address at the top of the new stack; behind it the stack
    // must be as at the entry of a function: 8 modulo 16
    let slot = top - 16;
    // SAFETY: fresh memory of ours.
    unsafe { *(slot as *mut usize) = run as extern "C" fn() -> ! as usize };
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM;
    let was = block_signals(&[u64::MAX]);
    // SAFETY: the child gets its own stack and starts in run().
    let tid = unsafe { raw()(libc::SYS_clone, flags as usize, slot, 0, 0, 0, 0) };
    block_signals(&was);
    Errno::check(tid).map(drop)
}

/// Sets the thread's signal mask, returns the old one.
fn block_signals(mask: &[u64; 1]) -> [u64; 1] {
    let mut old = [0u64; 1];
    let args = [libc::SIG_SETMASK as usize, mask.as_ptr() as usize, old.as_mut_ptr() as usize, 8, 0, 0];
    host(libc::SYS_rt_sigprocmask, args);
    old
}

/// The thread.
extern "C" fn run() -> ! {
    let name = c"stowaway-timer";
    host(libc::SYS_prctl, [libc::PR_SET_NAME as usize, name.as_ptr() as usize, 0, 0, 0, 0]);
    // SAFETY: start() stored the address of a function of this type before the thread was made.
    let irq = unsafe { transmute::<usize, unsafe extern "C" fn(i32)>(IRQ_ENTRY.load(SeqCst)) };
    loop {
        SLEEPS_UNTIL_NS.store(0, SeqCst);
        let generation = GENERATION.load(SeqCst);
        let deadline = DEADLINE_NS.load(SeqCst);
        let now = monotonic_ns();
        if deadline != 0 && now >= deadline {
            let _ = DEADLINE_NS.compare_exchange(deadline, 0, SeqCst, SeqCst);
            // SAFETY: a thread outside the kernel raises an interrupt.
            unsafe { irq(IRQ_TIMER) };
            continue;
        }
        SLEEPS_UNTIL_NS.store(if deadline == 0 { NEVER } else { deadline }, SeqCst);
        // arm() stores the deadline, then looks; we the other way round
        if DEADLINE_NS.load(SeqCst) == deadline {
            sleep(generation, deadline, now);
        }
    }
}

fn sleep(generation: u32, deadline: u64, now: u64) {
    let left = deadline.saturating_sub(now);
    let ts = libc::timespec {
        tv_sec: (left / 1_000_000_000) as libc::time_t,
        tv_nsec: (left % 1_000_000_000) as libc::c_long,
    };
    let timeout = if deadline == 0 { 0 } else { &raw const ts as usize };
    let op = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as usize;
    host(libc::SYS_futex, [GENERATION.as_ptr() as usize, op, generation as usize, timeout, 0, 0]);
}
