// SPDX-License-Identifier: GPL-2.0-only
//! The smallest entry that stubs can call: counts, and makes the call.

use core::arch::global_asm;
use std::sync::atomic::{AtomicUsize, Ordering};

#[no_mangle]
static TEST_ENTRY_CALLS: AtomicUsize = AtomicUsize::new(0);
#[no_mangle]
static mut TEST_ENTRY_AFTER: usize = 0;

global_asm!(
    ".globl test_entry",
    "test_entry:",
    "pushfq",
    "lock inc qword ptr [rip + TEST_ENTRY_CALLS]",
    // What ends on another stack, or twice on this one: sigreturn, clone, fork, vfork, clone3.
    "cmp eax, 15",
    "je 2f",
    "cmp eax, 56",
    "je 2f",
    "cmp eax, 57",
    "je 2f",
    "cmp eax, 58",
    "je 2f",
    "cmp eax, 435",
    "je 2f",
    "popfq",
    "syscall",
    "ret",
    // There: nothing of it on the stack, as at the site itself.
    "2:",
    "mov rcx, [rsp + 16]",
    "mov [rip + TEST_ENTRY_AFTER], rcx",
    "popfq",
    "lea rsp, [rsp + 16 + 128]",
    "syscall",
    "jmp [rip + TEST_ENTRY_AFTER]",
);

extern "C" {
    fn test_entry();
}

/// Its address.
pub fn address() -> usize {
    test_entry as *const () as usize
}

/// How often it was called.
pub fn calls() -> usize {
    TEST_ENTRY_CALLS.load(Ordering::Relaxed)
}
