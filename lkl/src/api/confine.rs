// SPDX-License-Identifier: GPL-2.0-only
//! A program whose seccomp filter forbids what this library does.

use crate::cpu::members;
use crate::dev::block;
use crate::sys::futex;

/// What a program's filter forbids this library.
#[derive(Debug, Clone, Copy)]
pub struct Forbidden {
    /// To sleep, and to wake other threads.
    pub sleep: bool,
    /// To read and to write images.
    pub images: bool,
}

/// This process may make no other host calls than those that its program makes (seccomp): it looks after nobody, and its
/// threads are not the clock. What is forbidden is done by helper threads, or left out.
pub fn confine(forbidden: Forbidden) {
    if forbidden.images {
        block::leave_to_workers();
    }
    if forbidden.sleep {
        futex::forbid();
    }
    members::confine();
}
