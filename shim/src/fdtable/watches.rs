// SPDX-License-Identifier: GPL-2.0-only
//! What is known of inotify(7) descriptors, by number.
//!
//! An inotify descriptor is the host's, and its class is INOTIFY. With its first watch in a mount it gets an inotify file of the
//! kernel library, at the same number of the kernel's table, and its class is WATCHES. The host's descriptor then watches the
//! *chime* of that file (`lkl`, `dev::bells`): it becomes ready when the kernel library has an event.

use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use super::{class, INOTIFY, LIMIT, WATCHES};

/// The number of the chime's watch on the host. Lazily mapped, as the classes are.
static CHIMES: [AtomicI32; LIMIT] = [const { AtomicI32::new(0) }; LIMIT];

/// The number that the next watch gets at least, where that is known.
static NEXT: [AtomicI32; LIMIT] = [const { AtomicI32::new(0) }; LIMIT];

/// Whether there ever was an inotify descriptor.
static ANY: AtomicBool = AtomicBool::new(false);

/// Whether there may be inotify descriptors.
pub fn any() -> bool {
    ANY.load(Ordering::Relaxed)
}

/// A new inotify descriptor of the host.
pub fn note_new(fd: usize) {
    if let Some(next) = NEXT.get(fd) {
        ANY.store(true, Ordering::Relaxed);
        next.store(1, Ordering::Relaxed);
        super::set(fd, INOTIFY);
    }
}

/// The host has numbered a watch.
pub fn note_watch(fd: usize, number: usize) {
    if let (Some(next), Ok(number)) = (NEXT.get(fd as u32 as usize), i32::try_from(number)) {
        next.fetch_max(number.saturating_add(1), Ordering::Relaxed);
    }
}

/// The number that the next watch gets at least.
pub fn next(fd: usize) -> i32 {
    NEXT.get(fd).map_or(1, |next| next.load(Ordering::Relaxed).max(1))
}

/// The descriptor has an inotify file of the kernel library, whose chime has this watch on the host.
pub fn begin(fd: usize, chime: i32) {
    if let Some(slot) = CHIMES.get(fd) {
        slot.store(chime, Ordering::Release);
        super::set(fd, WATCHES);
    }
}

/// The number of the chime's watch; None: the descriptor has none.
pub fn chime(fd: usize) -> Option<i32> {
    let fd = fd as u32 as usize;
    (class(fd) == WATCHES).then(|| CHIMES[fd].load(Ordering::Acquire))
}

/// `copy` is a copy of `old`.
pub fn note_copy(old: usize, copy: usize) {
    let (old, copy) = (old as u32 as usize, copy as u32 as usize);
    if copy >= LIMIT || old == copy || !matches!(class(old), INOTIFY | WATCHES) {
        return;
    }
    NEXT[copy].store(NEXT[old].load(Ordering::Relaxed), Ordering::Relaxed);
    match class(old) {
        WATCHES => begin(copy, CHIMES[old].load(Ordering::Relaxed)),
        INOTIFY => super::set(copy, INOTIFY),
        _ => {}
    }
}
