// SPDX-License-Identifier: GPL-2.0-only
//! Calls counted by number, by how they came in and by who served them: a table at the end of the family's last process.

use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};

use trampoline::INT80_CALLS;

use super::family::{self, Common};
use super::{kinds, EntryKind};
use crate::instance::kick;
use crate::sys::mem::Pages;
use crate::sys::thread::ServedBy;
use crate::sys::{fs, host, kernel};

const KINDS: usize = 4;
const SERVERS: usize = 3;
/// One more for numbers that are none, and one for 32-bit calls, whose numbers are other calls'.
const NUMBERS: usize = 514;
const OTHER: usize = NUMBERS - 2;
const OLD: usize = NUMBERS - 1;
/// Room for the table: a line for each number that could be.
const ROOM: usize = NUMBERS * 112 + 1024;

/// By number, then by entry kind, then by [`ServedBy`], whose first value is 1.
pub type Counts = [[[AtomicU64; SERVERS]; KINDS]; NUMBERS];

pub fn count(nr: usize, kind: EntryKind, by: ServedBy) {
    if let Some(common) = family::common() {
        add(common, nr.min(OTHER), kind, by, 1);
    }
}

fn add(common: &Common, row: usize, kind: EntryKind, by: ServedBy, n: u64) {
    common.counts[row][kind as usize][by as usize - 1].fetch_add(n, Ordering::Relaxed);
}

/// In the child of a fork: what is counted apart is the parent's.
pub fn forget() {
    INT80_CALLS.store(0, Ordering::Relaxed);
}

/// Before this process ends, or becomes another program: adds what it has counted apart.
pub fn settle() {
    let old = INT80_CALLS.swap(0, Ordering::Relaxed) as u64;
    if let (Some(common), 1..) = (family::common(), old) {
        add(common, OLD, EntryKind::Int80, ServedBy::Host, old);
    }
}

/// One line: sums by entry kind, then sums by server.
#[derive(Clone, Copy)]
struct Sums([u64; KINDS + SERVERS]);

impl Sums {
    const NONE: Sums = Sums([0; KINDS + SERVERS]);

    fn add(&mut self, kind: usize, server: usize, n: u64) {
        self.0[kind] += n;
        self.0[KINDS + server] += n;
    }

    fn total(&self) -> u64 {
        self.0[KINDS..].iter().sum()
    }
}

/// The table while it is made: one mapping with the text, and behind it the sums of each number. (Together they are more
/// than a small stack holds.)
struct Page {
    pages: Pages,
    len: usize,
}

impl Page {
    fn row_range(nr: usize) -> core::ops::Range<usize> {
        let at = ROOM.next_multiple_of(8) + nr * size_of::<Sums>();
        at..at + size_of::<Sums>()
    }

    fn row(&self, nr: usize) -> Sums {
        let mut sums = Sums::NONE;
        let bytes = &self.pages.as_bytes()[Page::row_range(nr)];
        for (sum, word) in sums.0.iter_mut().zip(bytes.chunks_exact(8)) {
            *sum = word.try_into().map_or(0, u64::from_ne_bytes);
        }
        sums
    }

    fn set_row(&mut self, nr: usize, sums: &Sums) {
        let bytes = &mut self.pages.bytes()[Page::row_range(nr)];
        for (word, sum) in bytes.chunks_exact_mut(8).zip(sums.0) {
            word.copy_from_slice(&sum.to_ne_bytes());
        }
    }
}

impl Write for Page {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let n = text.len().min(ROOM - self.len);
        self.pages.bytes()[self.len..self.len + n].copy_from_slice(&text.as_bytes()[..n]);
        self.len += n;
        Ok(())
    }
}

/// Prints what was counted since the last time, with one write: other families may have the same file.
pub fn print(fd: i32) {
    let Some(common) = family::common() else { return };
    // Two processes that end at one moment may both be the last.
    if common.is_printing.swap(1, Ordering::Relaxed) == 0 {
        print_alone(common, fd);
        common.is_printing.store(0, Ordering::Relaxed);
    }
}

fn print_alone(common: &Common, fd: i32) {
    let Ok(pages) = Pages::new(Page::row_range(NUMBERS).start) else { return };
    let mut page = Page { pages, len: 0 };
    if table(common, &mut page) {
        fs::write_all(fd, &page.pages.as_bytes()[..page.len]);
    }
}

/// False: nothing was counted.
fn table(common: &Common, page: &mut Page) -> bool {
    // What other threads count while this runs is not printed twice.
    let mut all = Sums::NONE;
    for (nr, kinds) in common.counts.iter().enumerate() {
        let mut sums = Sums::NONE;
        for (kind, servers) in kinds.iter().enumerate() {
            for (server, count) in servers.iter().enumerate() {
                let n = count.swap(0, Ordering::Relaxed);
                sums.add(kind, server, n);
                all.add(kind, server, n);
            }
        }
        page.set_row(nr, &sums);
    }
    if all.total() == 0 {
        return false;
    }
    head(common, page, &all);
    // Most calls first.
    let mut before = (u64::MAX, 0);
    loop {
        let next = (0..NUMBERS)
            .map(|nr| (page.row(nr).total(), NUMBERS - nr))
            .filter(|&key| key.0 != 0 && key < before)
            .max();
        let Some(key) = next else { break };
        before = key;
        let nr = NUMBERS - key.1;
        let name = match nr {
            OTHER => "(no such number)",
            OLD => "(int 0x80)",
            _ => kinds::name(nr),
        };
        let row = page.row(nr);
        line(page, &row, name);
    }
    line(page, &all, "total");
    doorbell(page);
    true
}

/// How events came to the kernel, if one runs.
fn doorbell(page: &mut Page) {
    let Some(kernel) = kernel::running() else { return };
    let _ = write!(page, "stowaway: doorbell {}:", kick::name());
    for (index, (what, name)) in lkl::Count::ALL.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(page, "{comma} {} {name}", kernel.counted(what));
    }
    let _ = writeln!(page, ", {} diverted", trampoline::divert::counts().0);
}

/// A family of one is the process; another one is called by its first process.
fn head(common: &Common, page: &mut Page, all: &Sums) {
    let others = common.processes.load(Ordering::Relaxed).saturating_sub(1);
    let (mut pid, mut name) = (common.first.load(Ordering::Relaxed) as usize, common.name());
    if others == 0 {
        pid = host::pid();
        host::thread_name(&mut name);
    }
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    let name = core::str::from_utf8(&name[..end]).unwrap_or("?");
    let _ = write!(page, "stowaway: process {pid} ({name})");
    let _ = match others {
        0 => Ok(()),
        1 => write!(page, " and 1 other"),
        n => write!(page, " and {n} others"),
    };
    let _ = writeln!(page, ": {} calls", all.total());
    let _ = writeln!(
        page,
        "{:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}  call",
        "calls", "hook", "patched", "sigsys", "int80", "host", "kernel", "own"
    );
}

fn line(page: &mut Page, sums: &Sums, name: &str) {
    let _ = write!(page, "{:>9}", sums.total());
    for sum in sums.0 {
        let _ = write!(page, " {sum:>9}");
    }
    let _ = writeln!(page, "  {name}");
}
