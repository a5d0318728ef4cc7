// SPDX-License-Identifier: GPL-2.0-only
//! Futexes of the host, and a mutex over them.
//!
//! # Safety
//! The host only reads the word. A wake-up of a word that is gone is harmless: it fails, or wakes a stranger's wait,
//! which looks again.
#![allow(unsafe_code)]

use super::call::call;
use super::helper_stacks;
use super::time::monotonic_ns;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Which threads may wait on the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Threads of this process.
    Private,
    /// Every process that has mapped the word.
    Shared,
}

impl Scope {
    const fn flag(self) -> i32 {
        match self {
            Scope::Private => libc::FUTEX_PRIVATE_FLAG,
            Scope::Shared => 0,
        }
    }
}

/// Threads of the program may make no such call: see [`forbid`].
static IS_FORBIDDEN: AtomicBool = AtomicBool::new(false);
/// How often a helper thread looks at a word that a thread of the program cannot wake, ns.
const LOOK_NS: u64 = 2_000_000;
/// How long a thread of the program that may not sleep looks at nothing.
const PAUSES: u32 = 200;

/// The program's threads have a filter (seccomp) that forbids futex(2). From now on they wait by looking, and wake nobody. Helper
/// threads, which have no filter, look now and then.
pub fn forbid() {
    IS_FORBIDDEN.store(true, Ordering::SeqCst);
}

/// Whether [`forbid`] was called, and the calling thread is not a helper thread.
#[inline]
pub fn is_forbidden() -> bool {
    IS_FORBIDDEN.load(Ordering::Relaxed) && !helper_stacks::is_on_one()
}

/// The wait of a process in which [`forbid`] was called; false: there is none.
#[inline]
fn wait_by_looking(word: &AtomicU32, value: u32, until_ns: u64, scope: Scope) -> bool {
    if !IS_FORBIDDEN.load(Ordering::Relaxed) {
        return false;
    }
    match helper_stacks::is_on_one() {
        true => wait_on_host(word, value, until_ns.min(monotonic_ns() + LOOK_NS), scope),
        false => (0..PAUSES).for_each(|_| std::hint::spin_loop()),
    }
    true
}

/// Sleeps while the word has this value; may return early.
pub fn wait(word: &AtomicU32, value: u32, scope: Scope) {
    if wait_by_looking(word, value, u64::MAX, scope) {
        return;
    }
    let op = (libc::FUTEX_WAIT | scope.flag()) as usize;
    // SAFETY: the host reads a live word.
    unsafe { call(libc::SYS_futex, [word.as_ptr() as usize, op, value as usize, 0, 0, 0]) };
}

/// Sleeps while the word has this value, until `until_ns` of CLOCK_MONOTONIC at most; may return early.
pub fn wait_until(word: &AtomicU32, value: u32, until_ns: u64, scope: Scope) {
    if !wait_by_looking(word, value, until_ns, scope) {
        wait_on_host(word, value, until_ns, scope);
    }
}

fn wait_on_host(word: &AtomicU32, value: u32, until_ns: u64, scope: Scope) {
    let until = libc::timespec {
        tv_sec: (until_ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (until_ns % 1_000_000_000) as libc::c_long,
    };
    // FUTEX_WAIT_BITSET's timeout is a point in time, FUTEX_WAIT's a duration.
    let (op, all) = ((libc::FUTEX_WAIT_BITSET | scope.flag()) as usize, u32::MAX as usize);
    let args = [word.as_ptr() as usize, op, value as usize, &raw const until as usize, 0, all];
    // SAFETY: the host reads a live word and a live timespec.
    unsafe { call(libc::SYS_futex, args) };
}

/// Sleeps while the word has this value, until `until_ns` of CLOCK_MONOTONIC at most. Whether it has another value.
pub fn wait_while(word: &AtomicU32, value: u32, until_ns: u64, scope: Scope) -> bool {
    while word.load(Ordering::SeqCst) == value && monotonic_ns() < until_ns {
        wait_until(word, value, until_ns, scope);
    }
    word.load(Ordering::SeqCst) != value
}

/// Wakes all threads that sleep on the word, which may be gone.
pub fn wake_all(word: *const AtomicU32, scope: Scope) {
    wake(word, i32::MAX as u32, scope);
}

/// Wakes up to `count` threads that sleep on the word, which may be gone.
pub fn wake(word: *const AtomicU32, count: u32, scope: Scope) {
    if is_forbidden() {
        return;
    }
    let op = (libc::FUTEX_WAKE | scope.flag()) as usize;
    // SAFETY: the host touches no memory for this.
    unsafe { call(libc::SYS_futex, [word as usize, op, count as usize, 0, 0, 0]) };
}

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// A mutex of one process, not recursive (after Drepper, "Futexes are tricky", mutex 2). It guards what its owner says
/// it guards. std's mutex calls the host by libc, past the gate.
#[derive(Debug)]
pub struct Lock(AtomicU32);

/// Holds a [`Lock`] until dropped.
#[derive(Debug)]
#[must_use]
pub struct LockGuard<'a>(&'a Lock);

impl Lock {
    /// A free lock.
    #[allow(clippy::new_without_default)] // a lock is a static
    pub const fn new() -> Lock {
        Lock(AtomicU32::new(FREE))
    }

    /// Waits for the lock and takes it.
    pub fn hold(&self) -> LockGuard<'_> {
        if self.0.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_err() {
            while self.0.swap(CONTENDED, Ordering::Acquire) != FREE {
                wait(&self.0, CONTENDED, Scope::Private);
            }
        }
        LockGuard(self)
    }

    /// In the only thread of a fork's child: a thread that held the lock is not here.
    pub fn reset(&self) {
        self.0.store(FREE, Ordering::Relaxed);
    }
}

impl Drop for LockGuard<'_> {
    fn drop(&mut self) {
        if self.0 .0.swap(FREE, Ordering::Release) == CONTENDED {
            wake(&raw const self.0 .0, 1, Scope::Private);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn one_thread_at_a_time_holds_the_lock() {
        static LOCK: Lock = Lock::new();
        let (inside, total) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let _guard = LOCK.hold();
                        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                        total.fetch_add(1, Ordering::Relaxed);
                        inside.fetch_sub(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 40_000);
    }

    #[test]
    fn a_wait_ends_at_its_time() {
        let word = AtomicU32::new(5);
        wait(&word, 4, Scope::Private);
        let until = crate::sys::time::monotonic_ns() + 2_000_000;
        while crate::sys::time::monotonic_ns() < until {
            wait_until(&word, 5, until, Scope::Shared);
        }
    }
}
