// SPDX-License-Identifier: GPL-2.0-only
//! What a thread needs to be caught: a block of memory behind its GS base, and a stack of ours.
//!
//! GS is the register that no Linux ABI on x86-64 gives to a C library (glibc, musl and Go all use FS), so it
//! serves whatever the program is linked with. It is set before a thread is armed: for the first one by
//! [`adopt`], for every later one in the gate's clone, from its parent's allocation.
//!
//! ```text
//! base: guard page | signal stack | guard page | stack, STACK_BYTES ... | Block
//! (one mapping; the stack's top is the Block; for the signal stack see `alternate.rs`)
//! ```
//!
//! # Safety
//! A block belongs to one thread. Only that thread, its signal handlers and its entry touch the block, each through a
//! raw pointer: no reference to a block is ever made.
#![allow(unsafe_code)]

use core::arch::asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::abi::{PAGE, RED_ZONE};
use crate::frame::{CALLER_WORDS, FRAME_BYTES};
use crate::host::AlternateStack;
use crate::{gate, host};

/// Room for the handler, and for handlers of the application that run on top of it. Pages are taken when used.
pub const STACK_BYTES: usize = 256 << 10;
/// What the host calls handlers on: two frames with all that this CPU has (12 KiB each with AMX), and what handlers of ours
/// use. Pages are taken when used.
pub(crate) const SIGNAL_STACK_BYTES: usize = 64 << 10;
const SIGNAL_STACK: usize = PAGE;
const STACK_GUARD: usize = SIGNAL_STACK + SIGNAL_STACK_BYTES;
const STACK: usize = STACK_GUARD + PAGE;
const MAPPING: usize = STACK + STACK_BYTES + PAGE;

/// Words for whoever installed the handler, zero in a new thread.
pub const USER_WORDS: usize = 8;

/// Behind the GS base. The entry's assembler knows the first four fields, and `at_end`.
#[repr(C)]
pub struct Block {
    /// Its own address: the top of the stack.
    pub(crate) top: usize,
    /// Where the next entry's stack begins: `top`, or lower while frames of ours are alive further up and the
    /// thread runs elsewhere (a handler on the alternate signal stack; see [`handler_begins`]).
    pub(crate) floor: usize,
    /// The alternate signal stack for which `floor` holds.
    pub(crate) alternate: usize,
    pub(crate) alternate_len: usize,
    /// The highest stack pointer of its own at which a handler of the application interrupted this thread; 0: none
    /// runs; 1: one does, which interrupted code of ours.
    pub(crate) interrupted: usize,
    /// Of a call that is dispatched again: the address behind it, and where it goes on.
    pub(crate) bounce: [usize; 2],
    /// Not 0: a function that the entry calls before it leaves (`entry::at_end`).
    pub(crate) at_end: usize,
    /// Where the thread was when it was diverted.
    pub(crate) diverted: DivertPoint,
    /// Where the signal stack begins that the host has for this thread; 0: the host has the application's.
    pub(crate) signal_stack: usize,
    /// The alternate signal stack that the application set.
    pub(crate) shown: AlternateStack,
    /// The embedder's.
    pub(crate) user: [usize; USER_WORDS],
    /// The embedder's, which a new thread has from its maker.
    pub(crate) inherited: usize,
    /// Not 0: no thread of this process, see [`is_guest`].
    pub(crate) guest: usize,
}

/// Where a thread was when it was diverted (`divert.rs`). The landing copies it to its stack at once, and is not
/// diverted before it has.
#[repr(C)]
pub(crate) struct DivertPoint {
    /// Diverted only while this is 0; null: not enrolled.
    pub(crate) guard: *const AtomicU32,
    pub(crate) rip: usize,
    pub(crate) rflags: usize,
    pub(crate) rsp: usize,
}

