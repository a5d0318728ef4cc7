// SPDX-License-Identifier: GPL-2.0-only
//! A bounded queue of requests without locks, for any number of threads at both ends (after Dmitry
//! Vyukov's). Each slot has a turn: slot i of round k may be filled at turn 2k and emptied at 2k + 1. All
//! zeroes is an empty queue.

use super::request::Request;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Threads that take requests from a queue: what a disk under a host file does at once without getting slower.
pub(super) const MAX_WORKERS: usize = 8;

/// More than all disks of a process usually have in flight (64 each). A thread that finds the queue full does the
/// request itself.
const SLOTS: usize = 256;

struct Slot {
    turn: AtomicUsize,
    request: AtomicPtr<Request>,
}

impl Slot {
    const fn new() -> Slot {
        Slot { turn: AtomicUsize::new(0), request: AtomicPtr::new(std::ptr::null_mut()) }
    }
}

pub(crate) struct Queue {
    filled: AtomicUsize,
    emptied: AtomicUsize,
    slots: [Slot; SLOTS],
}

impl Queue {
    pub(crate) const fn new() -> Queue {
        Queue {
            filled: AtomicUsize::new(0),
            emptied: AtomicUsize::new(0),
            slots: [const { Slot::new() }; SLOTS],
        }
    }

    /// Adds a request; false: the queue is full.
    pub(crate) fn push(&self, request: *mut Request) -> bool {
        let mut at = self.filled.load(Ordering::Relaxed);
        loop {
            let slot = &self.slots[at % SLOTS];
            let turn = at / SLOTS * 2;
            match slot.turn.load(Ordering::Acquire) {
                t if t == turn => match self.take_place(&self.filled, at) {
                    Ok(()) => {
                        slot.request.store(request, Ordering::Relaxed);
                        slot.turn.store(turn + 1, Ordering::Release);
                        return true;
                    }
                    Err(now) => at = now,
                },
                t if t < turn => return false,
                _ => at = self.filled.load(Ordering::Relaxed),
            }
        }
    }

    pub(crate) fn pop(&self) -> Option<*mut Request> {
        let mut at = self.emptied.load(Ordering::Relaxed);
        loop {
            let slot = &self.slots[at % SLOTS];
            let turn = at / SLOTS * 2 + 1;
            match slot.turn.load(Ordering::Acquire) {
                t if t == turn => match self.take_place(&self.emptied, at) {
                    Ok(()) => {
                        let request = slot.request.load(Ordering::Relaxed);
                        slot.turn.store(turn + 1, Ordering::Release);
                        return Some(request);
                    }
                    Err(now) => at = now,
                },
                t if t < turn => return None,
                _ => at = self.emptied.load(Ordering::Relaxed),
            }
        }
    }

    /// How many requests are in the queue, roughly.
    pub(crate) fn len(&self) -> usize {
        let emptied = self.emptied.load(Ordering::Relaxed);
        self.filled.load(Ordering::Relaxed).saturating_sub(emptied)
    }

    fn take_place(&self, end: &AtomicUsize, at: usize) -> Result<(), usize> {
        end.compare_exchange_weak(at, at + 1, Ordering::Relaxed, Ordering::Relaxed).map(drop)
    }

    /// In the child of a fork: empties the queue, whose requests are another process's.
    pub(crate) fn reset(&self) {
        self.filled.store(0, Ordering::Relaxed);
        self.emptied.store(0, Ordering::Relaxed);
        for slot in &self.slots {
            slot.turn.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: usize) -> *mut Request {
        (n * 8) as *mut Request
    }

    #[test]
    fn first_in_first_out_over_many_rounds() {
        let q = Queue::new();
        for n in 1..SLOTS * 5 {
            assert!(q.push(number(n)));
            assert!(q.push(number(n + 1)));
            assert_eq!(q.pop(), Some(number(n)));
            assert_eq!(q.pop(), Some(number(n + 1)));
            assert_eq!(q.pop(), None);
        }
    }

    #[test]
    fn full_is_said() {
        let q = Queue::new();
        for n in 0..SLOTS {
            assert!(q.push(number(n + 1)));
        }
        assert!(!q.push(number(1)));
        assert_eq!(q.pop(), Some(number(1)));
        assert!(q.push(number(7)));
        assert!(!q.push(number(8)));
        q.reset();
        assert_eq!(q.pop(), None);
        assert!(q.push(number(9)));
        assert_eq!(q.pop(), Some(number(9)));
    }

    #[test]
    fn nothing_is_lost_or_doubled_between_threads() {
        const EACH: usize = 20_000;
        let q = Queue::new();
        let seen: Vec<AtomicUsize> = (0..EACH * 2 + 1).map(|_| AtomicUsize::new(0)).collect();
        let left = AtomicUsize::new(EACH * 2);
        std::thread::scope(|s| {
            for who in 0..2 {
                let q = &q;
                s.spawn(move || {
                    for n in 0..EACH {
                        while !q.push(number(who * EACH + n + 1)) {
                            std::thread::yield_now();
                        }
                    }
                });
                let (seen, left) = (&seen, &left);
                s.spawn(move || {
                    while left.load(Ordering::Relaxed) > 0 {
                        match q.pop() {
                            Some(r) => {
                                seen[r as usize / 8].fetch_add(1, Ordering::Relaxed);
                                left.fetch_sub(1, Ordering::Relaxed);
                            }
                            None => std::thread::yield_now(),
                        }
                    }
                });
            }
        });
        assert!(seen[1..].iter().all(|n| n.load(Ordering::Relaxed) == 1));
    }
}
