// SPDX-License-Identifier: GPL-2.0-only
//! Files of the host that stand in for what the program has open, where a thread waits. A table of mounts is a memory file at the
//! program's number (`calls::proc_tables`), and a memory file never changes. The host's file that the program opened is kept, and
//! tells of changes of the host's mounts.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::{release, reserve, Keep};
use crate::sys::identity::Identity;

/// More tables than a program has open at a time. With more of them the first lose theirs.
const MOST: usize = 4;

/// A number, the file that was put there, and the file that stands in for it; 0: none.
struct Entry {
    number: AtomicUsize,
    file: [AtomicU64; 2],
    kept: AtomicUsize,
}

impl Entry {
    const fn none() -> Entry {
        Entry {
            number: AtomicUsize::new(0),
            file: [const { AtomicU64::new(0) }; 2],
            kept: AtomicUsize::new(0),
        }
    }

    /// Whether the file that was put at the number is still open there.
    fn is_open(&self) -> bool {
        let put = self.file.each_ref().map(|word| word.load(Ordering::Relaxed));
        let now = Identity::of(self.number.load(Ordering::Relaxed) as i32);
        now.is_some_and(|file| file.words() == put)
    }

    fn forget(&self) {
        match self.kept.swap(0, Ordering::AcqRel) {
            0 => {}
            kept => release(kept),
        }
    }
}

static ENTRIES: [Entry; MOST] = [const { Entry::none() }; MOST];
static ANY: AtomicBool = AtomicBool::new(false);
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Whether any file may stand in for another.
#[inline]
pub fn any() -> bool {
    ANY.load(Ordering::Relaxed)
}

/// What stands in for the file at `number`.
pub fn of(number: usize) -> Option<usize> {
    if !any() {
        return None;
    }
    let is_it = |entry: &&Entry| {
        entry.kept.load(Ordering::Acquire) != 0 && entry.number.load(Ordering::Relaxed) == number
    };
    let entry = ENTRIES.iter().find(is_it)?;
    if !entry.is_open() {
        entry.forget();
        return None;
    }
    Some(entry.kept.load(Ordering::Acquire)).filter(|&kept| kept != 0)
}

/// A copy of the open file at `number`, for [`put`].
pub fn keep(number: i32) -> Option<i32> {
    reserve(number, Keep::OverFork).ok()
}

/// `kept` stands in for the file at `number` from now on.
pub fn put(number: i32, kept: i32) {
    let Some(file) = Identity::of(number) else { return release(kept as usize) };
    for entry in ENTRIES.iter().filter(|entry| entry.kept.load(Ordering::Acquire) != 0 && !entry.is_open()) {
        entry.forget();
    }
    let free = ENTRIES.iter().find(|entry| entry.kept.load(Ordering::Acquire) == 0);
    let entry = free.unwrap_or_else(|| &ENTRIES[NEXT.fetch_add(1, Ordering::Relaxed) % MOST]);
    entry.forget();
    entry.number.store(number as usize, Ordering::Relaxed);
    entry.file.iter().zip(file.words()).for_each(|(to, word)| to.store(word, Ordering::Relaxed));
    entry.kept.store(kept as usize, Ordering::Release);
    ANY.store(true, Ordering::Relaxed);
}