pub(crate) const FLOOR: usize = offset_of!(Block, floor);
pub(crate) const AT_END: usize = offset_of!(Block, at_end);
pub(crate) const ALTERNATE: usize = offset_of!(Block, alternate);
pub(crate) const ALTERNATE_LEN: usize = offset_of!(Block, alternate_len);
pub(crate) const OWN_SIGNAL_STACK: usize = offset_of!(Block, signal_stack);
pub(crate) const SHOWN: usize = offset_of!(Block, shown);

/// Maps a block and its stack; errno if there is no memory.
pub(crate) fn allocate() -> Result<*mut Block, i32> {
    let base = host::map_anonymous(0, MAPPING, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_NORESERVE)?;
    let block = (base + STACK + STACK_BYTES) as *mut Block;
    // SAFETY: a fresh mapping: its guard pages, and its last page, which is zero.
    unsafe {
        host::protect(base, PAGE, libc::PROT_NONE);
        host::protect(base + STACK_GUARD, PAGE, libc::PROT_NONE);
        (*block).top = block as usize;
        (*block).floor = block as usize;
    }
    Ok(block)
}

/// Gives back what [`allocate`] made, for a thread that did not come into being.
pub(crate) fn free(block: *mut Block) {
    // SAFETY: nobody uses it.
    unsafe { host::unmap(mapping_of(block as usize), MAPPING) };
}

fn mapping_of(block: usize) -> usize {
    block - STACK_BYTES - STACK
}

/// Where the signal stack of a block begins.
pub(crate) fn signal_stack_of(block: *mut Block) -> usize {
    mapping_of(block as usize) + SIGNAL_STACK
}

/// Start and length of the alternate signal stack that the application set for the calling thread; length 0: none.
fn alternate_of_application() -> (usize, usize) {
    let block = block();
    // SAFETY: the calling thread's own block.
    let shown = unsafe { (*block).shown };
    // SAFETY: as above.
    let now = if unsafe { (*block).signal_stack } != 0 { shown } else { host::alternate_stack() };
    (now.start, if now.flags & libc::SS_DISABLE != 0 { 0 } else { now.len })
}

/// Gives the calling thread a block if it has none. Async-signal-safe.
pub fn adopt() -> Result<(), i32> {
    if host::gs_base() != 0 {
        return Ok(());
    }
    let block = allocate()?;
    // SAFETY: a fresh block; nobody else uses the register.
    unsafe { host::set_gs_base(block as usize) }.inspect_err(|_| free(block))
}

/// The calling thread's block, which it must have.
#[inline]
pub(crate) fn block() -> *mut Block {
    let block;
    // SAFETY: reads the first word behind the GS base.
    unsafe {
        asm!("mov {}, qword ptr gs:[0]", out(reg) block, options(pure, readonly, nostack, preserves_flags))
    };
    block
}

/// The embedder's words of the calling thread, which must have been armed by this crate.
#[inline]
pub fn user() -> *mut [usize; USER_WORDS] {
    // SAFETY: only the address is computed.
    unsafe { &raw mut (*block()).user }
}

/// The embedder's word of the calling thread that a new thread has from its maker; 0 in the first one.
#[inline]
pub fn inherited() -> usize {
    // SAFETY: the calling thread's own block.
    unsafe { (*block()).inherited }
}

/// Sets that word, for the calling thread and those that it makes from now on.
pub fn set_inherited(word: usize) {
    // SAFETY: as above.
    unsafe { (*block()).inherited = word };
}

/// Where the calling thread's stack of the application ends, if it was interrupted at `sp` on its own stack of ours: in a call
/// (the words of its entry are the last there), or diverted. None: it was not.
pub(crate) fn end_of_callers_stack(sp: usize) -> Option<usize> {
    // SAFETY: the calling thread's own block.
    let frame = unsafe { (*block()).floor } - FRAME_BYTES;
    // SAFETY: whoever goes below the frame's place has written the word before.
    (is_on_own_stack(sp) && sp <= frame).then(|| unsafe { *((frame + CALLER_WORDS) as *const usize) })
}

