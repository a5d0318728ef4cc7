// SPDX-License-Identifier: GPL-2.0-only
//! A deep stack for work that is rare and needs one: boot, mount. The first call may come from a thread whose
//! stack is as small as threads may have it.
#![allow(unsafe_code)]

use core::mem::MaybeUninit;

use crate::sys::errno::ENOMEM;
use crate::sys::host::{self, Ret};

const STACK_BYTES: usize = 256 << 10;

// stowaway_on_stack(top, function, argument): calls function(argument) on the stack that ends at `top` (16-aligned). rbp
// holds the caller's stack meanwhile, for us and for unwinders.
core::arch::global_asm!(
    ".text",
    ".p2align 4",
    ".globl stowaway_on_stack",
    ".hidden stowaway_on_stack",
    ".type stowaway_on_stack,@function",
    "stowaway_on_stack:",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "mov rsp, rdi",
    "mov rdi, rdx",
    "call rsi",
    "mov rsp, rbp",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_endproc",
    ".size stowaway_on_stack, . - stowaway_on_stack",
);

extern "C" {
    fn stowaway_on_stack(top: usize, function: unsafe extern "C" fn(usize), argument: usize);
}

struct Work<F, T> {
    work: Option<F>,
    result: MaybeUninit<T>,
}

/// Runs `work` on a stack of its own, whatever is left of the caller's. It does not unwind.
pub fn deep<T>(work: impl FnOnce() -> Result<T, Ret>) -> Result<T, Ret> {
    unsafe extern "C" fn run<F: FnOnce() -> T, T>(argument: usize) {
        // SAFETY: deep() passes the address of its own.
        let this = unsafe { &mut *(argument as *mut Work<F, T>) };
        if let Some(work) = this.work.take() {
            this.result.write(work());
        }
    }
    fn runner<F: FnOnce() -> T, T>(_: &Work<F, T>) -> unsafe extern "C" fn(usize) {
        run::<F, T>
    }
    let base = host::map(STACK_BYTES);
    if base < 0 {
        return Err(ENOMEM);
    }
    let mut this = Work { work: Some(work), result: MaybeUninit::uninit() };
    let function = runner(&this);
    // SAFETY: fresh memory; the function is called once, and writes the result.
    let result = unsafe {
        stowaway_on_stack(base as usize + STACK_BYTES, function, &raw mut this as usize);
        this.result.assume_init_read()
    };
    host::unmap(base as usize, STACK_BYTES);
    result
}
