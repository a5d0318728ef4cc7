// SPDX-License-Identifier: GPL-2.0-only
//! The rings of io_uring (linux/io_uring.h), for one thread that submits and reaps.
//!
//! # Safety
//! The host's offsets lie in the mappings it made; both mappings live as long as the [`Ring`].
#![allow(unsafe_code)]

use crate::sys::{memory, try_call, Errno, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

/// `struct io_uring_sqe`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Entry {
    pub(crate) op: u8,
    pub(crate) sqe_flags: u8,
    pub(crate) ioprio: u16,
    pub(crate) fd: i32,
    pub(crate) off: u64,
    pub(crate) addr: u64,
    pub(crate) len: u32,
    /// RWF_*, or FSYNC's.
    pub(crate) flags: u32,
    /// Comes back with the result.
    pub(crate) what: u64,
    pub(crate) rest: [u64; 3],
}

impl Entry {
    pub(crate) const READV: u8 = 1;
    pub(crate) const WRITEV: u8 = 2;
    pub(crate) const FSYNC: u8 = 3;
    pub(crate) const FALLOCATE: u8 = 17;
    pub(crate) const READ: u8 = 22;
    pub(crate) const DATASYNC: u32 = 1;
}

/// `struct io_sqring_offsets`, `struct io_cqring_offsets`: the words before `user_addr`, and that.
#[repr(C)]
#[derive(Default)]
struct Offsets {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    rest: [u32; 4],
    user_addr: u64,
}

/// `struct io_uring_params`
#[repr(C)]
#[derive(Default)]
struct Params {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    sq_thread_cpu: u32,
    sq_thread_idle: u32,
    features: u32,
    wq_fd: u32,
    resv: [u32; 3],
    sq_off: Offsets,
    cq_off: Offsets,
}

const SETUP_SINGLE_ISSUER: u32 = 1 << 12;
const SETUP_DEFER_TASKRUN: u32 = 1 << 13;
const FEAT_SINGLE_MMAP: u32 = 1;
const OFF_SQES: usize = 0x1000_0000;
const ENTER_GETEVENTS: usize = 1;

pub(crate) struct Ring {
    fd: OwnedFd,
    rings: Shared,
    entries: Shared,
    sq: Offsets,
    cq: Offsets,
    /// Pushed, but the host was not told yet.
    unsaid: u32,
}

impl Ring {
    /// A ring of the calling thread, with a descriptor of at least `at_fd`. `most` is a power of two.
    pub(crate) fn make(most: u32, at_fd: i32) -> Result<Ring, Errno> {
        let mut params = Params { flags: SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN, ..Params::default() };
        let mut fd = setup(most, &mut params);
        if fd == Err(Errno::EINVAL) {
            // a host before 6.1
            params = Params::default();
            fd = setup(most, &mut params);
        }
        // Out of the application's way; the mappings are made by the number that stays.
        let fd = fd?.move_up(at_fd)?;
        if params.features & FEAT_SINGLE_MMAP == 0 {
            return Err(Errno::ENOSYS);
        }
        let (sq, cq) = (params.sq_off, params.cq_off);
        let array = sq.rest[2] as usize + params.sq_entries as usize * 4;
        let cqes = cq.rest[1] as usize + params.cq_entries as usize * size_of::<[u64; 2]>();
        let rings = Shared::map(&fd, array.max(cqes), 0)?;
        let entries = Shared::map(&fd, params.sq_entries as usize * size_of::<Entry>(), OFF_SQES)?;
        let ring = Ring { fd, rings, entries, sq, cq, unsaid: 0 };
        for i in 0..params.sq_entries {
            // The order of entries is that of the ring.
            ring.word(ring.sq.rest[2] + i * 4).store(i, Ordering::Relaxed);
        }
        Ok(ring)
    }

    pub(crate) fn fd(&self) -> i32 {
        self.fd.raw()
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the host's offsets lie in its mapping.
        unsafe { &*((self.rings.at + offset as usize) as *const AtomicU32) }
    }

    /// The caller has fewer in flight than there are places.
    ///
    /// # Safety
    /// What the entry points to is there until its result is reaped.
    pub(crate) unsafe fn push(&mut self, entry: Entry) {
        let tail = self.word(self.sq.tail).load(Ordering::Relaxed);
        let at = tail & self.word(self.sq.ring_mask).load(Ordering::Relaxed);
        // SAFETY: masked: within the mapping of entries; the host has taken what was there before.
        unsafe { (self.entries.at as *mut Entry).add(at as usize).write(entry) };
        self.word(self.sq.tail).store(tail.wrapping_add(1), Ordering::Release);
        self.unsaid += 1;
    }

    /// Tells the host of the pushed entries, and waits for so many results.
    pub(crate) fn enter(&mut self, wait_for: u32) {
        if wait_for == 0 && self.unsaid == 0 {
            return;
        }
        let args = [self.fd.raw() as usize, self.unsaid as usize, wait_for as usize, ENTER_GETEVENTS, 0, 0];
        // SAFETY: the callers of push() answer for what the entries point to.
        let taken = unsafe { try_call(libc::SYS_io_uring_enter, args) }.unwrap_or(0);
        self.unsaid -= taken.min(self.unsaid as usize) as u32;
    }

    /// Takes a result, if there is one: `what` of its entry, and the host's answer.
    pub(crate) fn reap(&mut self) -> Option<(u64, i32)> {
        let head = self.word(self.cq.head).load(Ordering::Relaxed);
        if head == self.word(self.cq.tail).load(Ordering::Acquire) {
            return None;
        }
        let at = head & self.word(self.cq.ring_mask).load(Ordering::Relaxed);
        let cqes = (self.rings.at + self.cq.rest[1] as usize) as *const [u64; 2];
        // SAFETY: masked: within the ring; written before the tail.
        let [what, result] = unsafe { cqes.add(at as usize).read() };
        self.word(self.cq.head).store(head.wrapping_add(1), Ordering::Release);
        Some((what, result as u32 as i32))
    }
}

/// A mapping that a ring shares with the host.
struct Shared {
    at: usize,
    len: usize,
}

impl Shared {
    fn map(fd: &OwnedFd, len: usize, offset: usize) -> Result<Shared, Errno> {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        // SAFETY: the host picks a free place. A child has no use for it.
        unsafe {
            let at = memory::map(0, len, prot, flags, fd.raw(), offset)?;
            let _ = memory::advise(at, len, libc::MADV_DONTFORK);
            Ok(Shared { at, len })
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which goes with its ring.
        unsafe { memory::unmap(self.at, self.len) };
    }
}

fn setup(most: u32, params: &mut Params) -> Result<OwnedFd, Errno> {
    let args = [most as usize, std::ptr::from_mut(params) as usize, 0, 0, 0, 0];
    // SAFETY: a live structure; a new descriptor is nobody else's.
    unsafe { try_call(libc::SYS_io_uring_setup, args).map(|fd| OwnedFd::from_raw(fd as i32)) }
}
