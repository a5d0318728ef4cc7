// SPDX-License-Identifier: GPL-2.0-only
//! Where a process has the descriptors of back ends, and of the eventfds by which their waiting threads are woken.
//!
//! A child of fork inherits them. A program that is executed, and one that joins, finds them in the store of descriptors.

use super::link::{Link, LINKS};
use crate::cpu::watch;
use crate::dev::block::{keep, store, Entry};
use crate::sys::{file, Errno, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// How many descriptors there are of all interfaces.
const OF_LINKS: usize = 2 * LINKS;
/// The same, and a file that a process leaves for the others.
pub(crate) const DESCRIPTORS: usize = OF_LINKS + 1;

/// Of each interface the back end, then of each interface the eventfd; -1: not here yet.
static FDS: [AtomicI32; OF_LINKS] = [const { AtomicI32::new(-1) }; OF_LINKS];

fn known(which: usize) -> Option<i32> {
    Some(FDS[which].load(Ordering::Acquire)).filter(|&fd| fd >= 0)
}

/// Known, or fetched from the store. The virtual CPU may be held.
fn find(which: usize) -> Option<i32> {
    known(which).or_else(|| watch::with_disks(|| known(which).or_else(|| fetch(which))))
}

fn fetch(which: usize) -> Option<i32> {
    let (fd, _) = store()?.look().ok()?.take(Entry::net(which).disk)?;
    let fd = keep(fd.into_raw());
    FDS[which].store(fd, Ordering::Release);
    Some(fd)
}

/// The descriptor of a link's back end.
pub(super) fn back_end(link: &Link) -> Option<i32> {
    find(link.index())
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

/// A new interface has this back end. Its descriptor is this process's from now on, and all others find it.
pub(crate) fn add(number: usize, fd: OwnedFd) -> Result<(), Errno> {
    let bell = file::eventfd()?;
    watch::with_disks(|| {
        for (which, fd) in [(number, fd), (LINKS + number, bell)] {
            if let Some(store) = store() {
                store.add(Entry::net(which), fd.raw())?;
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
}