/// There is or was a guest.
static HAS_GUESTS: AtomicBool = AtomicBool::new(false);

/// The block is that of a guest.
///
/// # Safety
/// A fresh block.
pub(crate) unsafe fn set_guest(block: *mut Block) {
    // SAFETY: the caller's word.
    unsafe { (*block).guest = 1 };
    HAS_GUESTS.store(true, Ordering::Release);
}

/// Whether there is or was a guest.
#[inline]
pub fn has_guests() -> bool {
    HAS_GUESTS.load(Ordering::Acquire)
}

/// Whether the caller is a *guest*: a process that shares this one's memory and is none of its threads. Whoever keeps words of the
/// process or of its threads in memory asks first. Async-signal-safe; where a guest was made, every thread must be armed.
#[inline]
pub fn is_guest() -> bool {
    // SAFETY: the calling thread's own block.
    has_guests() && unsafe { (*block()).guest != 0 }
}

/// What [`handler_begins`] changed.
pub struct Interrupted {
    floor: usize,
    at: usize,
}

/// A handler of the application is about to run on top of what was interrupted at `sp`. If that is code of ours, and
/// the handler runs on the alternate signal stack, calls that it makes must not use our stack above.
///
/// A handler that leaves by siglongjmp never comes to [`handler_ends`]; that is seen by the next caller's stack
/// pointer, which is then neither in the alternate stack nor below `sp`.
pub fn handler_begins(sp: usize) -> Interrupted {
    let block = block();
    // SAFETY: the calling thread's own block.
    unsafe {
        let before = Interrupted { floor: (*block).floor, at: (*block).interrupted };
        let on_own = is_on_own_stack(sp);
        (*block).interrupted = before.at.max(if on_own { 1 } else { sp });
        if on_own {
            ((*block).alternate, (*block).alternate_len) = alternate_of_application();
            (*block).floor = (sp - RED_ZONE) & !63;
        }
        before
    }
}

/// After that handler returned.
pub fn handler_ends(before: Interrupted) {
    // SAFETY: the calling thread's own block.
    unsafe {
        (*block()).floor = before.floor;
        (*block()).interrupted = before.at;
    }
}

pub(crate) fn set_at_end(function: usize) {
    // SAFETY: the calling thread's own block.
    unsafe { (&raw mut (*block()).at_end).write_volatile(function) };
}

pub(crate) fn set_bounce(after: usize, resume: usize) {
    // SAFETY: the calling thread's own block.
    unsafe { (*block()).bounce = [after, resume] };
}

pub(crate) fn bounce() -> [usize; 2] {
    // SAFETY: as above.
    unsafe { (*block()).bounce }
}

/// Whether a caller at `sp` is a handler of the application, or runs on top of one.
pub(crate) fn is_in_handler(sp: usize) -> bool {
    let block = block();
    // SAFETY: the calling thread's own block.
    unsafe {
        if (*block).interrupted == 0 {
            return false;
        }
        let (start, len) = alternate_of_application();
        let is_in = is_on_own_stack(sp) || sp < (*block).interrupted || sp.wrapping_sub(start) < len;
        if !is_in {
            (*block).interrupted = 0;
        }
        is_in
    }
}

/// The memory that this crate has mapped for the calling thread, which is armed.
pub fn own_memory() -> core::ops::Range<usize> {
    let start = mapping_of(block() as usize);
    start..start + MAPPING
}

/// Ends the calling thread, whose signals are all blocked, and gives its stack back.
pub fn exit(status: usize) -> ! {
    // SAFETY: the gate uses no stack any more.
    unsafe { gate::stowaway_gate_exit(mapping_of(block() as usize), MAPPING, status) }
}

/// Whether `sp` lies on the calling thread's stack of ours.
pub fn is_on_own_stack(sp: usize) -> bool {
    (block() as usize).wrapping_sub(sp) < STACK_BYTES
}
