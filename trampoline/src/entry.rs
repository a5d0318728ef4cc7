// SPDX-License-Identifier: GPL-2.0-only
//! The one entry: from a stub to the host, or to the handler and back, with every register as it was.
//!
//! The assembler (`asm/entry.S`) states its contract and its limits. This file gives it its offsets, and names the
//! places in it that signal handlers ask about.
//!
//! # Safety
//! The assembler calls `handle` with a frame on the thread's own stack, which nobody else holds.
#![allow(unsafe_code)]

use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicPtr, Ordering};

use crate::abi::{signal_bit, RED_ZONE, SIGMASK_OFFSET};
use crate::frame::{EntryKind, Frame, FRAME_BYTES};
use crate::gate::stowaway_gate_forward;
use crate::routes::{
    BY_DESCRIPTOR, ROUTES, STOWAWAY_CLASSES, STOWAWAY_CLASS_COUNT, STOWAWAY_ROUTES, TO_HOST,
    UNLESS_KILL_SECOND,
};
use crate::thread::{self, ALTERNATE, ALTERNATE_LEN, AT_END, FLOOR, STACK_BYTES};
use crate::thread::{OWN_SIGNAL_STACK, SHOWN, SIGNAL_STACK_BYTES};
use crate::vectors::STOWAWAY_WIDE;

global_asm!(
    include_str!("asm/entry.S"),
    wide = sym STOWAWAY_WIDE,
    wide_bytes = const 32 * 64 + 8 * 8,
    routes = sym STOWAWAY_ROUTES,
    routes_len = const ROUTES,
    to_host = const TO_HOST,
    by_descriptor = const BY_DESCRIPTOR,
    unless_kill_second = const UNLESS_KILL_SECOND,
    sigkill = const libc::SIGKILL,
    classes = sym STOWAWAY_CLASSES,
    class_count = sym STOWAWAY_CLASS_COUNT,
    forward = sym stowaway_gate_forward,
    handle = sym handle,
    red_zone = const RED_ZONE,
    red_zone_wide = const RED_ZONE,
    by_signal = const BY_SIGNAL,
    by_int80 = const BY_INT80,
    sigreturn = const libc::SYS_rt_sigreturn,
    sigmask = const SIGMASK_OFFSET,
    not_sigsys = const !(signal_bit(libc::SIGSYS) as i64),
    stack_bytes = const STACK_BYTES,
    frame_bytes = const FRAME_BYTES,
    unusual = const UNUSUAL_FLAGS,
    floor = const FLOOR,
    at_end = const AT_END,
    alternate = const ALTERNATE,
    alternate_len = const ALTERNATE_LEN,
    signal_stack = const OWN_SIGNAL_STACK,
    signal_stack_bytes = const SIGNAL_STACK_BYTES,
    shown = const SHOWN,
    r15 = const offset_of!(Frame, r15),
    r14 = const offset_of!(Frame, r14),
    r13 = const offset_of!(Frame, r13),
    r12 = const offset_of!(Frame, r12),
    rbp = const offset_of!(Frame, rbp),
    rbx = const offset_of!(Frame, rbx),
    r11 = const offset_of!(Frame, r11),
    r10 = const offset_of!(Frame, r10),
    r9 = const offset_of!(Frame, r9),
    r8 = const offset_of!(Frame, r8),
    rax = const offset_of!(Frame, rax),
    rcx = const offset_of!(Frame, rcx),
    rdx = const offset_of!(Frame, rdx),
    rsi = const offset_of!(Frame, rsi),
    rdi = const offset_of!(Frame, rdi),
    nr = const offset_of!(Frame, nr),
    rsp = const offset_of!(Frame, rsp),
    rip = const offset_of!(Frame, rip),
    rflags = const offset_of!(Frame, rflags),
    caller_words = const offset_of!(Frame, caller_words),
    entry_kind = const offset_of!(Frame, entry_kind),
    again = const offset_of!(Frame, again),
    xmm = const offset_of!(Frame, xmm),
);

/// What the entry's second word on the caller's stack has beside the flags, for a call that came by SIGSYS.
const BY_SIGNAL: usize = 1 << 16;
/// The same for a 32-bit call.
const BY_INT80: usize = 2 << 16;

