// SPDX-License-Identifier: GPL-2.0-only
//! Threads of ours: made by a bare `clone`, without TLS of their own (they share their maker's and use
//! none), on a stack of ours. They call the host through the gate, may ring the kernel's interrupts, and drive its CPU:
//! so any of them may be the one on which a call meets a bad pointer. All signals are blocked but those of faults.

use crate::sys::{host, map_stack, raw, unmap, PAGE};
use crate::Errno;
use std::ffi::CStr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Interrupt handlers and soft interrupts of the kernel run on it.
const STACK_BYTES: usize = 128 << 10;

/// How many there are.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// The ids of those that run; more than there ever are.
static IDS: [AtomicU32; 64] = [const { AtomicU32::new(0) }; 64];

/// The signals of faults, as a mask.
const FAULTS: u64 = bit(libc::SIGSEGV) | bit(libc::SIGBUS) | bit(libc::SIGFPE) | bit(libc::SIGILL);

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// What lies at the top of a thread's stack.
#[repr(C, align(64))]
struct Top {
    /// Its id; 0, and a wake-up, when its last instruction has run.
    tid: AtomicU32,
    name: *const u8,
    run: extern "C" fn(usize),
    arg: usize,
}

/// A thread that can be waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bare {
    base: usize,
}

// The child of the clone returns here, with the stack as it was laid out below: pop the Top's address
// and call. 16-aligned after the pop, as at a call.
std::arch::global_asm!(
    ".text",
    ".p2align 4",
    ".hidden stowaway_lkl_bare",
    ".globl stowaway_lkl_bare",
    ".type stowaway_lkl_bare,@function",
    "stowaway_lkl_bare:",
    ".cfi_startproc",
    ".cfi_undefined rip",
    "pop rdi",
    "xor ebp, ebp",
    "call {begin}",
    "ud2",
    ".cfi_endproc",
    ".size stowaway_lkl_bare, . - stowaway_lkl_bare",
    begin = sym begin,
);

extern "C" {
    fn stowaway_lkl_bare();
}

extern "C" fn begin(top: &'static Top) -> ! {
    host(libc::SYS_prctl, [libc::PR_SET_NAME as usize, top.name as usize, 0, 0, 0, 0]);
    enlist(top.tid.load(Ordering::Relaxed));
    block_signals(&[!FAULTS]);
    (top.run)(top.arg);
    block_signals(&[u64::MAX]);
    strike(top.tid.load(Ordering::Relaxed));
    loop {
        host(libc::SYS_exit, [0; 6]);
    }
}

fn enlist(tid: u32) {
    let free =
        |slot: &&AtomicU32| slot.compare_exchange(0, tid, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    let _ = IDS.iter().find(free);
}

fn strike(tid: u32) {
    for slot in &IDS {
        let _ = slot.compare_exchange(tid, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Whether the thread `tid` of this process is one of ours, to which nothing that the application is sent may be
/// delivered. Async-signal-safe.
pub fn is_helper_thread(tid: usize) -> bool {
    IDS.iter().any(|slot| slot.load(Ordering::Relaxed) as usize == tid)
}

/// Starts a thread that runs `run(arg)` and ends.
pub(crate) fn spawn(name: &'static CStr, run: extern "C" fn(usize), arg: usize) -> Result<Bare, Errno> {
    let (base, end) = map_stack(STACK_BYTES)?;
    let top = (end - size_of::<Top>()) as *mut Top;
    let name = name.as_ptr().cast();
    // SAFETY: fresh memory of ours, aligned: the end is page-aligned and Top's size a multiple of 64.
    unsafe { top.write(Top { tid: AtomicU32::new(0), name, run, arg }) };
    let slot = top as usize - 16;
    // SAFETY: as above; see the assembler for the layout.
    unsafe {
        (slot as *mut usize).write(stowaway_lkl_bare as *const () as usize);
        ((slot + 8) as *mut usize).write(top as usize);
    }
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_PARENT_SETTID
        | libc::CLONE_CHILD_CLEARTID;
    let was = block_signals(&[u64::MAX]);
    let tid = top as usize; // its first word
                            // SAFETY: the child gets its own stack and starts in the assembler above.
    let made = unsafe { raw()(libc::SYS_clone, flags as usize, slot, tid, tid, 0, 0) };
    block_signals(&was);
    if let Err(e) = Errno::check(made) {
        unmap(base, STACK_BYTES + PAGE);
        return Err(e);
    }
    ALIVE.fetch_add(1, Ordering::Relaxed);
    Ok(Bare { base })
}

impl Bare {
    fn tid(&self) -> &AtomicU32 {
        let top = self.base + PAGE + STACK_BYTES - size_of::<Top>();
        // SAFETY: the thread's own Top; the stack is unmapped by join() and forget() only.
        unsafe { &(*(top as *const Top)).tid }
    }

    /// Whether it is the one that asks.
    pub(crate) fn is_current(self) -> bool {
        host(libc::SYS_gettid, [0; 6]) == self.tid().load(Ordering::Acquire) as isize
    }

    /// Whether it is gone.
    pub(crate) fn has_ended(&self) -> bool {
        self.tid().load(Ordering::Acquire) == 0
    }

    /// Waits for its end and frees its stack.
    pub(crate) fn join(self) {
        let tid = self.tid();
        loop {
            let id = tid.load(Ordering::Acquire);
            if id == 0 {
                break;
            }
            // the host's wake-up is a shared one
            let op = libc::FUTEX_WAIT as usize;
            host(libc::SYS_futex, [tid.as_ptr() as usize, op, id as usize, 0, 0, 0]);
        }
        self.forget();
    }

    /// Frees the stack of a thread that is not: in the child of a fork.
    pub(crate) fn forget(self) {
        strike(self.tid().load(Ordering::Relaxed));
        unmap(self.base, STACK_BYTES + PAGE);
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many threads of the process are such.
pub fn helper_threads() -> usize {
    ALIVE.load(Ordering::Relaxed)
}

/// Sets the thread's signal mask, returns the old one.
fn block_signals(mask: &[u64; 1]) -> [u64; 1] {
    let mut old = [0u64; 1];
    let args = [libc::SIG_SETMASK as usize, mask.as_ptr() as usize, old.as_mut_ptr() as usize, 8, 0, 0];
    host(libc::SYS_rt_sigprocmask, args);
    old
}
