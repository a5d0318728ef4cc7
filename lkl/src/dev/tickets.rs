// SPDX-License-Identifier: GPL-2.0-only
//! Tickets: what the host carries in the place of a file of the kernel that is passed to another process (unix(7), SCM_RIGHTS;
//! overlay, `kernel/passing.c`).
//!
//! A ticket is an AF_UNIX stream socket without a peer. Who gets it and does not know what to do with it can neither read it
//! (EINVAL) nor write it (ENOTCONN), map it or open it again. SO_COOKIE, a number that the host gives no second socket, says
//! which one it is.
//!
//! All tickets of an instance are in one epoll set, which all its processes have. A set has no hold on its members: a socket
//! that no process has open, and that is in no message, is in no set. And a socket without a peer is always ready (EPOLLHUP). So a
//! look at the set tells which tickets exist.
//!
//! What the host has of a passed file beside (half of an epoll set, an inotify descriptor) is in the store of descriptors
//! meanwhile.
//!
//! # Safety
//! The kernel's side runs on kernel stacks, with the CPU held. Buffers are the caller's, alive during the call.
#![allow(unsafe_code)]

use crate::cpu::watch;
use crate::dev::block::{keep, store, Entry};
use crate::sys::{self, socket, Errno, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// `struct lkl_ticket`: as `struct epoll_event`.
#[derive(Clone, Copy)]
#[repr(C, packed)]
pub(crate) struct Ticket {
    events: u32,
    ticket: u64,
}

/// `struct lkl_ticket`, for the comparison with the kernel's.
#[cfg(test)]
pub(crate) const LAYOUT: &[sys::layout::Row] =
    sys::layout::layout_rows!("lkl_ticket" = Ticket { events, ticket });

/// Where this process has the set; -1: not yet.
static SET: AtomicI32 = AtomicI32::new(-1);

fn known() -> Option<i32> {
    Some(SET.load(Ordering::Acquire)).filter(|&fd| fd >= 0)
}

fn remember(fd: OwnedFd) -> i32 {
    let fd = keep(fd.into_raw());
    SET.store(fd, Ordering::Release);
    fd
}

/// Another process, or another thread, has made the set.
fn find() -> Option<i32> {
    known().or_else(|| store()?.look().ok()?.take(Entry::TICKETS.disk).map(|(fd, _)| remember(fd)))
}

fn make() -> Result<i32, Errno> {
    // SAFETY: plain numbers; a new descriptor is nobody else's.
    let made = unsafe {
        let args = [libc::EPOLL_CLOEXEC as usize, 0, 0, 0, 0, 0];
        OwnedFd::from_raw(sys::try_call(libc::SYS_epoll_create1, args)? as i32)
    };
    if let Some(store) = store() {
        store.add(Entry::TICKETS, made.raw())?;
    }
    Ok(remember(made))
}

/// The number of a ticket.
pub(crate) fn number(ticket: i32) -> Result<u64, Errno> {
    socket::cookie(ticket)
}

/// Makes a socket of the caller's a ticket; its number. The CPU is not held.
pub(crate) fn add(ticket: i32) -> Result<u64, Errno> {
    let set = known().map_or_else(|| watch::with_disks(|| find().map_or_else(make, Ok)), Ok)?;
    let number = number(ticket)?;
    let event = Ticket { events: libc::EPOLLHUP as u32, ticket: number };
    let at = &raw const event as usize;
    let args = [set as usize, libc::EPOLL_CTL_ADD as usize, ticket as usize, at, 0, 0];
    // SAFETY: a live structure, which is read.
    unsafe { sys::try_call(libc::SYS_epoll_ctl, args) }?;
    Ok(number)
}

/// Keeps what the host has of a file that is passed, until the ticket is no more.
pub(crate) fn keep_half(ticket: u64, half: i32) -> Result<(), Errno> {
    let store = store().ok_or(Errno::EINVAL)?;
    watch::with_disks(|| store.add(Entry::half(ticket), half))
}

/// What was kept, as a copy of the caller's.
pub(crate) fn half(ticket: u64) -> Result<OwnedFd, Errno> {
    let found = watch::with_disks(|| store().ok_or(Errno::ENOENT)?.look())?;
    found.take(Entry::half(ticket).disk).map(|(fd, _)| fd).ok_or(Errno::ENOENT)
}

/// `ops.tickets`
pub(crate) unsafe extern "C" fn existing(to: *mut Ticket, most: u32) -> i64 {
    let Some(set) = known().or_else(|| watch::with_disks(find)) else { return -i64::from(libc::EBADF) };
    let args = [set as usize, to as usize, most as usize, 0, 0, 0];
    // SAFETY: the kernel's memory, of this size.
    let n = unsafe { sys::try_call(libc::SYS_epoll_wait, args) };
    n.map_or_else(|e| -i64::from(e.into_raw()), |n| n as i64)
}

/// `ops.ticket_gone`
pub(crate) unsafe extern "C" fn gone(ticket: u64) {
    if let Some(store) = store() {
        let _ = watch::with_disks(|| store.remove(Entry::half(ticket).disk));
    }
}

/// In the child of a fork that does not go on with its parent's kernel, and after the end of a kernel: the descriptor is
/// somebody else's to close.
pub(crate) fn forget() {
    SET.store(-1, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::file;

    fn socket() -> OwnedFd {
        socket::stream(libc::AF_UNIX).unwrap()
    }

    fn all() -> Vec<u64> {
        let mut found = [Ticket { events: 0, ticket: 0 }; 8];
        // SAFETY: a live array of this size.
        let n = unsafe { existing(found.as_mut_ptr(), found.len() as u32) };
        let mut numbers: Vec<u64> = found[..n as usize].iter().map(|ticket| ticket.ticket).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn a_ticket_exists_as_long_as_a_process_or_a_message_has_it() {
        let (first, second) = (socket(), socket());
        let numbers = [add(first.raw()).unwrap(), add(second.raw()).unwrap()];
        assert!(numbers[0] < numbers[1]);
        assert_eq!(all(), numbers);
        let copy = file::dup(first.raw(), 0).unwrap();
        drop(first);
        assert_eq!(all(), numbers);
        assert_eq!(number(copy.raw()), Ok(numbers[0]));
        let [read, write] = socket::pair(libc::SOCK_DGRAM).unwrap();
        socket::send_with_fds(write.raw(), b"a", &[copy.raw()]).unwrap();
        drop((copy, second));
        assert_eq!(all(), numbers[..1]);
        drop(read);
        assert_eq!(all(), []);
        forget();
    }

    #[test]
    fn nobody_reads_or_writes_a_ticket() {
        let ticket = socket();
        assert_eq!(file::read(ticket.raw(), &mut [0; 8]), Err(Errno::EINVAL));
        assert_eq!(file::write(ticket.raw(), b"a"), Err(Errno::ENOTCONN));
    }
}
