// SPDX-License-Identifier: GPL-2.0-only
//! Diverts a thread that is in the application's own code: it runs one function of ours on our stack, with every register,
//! the flags, the red zone and xmm0-15 as they were, and goes on where it was.
//!
//! It is interrupted by a user interrupt (Intel UINTR; [`user_interrupt_handler`] is what the host is told) or by a signal,
//! whose handler calls [`redirect`]. Both look at the same things, and do the same: note where the thread was, and send
//! it to the landing.
//!
//! A thread is diverted if it is enrolled, its guard is 0, nothing of ours is on its stacks, and neither its code nor its
//! stack pointer is in a range that was named to [`prepare`]. Else the interrupt has no effect: whoever sent it must not
//! rely on it.
//!
//! The assembler (`asm/divert.S`) states its contract and its limits. The landing promises what [`crate::entry`] does
//! with [`crate::Vectors::Sse`].
//!
//! A signal makes the host abort a restartable sequence (rseq(2)) that it interrupts; a user interrupt does not. Only
//! whoever has such sequences of its own (not glibc) may be diverted inside of one.
//!
//! # Safety
//! A thread reads and writes its own block alone. A guard that is enrolled is alive.
#![allow(unsafe_code)]

use core::arch::global_asm;
use core::mem::offset_of;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::frame::{CALLER_WORDS, CALLER_WORDS_DEPTH, FRAME_BYTES};
use crate::thread::{self, Block, DivertPoint, AT_END, FLOOR, STACK_BYTES};

/// What is run, with the rules of a [`crate::entry::Handler`].
pub type Work = extern "C" fn();

/// Size of the stack that [`user_interrupt_handler`] runs on.
pub const INTERRUPT_STACK_BYTES: usize = STACK_BYTES;

static WORK: AtomicUsize = AtomicUsize::new(0);
/// Start and length, twice.
static OURS: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];
static DIVERTED: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Direction, alignment check, trap, nested task: clear in the landing.
const UNUSUAL: u32 = 0x400 | 0x4_0000 | 0x100 | 0x4000;
/// Selectors of 64-bit user code and data (arch/x86/include/asm/segment.h).
const USER_CS: u32 = 0x33;
const USER_SS: u32 = 0x2b;

global_asm!(
    include_str!("../asm/divert.S"),
    guard = const offset_of!(Block, diverted) + offset_of!(DivertPoint, guard),
    rip = const offset_of!(Block, diverted) + offset_of!(DivertPoint, rip),
    rflags = const offset_of!(Block, diverted) + offset_of!(DivertPoint, rflags),
    rsp = const offset_of!(Block, diverted) + offset_of!(DivertPoint, rsp),
    floor = const FLOOR,
    stack_bytes = const STACK_BYTES,
    ours = sym OURS,
    at_end = const AT_END,
    work = sym WORK,
    diverted = sym DIVERTED,
    refused = sym REFUSED,
    frame_bytes = const FRAME_BYTES,
    caller_words = const CALLER_WORDS,
    caller_words_depth = const CALLER_WORDS_DEPTH,
    usual = const !(UNUSUAL as i32),
    cs = const USER_CS,
    ss = const USER_SS,
);

extern "C" {
    static stowaway_user_interrupt: u8;
    static stowaway_diverted: u8;
    static stowaway_diverted_looked: u8;
    static stowaway_diverted_end: u8;
}

/// Whether a diverted thread that is interrupted at `ip` has looked for what [`crate::entry::at_end`] set, and is on its way back: it may
/// be unwound.
pub fn is_past_look(ip: usize) -> bool {
    (&raw const stowaway_diverted_looked as usize..&raw const stowaway_diverted_end as usize).contains(&ip)
}

/// `work` is what diverted threads run. `ours`: none is diverted whose code or stack pointer is in one of these.
pub fn prepare(work: Work, ours: [Range<usize>; 2]) {
    for (range, words) in ours.into_iter().zip(OURS.chunks_exact(2)) {
        words[1].store(0, Relaxed);
        words[0].store(range.start, Relaxed);
        words[1].store(range.len(), Relaxed);
    }
    WORK.store(work as usize, Relaxed);
}

/// The calling thread, which has a block, may be diverted from now on while `*guard` is 0. Null: no more.
///
/// # Safety
/// `*guard` lives until the thread ends or calls this again.
pub unsafe fn enroll(guard: *const AtomicU32) {
    // SAFETY: the calling thread's own block.
    unsafe { (&raw mut (*thread::block()).diverted.guard).write_volatile(guard) };
}

/// What the host is to call for a user interrupt of an enrolled thread, on a stack of its own: [`INTERRUPT_STACK_BYTES`], for
/// signals come meanwhile, and handlers of the application run on top.
pub fn user_interrupt_handler() -> usize {
    &raw const stowaway_user_interrupt as usize
}

/// How many threads were diverted, and how many were not although they were interrupted for it.
pub fn counts() -> (u64, u64) {
    (DIVERTED.load(Relaxed), REFUSED.load(Relaxed))
}

fn is_ours(address: usize) -> bool {
    OURS.chunks_exact(2).any(|words| address.wrapping_sub(words[0].load(Relaxed)) < words[1].load(Relaxed))
}

/// For a signal handler on a thread with a block: makes the interrupted context go on in the landing, if the thread can be
/// diverted. Async-signal-safe.
pub fn redirect(uc: &mut libc::ucontext_t) -> bool {
    let regs = &mut uc.uc_mcontext.gregs;
    let [rip, rsp, rflags] =
        [libc::REG_RIP, libc::REG_RSP, libc::REG_EFL].map(|name| regs[name as usize] as usize);
    let block = thread::block();
    // SAFETY: the calling thread's own block; an enrolled guard is alive.
    let can = unsafe {
        let guard = (*block).diverted.guard;
        !guard.is_null()
            && (*guard).load(Relaxed) == 0
            && (*block).floor == block as usize
            && !thread::is_on_own_stack(rsp)
    };
    if !can || is_ours(rip) || is_ours(rsp) {
        REFUSED.fetch_add(1, Relaxed);
        return false;
    }
    // SAFETY: as above.
    unsafe {
        ((*block).diverted.rip, (*block).diverted.rflags, (*block).diverted.rsp) = (rip, rflags, rsp);
    }
    let frame = block as usize - FRAME_BYTES;
    // SAFETY: on the calling thread's own stack, which nothing is on.
    unsafe { ((frame + CALLER_WORDS) as *mut usize).write(rsp - CALLER_WORDS_DEPTH) };
    regs[libc::REG_RIP as usize] = &raw const stowaway_diverted as i64;
    regs[libc::REG_RSP as usize] = frame as i64;
    regs[libc::REG_EFL as usize] &= !i64::from(UNUSUAL);
    DIVERTED.fetch_add(1, Relaxed);
    true
}
