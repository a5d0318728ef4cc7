// SPDX-License-Identifier: GPL-2.0-only
//! A set of addresses that is read without locks: from signal handlers, and at every call that comes by signal.

use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

/// The set. `SLOTS` is a power of two, and never more than half of them should be taken.
pub struct Addresses<const SLOTS: usize> {
    slots: [AtomicUsize; SLOTS],
    /// No address was ever put in outside these.
    lowest: AtomicUsize,
    highest: AtomicUsize,
}

impl<const SLOTS: usize> Addresses<SLOTS> {
    const FREE: usize = 0;
    const REMOVED: usize = 1;

    /// Empty.
    pub const fn new() -> Self {
        Addresses {
            slots: [const { AtomicUsize::new(Self::FREE) }; SLOTS],
            lowest: AtomicUsize::new(usize::MAX),
            highest: AtomicUsize::new(0),
        }
    }

    fn probe(address: usize) -> impl Iterator<Item = usize> {
        let first = address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (usize::BITS - SLOTS.trailing_zeros());
        (0..64).map(move |step| (first + step) % SLOTS)
    }

    /// Whether `address` is one of them. Async-signal-safe.
    pub fn contains(&self, address: usize) -> bool {
        let values = Self::probe(address).map(|slot| self.slots[slot].load(Ordering::Acquire));
        address > Self::REMOVED
            && values.take_while(|&value| value != Self::FREE).any(|value| value == address)
    }

    /// Puts one in. Called by one thread at a time. False if there is no room near where it belongs.
    pub fn insert(&self, address: usize) -> bool {
        if self.contains(address) {
            return true;
        }
        let vacant = |slot: &usize| self.slots[*slot].load(Ordering::Relaxed) <= Self::REMOVED;
        let Some(slot) = Self::probe(address).find(vacant) else { return false };
        self.slots[slot].store(address, Ordering::Release);
        self.lowest.fetch_min(address, Ordering::Relaxed);
        self.highest.fetch_max(address, Ordering::Relaxed);
        true
    }

    /// Takes out those in `range`. Called by one thread at a time.
    pub fn remove(&self, range: Range<u64>) {
        let (lowest, highest) = (self.lowest.load(Ordering::Relaxed), self.highest.load(Ordering::Relaxed));
        if highest as u64 <= range.start.saturating_sub(1) || range.end <= lowest as u64 {
            return;
        }
        for slot in &self.slots {
            if range.contains(&(slot.load(Ordering::Relaxed) as u64)) {
                slot.store(Self::REMOVED, Ordering::Release);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_and_go() {
        static SET: Addresses<{ 1 << 15 }> = Addresses::new();
        assert!(!SET.contains(0) && !SET.contains(1) && !SET.contains(0x1000));
        for address in (0x1000..0x9000).step_by(7) {
            assert!(SET.insert(address) && SET.insert(address));
        }
        assert!((0x1000..0x9000).step_by(7).all(|address| SET.contains(address)));
        SET.remove(0x2000..0x3000);
        for address in (0x1000..0x9000).step_by(7) {
            assert_eq!(SET.contains(address), !(0x2000..0x3000).contains(&address));
        }
        assert!(SET.insert(0x2003) && SET.contains(0x2003));
        assert!(!SET.contains(0x1001));
    }
}
