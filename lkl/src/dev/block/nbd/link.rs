// SPDX-License-Identifier: GPL-2.0-only
//! A connection that carries the kernel's requests: one thread sends, one receives.
//!
//! A request has a slot from submit to its completion, and the slot's number is its cookie. The thread that takes the
//! request out of its slot completes it: the receiver when the reply is there, or a thread that finds the server lost.
//! Such a thread shuts the socket down first, so nothing that is sent afterwards leaves.
//!
//! # Safety
//! A link stays where it is from [`Link::start`] until [`Link::stop`] has joined its threads.
#![allow(unsafe_code)]

use super::handshake::{disconnect, drain};
use super::patience::Patience;
use super::uri::SILENT_TIMEOUTS;
use super::wire::{move_all, receive, reply, request, REPLY_BYTES};
use super::wire::{CMD_FLAG_FUA, CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES};
use crate::dev::block::request::{complete, Iov, Request, DISCARD, EIO, FLUSH, FUA, READ, WRITE, ZERO};
use crate::sys::futex::{self, Scope};
use crate::sys::helper_thread::HelperThread;
use crate::sys::{file, socket, Errno};
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU8, Ordering::SeqCst};

/// The driver has at most so many requests.
const SLOTS: usize = 64;
/// Vectors of one request: the driver's most, and one for the header.
const VECTORS: usize = 513;
/// How long a server may take to close its end, if no thread receives any more.
const DRAIN_S: u32 = 60;
/// The threads of a connection.
const SENDER: usize = 0;
const RECEIVER: usize = 1;

pub(crate) struct Link {
    fd: i32,
    slots: [AtomicPtr<Request>; SLOTS],
    /// Slots to be sent: filled by the holder of the virtual CPU, emptied by the sender.
    order: [AtomicU8; SLOTS],
    filled: AtomicU32,
    emptied: AtomicU32,
    /// The server is lost, or not needed any more.
    over: AtomicU32,
    /// The server was told that nothing follows.
    ending: AtomicU32,
    threads: [Cell<Option<HelperThread>>; 2],
}

impl Link {
    pub(crate) fn new(fd: i32) -> Link {
        Link {
            fd,
            slots: [const { AtomicPtr::new(null_mut()) }; SLOTS],
            order: [const { AtomicU8::new(0) }; SLOTS],
            filled: AtomicU32::new(0),
            emptied: AtomicU32::new(0),
            over: AtomicU32::new(0),
            ending: AtomicU32::new(0),
            threads: [const { Cell::new(None) }; 2],
        }
    }

    /// Starts the link's threads. The link stays where it is until [`Link::stop`].
    pub(crate) fn start(&'static self) -> Result<(), Errno> {
        let at = self as *const Link as usize;
        self.threads[SENDER].set(Some(HelperThread::spawn(c"stowaway-nbd-tx", sender, at)?));
        match HelperThread::spawn(c"stowaway-nbd-rx", receiver, at) {
            Ok(thread) => self.threads[RECEIVER].set(Some(thread)),
            Err(e) => {
                self.stop();
                return Err(e);
            }
        }
        Ok(())
    }

    /// Ends the connection and its threads. No request is under way. The server closes its end when it is done with the
    /// disk, and this is waited for: the next client finds the disk free, with all that was written.
    ///
    /// False: this is one of the threads itself, which completed what the end waited for and carries on for it. They are on their
    /// way out; call again from another.
    pub(crate) fn stop(&self) -> bool {
        let is_here =
            |thread: &Cell<Option<HelperThread>>| thread.get().is_some_and(HelperThread::is_current);
        if self.over.load(SeqCst) == 0 {
            self.ending.store(1, SeqCst);
            disconnect(self.fd);
            // The receiver reads the rest of the stream, unless this is the receiver.
            match is_here(&self.threads[RECEIVER]) {
                true => drain(self.fd, Patience::seconds(DRAIN_S)),
                false => self.threads[RECEIVER].take().into_iter().for_each(HelperThread::join),
            }
        }
        self.lose();
        if self.threads.iter().any(is_here) {
            return false;
        }
        self.threads.iter().filter_map(Cell::take).for_each(HelperThread::join);
        true
    }

    /// In the child of a fork: forgets the threads, and closes the socket.
    pub(crate) fn forget(&self) {
        self.threads.iter().filter_map(Cell::take).for_each(HelperThread::forget);
        file::close(self.fd);
    }

    /// False: the server is lost. By the holder of the virtual CPU.
    pub(crate) fn submit(&self, r: *mut Request) -> bool {
        let Some(slot) = self.slots.iter().position(|s| s.load(SeqCst).is_null()) else { return false };
        self.slots[slot].store(r, SeqCst);
        // lose() sets `over`, then takes all; we the other way round
        if self.over.load(SeqCst) != 0 {
            return self.slots[slot].swap(null_mut(), SeqCst).is_null();
        }
        let at = self.filled.load(SeqCst);
        self.order[at as usize % SLOTS].store(slot as u8, SeqCst);
        self.filled.store(at.wrapping_add(1), SeqCst);
        self.wake();
        true
    }

