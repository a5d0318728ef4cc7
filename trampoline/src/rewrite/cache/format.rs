// SPDX-License-Identifier: GPL-2.0-only
//! The format of a file of sites: pure, bytes in, sites out.

use super::crc32::crc32;
use crate::rewrite::decide::tactic::{Shape, Tactic, WINDOW_MAX};

/// Changes with the format, and with what [`crate::rewrite::decide`] decides.
const MAGIC: &[u8; 8] = b"STOWSI\0\x04";
/// Bytes around a site that are kept: its window, with the `syscall`.
pub const SPAN_MAX: usize = 24;
const _: () = assert!(WINDOW_MAX <= SPAN_MAX);
const HEAD: usize = 16;
const RECORD: usize = 16 + SPAN_MAX;
/// A decision, and what it was based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The decision.
    pub tactic: Tactic,
    /// The bytes of its span.
    pub bytes: [u8; SPAN_MAX],
}

impl Known {
    /// What of `bytes` counts.
    pub fn span(&self) -> &[u8] {
        &self.bytes[..self.tactic.span_len()]
    }
}

/// The file for `sites` of the module `build_id`, mapped `bias` from where it was linked.
pub(super) fn format(build_id: &[u8], bias: u64, sites: &[Known]) -> Vec<u8> {
    let mut text = MAGIC.to_vec();
    text.extend((sites.len() as u32).to_le_bytes());
    text.extend((build_id.len() as u32).to_le_bytes());
    text.extend(build_id);
    for Known { tactic, bytes } in sites {
        text.extend(tactic.start.wrapping_sub(bias).to_le_bytes());
        text.extend([
            tactic.before_len() as u8,
            tactic.len,
            tactic.shape as u8,
            u8::from(tactic.position_independent),
        ]);
        text.extend(tactic.boundaries.to_le_bytes());
        text.extend(bytes);
    }
    text.extend(crc32(&text).to_le_bytes());
    text
}

/// What [`format()`] was given, if `text` is whole and for this module.
pub(super) fn parse(text: &[u8], build_id: &[u8], bias: u64) -> Option<Vec<Known>> {
    let (body, sum) = text.split_last_chunk::<4>()?;
    if !body.starts_with(MAGIC) || crc32(body).to_le_bytes() != *sum {
        return None;
    }
    let word = |at: usize| Some(u32::from_le_bytes(body.get(at..at + 4)?.try_into().ok()?) as usize);
    let (count, id_len) = (word(8)?, word(12)?);
    let records = body.get(HEAD..)?.strip_prefix(build_id)?;
    if id_len != build_id.len() || records.len() != count.checked_mul(RECORD)? {
        return None;
    }
    records.chunks_exact(RECORD).map(|record| parse_record(record, bias)).collect()
}

fn parse_record(record: &[u8], bias: u64) -> Option<Known> {
    let start = u64::from_le_bytes(record.get(..8)?.try_into().ok()?).wrapping_add(bias);
    let [before, len, shape, plain @ (0 | 1)] = *record.get(8..12)? else { return None };
    let shape =
        [Shape::Single, Shape::Before, Shape::Through, Shape::Behind].into_iter().nth(shape.into())?;
    let boundaries = u32::from_le_bytes(record.get(12..16)?.try_into().ok()?);
    let tactic = Tactic {
        shape,
        start,
        len,
        syscall: start.checked_add(before.into())?,
        boundaries,
        position_independent: plain == 1,
    };
    let fits = tactic.span_len() <= SPAN_MAX && usize::from(len) <= WINDOW_MAX && len >= 5;
    fits.then_some(Known { tactic, bytes: record.get(16..)?.try_into().ok()? })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) const ID: &[u8] = b"0123456789abcdefghij";

    pub(crate) fn sites() -> Vec<Known> {
        let known = |index: u64| {
            let (start, shape) =
                (0x7f00_0000 + index * 100, if index % 2 == 0 { Shape::Single } else { Shape::Before });
            let tactic = Tactic {
                shape,
                start,
                len: 7,
                syscall: start + 7,
                boundaries: (index % 2 * 0x20) as u32,
                position_independent: index % 3 == 0,
            };
            Known { tactic, bytes: [index as u8; SPAN_MAX] }
        };
        (0..100).map(known).collect()
    }

    #[test]
    fn what_is_written_is_read_elsewhere() {
        let text = format(ID, 0x7000_0000, &sites());
        assert_eq!(parse(&text, ID, 0x7000_0000), Some(sites()));
        let moved = parse(&text, ID, 0x1000).expect("the same sites");
        assert_eq!(moved[1].tactic.start, 0x0f00_1000 + 100);
    }

    #[test]
    fn what_is_damaged_is_not_read() {
        let text = format(ID, 0, &sites());
        for at in 0..text.len() {
            let mut damaged = text.clone();
            damaged[at] ^= 0x10;
            assert_eq!(parse(&damaged, ID, 0), None, "byte {at}");
        }
        for len in 0..text.len() {
            assert_eq!(parse(&text[..len], ID, 0), None, "cut at {len}");
        }
        assert_eq!(parse(&text, b"another id of 20 byt", 0), None);
        assert_eq!(parse(&text, b"0123456789abcdefghi", 0), None);
    }
}
