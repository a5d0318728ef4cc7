// SPDX-License-Identifier: GPL-2.0-only
//! A lock that needs nothing of libc: a futex by host calls (Drepper, "Futexes Are Tricky", mutex 2).
//!
//! # Safety
//! The value is reached through a [`Guard`] alone, and the state lets one guard exist at a time.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU32, Ordering};

use crate::host::futex;

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
                futex(&self.state, libc::FUTEX_WAIT, WAITED_FOR);
            }
        }
        Guard { lock: self }
    }

    /// In the only thread of a fork's child, which was made with the lock held: it is held no longer.
    pub fn release_in_child(&self) {
        self.state.store(FREE, Ordering::Release);
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
            futex(&self.lock.state, libc::FUTEX_WAKE, 1);
        }
    }
}
