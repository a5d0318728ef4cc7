// SPDX-License-Identifier: GPL-2.0-only
//! The module's own index of its functions: `.eh_frame_hdr` (LSB Core, "Exception Frames"), a sorted table of function
//! starts, each with its entry in `.eh_frame`, which tells the length.

use core::ops::Range;

use gimli::{BaseAddresses, EhFrame, EhFrameHdr, LittleEndian, UnwindSection};

use super::extent::Extent;
use super::view::View;

/// Bytes of the index before its table: version, three encodings, pointer to `.eh_frame`, count.
const HEAD_LEN: usize = 12;
/// The encodings that every linker writes: pointer pc-relative, count plain, table relative to the index; 4 bytes each.
const USUAL: [u8; 4] = [1, 0x1b, 0x03, 0x3b];

/// The index and the tables of one module.
pub struct Unwind<'a> {
    index_address: u64,
    /// Pairs of (function, entry), both relative to the index.
    table: &'a [u8],
    frames: EhFrame<gimli::EndianSlice<'a, LittleEndian>>,
    bases: BaseAddresses,
    frames_address: u64,
}

impl<'a> Unwind<'a> {
    /// Finds them in `view`.
    pub fn of_view(view: &View<'a>) -> Option<Self> {
        let range = view.unwind_index.clone()?;
        let index = view.slice(range.clone())?;
        if index.get(..4)? != USUAL {
            return None;
        }
        let bases = BaseAddresses::default().set_eh_frame_hdr(range.start);
        let parsed = EhFrameHdr::new(index, LittleEndian).parse(&bases, 8).ok()?;
        let frames_address = parsed.eh_frame_ptr().direct().ok()?;
        let count = u32::from_le_bytes(index.get(8..12)?.try_into().ok()?) as usize;
        Some(Unwind {
            index_address: range.start,
            table: index.get(HEAD_LEN..HEAD_LEN + count.checked_mul(8)?)?,
            frames: EhFrame::new(view.from(frames_address)?, LittleEndian),
            bases: bases.set_eh_frame(frames_address),
            frames_address,
        })
    }

    /// The function that holds `address`, or else the last one before it.
    pub fn extent(&self, address: u64) -> Option<Extent> {
        let count = self.table.len() / 8;
        let after = partition_point(count, |index| self.entry(index).0 <= address);
        let (start, frame) = self.entry(after.checked_sub(1)?);
        let (known, signal) = self.frame(frame)?;
        let limit = if after < count { self.entry(after).0 } else { u64::MAX };
        // The entry of a signal trampoline begins one byte early, so that unwinders that look at the byte before a
        // return address find it (glibc's __restore_rt). That byte is none of its code.
        let start = start + u64::from(signal);
        let known_end = known.end.min(limit);
        (known.start <= address && start < known_end).then_some(Extent { start, known_end, limit })
    }

    fn entry(&self, index: usize) -> (u64, u64) {
        let relative = |at: usize| {
            let bytes: [u8; 4] = self.table[at..at + 4].try_into().unwrap_or_default();
            self.index_address.wrapping_add_signed(i64::from(i32::from_le_bytes(bytes)))
        };
        (relative(index * 8), relative(index * 8 + 4))
    }

    /// Addresses of the function described at `frame`, and whether it is a signal trampoline.
    fn frame(&self, frame: u64) -> Option<(Range<u64>, bool)> {
        let offset = gimli::EhFrameOffset(frame.checked_sub(self.frames_address)? as usize);
        let from_offset = EhFrame::cie_from_offset;
        let entry = self.frames.fde_from_offset(&self.bases, offset, from_offset).ok()?;
        let start = entry.initial_address();
        Some((start..start.checked_add(entry.len())?, entry.is_signal_trampoline()))
    }
}

fn partition_point(count: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
