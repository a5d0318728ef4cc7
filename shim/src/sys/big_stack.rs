// SPDX-License-Identifier: GPL-2.0-only
//! A big stack for work that is rare and needs one: boot, mount. The first call may come from a thread whose stack is
//! as small as threads may have it.
#![allow(unsafe_code)]

use core::arch::global_asm;
use core::mem::MaybeUninit;

use crate::sys::errno::Result;
use crate::sys::mem::Pages;

const STACK_BYTES: usize = 256 << 10;

global_asm!(include_str!("asm/call_on_stack.S"));

extern "C" {
    fn stowaway_call_on_stack(top: usize, function: unsafe extern "C" fn(usize), argument: usize);
}

struct Work<F, T> {
    work: Option<F>,
    result: MaybeUninit<T>,
}

/// Runs `work` on a stack of its own, whatever is left of the caller's. The work does not unwind.
/// ENOMEM: the host has no memory for the stack.
pub fn on_big_stack<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    unsafe extern "C" fn run<F: FnOnce() -> T, T>(argument: usize) {
        // SAFETY: on_big_stack() passes the address of its own.
        let this = unsafe { &mut *(argument as *mut Work<F, T>) };
        if let Some(work) = this.work.take() {
            this.result.write(work());
        }
    }
    fn runner<F: FnOnce() -> T, T>(_: &Work<F, T>) -> unsafe extern "C" fn(usize) {
        run::<F, T>
    }
    let stack = Pages::new(STACK_BYTES)?;
    let mut this = Work { work: Some(work), result: MaybeUninit::uninit() };
    let function = runner(&this);
    // SAFETY: fresh memory; the function is called once, and writes the result.
    unsafe {
        stowaway_call_on_stack(stack.address() + STACK_BYTES, function, &raw mut this as usize);
        this.result.assume_init_read()
    }
}