/// Flags that compiled code expects clear, and that the arithmetic flags' way does not keep: direction and
/// alignment check.
const UNUSUAL_FLAGS: usize = 0x400 | 0x40000;

extern "C" {
    static stowaway_entry: u8;
    static stowaway_entry_block: u8;
    static stowaway_entry_looked: u8;
    static stowaway_entry_sigreturn_block: u8;
    static stowaway_entry_end: u8;
    static stowaway_bounce: u8;
    static stowaway_bounced: u8;
    static stowaway_redirected: u8;
    static stowaway_redirected_back: u8;
    static stowaway_redirected32: u8;
    pub(crate) fn stowaway_resume(frame: *mut Frame) -> !;
}

/// Handles one call: reads the frame, writes `frame.rax`. May ask for something at its end ([`at_end`]).
pub type Handler = unsafe extern "C-unwind" fn(&mut Frame);

static HANDLER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static ON_SIGNAL: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Sets what gets every call that is not forwarded. To be called before the first call is caught.
pub(crate) fn set_handler(handler: Handler) {
    HANDLER.store(handler as *mut (), Ordering::Release);
}

/// Whether [`set_handler`] was called.
pub(crate) fn has_handler() -> bool {
    !HANDLER.load(Ordering::Acquire).is_null()
}

/// Sets what is called with each call that came by SIGSYS, before the handler.
pub(crate) fn set_on_signal(on_signal: fn(&Frame)) {
    ON_SIGNAL.store(on_signal as *mut (), Ordering::Release);
}

/// Called by the assembler with the saved registers.
unsafe extern "C-unwind" fn handle(frame: *mut Frame) {
    let handler = HANDLER.load(Ordering::Relaxed);
    // SAFETY: set_handler() stored a Handler before any thread was armed, and set_on_signal() a function of its
    // type; the frame lives on this stack.
    unsafe {
        if (*frame).entry_kind() == EntryKind::Signal {
            let on_signal = ON_SIGNAL.load(Ordering::Acquire);
            if !on_signal.is_null() {
                core::mem::transmute::<*mut (), fn(&Frame)>(on_signal)(&*frame);
            }
        }
        core::mem::transmute::<*mut (), Handler>(handler)(&mut *frame);
    }
}

/// Address of the entry that stubs call.
pub fn entry_address() -> usize {
    &raw const stowaway_entry as usize
}

/// Address that a redirected caller goes on at.
pub(crate) fn redirected_address() -> usize {
    &raw const stowaway_redirected as usize
}

/// Address that the caller of a 32-bit call goes on at.
pub(crate) fn redirected32_address() -> usize {
    &raw const stowaway_redirected32 as usize
}

/// Address that takes a stub's place for a call that is dispatched again.
pub(crate) fn bounce_address() -> usize {
    &raw const stowaway_bounce as usize
}

/// Whether a dispatched call came from there.
pub(crate) fn is_bounced(ip: usize) -> bool {
    ip == &raw const stowaway_bounced as usize
}

/// Whether a fault at `ip` is that of a thread without a block.
pub(crate) fn is_block_load(ip: usize) -> bool {
    ip == &raw const stowaway_entry_block as usize || ip == &raw const stowaway_entry_sigreturn_block as usize
}

/// Whether a thread interrupted at `ip` is on its way from its call to the handler, or back and has not yet looked
/// for what [`at_end`] set: it will, and must not be unwound before.
pub fn is_before_look(ip: usize) -> bool {
    (&raw const stowaway_entry_block as usize..&raw const stowaway_entry_looked as usize).contains(&ip)
        || (redirected_address()..&raw const stowaway_redirected_back as usize).contains(&ip)
}

/// `then` is called once, at the end of the call that the installed function has got, with nothing but the entry's
/// assembler between it and the caller: it may leave by unwinding. To be called by the installed function, or by a signal
/// handler that interrupted it or the entry, but not behind the look ([`is_before_look`]): then it is the next call's end.
pub fn at_end(then: unsafe extern "C-unwind" fn()) {
    thread::set_at_end(then as usize);
}

/// Whether `ip` is in the entry's assembler.
pub fn contains(ip: usize) -> bool {
    (redirected_address()..&raw const stowaway_entry_end as usize).contains(&ip)
        || crate::gate::is_forward(ip)
}
