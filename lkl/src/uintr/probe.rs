// SPDX-License-Identifier: GPL-2.0-only
//! Whether user interrupts can be had: asked so that no answer of another kernel is taken for a yes.

use super::{Emulator, Uintr, REGISTER_HANDLER};
use crate::sys::{host, set_raw};
use crate::{Errno, RawSyscall};
use std::arch::global_asm;
use std::fmt;

/// Why there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The processor has none (CPUID.(7,0):EDX\[5\]).
    NoProcessor,
    /// The host kernel does not let them through (CR4.UINTR): the instructions are illegal.
    NotEnabled,
    /// The calls are not Intel's: what they returned for reserved flags, and for no handler.
    OtherCalls(isize, isize),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::NoProcessor => f.write_str("the processor has no user interrupts"),
            Why::NotEnabled => f.write_str("the host kernel has not enabled user interrupts"),
            Why::OtherCalls(flags, null) => {
                write!(f, "the host kernel's call 471 is not uintr_register_handler ({flags}, {null})")
            }
        }
    }
}

// Executes TESTUI: 1. If it is illegal, the handler below makes it 0.
global_asm!(
    ".text",
    ".p2align 4",
    ".globl stowaway_uintr_try",
    ".hidden stowaway_uintr_try",
    ".type stowaway_uintr_try,@function",
    "stowaway_uintr_try:",
    ".cfi_startproc",
    "mov eax, 1",
    ".globl stowaway_uintr_testui",
    ".hidden stowaway_uintr_testui",
    "stowaway_uintr_testui:",
    "testui",
    "ret",
    ".globl stowaway_uintr_illegal",
    ".hidden stowaway_uintr_illegal",
    "stowaway_uintr_illegal:",
    "xor eax, eax",
    "ret",
    ".cfi_endproc",
    ".size stowaway_uintr_try, . - stowaway_uintr_try",
    // Where a handler returns to.
    ".globl stowaway_uintr_restorer",
    ".hidden stowaway_uintr_restorer",
    "stowaway_uintr_restorer:",
    "mov eax, 15", // rt_sigreturn
    "syscall",
);
extern "C" {
    fn stowaway_uintr_try() -> u32;
    static stowaway_uintr_testui: u8;
    static stowaway_uintr_illegal: u8;
    static stowaway_uintr_restorer: u8;
}

/// The kernel's `struct sigaction` on x86-64.
#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Action {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}
const SA_RESTORER: usize = 0x0400_0000;

static mut BEFORE: Action = Action { handler: 0, flags: 0, restorer: 0, mask: 0 };

fn swap_action(new: *const Action, old: *mut Action) {
    host(libc::SYS_rt_sigaction, [libc::SIGILL as usize, new as usize, old as usize, 8, 0, 0]);
}

/// Lets SIGILL through on the calling thread; the mask before.
pub(super) fn unblock_illegal() -> u64 {
    let (only, mut before) = (1u64 << (libc::SIGILL - 1), 0u64);
    let (new, old) = (&raw const only as usize, &raw mut before as usize);
    host(libc::SYS_rt_sigprocmask, [libc::SIG_UNBLOCK as usize, new, old, 8, 0, 0]);
    before
}

pub(super) fn set_mask(mask: u64) {
    host(libc::SYS_rt_sigprocmask, [libc::SIG_SETMASK as usize, &raw const mask as usize, 0, 8, 0, 0]);
}

unsafe extern "C" fn on_illegal(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the host's context; BEFORE was written before this handler was installed.
    unsafe {
        let rip = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize];
        if *rip == &raw const stowaway_uintr_testui as i64 {
            *rip = &raw const stowaway_uintr_illegal as i64;
        } else {
            // Another thread's: it happens again, to whom it was meant for.
            swap_action(&raw const BEFORE, std::ptr::null_mut());
        }
    }
}

/// Whether TESTUI can be executed. For a moment SIGILL is ours.
fn testui_works() -> bool {
    let guard = Action {
        handler: on_illegal as *const () as usize,
        flags: libc::SA_SIGINFO as usize | libc::SA_ONSTACK as usize | SA_RESTORER,
        restorer: &raw const stowaway_uintr_restorer as usize,
        mask: 0,
    };
    // SAFETY: one thread probes at a time (see probe()); the function keeps the C ABI.
    unsafe {
        swap_action(std::ptr::null(), &raw mut BEFORE);
        swap_action(&guard, std::ptr::null_mut());
        let was = unblock_illegal();
        let works = stowaway_uintr_try() == 1;
        set_mask(was);
        swap_action(&raw const BEFORE, std::ptr::null_mut());
        works
    }
}

fn has_processor() -> bool {
    use core::arch::x86_64::{__cpuid, __cpuid_count};
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & 1 << 5 != 0
}

/// Whether user interrupts work here, and by whom; host calls go through `raw` from now on. Asked once, by one thread, best
/// before there is another: SIGILL's action is changed and put back. Before calls are dispatched: a handler returns by a
/// `syscall` of its own. The emulator of the process, if there is one, must have been started.
pub fn probe(raw: RawSyscall) -> Result<Uintr, Why> {
    set_raw(raw);
    let uintr = Uintr { emulator: Emulator::find() };
    if !uintr.is_emulated() {
        if !has_processor() {
            return Err(Why::NoProcessor);
        }
        if !testui_works() {
            return Err(Why::NotEnabled);
        }
    }
    // Two calls that must fail, each in its way: Intel reserves flag bit 0, and wants a handler. Kernels that have another
    // call of this number (7.0 and later: rseq_slice_yield) answer otherwise.
    let result = |answer: Result<usize, Errno>| answer.map_or_else(|e| -(e.0 as isize), |n| n as isize);
    let some = testui_works as *const () as usize;
    let flags = result(uintr.call(REGISTER_HANDLER, some, 1));
    let null = result(uintr.call(REGISTER_HANDLER, 0, 0));
    if (flags, null) != (-(libc::EINVAL as isize), -(libc::EFAULT as isize)) {
        return Err(Why::OtherCalls(flags, null));
    }
    Ok(uintr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_illegal_testui_is_survived_and_sigill_is_as_before() {
        let mut before = Action::default();
        let mut after = Action::default();
        swap_action(std::ptr::null(), &mut before);
        assert_eq!(testui_works(), has_processor() && testui_works());
        swap_action(std::ptr::null(), &mut after);
        assert_eq!((before.handler, before.flags, before.mask), (after.handler, after.flags, after.mask));
    }

    #[test]
    fn without_the_processor_nothing_else_is_asked() {
        if has_processor() {
            println!("not run: this processor has user interrupts");
            return;
        }
        assert_eq!(probe(crate::plain_syscall).map(drop), Err(Why::NoProcessor));
    }
}
