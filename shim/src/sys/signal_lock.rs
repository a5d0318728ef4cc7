// SPDX-License-Identifier: GPL-2.0-only
//! Work that no signal handler of the application may interrupt, and a mutex for such work.
//!
//! A signal may end the process, and a handler may call whatever a program calls. Both happen on top of what the thread is
//! at: if that is a lock of ours, nobody gives the lock back. Inside a kernel section signals are only noted, so a plain
//! [`Lock`] does there.

use lkl::sys::futex::{Lock, LockGuard};

use crate::sys::sigcalls::{self, FAULTS};

/// Signals wait, on the calling thread, until this is dropped.
#[must_use]
pub struct SignalsWait {
    mask: u64,
}

impl SignalsWait {
    /// From here on. Faults are let through.
    pub fn begin() -> SignalsWait {
        SignalsWait { mask: sigcalls::set_mask(!FAULTS) }
    }
}

impl Drop for SignalsWait {
    fn drop(&mut self) {
        sigcalls::set_mask(self.mask);
    }
}

/// A mutex of one process, not recursive, whose holder no signal interrupts.
pub struct SignalLock(Lock);

/// Holds a [`SignalLock`] until dropped: the lock first, then the signals (fields are dropped in their order).
#[must_use]
pub struct SignalLockGuard<'a> {
    _held: LockGuard<'a>,
    _signals: SignalsWait,
}

impl SignalLock {
    /// A free lock.
    #[allow(clippy::new_without_default)] // a lock is a static
    pub const fn new() -> SignalLock {
        SignalLock(Lock::new())
    }

    /// Waits for the lock and takes it.
    pub fn hold(&self) -> SignalLockGuard<'_> {
        let signals = SignalsWait::begin();
        SignalLockGuard { _held: self.0.hold(), _signals: signals }
    }

    /// In the only thread of a fork's child: a thread that held the lock is not here.
    pub fn reset(&self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::sigcalls::{bit, mask};

    #[test]
    fn no_signal_comes_to_the_holder() {
        static LOCK: SignalLock = SignalLock::new();
        let before = mask();
        let guard = LOCK.hold();
        let kept_out = bit(libc::SIGTERM) | bit(libc::SIGUSR1) | bit(libc::SIGRTMIN());
        assert_eq!(mask() & kept_out, kept_out);
        assert_eq!(mask() & FAULTS, 0);
        drop(guard);
        assert_eq!(mask(), before);
    }
}
