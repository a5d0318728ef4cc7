// SPDX-License-Identifier: GPL-2.0-only
//! The descriptors that all processes of an instance need: those of its images, of its bells (`dev::bells`), of the back ends of
//! its network interfaces (`dev::net`), and what passed files need (`dev::tickets`).
//!
//! A child of fork inherits descriptors, and so does a program that is executed. What a process opens later the others do
//! not have. So each image's descriptor is also sent into a socket whose both ends all of them inherit, and stays there as
//! a message: whoever needs the descriptor looks into the socket (MSG_PEEK), which makes a copy of the open file
//! description (unix(7)). Locks of the description hold as long as any process, or the message, refers to it.
//!
//! There is one message, with all of them. Whoever adds or removes one replaces the message, with a lock held.
//!
//! # Safety
//! Buffers of messages are mappings of their own: the kernel drops disks and rings bells on its own small stacks. Descriptors that
//! arrive are new, and this process's own.
#![allow(unsafe_code)]

use crate::dev::{bells, net};
use crate::sys::{file, memory, socket, Errno, OwnedFd};
use std::mem::size_of;

/// Of what the host has of passed files.
const HALVES: usize = 12;

/// Descriptors at a time, at most: of bells and chimes, of what passed files and network interfaces need, and the rest of images.
pub(crate) const MOST: usize = socket::MOST_FDS;
const _: () = assert!(MOST - (bells::ALL + 1 + HALVES + net::DESCRIPTORS) > 100, "room for images");

/// What a message says of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub(crate) struct Entry {
    /// The disk's number among all that the instance ever had, or what a bell has in its place.
    pub(crate) disk: u64,
    /// Where the disk begins in the file, bytes.
    pub(crate) start: u64,
    /// A `device::Kind` as a number.
    pub(crate) kind: u64,
}

/// The first number that is a bell's and not a disk's.
const FIRST_BELL: u64 = 1 << 63;
/// The first number that is what the host has of a passed file.
const FIRST_HALF: u64 = 3 << 62;
/// The first number that is of a network interface.
const FIRST_OF_NET: u64 = FIRST_BELL + (1 << 32);

impl Entry {
    /// The entry of a bell.
    pub(crate) fn bell(number: usize) -> Entry {
        Entry { disk: FIRST_BELL + number as u64, start: 0, kind: 0 }
    }

    /// The entry of the set of tickets (`dev::tickets`).
    pub(crate) const TICKETS: Entry = Entry { disk: FIRST_BELL + bells::ALL as u64, start: 0, kind: 0 };

    /// The entry of what the host has of a passed file.
    pub(crate) fn half(ticket: u64) -> Entry {
        Entry { disk: FIRST_HALF | ticket, start: 0, kind: 0 }
    }

    /// The entry of a descriptor that network interfaces need.
    pub(crate) fn net(number: usize) -> Entry {
        Entry { disk: FIRST_OF_NET + number as u64, start: 0, kind: 0 }
    }
}

/// Room for a message.
struct Room {
    entries: [Entry; MOST],
    fds: [i32; MOST],
}

/// What a message holds.
pub(crate) struct Contents {
    room: &'static mut Room,
    count: usize,
}

impl Contents {
    fn empty() -> Result<Contents, Errno> {
        let at = memory::map_anonymous(size_of::<Room>())? as *mut Room;
        // SAFETY: fresh memory of this size, aligned to a page, of zeros: entries, and numbers. Nobody else has it until the drop.
        let room = unsafe { &mut *at };
        room.fds.fill(-1);
        Ok(Contents { room, count: 0 })
    }

    /// The descriptor of a disk, which is the caller's, and what is said of it. All others are closed.
    pub(crate) fn take(self, disk: u64) -> Option<(OwnedFd, Entry)> {
        let at = self.room.entries[..self.count].iter().position(|entry| entry.disk == disk)?;
        let fd = std::mem::replace(&mut self.room.fds[at], -1);
        // SAFETY: it has just arrived, and the slot is empty now.
        Some((unsafe { OwnedFd::from_raw(fd) }, self.room.entries[at]))
    }

    /// The descriptor of any disk, which is the caller's, and what is said of it; `None`: there is none any more.
    pub(crate) fn take_any(&mut self) -> Option<(OwnedFd, Entry)> {
        while self.count > 0 {
            self.count -= 1;
            let fd = std::mem::replace(&mut self.room.fds[self.count], -1);
            // SAFETY: it has just arrived, and the slot is empty now.
            let fd = unsafe { OwnedFd::from_raw(fd) };
            if self.room.entries[self.count].disk < FIRST_BELL {
                return Some((fd, self.room.entries[self.count]));
            }
        }
        None
    }

    /// Takes one more. False: there are too many.
    fn add(&mut self, entry: Entry, fd: i32) -> bool {
        if self.count == MOST {
            return false;
        }
        (self.room.entries[self.count], self.room.fds[self.count]) = (entry, fd);
        self.count += 1;
        true
    }

    fn remove(&mut self, disk: u64) {
        if let Some(at) = self.room.entries[..self.count].iter().position(|entry| entry.disk == disk) {
            file::close(self.room.fds[at]);
            self.count -= 1;
            self.room.entries.copy_within(at + 1..self.count + 1, at);
            self.room.fds.copy_within(at + 1..self.count + 1, at);
            self.room.fds[self.count] = -1;
        }
    }

