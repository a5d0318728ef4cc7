// SPDX-License-Identifier: GPL-2.0-only
//! Mappings of this process.
//!
//! # Safety
//! A call that makes a new mapping where nothing is, is safe. A call that changes or removes what is mapped is
//! `unsafe`: the caller answers for every reference into that memory.
#![allow(unsafe_code)]

use super::call::{call, try_call};
use super::own_memory;
use super::process::RaisedLimit;
use super::Errno;

/// Page size of the host and of the kernel.
pub const PAGE: usize = 4096;

const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// Anonymous private memory of `len` bytes, zeroed; it is counted against the host's memory when it is touched. Whole
/// pages, between two pages without access: what the program writes beyond the end of its own memory ends there.
pub fn map_anonymous(len: usize) -> Result<usize, Errno> {
    let len = len.next_multiple_of(PAGE);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: the host picks a free place; then the middle of a fresh mapping.
    unsafe {
        let at = map(0, len + 2 * PAGE, libc::PROT_NONE, flags, -1, 0)? + PAGE;
        match protect(at, len, READ_WRITE) {
            Ok(()) => {
                own_memory::note(at, len);
                Ok(at)
            }
            Err(e) => {
                unmap_anonymous(at, len);
                Err(e)
            }
        }
    }
}

/// Gives back what [`map_anonymous`] made for the same `len`.
///
/// # Safety
/// The memory is the caller's, and nothing refers to it afterwards.
pub unsafe fn unmap_anonymous(at: usize, len: usize) {
    own_memory::forget(at);
    // SAFETY: the caller's promise.
    unsafe { unmap(at - PAGE, len.next_multiple_of(PAGE) + 2 * PAGE) };
}

/// Reserves `len` bytes of address space at `at` without access; EEXIST: something is there.
pub fn reserve_at(at: usize, len: usize) -> Result<(), Errno> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: MAP_FIXED_NOREPLACE leaves alone what is there.
    match unsafe { map(at, len, libc::PROT_NONE, flags, -1, 0) } {
        Ok(got) if got == at => Ok(()),
        Ok(got) => {
            // A host that does not know the flag took `at` for a hint.
            // SAFETY: just made by that host, and unused.
            unsafe { unmap(got, len) };
            Err(Errno::EEXIST)
        }
        Err(e) => Err(e),
    }
}

/// Reserves `len` bytes of address space where the host has room, at a multiple of `alignment`, which is one of pages.
pub fn reserve_anywhere(len: usize, alignment: usize) -> Result<usize, Errno> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a mapping that replaces nothing.
    let start = unsafe { map(0, len + alignment, libc::PROT_NONE, flags, -1, 0) }?;
    let at = start.next_multiple_of(alignment);
    for (from, to) in [(start, at), (at + len, start + len + alignment)] {
        if from < to {
            // SAFETY: what was just reserved and is not given out.
            unsafe { unmap(from, to - from) };
        }
    }
    Ok(at)
}

/// mmap(2)
///
/// # Safety
/// With MAP_FIXED, what is at `at` is the caller's to replace. A shared mapping's contents may change at any time.
pub unsafe fn map(
    at: usize,
    len: usize,
    prot: i32,
    flags: i32,
    fd: i32,
    offset: usize,
) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    let try_it =
        || unsafe { try_call(libc::SYS_mmap, [at, len, prot as usize, flags as usize, fd as usize, offset]) };
    // The soft limits of address space and of locked memory (mlockall(2)) are the program's, not ours.
    let limit = match try_it() {
        Err(Errno::ENOMEM) => RaisedLimit::raise(libc::RLIMIT_AS).ok_or(Errno::ENOMEM)?,
        Err(Errno::EAGAIN) => RaisedLimit::raise(libc::RLIMIT_MEMLOCK).ok_or(Errno::EAGAIN)?,
        result => return result,
    };
    let result = try_it();
    drop(limit);
    result
}

/// munmap(2)
///
/// # Safety
/// The memory is the caller's, and nothing refers to it afterwards.
pub unsafe fn unmap(at: usize, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { call(libc::SYS_munmap, [at, len, 0, 0, 0, 0]) };
}

