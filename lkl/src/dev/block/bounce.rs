// SPDX-License-Identifier: GPL-2.0-only
//! Reads into memory of the kernel's that the host has not made yet.
//!
//! The host makes a page of the memory file when it is first touched. If a read of an image touches the page, the host makes
//! it by a fault amid its copy, with zeroes first. A write to the memory file makes the same page for half of the cost, and a
//! later fault maps 16 such pages at once. So a read for such pages goes by a small buffer, the bounce buffer. Which pages
//! are new is a guess; the contents of the pages do not depend on it.
//!
//! # Safety
//! The map of pages and the buffers are there as long as `RAM` is set. A buffer is its taker's alone.
#![allow(unsafe_code)]

use super::queue::MAX_WORKERS;
use super::request::{moved, Iov, Request};
use crate::instance::region::Region;
use crate::sys::process::file_size_limit;
use crate::sys::{call, file, memory, Errno, PAGE};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU8, AtomicUsize};

/// A buffer: less than a processor's own cache.
const BUFFER: usize = 64 << 10;
/// A buffer for each worker and for the thread that holds the virtual CPU. A thread that finds none reads directly.
const BUFFERS: usize = MAX_WORKERS + 1;
/// A request of less is not worth another call.
const LEAST: u64 = 32 << 10;

/// The memory file; -1: there is none.
static FILE: AtomicI32 = AtomicI32::new(-1);
/// Where the memory file's start is mapped.
static BASE: AtomicUsize = AtomicUsize::new(0);
/// Where the kernel's RAM begins and ends.
static RAM: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
/// A byte for each page of RAM, then the buffers. A byte is not 0 if something was read into its page.
static ROOM: AtomicUsize = AtomicUsize::new(0);
/// A bit for each buffer in use.
static TAKEN: AtomicU32 = AtomicU32::new(0);

/// Before the first request to a new kernel.
pub(crate) fn start(region: &Region) -> Result<(), Errno> {
    ROOM.store(memory::map_anonymous(room_len(region.ram.len()))?, Relaxed);
    BASE.store(region.base(), Relaxed);
    RAM[0].store(region.ram.start, Relaxed);
    RAM[1].store(region.ram.end, Relaxed);
    FILE.store(region.fd(), Relaxed);
    Ok(())
}

/// The memory file has another descriptor.
pub(crate) fn move_fd(to: i32) {
    FILE.store(to, Relaxed);
}

/// The kernel has ended, or is another process's. No request is under way.
pub(crate) fn end() {
    FILE.store(-1, Relaxed);
    TAKEN.store(0, Relaxed);
    let ram = RAM[1].swap(0, Relaxed) - RAM[0].swap(0, Relaxed);
    match ROOM.swap(0, Relaxed) {
        0 => {}
        // SAFETY: no request is under way: nobody has a buffer.
        room => unsafe { memory::unmap_anonymous(room, room_len(ram)) },
    }
}

/// In the child of a fork that goes on with its parent's kernel: the parent's threads, which may have buffers, are not here.
pub(crate) fn reset_in_child() {
    TAKEN.store(0, Relaxed);
}

/// Notes that the host has this memory again.
pub(crate) fn released(at: usize, len: usize) {
    pages(at, len).iter().for_each(|page| page.store(0, Relaxed));
}

/// Whether the application has not limited the size of files meanwhile: to go beyond that is deadly.
fn may_write() -> bool {
    let end = RAM[1].load(Relaxed) - BASE.load(Relaxed);
    file_size_limit() >= end as u64
}

fn pages_len(ram: usize) -> usize {
    (ram / PAGE).next_multiple_of(PAGE)
}

fn room_len(ram: usize) -> usize {
    pages_len(ram) + BUFFERS * BUFFER
}

/// The bytes of the pages in `at..at + len`, as far as that is RAM.
fn pages(at: usize, len: usize) -> &'static [AtomicU8] {
    let (start, end) = (RAM[0].load(Relaxed), RAM[1].load(Relaxed));
    let (first, last) = (at.max(start), (at + len).min(end));
    if first >= last {
        return &[];
    }
    let byte = ROOM.load(Relaxed) + (first - start) / PAGE;
    // SAFETY: the room has a byte for each page of RAM, and is there as long as RAM is set.
    unsafe { std::slice::from_raw_parts(byte as *const AtomicU8, (last - first).div_ceil(PAGE)) }
}

