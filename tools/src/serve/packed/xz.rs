// SPDX-License-Identifier: GPL-2.0-only
//! xz (the .xz File Format, version 1.2.1): streams, each with an index of its blocks at its end. A block is unpacked as the
//! only one of a stream that is made around it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use liblzma::read::XzDecoder;

use super::{damaged, too_large, Piece, Unpack, PIECE_MOST};
use crate::image_file::size;

const MAGIC: [u8; 6] = *b"\xfd7zXZ\0";
const END: [u8; 2] = *b"YZ";
/// Of a stream's header, and of its footer.
const EDGE: u64 = 12;
/// More than any index has that is met: 16 bytes a block.
const INDEX_MOST: u64 = 64 << 20;

/// A block in the file.
#[derive(Debug, Clone, Copy)]
struct Block {
    at: u64,
    /// Without the padding, as the index has it.
    unpadded: u64,
    /// The two bytes of flags of its stream.
    flags: [u8; 2],
}

/// The blocks.
pub struct Index {
    pieces: Vec<Piece>,
    blocks: Vec<Block>,
}

impl Index {
    /// Reads the index of each stream, from the last to the first.
    pub fn make(file: &File) -> io::Result<Index> {
        let mut end = size(file)?;
        let mut found: Vec<(Block, u64)> = Vec::new();
        while end > 0 {
            let mut padding = [0; 4];
            while end >= 4 && file.read_exact_at(&mut padding, end - 4).is_ok() && padding == [0; 4] {
                end -= 4;
            }
            let (start, mut blocks) = stream(file, end)?;
            blocks.append(&mut found);
            (end, found) = (start, blocks);
        }
        let mut start = 0;
        let mut index = Index { pieces: Vec::new(), blocks: Vec::new() };
        for (block, len) in found.into_iter().filter(|(_, len)| *len > 0) {
            if len > PIECE_MOST {
                return Err(too_large(len, "xz --block-size=4MiB"));
            }
            index.pieces.push(Piece { start, len });
            index.blocks.push(block);
            start += len;
        }
        Ok(index)
    }
}

/// The stream that ends at `end`: where it begins, and its blocks with their lengths.
fn stream(file: &File, end: u64) -> io::Result<(u64, Vec<(Block, u64)>)> {
    let bad = || damaged("it does not end as an xz file does");
    let mut footer = [0; EDGE as usize];
    let footer_at = end.checked_sub(EDGE).ok_or_else(bad)?;
    file.read_exact_at(&mut footer, footer_at)?;
    if footer[10..] != END || footer[..4] != crc32fast::hash(&footer[4..10]).to_le_bytes() {
        return Err(bad());
    }
    let index_len = (u64::from(u32::from_le_bytes([footer[4], footer[5], footer[6], footer[7]])) + 1) * 4;
    let index_at = footer_at.checked_sub(index_len).filter(|_| index_len <= INDEX_MOST).ok_or_else(bad)?;
    let mut text = vec![0; index_len as usize];
    file.read_exact_at(&mut text, index_at)?;
    let records = records(&text).ok_or_else(|| damaged("its index is wrong"))?;
    let padded = |unpadded: u64| unpadded.checked_next_multiple_of(4);
    let total = records.iter().try_fold(0u64, |sum, &(unpadded, _)| sum.checked_add(padded(unpadded)?));
    let start = total.and_then(|total| index_at.checked_sub(total)?.checked_sub(EDGE)).ok_or_else(bad)?;
    let mut head = [0; EDGE as usize];
    file.read_exact_at(&mut head, start)?;
    let flags = [footer[8], footer[9]];
    if head[..6] != MAGIC || head[6..8] != flags {
        return Err(damaged("a stream does not begin where its end says"));
    }
    let mut at = start + EDGE;
    let mut blocks = Vec::with_capacity(records.len());
    for (unpadded, len) in records {
        blocks.push((Block { at, unpadded, flags }, len));
        at += unpadded.next_multiple_of(4);
    }
    Ok((start, blocks))
}

/// The records of an index: unpadded size and length of each block. None: the index is damaged.
fn records(text: &[u8]) -> Option<Vec<(u64, u64)>> {
    let (body, sum) = text.split_at(text.len().checked_sub(4)?);
    if body.first() != Some(&0) || sum != crc32fast::hash(body).to_le_bytes() {
        return None;
    }
    let mut rest = &body[1..];
    let count = number(&mut rest)?;
    // A record has two bytes at least.
    let mut records = Vec::with_capacity(usize::try_from(count).ok().filter(|&n| n <= rest.len() / 2)?);
    for _ in 0..count {
        records.push((number(&mut rest)?, number(&mut rest)?));
    }
    (rest.len() < 4 && rest.iter().all(|&byte| byte == 0)).then_some(records)
}

/// Seven bits a byte, the lowest first.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A stream of this block alone.
fn alone(block: &Block, bytes: &[u8], len: u64) -> Vec<u8> {
    let mut stream = MAGIC.to_vec();
    stream.extend(block.flags);
    stream.extend(crc32fast::hash(&block.flags).to_le_bytes());
    stream.extend(bytes);
    let begin = stream.len();
    stream.extend([0, 1]);
    put_number(&mut stream, block.unpadded);
    put_number(&mut stream, len);
    stream.resize(begin + (stream.len() - begin).next_multiple_of(4), 0);
    let sum = crc32fast::hash(&stream[begin..]);
    stream.extend(sum.to_le_bytes());
    let words = ((stream.len() - begin) / 4 - 1) as u32;
    let end = [&words.to_le_bytes()[..], &block.flags].concat();
    stream.extend(crc32fast::hash(&end).to_le_bytes());
    stream.extend(end);
    stream.extend(END);
    stream
}

impl Unpack for Index {
    fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    fn unpack(&self, file: &File, number: usize) -> io::Result<Vec<u8>> {
        let (block, len) = (&self.blocks[number], self.pieces[number].len);
        let mut packed = vec![0; block.unpadded.next_multiple_of(4) as usize];
        file.read_exact_at(&mut packed, block.at)?;
        let mut bytes = Vec::with_capacity(len as usize);
        // One byte more shows that there is one.
        XzDecoder::new(&alone(block, &packed, len)[..]).take(len + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
