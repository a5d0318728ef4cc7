// SPDX-License-Identifier: GPL-2.0-only
//! The ring of records that printk(9) writes (kernel/printk/printk_ringbuffer.c): descriptors, what is known of each record, and the
//! texts. Writers take no lock, and nor does a reader: what it copies counts if the descriptor says the same before and
//! after.

use std::io::Write;

use crate::look::memory::{u16_at, u64_at, Memory};
use crate::look::{rows::Rows, Kernel};

/// The two highest bits of a descriptor's state; the others are its number.
const STATE_SHIFT: u32 = 62;
/// The record will not change any more.
const FINALIZED: u64 = 2;
/// In front of each text is the number of its descriptor.
const TEXT_HEAD: u64 = 8;
/// A kernel with more is not believed.
const COUNT_BITS_MOST: u32 = 24;

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number since the boot.
    pub seq: u64,
    /// Since the boot.
    ns: u64,
    text: Vec<u8>,
}

impl Record {
    /// As dmesg(1) prints it: each line with the time before it. What would act on a terminal is written as \xNN.
    pub fn write(&self, to: &mut Vec<u8>) {
        let (seconds, us) = (self.ns / 1_000_000_000, self.ns % 1_000_000_000 / 1_000);
        for line in self.text.split(|&byte| byte == b'\n') {
            let _ = write!(to, "[{seconds:5}.{us:06}] ");
            for &byte in line {
                match byte {
                    b'\t' | b' '..=b'~' | 0x80.. => to.push(byte),
                    _ => drop(write!(to, "\\x{byte:02x}")),
                }
            }
            to.push(b'\n');
        }
    }
}

/// Where the parts of the ring are.
pub struct Ring<'a> {
    memory: &'a Memory,
    layout: Layout,
    at: u64,
}

struct Layout {
    head_id: u64,
    tail_id: u64,
    desc_bytes: usize,
    state: usize,
    begin: usize,
    next: usize,
    info_bytes: usize,
    seq: usize,
    ns: usize,
    text_len: usize,
    count_bits: u64,
    descs: u64,
    infos: u64,
    size_bits: u64,
    data: u64,
}

impl Layout {
    fn of(rows: &Rows) -> Result<Layout, String> {
        let get = |name: &str| rows.get(name);
        let size = |name: &str| rows.get(name).map(|n| n as usize);
        let (descs, texts) = (get("printk_ringbuffer.desc_ring")?, get("printk_ringbuffer.text_data_ring")?);
        let block = size("prb_desc.text_blk_lpos")?;
        Ok(Layout {
            head_id: descs + get("prb_desc_ring.head_id")?,
            tail_id: descs + get("prb_desc_ring.tail_id")?,
            desc_bytes: size("sizeof prb_desc")?,
            state: size("prb_desc.state_var")?,
            begin: block + size("prb_data_blk_lpos.begin")?,
            next: block + size("prb_data_blk_lpos.next")?,
            info_bytes: size("sizeof printk_info")?,
            seq: size("printk_info.seq")?,
            ns: size("printk_info.ts_nsec")?,
            text_len: size("printk_info.text_len")?,
            count_bits: descs + get("prb_desc_ring.count_bits")?,
            descs: descs + get("prb_desc_ring.descs")?,
            infos: descs + get("prb_desc_ring.infos")?,
            size_bits: texts + get("prb_data_ring.size_bits")?,
            data: texts + get("prb_data_ring.data")?,
        })
    }
}

/// All parts, copied one after the other.
struct Copied {
    before: Vec<u8>,
    infos: Vec<u8>,
    texts: Vec<u8>,
    after: Vec<u8>,
}

impl Ring<'_> {
    /// The ring of a kernel.
    pub fn find(kernel: &Kernel) -> Result<Ring<'_>, String> {
        let at = kernel.memory.word(kernel.object("prb")?)?;
        Ok(Ring { memory: &kernel.memory, layout: Layout::of(&kernel.rows)?, at })
    }

    /// The records from the number `first` on that are there and complete, in order.
    pub fn records(&self, first: u64) -> Result<Vec<Record>, String> {
        let (l, word) = (&self.layout, |offset: u64| self.memory.word(self.at + offset));
        let tail = word(l.tail_id)?;
        let head = word(l.head_id)?;
        let count = 1usize << self.memory.half(self.at + l.count_bits)?.min(COUNT_BITS_MOST);
        let size = 1usize << self.memory.half(self.at + l.size_bits)?.min(COUNT_BITS_MOST);
        let descs = || self.memory.bytes(word(l.descs)?, count * l.desc_bytes);
        let copied = Copied {
            before: descs()?,
            infos: self.memory.bytes(word(l.infos)?, count * l.info_bytes)?,
            texts: self.memory.bytes(word(l.data)?, size)?,
            after: descs()?,
        };
        let mask = (1 << STATE_SHIFT) - 1;
        let ids = (0..count as u64).map(|n| tail.wrapping_add(n) & mask);
        let wanted = head.wrapping_sub(tail) & mask;
        let record = |id| l.record(&copied, id, count).filter(|one| one.seq >= first);
        Ok(ids.take((wanted as usize).saturating_add(1)).filter_map(record).collect())
    }
}