/// A buffer, taken by one thread for one request.
pub(crate) struct BounceBuffer {
    buffer: usize,
}

impl BounceBuffer {
    /// For the rest of a request; `None`: the direct way is the better one.
    pub(crate) fn for_read(r: &Request) -> Option<BounceBuffer> {
        let fresh = |v: &Iov| pages(v.base, v.len).iter().any(|page| page.load(Relaxed) == 0);
        if r.len < LEAST || FILE.load(Relaxed) < 0 || !r.vectors().iter().any(fresh) || !may_write() {
            return None;
        }
        let mut taken = TAKEN.load(Relaxed);
        loop {
            let buffer = (!taken).trailing_zeros() as usize;
            if buffer >= BUFFERS {
                return None;
            }
            match TAKEN.compare_exchange_weak(taken, taken | 1 << buffer, Acquire, Relaxed) {
                Ok(_) => return Some(BounceBuffer { buffer }),
                Err(now) => taken = now,
            }
        }
    }

    /// Reads the next bytes of the request, at most a buffer full.
    pub(crate) fn read(&self, r: &mut Request, flags: i32) -> Result<(), i64> {
        let ram = RAM[1].load(Relaxed) - RAM[0].load(Relaxed);
        let buffer = ROOM.load(Relaxed) + pages_len(ram) + self.buffer * BUFFER;
        let left: usize = r.vectors().iter().map(|v| v.len).sum();
        let to = Iov { base: buffer, len: left.min(BUFFER) };
        let args = [r.fd as usize, &raw const to as usize, 1, r.off as usize, 0, flags as usize];
        // SAFETY: the vector is our own buffer.
        let got = moved(unsafe { call(libc::SYS_preadv2, args) })?;
        let mut at = buffer;
        while at < buffer + got {
            let (to, len) = first_run(r.vectors(), buffer + got - at);
            put(at, to, len);
            r.advance(len);
            at += len;
        }
        Ok(())
    }
}

impl Drop for BounceBuffer {
    fn drop(&mut self) {
        TAKEN.fetch_and(!(1 << self.buffer), Release);
    }
}

/// Where the vectors begin, and how far, up to `most`, they go on without a gap.
fn first_run(vectors: &[Iov], most: usize) -> (usize, usize) {
    let Some(first) = vectors.first() else { return (0, 0) };
    let mut len = 0;
    for v in vectors {
        if v.base != first.base + len || len >= most {
            break;
        }
        len += v.len;
    }
    (first.base, len.min(most))
}

/// Copies to the kernel's memory, through the file.
fn put(from: usize, to: usize, len: usize) {
    // SAFETY: the caller's buffer.
    let bytes = unsafe { std::slice::from_raw_parts(from as *const u8, len) };
    let offset = (to - BASE.load(Relaxed)) as u64;
    let done = file::write_at(FILE.load(Relaxed), bytes, offset).unwrap_or(0);
    if done < len {
        // SAFETY: the driver gave this memory to be read into, and the buffer has the bytes.
        unsafe {
            std::ptr::copy_nonoverlapping((from + done) as *const u8, (to + done) as *mut u8, len - done)
        };
    }
    pages(to, len).iter().for_each(|page| page.store(1, Relaxed));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_at_gaps_and_at_the_wanted_length() {
        let vectors = |all: &[(usize, usize)]| -> Vec<Iov> {
            all.iter().map(|&(base, len)| Iov { base, len }).collect()
        };
        assert_eq!(first_run(&vectors(&[(4096, 4096)]), 65536), (4096, 4096));
        assert_eq!(first_run(&vectors(&[(4096, 4096), (8192, 8192), (20480, 4096)]), 65536), (4096, 12288));
        assert_eq!(first_run(&vectors(&[(4096, 4096), (8192, 8192)]), 5000), (4096, 5000));
        assert_eq!(first_run(&vectors(&[(8192, 4096), (4096, 4096)]), 65536), (8192, 4096));
        assert_eq!(first_run(&vectors(&[(8192, 4096), (16384, 4096)]), 65536), (8192, 4096));
    }
}
