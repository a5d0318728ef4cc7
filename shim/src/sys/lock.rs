// SPDX-License-Identifier: GPL-2.0-only
//! A futex mutex that goes through the gate (std's would come back as SIGSYS).
//!
//! Taken only inside kernel sections or with signals noted: a handler of the application never runs on a
//! thread that holds it, so it need not be recursive. After Drepper, "Futexes are tricky", mutex 2.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::sys::host;

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// The mutex; it guards what its owner says it guards.
pub struct Lock(AtomicU32);

/// Holds a [`Lock`] until dropped.
pub struct Guard<'a>(&'a Lock);

impl Lock {
    /// A free lock.
    pub const fn new() -> Lock {
        Lock(AtomicU32::new(FREE))
    }

    /// Waits for the lock and takes it.
    pub fn hold(&self) -> Guard<'_> {
        if self.0.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_err() {
            while self.0.swap(CONTENDED, Ordering::Acquire) != FREE {
                let op = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
                host::call(libc::SYS_futex, &[self.0.as_ptr() as usize, op as usize, CONTENDED as usize, 0]);
            }
        }
        Guard(self)
    }

    /// In the only thread of a fork's child: whoever held it is not here.
    pub fn reset(&self) {
        self.0.store(FREE, Ordering::Relaxed);
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.0 .0.swap(FREE, Ordering::Release) == CONTENDED {
            let op = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
            host::call(libc::SYS_futex, &[self.0 .0.as_ptr() as usize, op as usize, 1]);
        }
    }
}
