// SPDX-License-Identifier: GPL-2.0-only
//! The alternate signal stack (sigaltstack(2)). The host has one of ours for each armed thread, and the application is
//! shown the one that it set.
//!
//! A signal frame is up to 12 KiB. That of a dispatched call would come on top of whatever the application has on its
//! stack: an alternate one of 8 KiB has no room for two. So SIGSYS comes on our stack, wherever the application is. A
//! signal that the application wants on its alternate stack comes on ours first, too. Its handler there calls
//! [`hand_on`], which copies the frame to where the host would have put the frame (arch/x86/kernel/signal.c,
//! `get_sigframe`), and edits the context so that the thread goes on in the application's handler.
//!
//! Rules of the place: everything here is called in signal handlers, or in the middle of a call. What runs on our signal
//! stack blocks all signals that can wait: a second frame there would be overwritten by the next call's.
//!
//! # Safety
//! The block is the calling thread's own. A frame of the host's is read as the host lays it.
#![allow(unsafe_code)]

use core::ffi::c_int;

use crate::abi::{signal_bit, RED_ZONE};
use crate::frame::CALLER_WORDS_DEPTH;
pub use crate::host::AlternateStack;
use crate::host::{self};
use crate::thread::{self, Block, SIGNAL_STACK_BYTES};

/// include/uapi/linux/signal.h; SS_AUTODISARM is newer than the libc crate's headers.
const SS_ONSTACK: i32 = 1;
const SS_DISABLE: i32 = 2;
const SS_AUTODISARM: i32 = 1 << 31;

const NONE: AlternateStack = AlternateStack { start: 0, flags: SS_DISABLE, _pad: 0, len: 0 };

/// `struct rt_sigframe` (arch/x86/include/asm/sigframe.h): return address, `struct ucontext`, siginfo.
const RETURN_BYTES: usize = 8;
const CONTEXT_BYTES: usize = 8 + 8 + 24 + 256 + 8;
const FRAME_BYTES: usize = RETURN_BYTES + CONTEXT_BYTES + size_of::<libc::siginfo_t>();
/// In `struct ucontext`: `uc_stack`, and the pointer to the vector state in the mcontext.
const STACK_OFFSET: usize = 16;
const STATE_OFFSET: usize = 16 + 24 + 23 * 8;
/// `struct _fpx_sw_bytes` in an FXSAVE image (arch/x86/include/uapi/asm/sigcontext.h), and the image's size without it.
const STATE_MARK_OFFSET: usize = 464;
const STATE_MARK: u32 = 0x4650_5853;
const LEGACY_STATE_BYTES: usize = 512;
/// Direction, resume, trap.
const FLAGS_CLEARED: i64 = 0x400 | 0x1_0000 | 0x100;
/// Selectors of 64-bit user code and data, as `REG_CSGSFS` has them.
const SELECTORS: i64 = 0x33 | 0x2b << 48;
const SELECTORS_MASK: i64 = 0xffff | 0xffff << 48;

fn stack_of(block: *mut Block) -> AlternateStack {
    AlternateStack { start: thread::signal_stack_of(block), flags: 0, _pad: 0, len: SIGNAL_STACK_BYTES }
}

/// Gives the host our signal stack for the calling thread. What the host had until now is the application's. A thread that
/// runs on its alternate stack keeps it.
pub(crate) fn arm() {
    let block = thread::block();
    let ours = stack_of(block);
    // SAFETY: memory of the calling thread's block.
    let Ok(before) = (unsafe { host::set_alternate_stack(&ours) }) else { return };
    // SAFETY: the calling thread's own block.
    unsafe {
        if before.start != ours.start {
            (*block).shown = if before.len == 0 { NONE } else { before };
        }
        (*block).signal_stack = ours.start;
    }
}

/// Whether the host has our signal stack for the calling thread, which is armed.
fn is_ours() -> bool {
    // SAFETY: the calling thread's own block.
    unsafe { (*thread::block()).signal_stack != 0 }
}

/// Whether `address` is on the calling thread's signal stack of ours.
pub fn is_on_ours(address: usize) -> bool {
    // SAFETY: as above.
    let start = unsafe { (*thread::block()).signal_stack };
    start != 0 && address.wrapping_sub(start) < SIGNAL_STACK_BYTES
}

/// Whether a thread at `sp` runs on its alternate stack (include/linux/sched/signal.h, on_sig_stack).
fn is_on(stack: &AlternateStack, sp: usize) -> bool {
    stack.flags & SS_AUTODISARM == 0 && contains(stack, sp)
}