/// mprotect(2)
///
/// # Safety
/// The memory is the caller's. The caller keeps to `prot` afterwards.
pub unsafe fn protect(at: usize, len: usize, prot: i32) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { try_call(libc::SYS_mprotect, [at, len, prot as usize, 0, 0, 0]) }.map(drop)
}

/// madvise(2)
///
/// # Safety
/// The memory is the caller's. Some advice (MADV_REMOVE, MADV_DONTNEED) empties it.
pub unsafe fn advise(at: usize, len: usize, advice: i32) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { try_call(libc::SYS_madvise, [at, len, advice as usize, 0, 0, 0]) }.map(drop)
}

/// mmap(2) and its like, by number; its result or -errno.
///
/// # Safety
/// As [`map`], [`unmap`] and [`protect`].
pub unsafe fn raw(nr: i64, args: [usize; 6]) -> isize {
    // SAFETY: the caller's promise.
    unsafe { call(nr, args) }
}

/// A stack between guard pages, unmapped when it is dropped.
#[derive(Debug)]
pub struct Stack {
    base: usize,
    len: usize,
}

impl Stack {
    /// A stack of `len` bytes.
    pub fn new(len: usize) -> Result<Stack, Errno> {
        Ok(Stack { base: map_anonymous(len)?, len })
    }

    /// The stack's upper end, aligned to a page.
    pub fn top(&self) -> usize {
        self.base + self.len
    }

    /// Leaves the stack to the caller ([`unmap_anonymous`]): its start and its length.
    pub fn into_raw(self) -> (usize, usize) {
        let raw = (self.base, self.len);
        std::mem::forget(self);
        raw
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which goes out of use.
        unsafe { unmap_anonymous(self.base, self.len) };
    }
}

/// Anonymous memory as bytes, unmapped when it is dropped.
#[derive(Debug)]
pub struct Buffer {
    base: usize,
    len: usize,
}

impl Buffer {
    /// `len` zero bytes.
    pub fn new(len: usize) -> Result<Buffer, Errno> {
        Ok(Buffer { base: map_anonymous(len)?, len })
    }

    /// The buffer's bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: our own mapping, borrowed with us.
        unsafe { std::slice::from_raw_parts_mut(self.base as *mut u8, self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which goes out of use.
        unsafe { unmap_anonymous(self.base, self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_place_is_not_given_twice() {
        let at = 0x1234_5670_0000;
        reserve_at(at, 2 * PAGE).unwrap();
        assert_eq!(reserve_at(at + PAGE, PAGE), Err(Errno::EEXIST));
        // SAFETY: reserved above, unused.
        unsafe { unmap(at, 2 * PAGE) };
    }

    #[test]
    fn a_buffer_is_zero_and_a_stack_ends_on_a_page() {
        let mut buffer = Buffer::new(3 * PAGE).unwrap();
        assert!(buffer.bytes_mut().iter().all(|b| *b == 0));
        buffer.bytes_mut()[3 * PAGE - 1] = 1;
        let stack = Stack::new(2 * PAGE).unwrap();
        assert_eq!(stack.top() % PAGE, 0);
        let (base, len) = stack.into_raw();
        assert_eq!(len, 2 * PAGE);
        // SAFETY: just made, unused.
        unsafe { unmap_anonymous(base, len) };
    }

    #[test]
    fn guard_pages_lie_around_private_memory() {
        for len in [1, PAGE, 3 * PAGE] {
            let at = map_anonymous(len).unwrap();
            let end = at + len.next_multiple_of(PAGE);
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            let access = |address: usize| {
                let of = |line: &&str| {
                    let (range, _) = line.split_once(' ').unwrap();
                    let (from, to) = range.split_once('-').unwrap();
                    let number = |text| usize::from_str_radix(text, 16).unwrap();
                    (number(from)..number(to)).contains(&address)
                };
                maps.lines().find(of).map(|line| line.split(' ').nth(1).unwrap().to_owned())
            };
            assert_eq!(access(at - 1).as_deref(), Some("---p"));
            assert_eq!(access(at).as_deref(), Some("rw-p"));
            assert_eq!(access(end - 1).as_deref(), Some("rw-p"));
            assert_eq!(access(end).as_deref(), Some("---p"));
            // SAFETY: just made, unused.
            unsafe { unmap_anonymous(at, len) };
        }
    }
}
