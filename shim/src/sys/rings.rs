// SPDX-License-Identifier: GPL-2.0-only
//! The io_uring rings of the application: where their queues are in its memory (io_uring(7)). Whoever serves their requests
//! looks them up by descriptor.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use crate::sys::signal_lock::SignalLock;

/// So many rings are known at a time.
const MOST: usize = 64;

/// A ring.
pub struct Ring {
    /// One more than the descriptor; 0: the place is free.
    number: AtomicUsize,
    /// What io_uring_setup(2) was asked for.
    flags: AtomicU32,
    /// Where the words of the queue are in its mapping: head, tail, mask, array.
    offsets: [AtomicU32; 4],
    /// Addresses of the queue's mapping and of the entries, 0: not mapped yet.
    queue: AtomicUsize,
    entries: AtomicUsize,
    /// Taken while entries are looked at, changed and handed to the host. A handler of the application might enter the ring,
    /// or leave by longjmp(3).
    pub lock: SignalLock,
    /// A request of this ring was once served here.
    pub is_mixed: AtomicBool,
}

static RINGS: [Ring; MOST] = [const {
    Ring {
        number: AtomicUsize::new(0),
        flags: AtomicU32::new(0),
        offsets: [const { AtomicU32::new(0) }; 4],
        queue: AtomicUsize::new(0),
        entries: AtomicUsize::new(0),
        lock: SignalLock::new(),
        is_mixed: AtomicBool::new(false),
    }
}; MOST];
/// Places up to this one have been used.
static USED: AtomicUsize = AtomicUsize::new(0);

/// Parts of a ring that are mapped (include/uapi/linux/io_uring.h): the queue of requests, and the queue of results in the
/// same memory; the entries.
const QUEUES: [usize; 2] = [0, 0x800_0000];
const ENTRIES: usize = 0x1000_0000;

/// Knows a ring. `addresses`: of queue and entries, where the application gave the memory. False: there are too many.
pub fn add(fd: usize, flags: u32, offsets: [u32; 4], addresses: [usize; 2]) -> bool {
    let is_old = |ring: &&Ring| ring.number.load(Ordering::Relaxed) == fd + 1;
    let takes = |ring: &&Ring| {
        ring.number.compare_exchange(0, usize::MAX, Ordering::Acquire, Ordering::Relaxed).is_ok()
    };
    let Some(ring) = RINGS.iter().find(is_old).or_else(|| RINGS.iter().find(takes)) else { return false };
    ring.number.store(usize::MAX, Ordering::Relaxed);
    ring.flags.store(flags, Ordering::Relaxed);
    for (place, offset) in ring.offsets.iter().zip(offsets) {
        place.store(offset, Ordering::Relaxed);
    }
    ring.queue.store(addresses[0], Ordering::Relaxed);
    ring.entries.store(addresses[1], Ordering::Relaxed);
    ring.is_mixed.store(false, Ordering::Relaxed);
    ring.number.store(fd + 1, Ordering::Release);
    USED.fetch_max(index(ring) + 1, Ordering::Release);
    true
}

fn index(ring: &Ring) -> usize {
    RINGS.iter().position(|other| core::ptr::eq(ring, other)).unwrap_or(MOST)
}

/// The ring that has the descriptor, as far as is known.
pub fn find(fd: usize) -> Option<&'static Ring> {
    let used = USED.load(Ordering::Acquire);
    RINGS[..used].iter().find(|ring| ring.number.load(Ordering::Acquire) == fd + 1)
}

/// Forgets the rings whose descriptor `is_ring` says no of.
pub fn retain(is_ring: impl Fn(usize) -> bool) {
    for ring in &RINGS {
        let number = ring.number.load(Ordering::Acquire);
        if number != 0 && number != usize::MAX && !is_ring(number - 1) {
            let _ = ring.number.compare_exchange(number, 0, Ordering::Release, Ordering::Relaxed);
        }
    }
}

/// The application has mapped a part of what a descriptor has.
pub fn is_mapped(fd: usize, offset: usize, address: usize) {
    let Some(ring) = find(fd) else { return };
    match offset {
        ENTRIES => ring.entries.store(address, Ordering::Relaxed),
        _ if QUEUES.contains(&offset) => ring.queue.store(address, Ordering::Relaxed),
        _ => {}
    }
}

/// In the child of a fork: nobody holds a lock.
pub fn reset_in_child() {
    for ring in &RINGS {
        ring.lock.reset();
    }
}

/// Where the words of a ring are.
pub struct Places {
    pub head: usize,
    pub tail: usize,
    pub mask: usize,
    pub array: usize,
    pub entries: usize,
}

impl Ring {
    /// What io_uring_setup(2) was asked for.
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// None: the application has not mapped the ring.
    pub fn places(&self) -> Option<Places> {
        let (queue, entries) = (self.queue.load(Ordering::Relaxed), self.entries.load(Ordering::Relaxed));
        let at = |n: usize| queue + self.offsets[n].load(Ordering::Relaxed) as usize;
        (queue != 0 && entries != 0).then(|| Places {
            head: at(0),
            tail: at(1),
            mask: at(2),
            array: at(3),
            entries,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_known_until_it_is_closed() {
        assert!(add(7, 3, [4, 8, 12, 16], [0; 2]));
        assert!(find(8).is_none());
        let ring = find(7).unwrap();
        assert!(ring.places().is_none());
        is_mapped(7, QUEUES[1], 0x1000);
        is_mapped(7, ENTRIES, 0x2000);
        is_mapped(7, 0x1800_0000, 0x3000);
        let places = ring.places().unwrap();
        assert_eq!((places.head, places.tail, places.mask), (0x1004, 0x1008, 0x100c));
        assert_eq!((places.array, places.entries, ring.flags()), (0x1010, 0x2000, 3));
        // The number is another ring's now.
        assert!(add(7, 0, [0; 4], [0; 2]));
        assert!(find(7).unwrap().places().is_none());
        retain(|fd| fd != 7);
        assert!(find(7).is_none());
    }
}
