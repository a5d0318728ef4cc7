// SPDX-License-Identifier: GPL-2.0-only
//! A path that is kept for the whole process, where nothing may be allocated.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::sys::scratch::PATH_MAX;
use lkl::sys::futex::Lock;

/// A path, or none.
pub struct PathCell {
    text: UnsafeCell<[u8; PATH_MAX]>,
    len: AtomicUsize,
    lock: Lock,
}

// SAFETY: the text is written with the lock held, and with `len` 0 meanwhile.
unsafe impl Sync for PathCell {}

impl PathCell {
    /// No path.
    pub const fn new() -> PathCell {
        PathCell { text: UnsafeCell::new([0; PATH_MAX]), len: AtomicUsize::new(0), lock: Lock::new() }
    }

    /// The path.
    pub fn get(&'static self) -> Option<&'static [u8]> {
        let len = self.len.load(Ordering::Acquire);
        // SAFETY: the bytes below `len` change only while `len` is 0.
        (len != 0).then(|| unsafe { core::slice::from_raw_parts(self.text.get().cast(), len) })
    }

    /// Keeps another path; an empty one, or one that is too long, is none.
    pub fn replace(&self, path: &[u8]) {
        let _lock = self.lock.hold();
        self.len.store(0, Ordering::Release);
        // SAFETY: with the lock held, and `len` 0, so that nobody reads.
        let text = unsafe { &mut *self.text.get() };
        if let Some(room) = text[..PATH_MAX - 1].get_mut(..path.len()) {
            room.copy_from_slice(path);
            self.len.store(path.len(), Ordering::Release);
        }
    }

    /// In the child of a fork: a thread that held the lock is the parent's.
    pub fn reset_in_child(&self) {
        self.lock.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_kept() {
        static CELL: PathCell = PathCell::new();
        assert_eq!(CELL.get(), None);
        CELL.replace(b"/a/b");
        assert_eq!(CELL.get(), Some(&b"/a/b"[..]));
        CELL.replace(&[b'x'; PATH_MAX]);
        assert_eq!(CELL.get(), None);
    }
}
