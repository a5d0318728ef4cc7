// SPDX-License-Identifier: GPL-2.0-only
//! Whether user interrupts can be had: asked so that no answer of another kernel is taken for a yes.
//!
//! # Safety
//! For a moment SIGILL's action is this file's; the handler changes where its thread goes on, and nothing else.
#![allow(unsafe_code)]

use super::emulator::Emulator;
use super::receiver::{Uintr, REGISTER_HANDLER};
use crate::sys::signal::{self, Action};
use std::cell::UnsafeCell;
use std::fmt;

/// Why there are no user interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// The processor has no user interrupts (CPUID.(7,0):EDX\[5\]).
    NoProcessor,
    /// The host kernel has not enabled user interrupts (CR4.UINTR): the instructions are illegal.
    NotEnabled,
    /// The calls are not Intel's: what they returned for reserved flags, and for no handler.
    OtherCalls(isize, isize),
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unavailable::NoProcessor => f.write_str("the processor has no user interrupts"),
            Unavailable::NotEnabled => f.write_str("the host kernel has not enabled user interrupts"),
            Unavailable::OtherCalls(flags, null) => {
                write!(f, "the host kernel's call 471 is not uintr_register_handler ({flags}, {null})")
            }
        }
    }
}

std::arch::global_asm!(include_str!("testui.S"));

extern "C" {
    fn stowaway_uintr_try() -> u32;
    static stowaway_uintr_testui: u8;
    static stowaway_uintr_illegal: u8;
    static stowaway_uintr_restorer: u8;
}

/// SIGILL's action before the probe.
struct ActionCell(UnsafeCell<Action>);
// SAFETY: written by the one thread that probes, before the handler that reads it is installed.
unsafe impl Sync for ActionCell {}
static BEFORE: ActionCell =
    ActionCell(UnsafeCell::new(Action { handler: 0, flags: 0, restorer: 0, mask: 0 }));

unsafe extern "C" fn on_illegal(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the host's context; BEFORE was written before this handler was installed.
    unsafe {
        let rip = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize];
        if *rip == &raw const stowaway_uintr_testui as i64 {
            *rip = &raw const stowaway_uintr_illegal as i64;
        } else {
            // Another thread's: it happens again, to whom it was meant for.
            let _ = signal::set_action(libc::SIGILL, &*BEFORE.0.get());
        }
    }
}

/// Whether TESTUI can be executed. For a moment SIGILL is ours.
fn testui_works() -> bool {
    let guard = Action {
        handler: on_illegal as *const () as usize,
        flags: libc::SA_SIGINFO as usize | libc::SA_ONSTACK as usize | Action::RESTORER,
        restorer: &raw const stowaway_uintr_restorer as usize,
        mask: 0,
    };
    let Ok(before) = signal::action(libc::SIGILL) else { return false };
    // SAFETY: one thread probes at a time (see probe()); the handler keeps to the rules of handlers, and the function
    // to the C ABI.
    unsafe {
        *BEFORE.0.get() = before;
        if signal::set_action(libc::SIGILL, &guard).is_err() {
            return false;
        }
        let was = signal::unblock(signal::bit(libc::SIGILL));
        let works = stowaway_uintr_try() == 1;
        signal::set_mask(was);
        let _ = signal::set_action(libc::SIGILL, &before);
        works
    }
}

fn has_processor() -> bool {
    use core::arch::x86_64::{__cpuid, __cpuid_count};
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & 1 << 5 != 0
}

/// Whether user interrupts work here, and by whom. Asked once, by one thread, best before there is another: SIGILL's action is changed and put back. Before calls are dispatched: a handler returns by a
/// `syscall` of its own. The emulator of the process, if there is one, must have been started.
pub fn probe() -> Result<Uintr, Unavailable> {
    let uintr = Uintr { emulator: Emulator::find() };
    if !uintr.is_emulated() {
        if !has_processor() {
            return Err(Unavailable::NoProcessor);
        }
        if !testui_works() {
            return Err(Unavailable::NotEnabled);
        }
    }
    // Two calls that must fail, each in its way: Intel reserves flag bit 0, and wants a handler. Kernels that have another
    // call of this number (7.0 and later: rseq_slice_yield) answer otherwise.
    let result = crate::sys::to_raw;
    let some = testui_works as *const () as usize;
    let flags = result(uintr.call(REGISTER_HANDLER, some, 1));
    let null = result(uintr.call(REGISTER_HANDLER, 0, 0));
    if (flags, null) != (-(libc::EINVAL as isize), -(libc::EFAULT as isize)) {
        return Err(Unavailable::OtherCalls(flags, null));
    }
    Ok(uintr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_illegal_testui_is_survived_and_sigill_is_as_before() {
        let before = signal::action(libc::SIGILL);
        assert_eq!(testui_works(), has_processor() && testui_works());
        assert_eq!(signal::action(libc::SIGILL), before);
    }

    #[test]
    fn without_the_processor_nothing_else_is_asked() {
        if has_processor() {
            println!("not run: this processor has user interrupts");
            return;
        }
        assert_eq!(probe().map(drop), Err(Unavailable::NoProcessor));
    }
}
