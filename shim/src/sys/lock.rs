// SPDX-License-Identifier: GPL-2.0-only
//! A futex mutex that goes through the gate (the one of std would come back as SIGSYS).
//!
//! The lock is taken only inside kernel sections or with signals noted. A handler of the application never runs on a
//! thread that holds the lock, so the lock need not be recursive. After Drepper, "Futexes are tricky", mutex 2.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::sys::futex;

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
                futex::wait(&self.0, CONTENDED);
            }
        }
        Guard(self)
    }

    /// In the only thread of a fork's child: the thread that held the lock is not here.
    pub fn reset(&self) {
        self.0.store(FREE, Ordering::Relaxed);
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.0 .0.swap(FREE, Ordering::Release) == CONTENDED {
            futex::wake(&self.0 .0, 1);
        }
    }
}
