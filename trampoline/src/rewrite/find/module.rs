// SPDX-License-Identifier: GPL-2.0-only
//! The module that a mapping belongs to: as it is in memory, and its file.
//!
//! # Safety
//! Memory is read as a slice only where /proc/self/maps shows it readable and not writable.
#![allow(unsafe_code)]

use core::ops::Range;
use std::ffi::CString;

use super::maps::Mapping;
use super::view::View;
use crate::host::{self, File};

/// The module that `code` is a part of, as it is mapped: its headers are in the nearest mapping of the same file's start
/// below it.
///
/// # Safety
/// `maps` are the process's, and none of `code`'s file goes away or changes while the view is used. That is what the
/// application owes itself: it executes from there.
pub unsafe fn in_memory<'a>(maps: &[Mapping], code: &Mapping) -> Option<View<'a>> {
    let of_file = |mapping: &&Mapping| mapping.file == code.file && mapping.offset == 0;
    let mut below = maps.iter().filter(of_file).filter(|mapping| mapping.range.start <= code.range.start);
    let first = below.next_back().filter(|mapping| mapping.is_constant())?;
    let head = first.range.start..first.range.end.min(first.range.start + 4096);
    // SAFETY: found readable and constant.
    let head: &[u8] = unsafe { bytes(&head) };
    // SAFETY: as above, each of the mappings that the range reaches into.
    View::of_memory(head, |range| is_constant(maps, code.file, &range).then(|| unsafe { bytes(&range) }))
}

/// Whether all of `range` is mapped, readable and constant, from one file.
fn is_constant(maps: &[Mapping], file: (u64, u64), range: &Range<u64>) -> bool {
    let mut from = range.start;
    let first = maps.partition_point(|mapping| mapping.range.end <= range.start);
    for mapping in &maps[first..] {
        if from >= range.end {
            break;
        }
        if mapping.range.start > from || mapping.file != file || !mapping.is_constant() {
            return false;
        }
        from = mapping.range.end;
    }
    from >= range.end && range.start < range.end
}

/// The memory at `range`.
///
/// # Safety
/// Readable, and constant, for as long as the result is used.
pub unsafe fn bytes<'a>(range: &Range<u64>) -> &'a [u8] {
    // SAFETY: the caller's word.
    unsafe { core::slice::from_raw_parts(range.start as *const u8, (range.end - range.start) as usize) }
}

/// A file, mapped for reading.
pub struct MappedFile {
    start: usize,
    len: usize,
}

impl MappedFile {
    /// The file of `mapping`, if it is still what its path leads to. Files of other devices with the same number are
    /// told apart by what is done with it: no site is touched whose bytes are not as the file has them.
    pub fn of(mapping: &Mapping) -> Option<MappedFile> {
        let path = CString::new(mapping.path.as_slice()).ok()?;
        let file = File::open(&path, libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY, 0)?;
        let status = file.status()?;
        let len = usize::try_from(status.st_size).ok().filter(|&len| len > 0)?;
        if status.st_ino != mapping.file.1 || status.st_mode & libc::S_IFMT != libc::S_IFREG {
            return None;
        }
        Some(MappedFile { start: file.map(len)?, len })
    }

    /// What is in it.
    pub fn bytes(&self) -> &[u8] {
        let start = self.start as u64;
        // SAFETY: mapped until the drop. A program's file that is cut while it runs kills the program anyway.
        unsafe { bytes(&(start..start + self.len as u64)) }
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        // SAFETY: mapped by this type, and used no more.
        unsafe { host::unmap(self.start, self.len) };
    }
}
