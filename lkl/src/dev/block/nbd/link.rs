// SPDX-License-Identifier: GPL-2.0-only
//! A connection that carries the kernel's requests: one thread sends, one receives.
//!
//! A request has a slot from submit to its completion, and the slot's number is its cookie. The thread that takes the
//! request out of its slot completes it: the receiver when the reply is there, or a thread that finds the server lost.
//! Such a thread shuts the socket down first, so nothing that is sent afterwards leaves.
//!
//! In a kernel that processes share, the keeper has the threads ([`Link::home`]). Other processes have the state of the
//! connection mapped ([`Link::remote`]), and submit into it.
//!
//! # Safety
//! A link stays where it is from [`Link::start`] until [`Link::stop`] has joined its threads. A state is a page that only links
//! refer to, and any bytes are valid in it.
#![allow(unsafe_code)]

use super::handshake::{disconnect, drain};
use super::patience::Patience;
use super::uri::SILENT_TIMEOUTS;
use super::wire::{move_all, receive, reply, request, REPLY_BYTES};
use super::wire::{CMD_FLAG_FUA, CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES};
use crate::cpu::{members, watch};
use crate::dev::block::request::{complete, Iov, Request, DISCARD, EIO, FLUSH, FUA, READ, WRITE, ZERO};
use crate::sys::futex::{self, Scope};
use crate::sys::helper_thread::HelperThread;
use crate::sys::time::monotonic_ns;
use crate::sys::{file, socket, Errno};
use std::cell::Cell;
use std::ops::Deref;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU8, Ordering::SeqCst};

/// The driver has at most so many requests.
const SLOTS: usize = 64;
/// Vectors of one request: the driver's most, and one for the header.
const VECTORS: usize = 513;
/// How long a server may take to close its end, if no thread receives any more.
const DRAIN_S: u32 = 60;
/// How often a process that waits looks whether the keeper is there, ns.
const LOOK_NS: u64 = 20_000_000;
/// How long the keeper may take to take a connection, ns.
const HOME_NS: u64 = 10_000_000_000;
/// The threads of a connection.
const SENDER: usize = 0;
const RECEIVER: usize = 1;

/// What all processes see of a connection.
#[repr(C)]
pub(crate) struct State {
    slots: [AtomicPtr<Request>; SLOTS],
    /// Slots to be sent: filled by the holder of the virtual CPU, emptied by the sender.
    order: [AtomicU8; SLOTS],
    filled: AtomicU32,
    emptied: AtomicU32,
    /// The server is lost, or not needed any more.
    over: AtomicU32,
    /// The server was told that nothing follows.
    ending: AtomicU32,
    /// The member that has the threads, where processes share the kernel; 0: none has yet. A futex word.
    home: AtomicU32,
    /// The threads have ended, and the server has closed its end. A futex word.
    closed: AtomicU32,
}

impl State {
    /// A page of shared memory as the state of a new connection.
    pub(crate) fn reset(&self) {
        self.slots.iter().for_each(|slot| slot.store(null_mut(), SeqCst));
        for word in [&self.filled, &self.emptied, &self.over, &self.ending, &self.home, &self.closed] {
            word.store(0, SeqCst);
        }
    }
}

/// Where the threads of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In this process, which has the kernel alone.
    Here,
    /// In this process, which is the keeper of a shared kernel.
    Home,
    /// In the keeper.
    Elsewhere,
}

/// A connection as one process has it.
pub(crate) struct Link {
    fd: i32,
    place: Place,
    state: &'static State,
    threads: [Cell<Option<HelperThread>>; 2],
}

impl Deref for Link {
    type Target = State;
    fn deref(&self) -> &State {
        self.state
    }
}

impl Link {
    /// The connection of a kernel that this process has alone.
    pub(crate) fn new(fd: i32, state: &'static State) -> Link {
        Link { fd, place: Place::Here, state, threads: [const { Cell::new(None) }; 2] }
    }

    /// In the keeper: the connection of a shared kernel.
    pub(crate) fn home(fd: i32, state: &'static State) -> Link {
        Link { place: Place::Home, ..Link::new(fd, state) }
    }

    /// In another process: the keeper has the socket and the threads.
    pub(crate) fn remote(state: &'static State) -> Link {
        Link { place: Place::Elsewhere, ..Link::new(-1, state) }
    }

    /// Whether other processes cannot use the connection.
    pub(crate) fn is_alone(&self) -> bool {
        self.place == Place::Here
    }

    pub(crate) fn is_remote(&self) -> bool {
        self.place == Place::Elsewhere
    }

    /// Whether the keeper that has the threads is there.
    fn has_home(&self) -> bool {
        let home = self.home.load(SeqCst);
        home != 0 && watch::keeper() == home
    }

    /// Waits until the keeper has the threads. False: it does not take the connection.
    pub(crate) fn wait_for_home(&self) -> bool {
        futex::wait_while(&self.home, 0, monotonic_ns() + HOME_NS, Scope::Shared)
    }

    /// Starts the link's threads, where they belong to this process. The link stays where it is until [`Link::stop`].
    pub(crate) fn start(&'static self) -> Result<(), Errno> {
        if self.is_remote() {
            return Ok(());
        }
        let at = self as *const Link as usize;
        self.threads[SENDER].set(Some(HelperThread::spawn(c"stowaway-nbd-tx", sender, at)?));
        match HelperThread::spawn(c"stowaway-nbd-rx", receiver, at) {
            Ok(thread) => self.threads[RECEIVER].set(Some(thread)),
            Err(e) => {
                self.stop();
                return Err(e);
            }
        }
        if self.place == Place::Home {
            self.home.store(members::me(), SeqCst);
            futex::wake_all(&raw const self.home, Scope::Shared);
        }
        Ok(())
    }

    /// Ends the connection and its threads. No request is under way. The server closes its end when it is done with the
    /// disk, and this is waited for: the next client finds the disk free, with all that was written.
    ///
    /// False: this is one of the threads itself, which completed what the end waited for and carries on for it. They are on their
    /// way out; call again from another.
    pub(crate) fn stop(&self) -> bool {
        if self.is_remote() {
            let until = monotonic_ns() + u64::from(DRAIN_S) * 1_000_000_000;
            let is_closed = || futex::wait_while(&self.closed, 0, monotonic_ns() + LOOK_NS, Scope::Shared);
            while self.has_home() && monotonic_ns() < until && !is_closed() {}
            return true;
        }
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
        self.closed.store(1, SeqCst);
        futex::wake_all(&raw const self.closed, Scope::Shared);
        true
    }

    /// In the child of a fork: forgets the threads, and closes the socket.
    pub(crate) fn forget(&self) {
        self.threads.iter().filter_map(Cell::take).for_each(HelperThread::forget);
        if !self.is_remote() {
            file::close(self.fd);
        }
    }

    /// False: the server is lost. By the holder of the virtual CPU.
    ///
    /// # Safety
    /// The request is the host's. After true, it is the threads'.
    pub(crate) unsafe fn submit(&self, r: *mut Request) -> bool {
        if !self.is_alone() {
            if !self.has_home() {
                return false;
            }
            // If this process dies, its requests of the disk are still under way.
            // SAFETY: the caller's promise.
            unsafe { (*r).taker = self.home.load(SeqCst) };
        }
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
        futex::wake(&self.filled, 1, Scope::Shared);
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
            futex::wait(&self.filled, filled, Scope::Shared);
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
