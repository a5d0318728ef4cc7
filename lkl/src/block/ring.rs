// SPDX-License-Identifier: GPL-2.0-only
//! The rings of io_uring (linux/io_uring.h), for one thread that submits and reaps.

use crate::sys::host;
use crate::Errno;
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
    fd: i32,
    rings: usize,
    rings_bytes: usize,
    entries: usize,
    entries_bytes: usize,
    sq: Offsets,
    cq: Offsets,
    /// Pushed, but the host was not told yet.
    unsaid: u32,
}

impl Ring {
    /// A ring of the calling thread. `most` is a power of two.
    pub(crate) fn make(most: u32) -> Result<Ring, Errno> {
        let mut params = Params { flags: SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN, ..Params::default() };
        let mut fd = setup(most, &mut params);
        if fd == Err(Errno(libc::EINVAL)) {
            // a host before 6.1
            params = Params::default();
            fd = setup(most, &mut params);
        }
        let fd = fd?;
        let close = || drop_fd(fd);
        if params.features & FEAT_SINGLE_MMAP == 0 {
            close();
            return Err(Errno(libc::ENOSYS));
        }
        let (sq, cq) = (params.sq_off, params.cq_off);
        let array = sq.rest[2] as usize + params.sq_entries as usize * 4;
        let cqes = cq.rest[1] as usize + params.cq_entries as usize * size_of::<[u64; 2]>();
        let rings_bytes = array.max(cqes);
        let entries_bytes = params.sq_entries as usize * size_of::<Entry>();
        let rings = map(fd, rings_bytes, 0).inspect_err(|_| close())?;
        let entries = map(fd, entries_bytes, OFF_SQES).inspect_err(|_| close())?;
        let ring = Ring { fd, rings, rings_bytes, entries, entries_bytes, sq, cq, unsaid: 0 };
        for i in 0..params.sq_entries {
            // The order of entries is that of the ring.
            ring.word(ring.sq.rest[2] + i * 4).store(i, Ordering::Relaxed);
        }
        Ok(ring)
    }

    pub(crate) fn fd(&self) -> i32 {
        self.fd
    }

    /// The descriptor has another number now.
    pub(crate) fn move_to(&mut self, fd: i32) {
        self.fd = fd;
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the host's offsets lie in its mapping.
        unsafe { &*((self.rings + offset as usize) as *const AtomicU32) }
    }

    /// The caller has fewer in flight than there are places.
    pub(crate) fn push(&mut self, entry: Entry) {
        let tail = self.word(self.sq.tail).load(Ordering::Relaxed);
        let at = tail & self.word(self.sq.ring_mask).load(Ordering::Relaxed);
        // SAFETY: masked: within the mapping of entries; the host has taken what was there before.
        unsafe { (self.entries as *mut Entry).add(at as usize).write(entry) };
        self.word(self.sq.tail).store(tail.wrapping_add(1), Ordering::Release);
        self.unsaid += 1;
    }

    /// Tells the host of what was pushed, and waits for so many results.
    pub(crate) fn enter(&mut self, wait_for: u32) {
        if wait_for == 0 && self.unsaid == 0 {
            return;
        }
        let args = [self.fd as usize, self.unsaid as usize, wait_for as usize, ENTER_GETEVENTS, 0, 0];
        let taken = host(libc::SYS_io_uring_enter, args);
        self.unsaid -= taken.clamp(0, self.unsaid as isize) as u32;
    }

    /// A result, if there is one: what was given with the entry, and the host's answer.
    pub(crate) fn reap(&mut self) -> Option<(u64, i32)> {
        let head = self.word(self.cq.head).load(Ordering::Relaxed);
        if head == self.word(self.cq.tail).load(Ordering::Acquire) {
            return None;
        }
        let at = head & self.word(self.cq.ring_mask).load(Ordering::Relaxed);
        let cqes = (self.rings + self.cq.rest[1] as usize) as *const [u64; 2];
        // SAFETY: masked: within the ring; written before the tail.
        let [what, result] = unsafe { cqes.add(at as usize).read() };
        self.word(self.cq.head).store(head.wrapping_add(1), Ordering::Release);
        Some((what, result as u32 as i32))
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        crate::sys::unmap(self.rings, self.rings_bytes);
        crate::sys::unmap(self.entries, self.entries_bytes);
    }
}

fn drop_fd(fd: i32) {
    host(libc::SYS_close, [fd as usize, 0, 0, 0, 0, 0]);
}

fn setup(most: u32, params: &mut Params) -> Result<i32, Errno> {
    let args = [most as usize, params as *mut Params as usize, 0, 0, 0, 0];
    Errno::check(host(libc::SYS_io_uring_setup, args)).map(|fd| fd as i32)
}

fn map(fd: i32, len: usize, off: usize) -> Result<usize, Errno> {
    let prot = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    let flags = (libc::MAP_SHARED | libc::MAP_POPULATE) as usize;
    let at = Errno::check(host(libc::SYS_mmap, [0, len, prot, flags, fd as usize, off]))?;
    // A child has no use for it.
    host(libc::SYS_madvise, [at, len, libc::MADV_DONTFORK as usize, 0, 0, 0]);
    Ok(at)
}
