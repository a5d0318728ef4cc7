// SPDX-License-Identifier: GPL-2.0-only
//! Which anonymous memory of this process is ours, and not the program's: a table of what [`super::memory`] mapped. Who wants
//! to know what of the address space is the program's takes these ranges away.
//!
//! No lock: a place in the table is taken by one compare-and-swap, in any context.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// More mappings than a process with few threads has.
const PLACES: usize = 1024;
/// The start of a range that is being written.
const TAKEN: usize = 1;

struct Place {
    /// 0: free.
    start: AtomicUsize,
    len: AtomicUsize,
}

static PLACES_OF_OURS: [Place; PLACES] =
    [const { Place { start: AtomicUsize::new(0), len: AtomicUsize::new(0) } }; PLACES];
/// A mapping found no place.
static IS_INCOMPLETE: AtomicBool = AtomicBool::new(false);

/// This memory is ours from now on.
pub(super) fn note(at: usize, len: usize) {
    for place in &PLACES_OF_OURS {
        let is_free = place.start.load(Ordering::Relaxed) == 0;
        if is_free && place.start.compare_exchange(0, TAKEN, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            place.len.store(len, Ordering::Relaxed);
            place.start.store(at, Ordering::Release);
            return;
        }
    }
    IS_INCOMPLETE.store(true, Ordering::Relaxed);
}

/// The memory that begins there goes away.
pub(super) fn forget(at: usize) {
    if let Some(place) = PLACES_OF_OURS.iter().find(|place| place.start.load(Ordering::Relaxed) == at) {
        place.start.store(0, Ordering::Release);
    }
}

/// The ranges that are ours. `None`: there are more than the table knows.
pub fn ranges() -> Option<impl Iterator<Item = Range<usize>>> {
    let ranges = PLACES_OF_OURS.iter().filter_map(|place| {
        let start = place.start.load(Ordering::Acquire);
        (start > TAKEN).then(|| start..start + place.len.load(Ordering::Relaxed))
    });
    (!IS_INCOMPLETE.load(Ordering::Relaxed)).then_some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memory::{map_anonymous, unmap_anonymous};

    #[test]
    #[allow(unsafe_code)]
    fn what_is_mapped_is_ours_until_it_is_unmapped() {
        let is_ours = |at: usize| ranges().unwrap().any(|range| range == (at..at + 8192));
        let at = map_anonymous(8000).unwrap();
        assert!(is_ours(at));
        // SAFETY: just made, and not used.
        unsafe { unmap_anonymous(at, 8000) };
        assert!(!is_ours(at));
    }
}
