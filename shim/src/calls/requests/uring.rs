// SPDX-License-Identifier: GPL-2.0-only
//! io_uring of the application. The ring is the host's, and so are the results. Requests that the host could not carry out
//! rightly are found before the host looks at them: those on kernel files, those with paths, those that make or close a
//! descriptor. Each is made as a call ([`Plan`]), and becomes a request that does nothing and has the result of the call.
//!
//! A ring whose requests the host's own thread takes (IORING_SETUP_SQPOLL) shows none of them, so it is refused; so are
//! names for rings beside descriptors. Where the host cannot give a result as told (before Linux 6.10), there are no rings.

use core::ops::Range;
use core::sync::atomic::Ordering;

use super::entry::{Entry, Plan, Words, CHANGED};
use super::restrictions::{Made, SETUP_R_DISABLED};
use crate::fdtable::{self, KERNEL};
use crate::instance::enter;
use crate::sys::call::{self, args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::mem::Pages;
use crate::sys::report::say_once;
use crate::sys::rings::{self, Places, Ring};
use crate::sys::settings::settings;
use crate::sys::{fs, host, user};

// include/uapi/linux/io_uring.h
const SETUP_SQPOLL: u32 = 1 << 1;
const SETUP_SQE128: u32 = 1 << 10;
const SETUP_NO_MMAP: u32 = 1 << 14;
const SETUP_REGISTERED_FD_ONLY: u32 = 1 << 15;
const SETUP_NO_SQARRAY: u32 = 1 << 16;
/// The first of the flags that are newer than this code, up to IORING_SETUP_CQE_MIXED.
const SETUP_NEWER: u32 = 1 << 19;
const ENTER_GETEVENTS: usize = 1;
/// Another way to tell the ring than by its descriptor; another form of the last two arguments.
const ENTER_REGISTERED_RING: usize = 1 << 4;
const ENTER_OF_WAITS: usize = ENTER_GETEVENTS | 1 << 3 | 1 << 5 | 1 << 6;
const REGISTER_RING_FDS: u32 = 20;
const REGISTER_RESIZE_RINGS: u32 = 33;
const REGISTER_USE_REGISTERED_RING: u32 = 1 << 31;

/// Places in `struct io_uring_params`: the flags, the queue's offsets, the addresses of entries and of queues.
const FLAGS: usize = 8;
const QUEUE: usize = 40;
const ENTRIES_ADDRESS: usize = 72;
const QUEUE_ADDRESS: usize = 112;

/// The host gives a request the result that it is told since this version (IORING_NOP_INJECT_RESULT).
const INJECTS_SINCE: (u32, u32) = (6, 10);

/// io_uring_setup(2)
pub fn setup(c: &Call<'_>) -> Result {
    let params = c.args[1];
    let flags_at = params.wrapping_add(FLAGS);
    let Some(asked) = user::read::<u32>(flags_at).ok().filter(|_| settings().is_active()) else {
        return c.to_host();
    };
    if host::version() < INJECTS_SINCE {
        say_once!("io_uring_setup: with mounts or a network of its own, a program's rings need Linux 6.10 on the host (ENOSYS)");
        return Err(Errno::ENOSYS);
    }
    if asked & (SETUP_SQPOLL | SETUP_REGISTERED_FD_ONLY) != 0 || asked >= SETUP_NEWER {
        say_once!("io_uring_setup: flags {asked:#x}: with mounts, no ring that the host polls, or that has no descriptor (EINVAL)");
        return Err(Errno::EINVAL);
    }
    user::write(flags_at, &(asked | SETUP_R_DISABLED))?;
    let made = c.to_host();
    user::write(flags_at, &asked)?;
    let fd = made?;
    finish(fd, asked, params).inspect_err(|_| fs::close(fd as i32))
}

/// Makes a new ring one that is looked after.
fn finish(fd: usize, asked: u32, params: usize) -> Result {
    let ring = Made(fd);
    if !settings().mounts.is_empty() {
        ring.restrict().inspect_err(|_| {
            say_once!("io_uring_setup: the host cannot keep requests with paths from the mounts (ENOSYS)");
        })?;
    }
    // struct io_sqring_offsets: head, tail, mask, entries, flags, dropped, array
    let offsets: [u32; 7] = user::read(params + QUEUE)?;
    let addresses = match asked & SETUP_NO_MMAP {
        0 => [0; 2],
        _ => [user::read(params + QUEUE_ADDRESS)?, user::read(params + ENTRIES_ADDRESS)?],
    };
    let offsets = [offsets[0], offsets[1], offsets[2], offsets[6]];
    if !rings::add(fd, asked, offsets, addresses) {
        forget_closed();
        if !rings::add(fd, asked, offsets, addresses) {
            say_once!("io_uring_setup: too many rings at a time (ENFILE)");
            return Err(Errno::ENFILE);
        }
    }
    ring.enable(asked)?;
    Ok(fd)
}

/// Forgets rings whose descriptor is another file's, or nobody's.
fn forget_closed() {
    /// Without room for the answer it is EINVAL of a ring, and another error of anything else.
    const REGISTER_PROBE: usize = 8;
    rings::retain(|fd| {
        call::host(libc::SYS_io_uring_register, &args([fd, REGISTER_PROBE, 0, 0])) == Err(Errno::EINVAL)
    });
}

/// io_uring_register(2)
pub fn register(c: &Call<'_>) -> Result {
    if fdtable::class(c.args[0]) == KERNEL {
        return Err(enter::not_of_kind(c.args[0], Errno::EOPNOTSUPP));
    }
    let what = c.args[1] as u32 & !REGISTER_USE_REGISTERED_RING;
    // Programs go on without these.
    if settings().is_active() && matches!(what, REGISTER_RING_FDS | REGISTER_RESIZE_RINGS) {
        return Err(Errno::EINVAL);
    }
    c.to_host()
}

/// io_uring_enter(2)
pub fn enter(c: &Call<'_>) -> Result {
    let [fd, count, least, flags, wait, wait_size] = c.args;
    if fdtable::class(fd) == KERNEL {
        return Err(enter::not_of_kind(fd, Errno::EOPNOTSUPP));
    }
    let count = count as u32 as usize;
    let known = (count != 0 && flags & ENTER_REGISTERED_RING == 0).then(|| rings::find(fd)).flatten();
    let Some((ring, places)) = known.and_then(|ring| Some((ring, ring.places()?))) else {
        return c.to_host();
    };
    let Some(submitted) = hand_in(ring, &places, fd, count, flags & !ENTER_OF_WAITS) else {
        return c.to_host();
    };
    if submitted == Ok(count) && flags & ENTER_GETEVENTS != 0 {
        // What was handed in counts, however the wait ends.
        let _ = c.to_host_with(&[fd, 0, least, flags, wait, wait_size]);
    }
    submitted
}

/// Serves requests of the ring, and hands all to the host. None: there are none but the host's.
fn hand_in(ring: &Ring, places: &Places, fd: usize, count: usize, flags: usize) -> Option<Result> {
    let queue = Queue { ring, places };
    if !ring.is_mixed.load(Ordering::Relaxed) && !queue.any_ours(count) {
        return None;
    }
    let _guard = ring.lock.hold();
    queue.rewrite(count).map(|changed| {
        let submitted = call::host(libc::SYS_io_uring_enter, &args([fd, count, 0, flags]));
        changed.put_back(user::read(places.head).unwrap_or(changed.head));
        submitted
    })
}

/// The queue of a ring, and its entries.
struct Queue<'a> {
    ring: &'a Ring,
    places: &'a Places,
}

