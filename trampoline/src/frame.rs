// SPDX-License-Identifier: GPL-2.0-only
//! The caller's registers, as the entry hands them to the handler.
#![allow(unsafe_code)]

use core::mem::offset_of;

use crate::thread;

/// All general registers of the caller as they stood at its `syscall` instruction.
///
/// `rax` is the result that the caller will see; `nr` the number it asked for. What `syscall` itself
/// clobbers (rcx, r11) is set on the way out as the kernel sets it: the next rip, and the flags.
#[repr(C, align(16))]
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Frame {
    // These two stand as in any function's frame, so that profilers which follow rbp find the caller.
    pub rbp: usize,
    /// The address behind the `syscall` instruction.
    pub rip: usize,
    pub r15: usize,
    pub r14: usize,
    pub r13: usize,
    pub r12: usize,
    pub rbx: usize,
    pub r11: usize,
    pub r10: usize,
    pub r9: usize,
    pub r8: usize,
    pub rax: usize,
    pub rcx: usize,
    pub rdx: usize,
    pub rsi: usize,
    pub rdi: usize,
    pub nr: usize,
    pub rsp: usize,
    pub rflags: usize,
    /// The caller's stack as the entry left it: flags, number, return into the stub, `rip`.
    pub(crate) inner: usize,
    /// How the call came: see [`Door`].
    pub(crate) door: usize,
    /// Not 0: the call is handled again from the start.
    pub again: usize,
    pub(crate) xmm: [[u64; 2]; 16],
}

/// How a call reached the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Through a rewritten site.
    Patched,
    /// Through SIGSYS.
    Signal,
}

const _: () = assert!(offset_of!(Frame, inner) == 19 * 8 && offset_of!(Frame, xmm) % 16 == 0);
const _: () =
    assert!(offset_of!(Frame, rbx) == 48 && offset_of!(Frame, rbp) == 0 && offset_of!(Frame, r12) == 40);

impl Frame {
    /// The six arguments in kernel ABI order.
    pub fn args(&self) -> [usize; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }

    /// How the call came.
    pub fn door(&self) -> Door {
        if self.door == 0 {
            Door::Patched
        } else {
            Door::Signal
        }
    }

    /// Where the stub goes on behind its restoring of the stack, with rcx = `rip`.
    fn resume(&self) -> usize {
        /// pop rcx; lea rsp, [rsp + 128]
        const STUB_RESTORES: usize = 1 + 8;
        // SAFETY: the entry's words on the caller's stack are there until it returns.
        unsafe { ((self.inner + 16) as *const usize).read() + STUB_RESTORES }
    }

    /// The call is not made: the application's own handler of SIGSYS gets it, as from a Syscall User Dispatch of its
    /// own. To be called last.
    pub fn dispatch_again(&mut self) {
        thread::set_bounce(self.rip, self.resume());
        self.rax = self.nr;
        // SAFETY: the entry's words on the caller's stack; the entry returns there.
        unsafe { ((self.inner + 16) as *mut usize).write(crate::entry::bounce_address()) };
    }

    /// Carries out clone(2) (`nr` 56) or clone3(2) (435) for the caller with `args`, where `stack_top` is
    /// the child's new stack pointer. The parent gets the result; the child goes on behind the caller's own
    /// call, armed, with the caller's registers and 0 in rax. A child that shares the memory must be a thread.
    ///
    /// # Safety
    /// The call's own conditions.
    pub unsafe fn clone_onto(&self, nr: i64, args: &[usize; 6], stack_top: usize, shares: bool) -> isize {
        if shares {
            crate::sud::before_thread(self.rip);
        }
        let block = match shares.then(thread::allocate).transpose() {
            Ok(block) => block.unwrap_or(core::ptr::null_mut()),
            Err(errno) => return -errno as isize,
        };
        let mut own = self.clone();
        own.rax = 0;
        own.rsp = stack_top;
        own.rcx = self.rip;
        own.rip = self.resume();
        let child = if block.is_null() {
            &raw mut own
        } else {
            // SAFETY: the top of a fresh stack.
            unsafe {
                let at = (block as *mut Frame).sub(1);
                at.write(own);
                at
            }
        };
        // SAFETY: the caller vouches for the call; no handler may run in the child before it has a block.
        unsafe {
            let mask = crate::sud::block_signals();
            (*child).again = mask as usize;
            let held = (!shares).then(crate::rewrite::hold);
            let r = crate::gate::stowaway_gate_clone(nr, args.as_ptr(), child, block);
            drop(held);
            crate::sud::set_signals(mask);
            if r < 0 && !block.is_null() {
                thread::free(block);
            }
            r
        }
    }
}
