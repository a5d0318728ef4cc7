// SPDX-License-Identifier: GPL-2.0-only
//! What is mapped in this process, as the host says (/proc/self/maps), and which pages of it were written since the fork that
//! made the process (/proc/self/pagemap). Nothing is allocated from the heap.
#![allow(unsafe_code)]

use core::ops::Range;

use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, OwnedFd};
use crate::sys::mem::{Pages, PAGE};

/// A line of /proc/self/maps.
pub struct Mapping<'a> {
    pub range: Range<usize>,
    pub is_writable: bool,
    pub is_executable: bool,
    pub is_private: bool,
    /// A path, or what the host calls the mapping; empty: it has no name.
    pub name: &'a [u8],
}

/// Room for some lines. A name has at most PATH_MAX bytes, four for each where it has odd ones.
const ROOM: usize = 32 << 10;

/// /proc/self/maps, and room for its text.
pub struct Mappings {
    file: OwnedFd,
    room: Pages,
}

impl Mappings {
    pub fn open() -> Result<Mappings> {
        Ok(Mappings { file: fs::open(c"/proc/self/maps", libc::O_RDONLY, 0)?, room: Pages::new(ROOM)? })
    }

    /// Does `what` to each mapping that is still to come, in the order of addresses.
    pub fn each(&mut self, mut what: impl FnMut(&Mapping<'_>)) -> Result<()> {
        let text = self.room.bytes();
        let mut len = 0;
        loop {
            let n = fs::read(self.file.raw(), &mut text[len..])?;
            if n == 0 {
                return Ok(());
            }
            len += n;
            let whole = text[..len].iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
            for line in text[..whole].split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
                what(&parse(line).ok_or(Errno::EINVAL)?);
            }
            text.copy_within(whole..len, 0);
            len -= whole;
            if len == text.len() {
                return Err(Errno::ENAMETOOLONG);
            }
        }
    }
}

/// `7f00-7f10 rw-p 00000000 00:00 0     NAME`
fn parse(line: &[u8]) -> Option<Mapping<'_>> {
    let mut fields = line.splitn(6, |&b| b == b' ');
    let mut ends = fields.next()?.split(|&b| b == b'-').map(hexadecimal);
    let range = ends.next()??..ends.next()??;
    let &[_, write, execute, sharing] = fields.next()? else { return None };
    let name = fields.nth(3).unwrap_or_default();
    Some(Mapping {
        range,
        is_writable: write == b'w',
        is_executable: execute == b'x',
        is_private: sharing == b'p',
        name: name.trim_ascii_start(),
    })
}

fn hexadecimal(digits: &[u8]) -> Option<usize> {
    digits.iter().try_fold(0usize, |n, &b| Some(n << 4 | (b as char).to_digit(16)? as usize))
}

/// The pages of this process, as the host has them.
pub struct PageMap(OwnedFd);

/// In an entry (Documentation/admin-guide/mm/pagemap.rst).
const IS_PRESENT: u64 = 1 << 63;
const IS_SWAPPED: u64 = 1 << 62;
const IS_OF_A_FILE: u64 = 1 << 61;
const IS_MAPPED_ONCE: u64 = 1 << 56;
/// How many entries are read at a time.
const ENTRIES: usize = 256;

impl PageMap {
    pub fn open() -> Result<PageMap> {
        fs::open(c"/proc/self/pagemap", libc::O_RDONLY, 0).map(PageMap)
    }

    /// Does `what` to each run of pages in `range` that no other process has: pages of memory that was written by one of two
    /// processes since a fork.
    pub fn each_own(&self, range: Range<usize>, mut what: impl FnMut(Range<usize>)) -> Result<()> {
        let mut entries = [0u64; ENTRIES];
        let mut run = range.start..range.start;
        for first in range.clone().step_by(ENTRIES * PAGE) {
            let count = ((range.end - first) / PAGE).min(ENTRIES);
            let bytes = as_bytes(&mut entries[..count]);
            if fs::read_at(self.0.raw(), bytes, first / PAGE * size_of::<u64>())? != count * size_of::<u64>()
            {
                return Err(Errno::EIO);
            }
            for (n, &entry) in entries[..count].iter().enumerate() {
                let at = first + n * PAGE;
                if !is_own(entry) {
                    continue;
                }
                if at != run.end && !run.is_empty() {
                    what(run.clone());
                }
                run = if at == run.end && !run.is_empty() { run.start..at + PAGE } else { at..at + PAGE };
            }
        }
        if !run.is_empty() {
            what(run);
        }
        Ok(())
    }
}

fn is_own(entry: u64) -> bool {
    let is_only_here = entry & IS_PRESENT != 0 && entry & IS_MAPPED_ONCE != 0;
    (is_only_here || entry & IS_SWAPPED != 0) && entry & IS_OF_A_FILE == 0
}

fn as_bytes(words: &mut [u64]) -> &mut [u8] {
    let len = size_of_val(words);
    // SAFETY: the words' own memory; any bytes are words.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), len) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mem;

    #[test]
    fn a_line_is_read() {
        let line = b"7ffd1000-7ffd3000 rw-p 00000000 00:00 0                          [stack]";
        let mapping = parse(line).unwrap();
        assert_eq!((mapping.range.clone(), mapping.name), (0x7ffd1000..0x7ffd3000, &b"[stack]"[..]));
        assert!(mapping.is_writable && mapping.is_private && !mapping.is_executable);
        let mapping = parse(b"7f00-7f10 r-xs 00000000 00:00 0 ").unwrap();
        assert!(!mapping.is_writable && !mapping.is_private && mapping.is_executable);
        assert_eq!(mapping.name, b"");
        assert_eq!(parse(b"7f00-7f10 r-x 0 00:00 0 /a b").map(|m| m.name.to_vec()), None);
        assert_eq!(parse(b"7f00-7f10 r-xp 0 00:00 9 /a b").map(|m| m.name.to_vec()), Some(b"/a b".to_vec()));
    }

    #[test]
    fn what_is_mapped_is_found() {
        let at = mem::map(3 * PAGE).unwrap();
        let mut found = 0;
        Mappings::open()
            .unwrap()
            .each(|mapping| found += usize::from(mapping.range.contains(&at) && mapping.is_writable))
            .unwrap();
        assert_eq!(found, 1);
        // SAFETY: just made.
        unsafe { mem::unmap(at, 3 * PAGE) };
    }

    /// In a child: the pages that the child writes are found, and no others.
    #[test]
    fn pages_that_a_child_writes() {
        const COUNT: usize = 600;
        let mut memory = Pages::new(COUNT * PAGE).unwrap();
        memory.bytes().fill(1);
        let at = memory.address();
        // SAFETY: the child makes calls of the host, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            for n in [3, 4, 300, COUNT - 1] {
                memory.bytes()[n * PAGE] = 2;
            }
            let mut found = [0usize; 4];
            let mut pages = 0;
            let read = PageMap::open().and_then(|map| {
                map.each_own(at..at + COUNT * PAGE, |run| {
                    found[pages % 4] = (run.start - at) / PAGE * 1000 + run.len() / PAGE;
                    pages += 1;
                })
            });
            let is_right = read.is_ok() && pages == 3 && found == [3002, 300_001, 599_001, 0];
            // SAFETY: ends the child.
            unsafe { libc::_exit(i32::from(!is_right)) };
        }
        let mut status = 0;
        // SAFETY: waits for the child.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(status, 0);
    }
}