fn contains(stack: &AlternateStack, sp: usize) -> bool {
    sp > stack.start && sp - stack.start <= stack.len
}

/// The application's stack pointer where the thread was interrupted at `sp`: in the middle of a call that is the caller's.
fn sp_of_application(sp: usize) -> usize {
    thread::end_of_callers_stack(sp).map_or(sp, |end| end + CALLER_WORDS_DEPTH)
}

/// The alternate stack of the calling thread as a caller at `sp` is shown it. None: the host knows.
pub fn shown(sp: usize) -> Option<AlternateStack> {
    // SAFETY: the calling thread's own block.
    let mut stack = is_ours().then(|| unsafe { (*thread::block()).shown })?;
    let state = match stack.len {
        0 => SS_DISABLE,
        _ if is_on(&stack, sp) => SS_ONSTACK,
        _ => 0,
    };
    stack.flags = stack.flags & SS_AUTODISARM | state;
    Some(stack)
}

/// sigaltstack(2) of a caller at `sp` whose stack is [`shown`]; errno. The host says whether `new` is good.
///
/// # Safety
/// That of the call.
pub unsafe fn set(new: &AlternateStack, sp: usize) -> Result<(), i32> {
    let block = thread::block();
    // SAFETY: the calling thread's own block.
    if is_on(unsafe { &(*block).shown }, sp) {
        return Err(libc::EPERM);
    }
    let mask = host::set_signal_mask(!signal_bit(libc::SIGSEGV) & !signal_bit(libc::SIGBUS));
    // SAFETY: no handler runs on what the caller names: ours is back before any can.
    let taken = unsafe { host::set_alternate_stack(new) };
    let kept = taken.map(|_| host::alternate_stack());
    // SAFETY: memory of the calling thread's block.
    let _ = unsafe { host::set_alternate_stack(&stack_of(block)) };
    host::set_signal_mask(mask);
    // SAFETY: the calling thread's own block.
    unsafe { (*block).shown = kept? };
    Ok(())
}

/// Shows the application its own stack in the context of a handler that is about to run.
///
/// # Safety
/// `context` is the host's.
pub unsafe fn show_in(context: *mut libc::ucontext_t) {
    if is_ours() {
        let at = context.cast::<u8>().wrapping_add(STACK_OFFSET).cast::<AlternateStack>();
        // SAFETY: the caller's promise, and the thread's own block.
        unsafe {
            if is_on_ours((*at).start) {
                *at = (*thread::block()).shown;
            }
        }
    }
}

/// Before the host's return from a handler of the application: what it sets is ours, what the application is shown is what
/// its context says (as restore_altstack in kernel/signal.c).
///
/// # Safety
/// `context` is that of the handler.
pub unsafe fn take_back(context: *mut libc::ucontext_t) {
    if !is_ours() {
        return;
    }
    let block = thread::block();
    // SAFETY: the caller's promise, and the thread's own block.
    unsafe {
        let at = context.cast::<u8>().wrapping_add(STACK_OFFSET).cast::<AlternateStack>();
        let sp = (*context).uc_mcontext.gregs[libc::REG_RSP as usize] as usize;
        if (*at).flags & SS_AUTODISARM != 0 {
            // From here to the return the thread is on a stack that the next handler takes from its top.
            host::set_signal_mask(!signal_bit(libc::SIGSEGV) & !signal_bit(libc::SIGBUS));
        }
        if !is_on(&(*block).shown, sp_of_application(sp)) && !is_on_ours((*at).start) {
            (*block).shown = *at;
        }
        *at = stack_of(block);
    }
}

/// How a handler of the application is called.
pub struct Call {
    /// Called with the signal, siginfo and context, and with `arguments`, as by the host: it returns to the host's return.
    pub function: usize,
    /// What follows the three.
    pub arguments: [usize; 3],
    /// The application asked for its alternate stack (SA_ONSTACK).
    pub on_alternate: bool,
    /// The signals that are blocked meanwhile.
    pub mask: u64,
}

/// No room for a frame, or no memory there: the host would send SIGSEGV that cannot be caught.
#[derive(Debug)]
pub struct NoRoom;

