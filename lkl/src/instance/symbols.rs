// SPDX-License-Identifier: GPL-2.0-only
//! Names for addresses in the kernel's text. The table (`kbuild`'s `symbols.rs` has its form) lies in a section of its own, which
//! tools find in the file and which costs nothing until it is read.
//!
//! # Safety
//! The table's section and the kernel's buffer for a name are raw memory.
#![allow(unsafe_code)]

use crate::sys::file::write_all;
use crate::sys::text::{hex, Text, DIGITS};
use std::sync::atomic::{AtomicUsize, Ordering};

const HEAD: usize = 40;
const COUNT: usize = 28;
const OBJECTS: usize = 36;
const ENTRY: usize = 8;

#[link_section = ".stowaway.symbols"]
#[used]
static TABLE: [u8; include_bytes!(env!("LKL_SYMBOLS")).len()] = *include_bytes!(env!("LKL_SYMBOLS"));

/// A function of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    /// The function's name.
    pub name: &'static [u8],
    /// Where the function begins, counted from the start of the image.
    pub start: usize,
    /// Where the next function begins.
    pub end: usize,
}

fn word(at: usize) -> usize {
    TABLE.get(at..at + 4).map_or(0, |w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]) as usize)
}

fn count() -> usize {
    word(COUNT)
}

fn symbol(i: usize) -> Symbol {
    let at = HEAD + ENTRY * i;
    let end = if i + 1 < count() { word(at + ENTRY) } else { word(COUNT + 4) };
    let names = HEAD + ENTRY * (count() + word(OBJECTS));
    let name = TABLE.get(names + word(at + 4)..).unwrap_or_default();
    let len = name.iter().position(|b| *b == 0).unwrap_or(0);
    Symbol { name: &name[..len], start: word(at), end }
}

/// The function at `offset` in the image.
pub(crate) fn find(offset: usize) -> Option<Symbol> {
    let (mut low, mut high) = (0, count());
    while low < high {
        let middle = low + (high - low) / 2;
        if word(HEAD + ENTRY * middle) <= offset {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let found = symbol(low.checked_sub(1)?);
    (offset < found.end).then_some(found)
}

/// Lines put together in a buffer, for a descriptor.
struct Lines {
    fd: i32,
    len: usize,
    buf: [u8; 1024],
}

impl Lines {
    fn new(fd: i32) -> Lines {
        Lines { fd, len: 0, buf: [0; 1024] }
    }

    fn text(&mut self, text: &[u8]) -> &mut Lines {
        for b in text {
            if self.len == self.buf.len() {
                self.flush();
            }
            self.buf[self.len] = *b;
            self.len += 1;
        }
        self
    }

    fn hex(&mut self, n: usize) -> &mut Lines {
        self.text(hex(n as u64, &mut [0; DIGITS]))
    }

    fn flush(&mut self) {
        write_all(self.fd, &self.buf[..self.len]);
        self.len = 0;
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Where the image of the running kernel begins.
static BASE: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn set_base(base: usize) {
    BASE.store(base, Ordering::Relaxed);
}

/// Where the running image begins; 0: none runs.
pub(crate) fn base() -> usize {
    BASE.load(Ordering::Relaxed)
}

/// `ops.name`: `function+0x12`, with a zero byte.
pub(crate) unsafe extern "C" fn name(address: usize, to: *mut u8, len: usize) {
    // SAFETY: the kernel passes a buffer of its own.
    let to = unsafe { std::slice::from_raw_parts_mut(to, len) };
    let mut text = Text::new(to);
    let offset = address.wrapping_sub(BASE.load(Ordering::Relaxed));
    match find(offset) {
        Some(s) => text.put(s.name).put(b"+0x").hex((offset - s.start) as u64),
        None => text.put(b"0x").hex(address as u64),
    };
}

/// Writes `START SIZE name` for each function of the kernel whose image begins at `base`, as perf reads it from
/// /tmp/perf-PID.map.
pub(crate) fn write_perf_map(base: usize, fd: i32) {
    let mut lines = Lines::new(fd);
    for i in 0..count() {
        let s = symbol(i);
        lines.hex(base + s.start).text(b" ").hex(s.end - s.start).text(b" ");
        lines.text(s.name).text(b"\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found() {
        assert!(count() > 10_000, "{}", count());
        let all: Vec<Symbol> = (0..count()).map(symbol).collect();
        for name in [&b"lkl_boot"[..], b"start_kernel", b"vfs_read", b"ext4_file_write_iter"] {
            let s = all.iter().find(|s| s.name == name).unwrap();
            assert_eq!(find(s.start), Some(*s));
            assert_eq!(find(s.end - 1), Some(*s));
        }
        assert!(all.windows(2).all(|w| w[0].start < w[1].start && w[0].end == w[1].start));
        assert_eq!(find(0), None);
        assert_eq!(find(all[all.len() - 1].end), None);
    }
    #[test]
    fn addresses_are_named() {
        let named = |address| {
            let mut to = [b'x'; 32];
            // SAFETY: a buffer of its own.
            unsafe { name(address, to.as_mut_ptr(), to.len()) };
            std::ffi::CStr::from_bytes_until_nul(&to).unwrap().to_str().unwrap().to_owned()
        };
        let all: Vec<Symbol> = (0..count()).map(symbol).collect();
        let start = all.iter().find(|s| s.name == b"vfs_read").unwrap().start;
        assert_eq!(named(start + 0x1f), "vfs_read+0x1f");
        assert_eq!(named(0), "0x0");
        let long = all.iter().find(|s| s.name.len() > 32).unwrap();
        assert_eq!(named(long.start).as_bytes(), &long.name[..31]);
    }
}