    fn send(&mut self, socket: i32) -> Result<(), Errno> {
        let Room { entries, fds } = &mut *self.room;
        socket::send_with_fds(socket, bytes(entries, self.count), &fds[..self.count]).map(drop)
    }

    /// Reads the message; `flags`: whether it stays (MSG_PEEK). EAGAIN: there is none.
    fn receive(socket: i32, flags: i32) -> Result<Contents, Errno> {
        let mut contents = Contents::empty()?;
        let Room { entries, fds } = &mut *contents.room;
        let (bytes, count) =
            socket::receive_with_fds(socket, bytes(entries, MOST), fds, flags | libc::MSG_DONTWAIT)?;
        contents.count = (bytes / size_of::<Entry>()).min(count);
        Ok(contents)
    }
}

impl Drop for Contents {
    fn drop(&mut self) {
        self.room.fds.iter().filter(|&&fd| fd >= 0).for_each(|&fd| file::close(fd));
        // SAFETY: empty()'s, and the value ends here.
        unsafe { memory::unmap_anonymous(std::ptr::from_mut(self.room) as usize, size_of::<Room>()) };
    }
}

/// The entries as the bytes of a message. (A message of no bytes would be none to those who look.)
fn bytes(entries: &mut [Entry; MOST], count: usize) -> &mut [u8] {
    let len = (count * size_of::<Entry>()).max(1);
    // SAFETY: plain numbers without padding, of which any bytes are valid; there is at least one entry.
    unsafe { std::slice::from_raw_parts_mut(entries.as_mut_ptr().cast(), len) }
}

/// The two ends of the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Store {
    /// Where messages are read.
    pub read: i32,
    /// Where messages are sent.
    pub write: i32,
}

impl Store {
    /// A new socket with an empty message, of two descriptors with numbers from `at_fd` up.
    pub(crate) fn make(at_fd: i32) -> Result<Store, Errno> {
        let [read, write] = socket::pair(libc::SOCK_DGRAM)?;
        let (read, write) = (read.move_up(at_fd)?, write.move_up(at_fd)?);
        Contents::empty()?.send(write.raw())?;
        Ok(Store { read: read.into_raw(), write: write.into_raw() })
    }

    /// What is there now. The descriptors are copies.
    pub(crate) fn look(self) -> Result<Contents, Errno> {
        Contents::receive(self.read, libc::MSG_PEEK)
    }

    /// Adds the descriptor of a disk. The caller holds the lock of the instance.
    pub(crate) fn add(self, entry: Entry, fd: i32) -> Result<(), Errno> {
        let copy = file::dup(fd, 0)?;
        self.replace(|contents| contents.add(entry, copy.into_raw()))
    }

    /// Removes the descriptor of a disk. The caller holds the lock of the instance.
    pub(crate) fn remove(self, disk: u64) -> Result<(), Errno> {
        self.replace(|contents| {
            contents.remove(disk);
            true
        })
    }

    fn replace(self, change: impl FnOnce(&mut Contents) -> bool) -> Result<(), Errno> {
        let mut contents = Contents::receive(self.read, 0).or_else(|e| match e {
            Errno::EAGAIN => Contents::empty(),
            e => Err(e),
        })?;
        let fits = change(&mut contents);
        contents.send(self.write)?;
        if fits {
            Ok(())
        } else {
            Err(Errno::EMFILE)
        }
    }
}

const _: () = assert!(size_of::<Entry>() * MOST == size_of::<[Entry; MOST]>());

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(disk: u64) -> Entry {
        Entry { disk, start: disk * 512, kind: 0 }
    }

    #[test]
    fn what_is_added_is_found_by_all_until_it_is_removed() {
        let store = Store::make(10).unwrap();
        assert!(store.look().unwrap().take(1).is_none());
        let file = file::memory_file(c"a", 100).unwrap();
        store.add(entry(1), file.raw()).unwrap();
        store.add(entry(2), store.read).unwrap();
        for _ in 0..3 {
            let (fd, said) = store.look().unwrap().take(1).unwrap();
            assert_eq!(said, entry(1));
            assert_eq!(file::stat_fd(fd.raw()).unwrap().st_ino, file::stat_fd(file.raw()).unwrap().st_ino);
        }
        store.remove(1).unwrap();
        assert!(store.look().unwrap().take(1).is_none());
        assert_eq!(store.look().unwrap().take(2).unwrap().1, entry(2));
        [store.read, store.write].into_iter().for_each(file::close);
    }

    #[test]
    fn no_other_descriptor_is_closed() {
        let store = Store::make(10).unwrap();
        let file = file::memory_file(c"a", 100).unwrap();
        for disk in 0..5 {
            store.add(entry(disk), file.raw()).unwrap();
            for taken in 0..=disk {
                assert!(store.look().unwrap().take(taken).is_some());
            }
            assert!(file::stat_fd(0).is_ok(), "after {disk}");
        }
        [store.read, store.write].into_iter().for_each(file::close);
    }

    #[test]
    fn too_many_are_refused_and_nothing_is_lost() {
        let store = Store::make(10).unwrap();
        for disk in 0..MOST as u64 {
            store.add(entry(disk), 0).unwrap();
        }
        assert_eq!(store.add(entry(999), 0), Err(Errno::EMFILE));
        assert!(store.look().unwrap().take(MOST as u64 - 1).is_some());
        [store.read, store.write].into_iter().for_each(file::close);
    }
}
