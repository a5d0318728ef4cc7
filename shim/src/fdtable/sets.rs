// SPDX-License-Identifier: GPL-2.0-only
//! What is known of epoll sets, by number.
//!
//! An epoll set has a *host half*: the set that the host made when the program asked for one. With its first file of the
//! kernel library the set gets a *kernel half*, at the same number of the kernel's table. Then its class is KERNEL, and the
//! host half stands in the placeholder's place.
//!
//! What is said here of a number counts as long as the number's class fits, and may be less than what is true: a set that was
//! inherited over an exec is not known. Copies of a set, and processes that share it, may each know something else; what they
//! cannot know of each other is the more general thing.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU8, Ordering};

use super::{class, HOST, KERNEL, LIMIT};

/// What is known of a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Set {
    /// Nothing: no set, or one that we have not seen before.
    Unknown = 0,
    /// A set of the host that never had a member.
    Empty = 1,
    /// A set of the host alone.
    Host = 2,
    /// Both halves, and the host half never had a member.
    Kernel = 3,
    /// Both halves.
    Both = 4,
}

const KINDS: [Set; 5] = [Set::Unknown, Set::Empty, Set::Host, Set::Kernel, Set::Both];

/// Lazily mapped, as the classes are.
static SETS: [AtomicU8; LIMIT] = [const { AtomicU8::new(0) }; LIMIT];

/// How many threads may sleep in a wait for the half of the set at a number that the thread took for all of it.
static SLEEPERS: [AtomicI32; LIMIT] = [const { AtomicI32::new(0) }; LIMIT];

/// One above the highest number that ever was a set's.
static END: AtomicU32 = AtomicU32::new(0);

fn slot(fd: usize) -> Option<&'static AtomicU8> {
    SETS.get(fd as u32 as usize)
}

/// What is known of the set at a number.
#[inline]
pub fn set_at(fd: usize) -> Set {
    let known = slot(fd).map_or(0, |slot| slot.load(Ordering::SeqCst));
    match (KINDS[known as usize], class(fd)) {
        (set @ (Set::Empty | Set::Host), HOST) | (set @ (Set::Kernel | Set::Both), KERNEL) => set,
        _ => Set::Unknown,
    }
}

/// The set at a number is this, or there is none (Unknown).
pub fn note_set(fd: usize, set: Set) {
    let Some(slot) = slot(fd) else { return };
    if set != Set::Unknown || slot.load(Ordering::Relaxed) != 0 {
        slot.store(set as u8, Ordering::SeqCst);
        END.fetch_max(fd as u32 + 1, Ordering::Relaxed);
    }
}

/// A new set of the host.
pub fn note_new_set(fd: usize) {
    note_set(fd, Set::Empty);
    if let Some(sleepers) = SLEEPERS.get(fd) {
        sleepers.store(0, Ordering::Relaxed);
    }
}

/// There is a second way to the set from here on, whose user will not tell us what is added there.
pub fn generalise(fd: usize) -> Set {
    let general = match set_at(fd) {
        Set::Empty => Set::Host,
        Set::Kernel => Set::Both,
        other => other,
    };
    note_set(fd, general);
    general
}

/// The same for all sets: a child of fork has them, too.
pub fn generalise_all() {
    numbers_of_sets().for_each(|fd| {
        generalise(fd);
    });
}

/// The numbers at which there may be a set.
pub fn numbers_of_sets() -> impl Iterator<Item = usize> {
    0..END.load(Ordering::Relaxed) as usize
}

/// Before a thread sleeps in the half of a set that it takes for all: from here on [`any_sleeper`] counts the thread. Then the
/// thread looks at the set once more.
#[inline]
pub fn begins_to_sleep(fd: usize) {
    if let Some(sleepers) = SLEEPERS.get(fd) {
        sleepers.fetch_add(1, Ordering::SeqCst);
    }
}

/// After that.
#[inline]
pub fn has_slept(fd: usize) {
    if let Some(sleepers) = SLEEPERS.get(fd) {
        sleepers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether threads may sleep so. One that a handler made leave its wait by siglongjmp counts for ever.
pub fn any_sleeper(fd: usize) -> bool {
    SLEEPERS.get(fd).is_some_and(|sleepers| sleepers.load(Ordering::SeqCst) > 0)
}

/// Whether some set with a kernel half may be a member of another one.
static ANY_NESTED: AtomicBool = AtomicBool::new(false);

/// A set with a kernel half is, or may be, a member of another one.
pub fn note_nested() {
    ANY_NESTED.store(true, Ordering::Relaxed);
}

/// Whether one is.
pub fn may_be_nested() -> bool {
    ANY_NESTED.load(Ordering::Relaxed)
}