impl Layout {
    fn record(&self, copied: &Copied, id: u64, count: usize) -> Option<Record> {
        let index = id as usize & (count - 1);
        let desc = &copied.before[index * self.desc_bytes..];
        let again = &copied.after[index * self.desc_bytes..];
        let state = u64_at(desc, self.state);
        if state != FINALIZED << STATE_SHIFT | id || u64_at(again, self.state) != state {
            return None;
        }
        let info = &copied.infos[index * self.info_bytes..];
        let text = text(&copied.texts, u64_at(desc, self.begin), u64_at(desc, self.next))?;
        let text = &text[..text.len().min(u16_at(info, self.text_len).into())];
        Some(Record { seq: u64_at(info, self.seq), ns: u64_at(info, self.ns), text: text.to_vec() })
    }
}

/// The text between two positions, which count on when the ring begins anew; None: it is there no more.
fn text(ring: &[u8], begin: u64, next: u64) -> Option<&[u8]> {
    /// Positions of a record without text.
    const NONE: u64 = 3;
    if begin & 1 != 0 {
        return (begin == NONE && next == NONE).then_some(&[]);
    }
    let size = ring.len() as u64;
    // A text does not lie on both sides of the end: then it begins at the start.
    let from = if begin / size == next / size { begin % size } else { 0 };
    ring.get((from + TEXT_HEAD) as usize..(next % size) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &[u8]) -> String {
        let mut to = Vec::new();
        Record { seq: 0, ns: 12_003_456_789, text: text.to_vec() }.write(&mut to);
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn records_are_written_as_dmesg_writes_them() {
        assert_eq!(written(b"EXT4-fs: \tx"), "[   12.003456] EXT4-fs: \tx\n");
        assert_eq!(written(b"a\nb"), "[   12.003456] a\n[   12.003456] b\n");
        assert_eq!(written(b""), "[   12.003456] \n");
        assert_eq!(written(b"a\x1b[2Jb\x7f"), "[   12.003456] a\\x1b[2Jb\\x7f\n");
    }

    #[test]
    fn texts_lie_behind_their_number() {
        let ring: Vec<u8> = (0..64).collect();
        assert_eq!(text(&ring, 16, 32), Some(&ring[24..32]));
        assert_eq!(text(&ring, 64 + 16, 64 + 32), Some(&ring[24..32]));
        // From the start of the ring, with nothing behind 56.
        assert_eq!(text(&ring, 56, 64 + 24), Some(&ring[8..24]));
        assert_eq!((text(&ring, 3, 3), text(&ring, 1, 1)), (Some(&[][..]), None));
        assert_eq!(text(&ring, 32, 16), None);
    }

    fn layout() -> Layout {
        Layout {
            head_id: 0,
            tail_id: 0,
            desc_bytes: 24,
            state: 0,
            begin: 8,
            next: 16,
            info_bytes: 24,
            seq: 0,
            ns: 8,
            text_len: 16,
            count_bits: 0,
            descs: 0,
            infos: 0,
            size_bits: 0,
            data: 0,
        }
    }

    #[test]
    fn what_changes_meanwhile_is_left_out() {
        let words = |all: &[u64]| all.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
        let id = 0x102;
        let desc = [0, 0, 0, 0, 0, 0, FINALIZED << STATE_SHIFT | id, 0, 16, 0, 0, 0];
        let before = words(&desc);
        let infos = words(&[0, 0, 0, 0, 0, 0, 7, 5, 3, 0, 0, 0]);
        let texts = [&words(&[id])[..], b"abcdefgh", &[0; 16]].concat();
        let mut copied = Copied { after: before.clone(), before, infos, texts };
        let record = layout().record(&copied, id, 4).unwrap();
        assert_eq!(record, Record { seq: 7, ns: 5, text: b"abc".to_vec() });
        assert_eq!(layout().record(&copied, id + 4, 4), None, "another's by now");
        copied.after[6 * 8] ^= 4;
        assert_eq!(layout().record(&copied, id, 4), None);
    }
}
