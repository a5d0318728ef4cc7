// SPDX-License-Identifier: GPL-2.0-only
//! A path that is kept for the whole process, where nothing may be allocated.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::sys::scratch::PATH_MAX;
use crate::sys::signal_lock::SignalLock;

/// A path, or none. There are two places for it, of which one is in use: who reads meanwhile finds the old path or the new one.
pub struct PathCell {
    texts: [UnsafeCell<[u8; PATH_MAX]>; 2],
    /// The place in use is the lowest bit; the length of the path stands above.
    state: AtomicUsize,
    lock: SignalLock,
}

// SAFETY: the place that is not in use is written, with the lock held.
unsafe impl Sync for PathCell {}

impl PathCell {
    /// No path.
    pub const fn new() -> PathCell {
        PathCell {
            texts: [const { UnsafeCell::new([0; PATH_MAX]) }; 2],
            state: AtomicUsize::new(0),
            lock: SignalLock::new(),
        }
    }

    /// The path. It is to be used before the path is replaced twice.
    pub fn get(&'static self) -> Option<&'static [u8]> {
        let state = self.state.load(Ordering::Acquire);
        let (place, len) = (state & 1, state >> 1);
        // SAFETY: the bytes below `len` of the place in use do not change.
        (len != 0).then(|| unsafe { core::slice::from_raw_parts(self.texts[place].get().cast(), len) })
    }

    /// Keeps another path; an empty one, or one that is too long, is none.
    pub fn replace(&self, path: &[u8]) {
        let _lock = self.lock.hold();
        let place = self.state.load(Ordering::Relaxed) & 1 ^ 1;
        // SAFETY: with the lock held; nobody reads the place that is not in use.
        let text = unsafe { &mut *self.texts[place].get() };
        let mut len = 0;
        if let Some(room) = text[..PATH_MAX - 1].get_mut(..path.len()) {
            room.copy_from_slice(path);
            len = path.len();
        }
        self.state.store(len << 1 | place, Ordering::Release);
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
        CELL.replace(b"/c");
        assert_eq!(CELL.get(), Some(&b"/c"[..]));
        CELL.replace(&[b'x'; PATH_MAX]);
        assert_eq!(CELL.get(), None);
    }
}
