// SPDX-License-Identifier: GPL-2.0-only
//! The ways in: from hooks, and from the trampoline. Each is a dispatch under the rules of cancellation
//! (`signals::cancel`).
#![allow(unsafe_code)]

use trampoline::frame::EntryKind;
use trampoline::thread::is_guest;
use trampoline::Frame;

use super::dispatch::dispatch;
use super::{guest, i386};
use crate::signals::{app_sud, cancel};
use crate::sys::host::{Args, Ret};

/// A call through a hook that is no cancellation point.
#[inline]
pub fn from_hook(nr: usize, args: &Args) -> Ret {
    if is_guest() {
        return guest::call(nr, args);
    }
    cancel::plain(|| dispatch(nr, args, None))
}

/// A call through a hook that is a cancellation point. May end the thread by unwinding: the hook owns nothing.
///
/// # Safety
/// Called by a C-unwind function, outside any frame that must not be unwound.
#[inline]
pub unsafe fn from_cancellation_point(nr: usize, args: &Args) -> Ret {
    if is_guest() {
        return guest::call(nr, args);
    }
    // SAFETY: the caller's promise.
    unsafe { cancel::point(|| dispatch(nr, args, None)) }
}

/// A call that the trampoline caught.
pub unsafe extern "C-unwind" fn on_call(frame: &mut Frame) {
    if is_guest() {
        return guest::caught(frame);
    }
    if app_sud::stops(frame) {
        return;
    }
    if frame.entry_kind() == EntryKind::Int80 {
        return cancel::caught(frame, i386::dispatch);
    }
    let args = frame.args();
    cancel::caught(frame, |frame| dispatch(frame.nr, &args, Some(frame)));
}
