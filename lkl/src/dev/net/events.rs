// SPDX-License-Identifier: GPL-2.0-only
//! What the user is told of interfaces.

use super::link::Link;
use crate::sys::Errno;
use std::sync::OnceLock;

/// What happens to an interface, which has a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkEvent {
    /// It is of no use any more: why, as the end of a sentence about its back end.
    Over(&'static str),
    /// The same, until the back end comes back.
    Down(&'static str),
    /// The back end is back.
    Up,
    /// Its frames are not written to its file any more.
    NotCaptured(Errno),
}

/// What says a line to the user.
static REPORT: OnceLock<fn(usize, LinkEvent)> = OnceLock::new();

/// Says how the user is told of what happens to interfaces. Called with the virtual CPU held, or by the thread that waits for frames.
pub fn report_by(report: fn(usize, LinkEvent)) {
    let _ = REPORT.set(report);
}

pub(super) fn report(link: &Link, event: LinkEvent) {
    if let Some(report) = REPORT.get() {
        report(link.index(), event);
    }
}