/// Where the next requests of a queue are.
struct Next {
    head: u32,
    mask: u32,
    count: usize,
}

impl Queue<'_> {
    /// The next requests, `count` at most. None: the queue cannot be read.
    fn next(&self, count: usize) -> Option<Next> {
        let word = |at| user::read::<u32>(at).ok();
        let (head, tail, mask) = (word(self.places.head)?, word(self.places.tail)?, word(self.places.mask)?);
        let count = count.min(tail.wrapping_sub(head) as usize).min(mask as usize + 1);
        Some(Next { head, mask, count })
    }

    /// Whether any of the next requests is to be served here. Another thread may change them meanwhile.
    fn any_ours(&self, count: usize) -> bool {
        self.next(count).is_some_and(|next| {
            (0..next.count).any(|n| self.plan(&next, n).is_some_and(|plan| plan.is_ours()))
        })
    }

    /// Serves what is to be served of the next `count` requests. None: nothing, and never before.
    fn rewrite(&self, count: usize) -> Option<Changed> {
        let next = self.next(count)?;
        let mut changed = Changed { room: None, count: 0, most: next.count, head: next.head };
        let mut n = 0;
        while n < next.count {
            let len = self.chain_length(&next, n);
            self.serve_chain(&next, n..n + len, &mut changed);
            n += len;
        }
        let is_mixed = &self.ring.is_mixed;
        if changed.count != 0 {
            is_mixed.store(true, Ordering::Relaxed);
        }
        is_mixed.load(Ordering::Relaxed).then_some(changed)
    }

    /// The address of the n-th of the next requests, and the request.
    fn entry(&self, next: &Next, n: usize) -> Option<(usize, Entry)> {
        let slot = next.head.wrapping_add(n as u32) & next.mask;
        let index = match self.ring.flags() & SETUP_NO_SQARRAY {
            0 => user::read::<u32>(self.places.array + slot as usize * size_of::<u32>()).ok()?,
            _ => slot,
        };
        let size = size_of::<Words>() << u32::from(self.ring.flags() & SETUP_SQE128 != 0);
        let at = (index <= next.mask).then(|| self.places.entries + index as usize * size)?;
        user::read(at).ok().map(|words| (at, Entry(words)))
    }

    fn plan(&self, next: &Next, n: usize) -> Option<Plan> {
        self.entry(next, n).map(|(_, entry)| entry.plan())
    }

    fn chain_length(&self, next: &Next, first: usize) -> usize {
        let is_linked = |&n: &usize| self.entry(next, n).is_some_and(|(_, entry)| entry.is_linked());
        let linked = (first..next.count).take_while(is_linked).count();
        (linked + 1).min(next.count - first)
    }

    /// Serves the requests of a chain, of which each begins when the one before has succeeded. Mostly it is one request.
    fn serve_chain(&self, next: &Next, chain: Range<usize>, changed: &mut Changed) {
        let plans = || chain.clone().map(|n| self.plan(next, n).unwrap_or(Plan::Host));
        if !plans().any(|plan| plan.is_ours()) {
            return;
        }
        let is_mixed = plans().any(|plan| plan.is_hosts());
        let mut is_broken = false;
        for n in chain.clone() {
            let Some((address, entry)) = self.entry(next, n) else { continue };
            let plan = entry.plan();
            if plan.is_hosts() || is_mixed && !plan.is_ours() {
                continue;
            }
            let result = match (is_mixed, is_broken) {
                (true, _) => Err(entry.refuse_in_mixed_chain()),
                (_, true) => Err(Errno::ECANCELED),
                _ => entry.carry_out(&plan),
            };
            is_broken |= plan.is_ours() && entry.breaks_chain(&plan, result);
            changed.replace(n, address, &entry, &entry.becomes(result, is_mixed));
        }
    }
}

