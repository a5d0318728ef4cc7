// SPDX-License-Identifier: GPL-2.0-only
//! Where code is, for a look without the lock.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::rewrite::find::maps::Mapping;

/// The executable mappings as last read.
pub struct KnownCode {
    /// More than fit, if greater.
    count: AtomicUsize,
    ranges: [(AtomicUsize, AtomicUsize); RANGES],
}

const RANGES: usize = 128;
/// Of this process.
pub static KNOWN_CODE: KnownCode = KnownCode {
    count: AtomicUsize::new(0),
    ranges: [const { (AtomicUsize::new(0), AtomicUsize::new(0)) }; RANGES],
};

impl KnownCode {
    /// Whether `len` bytes from `address` may contain some.
    pub fn meets(&self, address: usize, len: usize) -> bool {
        let count = self.count.load(Ordering::Acquire);
        let end = address.saturating_add(len);
        let meets = |range: &(AtomicUsize, AtomicUsize)| {
            range.0.load(Ordering::Relaxed) < end && address < range.1.load(Ordering::Relaxed)
        };
        count > RANGES || self.ranges[..count].iter().any(meets)
    }

    /// With the lock held. A reader meanwhile may see a mixture of two lists, which both hold what was there before
    /// the thread that reads made its call.
    pub fn set(&self, maps: &[Mapping]) {
        let mut count = 0;
        for mapping in maps.iter().filter(|mapping| mapping.is_executable()) {
            if let Some(slot) = self.ranges.get(count) {
                slot.0.store(mapping.range.start as usize, Ordering::Relaxed);
                slot.1.store(mapping.range.end as usize, Ordering::Relaxed);
            }
            count += 1;
        }
        self.count.store(count, Ordering::Release);
    }
}
