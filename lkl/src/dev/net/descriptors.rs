// SPDX-License-Identifier: GPL-2.0-only
//! Where a process has the descriptors of back ends, of the eventfds by which their waiting threads are woken, and of the files that
//! frames are written to.
//!
//! A child of fork inherits them. A program that is executed, and one that joins, finds them in the store of descriptors.

use super::link::{Link, LINKS};
use crate::cpu::watch;
use crate::dev::block::{keep, store, Entry};
use crate::sys::{file, Errno, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// How many descriptors there are of all interfaces.
const OF_LINKS: usize = 3 * LINKS;
/// The same, and a file that a process leaves for the others.
pub(crate) const DESCRIPTORS: usize = OF_LINKS + 1;

/// Of each interface the back end, then of each interface the eventfd, then of each interface the file that frames are written to;
/// -1: not here yet.
static FDS: [AtomicI32; OF_LINKS] = [const { AtomicI32::new(-1) }; OF_LINKS];
/// Which of its back ends the descriptor of an interface is of ([`Link::generation`]).
static GENERATIONS: [AtomicU32; LINKS] = [const { AtomicU32::new(0) }; LINKS];
/// Which interface of its file an interface is.
static CAPTURES: [AtomicU32; LINKS] = [const { AtomicU32::new(0) }; LINKS];

fn known(which: usize) -> Option<i32> {
    Some(FDS[which].load(Ordering::Acquire)).filter(|&fd| fd >= 0)
}

/// Known, or fetched from the store. The virtual CPU may be held.
fn find(which: usize) -> Option<i32> {
    known(which).or_else(|| watch::with_disks(|| known(which).or_else(|| fetch(which))))
}

fn look(which: usize) -> Option<(OwnedFd, Entry)> {
    store()?.look().ok()?.take(Entry::net(which).disk)
}

fn fetch(which: usize) -> Option<i32> {
    let (fd, entry) = look(which)?;
    if which >= 2 * LINKS {
        CAPTURES[which - 2 * LINKS].store(entry.start as u32, Ordering::Release);
    }
    let fd = keep(fd.into_raw());
    FDS[which].store(fd, Ordering::Release);
    Some(fd)
}

/// The descriptor of a link's back end.
pub(super) fn back_end(link: &Link) -> Option<i32> {
    let (number, wanted) = (link.index(), link.generation.load(Ordering::Acquire));
    let is_of = || GENERATIONS[number].load(Ordering::Acquire) == wanted;
    known(number).filter(|_| is_of()).or_else(|| {
        watch::with_disks(|| match known(number) {
            Some(fd) if is_of() => Some(fd),
            Some(fd) => fetch_again(number, fd, wanted),
            None => {
                // If the back end changes meanwhile, it is fetched once more.
                GENERATIONS[number].store(wanted, Ordering::Release);
                fetch(number)
            }
        })
    })
}

/// The number stays: a thread may be about to use it.
fn fetch_again(number: usize, fd: i32, generation: u32) -> Option<i32> {
    file::dup_onto(look(number)?.0.raw(), fd).ok()?;
    GENERATIONS[number].store(generation, Ordering::Release);
    Some(fd)
}

/// A link that is not up has this back end from now on, or a socket that waits for one. False: somebody else was faster.
pub(super) fn replace(link: &Link, new: &OwnedFd, may: impl FnOnce() -> bool) -> Result<bool, Errno> {
    let number = link.index();
    watch::with_disks(|| {
        if link.is_up() || !may() {
            return Ok(false);
        }
        if let Some(store) = store() {
            store.remove(Entry::net(number).disk)?;
            store.add(Entry::net(number), new.raw())?;
        }
        if let Some(fd) = known(number) {
            file::dup_onto(new.raw(), fd)?;
        }
        let generation = link.generation.load(Ordering::Acquire).wrapping_add(1);
        GENERATIONS[number].store(generation, Ordering::Release);
        link.generation.store(generation, Ordering::Release);
        Ok(true)
    })
}

/// The file that a link's frames are written to, and which of the file's interfaces the link is.
pub(super) fn capture(link: &Link) -> Option<(i32, u32)> {
    let fd = find(2 * LINKS + link.index())?;
    Some((fd, CAPTURES[link.index()].load(Ordering::Acquire)))
}

/// The descriptor that the link's waiting thread listens to.
pub(super) fn bell(link: &Link) -> Option<i32> {
    find(LINKS + link.index())
}

/// The link's waiting thread is to look again.
pub(super) fn ring(link: &Link) {
    if let Some(bell) = bell(link) {
        let _ = file::write(bell, &1u64.to_ne_bytes());
    }
}

/// A new interface has this back end, and its frames are written to this file, of which it is the interface with that number. The
/// descriptors are this process's from now on, and all others find them.
pub(crate) fn add(number: usize, fd: OwnedFd, capture: Option<(OwnedFd, u32)>) -> Result<(), Errno> {
    let bell = file::eventfd()?;
    let mut all = vec![(number, fd, 0), (LINKS + number, bell, 0)];
    if let Some((file, id)) = capture {
        CAPTURES[number].store(id, Ordering::Release);
        all.push((2 * LINKS + number, file, id));
    }
    watch::with_disks(|| {
        for (which, fd, start) in all {
            if let Some(store) = store() {
                store.add(Entry { start: start.into(), ..Entry::net(which) }, fd.raw())?;
            }
            FDS[which].store(keep(fd.into_raw()), Ordering::Release);
        }
        Ok(())
    })
}

/// Leaves a file for all processes of the instance.
pub(crate) fn leave_file(fd: i32) -> Result<(), Errno> {
    watch::with_disks(|| store().map_or(Ok(()), |store| store.add(Entry::net(OF_LINKS), fd)))
}

/// A copy of the descriptor of the file that was left.
pub(crate) fn left_file() -> Option<OwnedFd> {
    watch::with_disks(|| Some(store()?.look().ok()?.take(Entry::net(OF_LINKS).disk)?.0))
}

/// In the child of a fork that does not go on with its parent's kernel, and after the end of a kernel.
pub(super) fn close_all() {
    for fd in &FDS {
        let fd = fd.swap(-1, Ordering::AcqRel);
        if fd >= 0 {
            file::close(fd);
        }
    }
    GENERATIONS.iter().for_each(|generation| generation.store(0, Ordering::Release));
}