/// Copies the signal frame of `context`, which is on our signal stack, to the application's, and makes the thread go on in
/// the application's handler when the caller's handler returns. `write` writes bytes at an address; false: a fault.
///
/// # Safety
/// `context` is what the host handed to the running handler. The call is the application's handler.
pub unsafe fn hand_on(
    sig: c_int,
    context: *mut libc::ucontext_t,
    call: &Call,
    write: impl Fn(usize, &[u8]) -> bool,
) -> Result<(), NoRoom> {
    let block = thread::block();
    // SAFETY: the calling thread's own block.
    let shown = unsafe { (*block).shown };
    // SAFETY: the caller's promise.
    let sp = unsafe { (*context).uc_mcontext.gregs[libc::REG_RSP as usize] as usize };
    let was_on = is_on(&shown, sp_of_application(sp));
    let enters = call.on_alternate && shown.len != 0 && !was_on;
    let top = match thread::end_of_callers_stack(sp) {
        _ if enters => shown.start + shown.len,
        Some(end) if was_on => end,
        _ => sp - RED_ZONE,
    };
    // SAFETY: the caller's promise: the host's frame, and the state that it points at.
    let (frame, state) = unsafe {
        let frame = context.cast::<u8>().wrapping_sub(RETURN_BYTES);
        (core::slice::from_raw_parts(frame, FRAME_BYTES), state_of(context))
    };
    let state_at = (top - state.len()) & !63;
    let frame_at = ((state_at - FRAME_BYTES) & !15) - 8;
    if (enters || was_on) && !contains(&shown, frame_at) {
        return Err(NoRoom);
    }
    let mut copy = [0; FRAME_BYTES];
    copy.copy_from_slice(frame);
    if !state.is_empty() {
        put(&mut copy, STATE_OFFSET, &state_at.to_ne_bytes());
    }
    put(&mut copy, STACK_OFFSET, &shown.start.to_ne_bytes());
    put(&mut copy, STACK_OFFSET + 8, &(shown.flags as i64 & 0xffff_ffff).to_ne_bytes());
    put(&mut copy, STACK_OFFSET + 16, &shown.len.to_ne_bytes());
    if !write(state_at, state) || !write(frame_at, &copy) {
        return Err(NoRoom);
    }
    if shown.flags & SS_AUTODISARM != 0 {
        // SAFETY: the calling thread's own block.
        unsafe { (*block).shown = NONE };
    }
    // SAFETY: the caller's promise.
    go_on_in(unsafe { &mut *context }, sig, frame_at, call);
    Ok(())
}

/// Writes into the copy of a frame, at an offset in its context.
fn put(copy: &mut [u8; FRAME_BYTES], offset: usize, bytes: &[u8; 8]) {
    copy[RETURN_BYTES + offset..][..8].copy_from_slice(bytes);
}

/// The vector state that a context points at.
///
/// # Safety
/// The context is the host's.
unsafe fn state_of(context: *mut libc::ucontext_t) -> &'static [u8] {
    // SAFETY: the caller's promise; the size stands in the state itself, as the host wrote it.
    unsafe {
        let at = (*context).uc_mcontext.fpregs.cast::<u8>().cast_const();
        if at.is_null() {
            return &[];
        }
        let word = |offset: usize| at.add(offset).cast::<u32>().read_unaligned();
        let len = match word(STATE_MARK_OFFSET) {
            STATE_MARK => word(STATE_MARK_OFFSET + 4) as usize,
            _ => LEGACY_STATE_BYTES,
        };
        core::slice::from_raw_parts(at, len)
    }
}

/// The context goes on as a handler begins: a fresh vector state (no state in the context), and 64-bit selectors.
fn go_on_in(context: &mut libc::ucontext_t, sig: c_int, frame_at: usize, call: &Call) {
    let [a, b, c] = call.arguments;
    let values = [
        (libc::REG_RIP, call.function),
        (libc::REG_RSP, frame_at),
        (libc::REG_RDI, sig as usize),
        (libc::REG_RSI, frame_at + RETURN_BYTES + CONTEXT_BYTES),
        (libc::REG_RDX, frame_at + RETURN_BYTES),
        (libc::REG_RCX, a),
        (libc::REG_R8, b),
        (libc::REG_R9, c),
        (libc::REG_RAX, 0),
    ];
    let registers = &mut context.uc_mcontext.gregs;
    for (register, value) in values {
        registers[register as usize] = value as i64;
    }
    registers[libc::REG_EFL as usize] &= !FLAGS_CLEARED;
    let selectors = &mut registers[libc::REG_CSGSFS as usize];
    *selectors = *selectors & !SELECTORS_MASK | SELECTORS;
    context.uc_mcontext.fpregs = core::ptr::null_mut();
    // SAFETY: the host's mask has 8 bytes, which uc_sigmask begins with.
    unsafe { (&raw mut context.uc_sigmask).cast::<u64>().write(call.mask) };
}