/// What entries said that now say something else: the application may use an entry again without writing it anew.
struct Changed {
    room: Option<Pages>,
    count: usize,
    most: usize,
    /// The queue's head before the host looked at it.
    head: u32,
}

/// The address of an entry, its place after the head, and the words that were changed.
type Was = [u64; 2 + CHANGED.len()];

impl Changed {
    fn replace(&mut self, n: usize, at: usize, was: &Entry, now: &Entry) {
        if self.room.is_none() {
            self.room = Pages::new(self.most * size_of::<Was>()).ok();
        }
        if let Some(room) = &self.room {
            let mut row: Was = [0; 2 + CHANGED.len()];
            (row[0], row[1]) = (at as u64, n as u64);
            for (place, word) in row[2..].iter_mut().zip(CHANGED) {
                *place = was.0[word];
            }
            let _ = user::write(room.address() + self.count * size_of::<Was>(), &row);
        }
        self.count += 1;
        let _ = user::write(at, &now.0);
    }

    /// After the host has looked, up to `head`. Entries that the host did not take stay as they are: their work is done.
    fn put_back(&self, head: u32) {
        let Some(room) = &self.room else { return };
        let taken = u64::from(head.wrapping_sub(self.head));
        for n in 0..self.count {
            let Ok(row) = user::read::<Was>(room.address() + n * size_of::<Was>()) else { return };
            if row[1] >= taken {
                return;
            }
            for (word, was) in CHANGED.into_iter().zip(&row[2..]) {
                let _ = user::write(row[0] as usize + word * size_of::<u64>(), was);
            }
        }
    }
}