    fn wake(&self) {
        futex::wake(&self.filled, 1, Scope::Private);
    }

    /// Every request fails, those to come as well.
    fn lose(&self) {
        self.over.store(1, SeqCst);
        socket::shutdown(self.fd, libc::SHUT_RDWR);
        for slot in &self.slots {
            let r = slot.swap(null_mut(), SeqCst);
            if !r.is_null() {
                // SAFETY: taken out of its slot: ours.
                unsafe { complete(r, EIO) };
            }
        }
        // The sender sleeps on a number that changes here; nothing is sent any more.
        self.filled.fetch_add(1, SeqCst);
        self.wake();
    }

    fn is_ending(&self) -> bool {
        self.over.load(SeqCst) != 0 || self.ending.load(SeqCst) != 0
    }

    fn is_busy(&self) -> bool {
        self.slots.iter().any(|slot| !slot.load(SeqCst).is_null())
    }

    /// The next slot to be sent; `None`: the link is over.
    fn next(&self) -> Option<usize> {
        loop {
            let (at, filled) = (self.emptied.load(SeqCst), self.filled.load(SeqCst));
            if self.over.load(SeqCst) != 0 {
                return None;
            }
            if at != filled {
                let slot = self.order[at as usize % SLOTS].load(SeqCst);
                self.emptied.store(at.wrapping_add(1), SeqCst);
                return Some(slot.into());
            }
            futex::wait(&self.filled, filled, Scope::Private);
        }
    }

    fn send(&self, slot: usize) -> Result<(), i64> {
        let r = self.slots[slot].load(SeqCst);
        if r.is_null() {
            return Ok(());
        }
        // SAFETY: kernel memory. If the server is lost meanwhile the request may be another's; the socket is shut
        // down then, and nothing of what is read here leaves.
        let r = unsafe { &*r };
        let command = match r.op {
            READ => CMD_READ,
            WRITE => CMD_WRITE,
            FLUSH => CMD_FLUSH,
            DISCARD => CMD_TRIM,
            ZERO => CMD_WRITE_ZEROES,
            _ => return Err(EIO),
        };
        let flags = if r.is(FUA) { CMD_FLAG_FUA } else { 0 };
        let (off, len) = if r.op == FLUSH { (0, 0) } else { (r.off, r.len as u32) };
        let head = request(flags, command, slot as u64, off, len);
        let mut iov = [Iov { base: 0, len: 0 }; VECTORS];
        iov[0] = Iov { base: head.as_ptr() as usize, len: head.len() };
        let mut n = 1;
        if r.op == WRITE {
            for (to, from) in iov[1..].iter_mut().zip(r.vectors()) {
                *to = *from;
                n += 1;
            }
        }
        move_all(self.fd, &mut iov[..n], libc::SYS_sendmsg, None)
    }

    /// Waits for a reply and completes its request.
    fn receive(&self) -> Result<(), i64> {
        let mut head = [0u8; REPLY_BYTES];
        let mut silent = 0;
        loop {
            match receive(self.fd, &mut head, None) {
                Ok(()) => break,
                Err(e) if e == -i64::from(libc::EAGAIN) && !self.is_ending() => {
                    silent = if self.is_busy() { silent + 1 } else { 0 };
                    // so many while there are requests: the server is lost
                    if silent >= SILENT_TIMEOUTS {
                        return Err(EIO);
                    }
                }
                Err(e) => return Err(e),
            }
        }
        let (error, cookie) = reply(&head).ok_or(EIO)?;
        let slot = self.slots.get(cookie as usize).ok_or(EIO)?;
        let request = slot.swap(null_mut(), SeqCst);
        if request.is_null() {
            return Err(EIO);
        }
        // SAFETY: taken out of its slot: ours.
        let r = unsafe { &mut *request };
        let mut status = if error > 0 { EIO } else { error };
        if status == 0 && r.op == READ {
            status = move_all(self.fd, r.vectors_mut(), libc::SYS_recvmsg, None).err().map_or(0, |_| EIO);
        }
        // SAFETY: as above.
        unsafe { complete(request, status) };
        Ok(())
    }
}

extern "C" fn sender(link: usize) {
    // SAFETY: start()'s; it is there until stop() has joined us.
    let link = unsafe { &*(link as *const Link) };
    while let Some(slot) = link.next() {
        if link.send(slot).is_err() {
            link.lose();
        }
    }
}

extern "C" fn receiver(link: usize) {
    // SAFETY: as above.
    let link = unsafe { &*(link as *const Link) };
    while link.over.load(SeqCst) == 0 {
        if link.receive().is_err() {
            link.lose();
        }
    }
}
