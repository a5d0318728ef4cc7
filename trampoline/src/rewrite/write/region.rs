// SPDX-License-Identifier: GPL-2.0-only
//! Memory for stubs, within reach of the code that jumps to them.
//!
//! A region is private, anonymous, readable and executable, and never writable: stubs are put in through
//! /proc/self/mem ([`Memory`]). A child of fork has its own copy, like of any memory.
//!
//! # Safety
//! Only a region that no stub is in is ever unmapped.
#![allow(unsafe_code)]

use core::ops::Range;

use super::emit::SLOT;
use super::live::Memory;
use crate::host;
use crate::rewrite::find::maps::Mapping;

/// Size of a region: a thousand stubs. Only pages written to cost anything.
pub const REGION: u64 = 64 << 10;
/// How far from the code a region may be; so much less than 2 GiB that all of a big module reaches it, and that what
/// a moved instruction refers to is in reach from it.
const REACH: u64 = 1 << 30;
/// How far below the end of a gap, where that is taken by the time.
const DISTANCES: [u64; 3] = [0, 4 << 20, 64 << 20];
/// Lowest address tried; vm.mmap_min_addr's usual value.
const LOWEST: u64 = 0x1_0000;

/// Memory that stubs are in.
#[derive(Debug)]
pub struct Region {
    /// Its addresses. The first slot holds the entry's address.
    pub range: Range<u64>,
    used: u64,
}

impl Region {
    /// Whether code at `address` can jump to all of it.
    pub fn in_reach(&self, address: u64) -> bool {
        address.abs_diff(self.range.start).max(address.abs_diff(self.range.end)) < REACH
    }

    /// The next free slot.
    pub fn next(&self) -> Option<u64> {
        let next = self.range.start + self.used;
        (next < self.range.end).then_some(next)
    }

    /// Takes the slot of [`Region::next`] for good.
    pub fn take(&mut self) {
        self.used += SLOT as u64;
    }

    /// Where the entry's address is.
    pub fn entry_word(&self) -> u64 {
        self.range.start
    }

    /// Makes one near `address`, between the mappings `maps`.
    pub fn make(maps: &[Mapping], address: u64, entry: u64, memory: &Memory) -> Option<Region> {
        let start = places(maps, address).into_iter().find(|&place| map_at(place))?;
        let region = Region { range: start..start + REGION, used: SLOT as u64 };
        // SAFETY: a region that was just made.
        if !unsafe { memory.write(start, &entry.to_le_bytes()) } {
            unmap(start);
            return None;
        }
        Some(region)
    }
}

/// Starts of free ranges, best first. Those below the code come first: what lies above the program is where its heap
/// will grow.
fn places(maps: &[Mapping], address: u64) -> Vec<u64> {
    let mut free_from = LOWEST;
    let mut places = Vec::new();
    for mapping in maps {
        if mapping.path != b"[stack]" {
            // The end of a gap: where it begins the heap may grow, and the stack grows down from where it ends. Other
            // threads, ours too, map just there at any moment: hence places further down as well.
            let wide = |place: &u64| *place >= free_from;
            let below = |distance: &u64| mapping.range.start.checked_sub(REGION + distance).filter(wide);
            places.extend(DISTANCES.iter().filter_map(below));
        }
        free_from = free_from.max(mapping.range.end);
    }
    places.retain(|&place| address.abs_diff(place).max(address.abs_diff(place + REGION)) < REACH);
    places.sort_by_key(|&place| (place > address, address.abs_diff(place)));
    places
}

fn map_at(place: u64) -> bool {
    let protection = libc::PROT_READ | libc::PROT_EXEC;
    let got = host::map_anonymous(place as usize, REGION as usize, protection, libc::MAP_FIXED_NOREPLACE);
    // Kernels before 4.17 take the address for a hint.
    let elsewhere = got.ok().filter(|&got| got as u64 != place);
    if let Some(elsewhere) = elsewhere {
        unmap(elsewhere as u64);
    }
    got.is_ok() && elsewhere.is_none()
}

fn unmap(start: u64) {
    // SAFETY: a region that was just made and that nobody knows.
    unsafe { host::unmap(start as usize, REGION as usize) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(start: u64, end: u64) -> Mapping {
        Mapping {
            range: start..end,
            protection: 5,
            private: true,
            offset: 0,
            file: (1, 1),
            path: b"/a".to_vec(),
        }
    }

    #[test]
    fn wide_gaps_have_places_that_nobody_takes_meanwhile() {
        let code = 0x7f00_0000_0000;
        let (narrow, gap) = (REGION + 0x1000, 0x1000);
        let maps = [
            mapping(code - (2 << 30), code - (1 << 29)),
            mapping(code, code + 0x1000),
            mapping(code + 0x1000 + narrow, code + (1 << 20)),
            mapping(code + (1 << 20) + gap, code + (2 << 20)),
        ];
        let ends = [code - REGION, code - (4 << 20) - REGION, code - (64 << 20) - REGION];
        assert_eq!(places(&maps, code), [&ends[..], &[code + 0x1000 + narrow - REGION]].concat());
    }
}
