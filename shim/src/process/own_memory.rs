// SPDX-License-Identifier: GPL-2.0-only
//! What of the address space is the program's to write, and not ours.

use core::ops::Range;

use lkl::uintr::Emulator;

use crate::sys::kernel::running;
use crate::sys::mappings::Mappings;
use crate::sys::own_image;

/// More ranges of ours than a process with one thread has.
const RANGES: usize = 128;
/// The entry keeps words so far below the stack pointer of a call.
const BELOW_SP: usize = 256;

/// Ranges that are not the program's, in the order of addresses.
struct Ours {
    ranges: [(usize, usize); RANGES],
    count: usize,
}

impl Ours {
    /// None: there are too many.
    fn new(sp: usize) -> Option<Ours> {
        let mut ours = Ours { ranges: [(0, 0); RANGES], count: 0 };
        for range in lkl::sys::own_memory::ranges()? {
            ours.add(range)?;
        }
        ours.add(own_image::range())?;
        ours.add(sp - BELOW_SP..sp)?;
        if trampoline::is_installed() {
            ours.add(trampoline::thread::own_memory())?;
        }
        if let Some(kernel) = running() {
            ours.add(kernel.region())?;
        }
        if let Some(emulator) = Emulator::find() {
            ours.add(emulator.memory())?;
        }
        ours.ranges[..ours.count].sort_unstable();
        Some(ours)
    }

    fn add(&mut self, range: Range<usize>) -> Option<()> {
        *self.ranges.get_mut(self.count)? = (range.start, range.end);
        self.count += 1;
        Some(())
    }

    /// Does `what` to each part of `range` that is not ours.
    fn each_other(&self, range: Range<usize>, what: &mut impl FnMut(Range<usize>)) {
        let mut start = range.start;
        for &(from, to) in &self.ranges[..self.count] {
            if from >= range.end {
                break;
            }
            if to <= start {
                continue;
            }
            if from > start {
                what(start..from);
            }
            start = to;
        }
        if start < range.end {
            what(start..range.end);
        }
    }
}

/// What is mapped for the program to write.
pub struct Program {
    mark: usize,
}

impl Program {
    /// As seen by somebody whose caller has the stack pointer `sp`. None: the host does not say.
    pub fn new(sp: usize) -> Option<Program> {
        let mut mark = 0xcbf2_9ce4_8422_2325_usize;
        let mut add = |word: usize| mark = (mark ^ word).wrapping_mul(0x0100_0000_01b3);
        each_of_program(sp, |range| {
            add(range.start);
            add(range.end);
        })?;
        Some(Program { mark })
    }

    /// The same in two processes that have the same ranges mapped.
    pub fn mark(&self) -> usize {
        self.mark
    }
}

/// Does `what` to each range that is the program's to write and nobody else's. Of the caller's stack that is what lies above
/// `sp`: the rest is not in use. None: the host does not say, or writes into the program's memory at any time (io_uring(7),
/// io_setup(2)).
pub fn each_of_program(sp: usize, mut what: impl FnMut(Range<usize>)) -> Option<()> {
    // The room for the text is ours as well.
    let mut mappings = Mappings::open().ok()?;
    let ours = Ours::new(sp)?;
    let mut is_quiet = true;
    mappings
        .each(|mapping| {
            is_quiet &= !mapping.name.ends_with(b"[io_uring]") && !mapping.name.starts_with(b"/[aio]");
            // Code that can be written to has sites that we rewrite, in each process for itself.
            if !mapping.is_writable || mapping.is_executable || !mapping.is_private {
                return;
            }
            let mut range = mapping.range.clone();
            if mapping.name == b"[stack]" && range.contains(&sp) {
                range.start = sp;
            }
            ours.each_other(range, &mut what);
        })
        .ok()?;
    is_quiet.then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_left_out() {
        let mut ours = Ours { ranges: [(0, 0); RANGES], count: 0 };
        for range in [0..10, 20..30, 25..40, 60..70, 90..200] {
            ours.add(range).unwrap();
        }
        let others = |range: Range<usize>| {
            let mut found = Vec::new();
            ours.each_other(range, &mut |part| found.push((part.start, part.end)));
            found
        };
        assert_eq!(others(5..100), [(10, 20), (40, 60), (70, 90)]);
        assert_eq!(others(22..28), []);
        assert_eq!(others(45..50), [(45, 50)]);
        assert_eq!(others(65..65), []);
        assert_eq!(others(190..210), [(200, 210)]);
    }

    #[test]
    fn too_many_ranges_are_no_answer() {
        let mut ours = Ours { ranges: [(0, 0); RANGES], count: 0 };
        assert_eq!((0..RANGES).filter_map(|n| ours.add(n..n + 1)).count(), RANGES);
        assert_eq!(ours.add(0..1), None);
    }
}
