// SPDX-License-Identifier: GPL-2.0-only
//! How long the way to a server may take as a whole, and who may end the wait.
//!
//! No single wait of a socket is longer than [`LOOK_MS`]: after each, the time is looked at, and whether a signal of the
//! application waits to be acted on.

use crate::sys::time::monotonic_ns;
use crate::sys::Errno;
use std::sync::OnceLock;

/// The longest wait between two looks.
pub(super) const LOOK_MS: u32 = 200;

static INTERRUPTED: OnceLock<fn() -> bool> = OnceLock::new();

/// `is_interrupted` says whether a signal waits that the calling thread is to act on: the way to a server ends with
/// EINTR then.
pub fn set_interrupted(is_interrupted: fn() -> bool) {
    let _ = INTERRUPTED.set(is_interrupted);
}

/// The end of a wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    until_ns: u64,
}

impl Patience {
    /// So many seconds from `begun_ns` on (CLOCK_MONOTONIC).
    pub(crate) fn since(begun_ns: u64, seconds: u32) -> Patience {
        Patience { until_ns: begun_ns.saturating_add(u64::from(seconds) * 1_000_000_000) }
    }

    /// So many seconds from now on.
    pub(crate) fn seconds(seconds: u32) -> Patience {
        Patience::since(monotonic_ns(), seconds)
    }

    /// EINTR or ETIMEDOUT if the wait is to end.
    pub(crate) fn check(self) -> Result<(), Errno> {
        if INTERRUPTED.get().is_some_and(|is_interrupted| is_interrupted()) {
            return Err(Errno::EINTR);
        }
        match monotonic_ns() < self.until_ns {
            true => Ok(()),
            false => Err(Errno::ETIMEDOUT),
        }
    }
}
