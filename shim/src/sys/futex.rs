// SPDX-License-Identifier: GPL-2.0-only
//! Waiting for a word to change, and waking the threads that wait (futex(2)), within one process.
#![allow(unsafe_code)]

use core::sync::atomic::AtomicU32;

use crate::sys::host;

/// Sleeps until somebody wakes the word, unless `word` is no longer `value`. May return for no reason.
pub fn wait(word: &AtomicU32, value: u32) {
    let op = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: a live word, which the host only reads.
    let _ = unsafe { host::call(libc::SYS_futex, &[word.as_ptr() as usize, op as usize, value as usize, 0]) };
}

/// Wakes up to `count` threads that wait for the word.
pub fn wake(word: &AtomicU32, count: i32) {
    let op = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: a live word, whose address alone counts.
    let _ = unsafe { host::call(libc::SYS_futex, &[word.as_ptr() as usize, op as usize, count as usize]) };
}
