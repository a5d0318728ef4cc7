// SPDX-License-Identifier: GPL-2.0-only
//! A lock that needs nothing of libc: a futex through the gate (Drepper, "Futexes Are Tricky", mutex 2).

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

use crate::gate::gate;

const FREE: u32 = 0;
const HELD: u32 = 1;
const WAITED_FOR: u32 = 2;

/// A value for one thread at a time. Whoever takes it has signals blocked.
pub struct Lock<T> {
    state: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the state lets one thread at a time reach the value.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// Not held.
    pub const fn new(value: T) -> Self {
        Lock { state: AtomicU32::new(FREE), value: UnsafeCell::new(value) }
    }

    /// Waits until it is free, and takes it.
    pub fn take(&self) -> Guard<'_, T> {
        if self.state.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_err() {
            while self.state.swap(WAITED_FOR, Ordering::Acquire) != FREE {
                self.futex(libc::FUTEX_WAIT, WAITED_FOR);
            }
        }
        Guard { lock: self }
    }

    /// In the only thread of a fork's child, which was made with the lock held: it is held no longer.
    pub fn release_in_child(&self) {
        self.state.store(FREE, Ordering::Release);
    }

    fn futex(&self, operation: i32, value: u32) {
        let operation = (operation | libc::FUTEX_PRIVATE_FLAG) as usize;
        let args = [self.state.as_ptr() as usize, operation, value as usize, 0, 0, 0];
        // SAFETY: the word lives as long as the lock; no timeout.
        unsafe { gate(libc::SYS_futex, &args) };
    }
}

/// The value, held.
pub struct Guard<'a, T> {
    lock: &'a Lock<T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: held.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: held, by this guard alone.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        if self.lock.state.swap(FREE, Ordering::Release) == WAITED_FOR {
            self.lock.futex(libc::FUTEX_WAKE, 1);
        }
    }
}
