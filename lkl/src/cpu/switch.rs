// SPDX-License-Identifier: GPL-2.0-only
//! The switch to a task's kernel stack, and back.
//!
//! # Safety
//! [`switch`] is foreign code: the caller holds the CPU.
#![allow(unsafe_code)]

use super::slots::{Shared, STACK_TOP};
use std::mem::offset_of;

std::arch::global_asm!(
    include_str!("switch.S"),
    host_sp = const offset_of!(Shared, host_sp),
    call = const offset_of!(Shared, call),
    stack_top = const STACK_TOP,
);

extern "C" {
    /// Serves a call on the stack of `waiter`, which is the kernel's current thread. The CPU is held.
    #[link_name = "stowaway_lkl_switch"]
    pub(super) fn switch(
        waiter: *mut (),
        nr: i64,
        args: *const [usize; 6],
        want_fd: i32,
        shared: *const (),
    ) -> isize;
}
