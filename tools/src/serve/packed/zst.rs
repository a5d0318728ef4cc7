// SPDX-License-Identifier: GPL-2.0-only
//! zstd (RFC 8878): frames, each unpacked by itself. Where a frame does not say how long it is, it is unpacked once to see.
//! Frames that are to be skipped (the table of the seekable format is one) hold nothing of the disk.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use ruzstd::decoding::StreamingDecoder;

use super::{damaged, too_large, Piece, Unpack, PIECE_MOST};
use crate::image_file::size;

const MAGIC: u32 = 0xfd2f_b528;
/// The last four bits may be any.
const SKIPPED: u32 = 0x184d_2a50;

/// A frame in the file.
#[derive(Debug, Clone, Copy)]
struct Frame {
    at: u64,
    packed: u64,
}

/// The frames.
pub struct Index {
    pieces: Vec<Piece>,
    frames: Vec<Frame>,
}

impl Index {
    /// Walks over the blocks of all frames.
    pub fn make(file: &File) -> io::Result<Index> {
        let end = size(file)?;
        let (mut at, mut start) = (0, 0);
        let mut index = Index { pieces: Vec::new(), frames: Vec::new() };
        while at < end {
            let [magic, next] = [word(file, at)?, word(file, at + 4).unwrap_or(0)];
            if magic & !0xf == SKIPPED {
                at += 8 + u64::from(next);
                continue;
            }
            if magic != MAGIC {
                return Err(damaged("something else follows"));
            }
            let (packed, said) = walk(file, at)?;
            let frame = Frame { at, packed };
            let len = match said {
                Some(len) if len > PIECE_MOST => return Err(too_large(len, HOW)),
                Some(len) => len,
                None => unpack(file, frame)?.len() as u64,
            };
            if len > 0 {
                index.pieces.push(Piece { start, len });
                index.frames.push(frame);
            }
            (at, start) = (at + packed, start + len);
        }
        if at != end {
            return Err(damaged("it ends too early"));
        }
        Ok(index)
    }
}

const HOW: &str = "t2sz or pzstd";

fn word(file: &File, at: u64) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, at).map_err(|_| damaged("it ends too early"))?;
    Ok(u32::from_le_bytes(bytes))
}

/// The packed length of the frame at `at`, and the unpacked one, if it says so (RFC 8878, 3.1.1).
fn walk(file: &File, at: u64) -> io::Result<(u64, Option<u64>)> {
    let mut head = [0; 14];
    let read = file.read_at(&mut head, at + 4)?;
    let descriptor = head[0];
    let is_single = descriptor >> 5 & 1 == 1;
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size_len = match descriptor >> 6 {
        0 => usize::from(is_single),
        n => 1 << n,
    };
    let size_at = 1 + usize::from(!is_single) + dictionary;
    if read < size_at + size_len {
        return Err(damaged("it ends too early"));
    }
    let mut bytes = [0; 8];
    bytes[..size_len].copy_from_slice(&head[size_at..size_at + size_len]);
    let said = u64::from_le_bytes(bytes) + if size_len == 2 { 256 } else { 0 };
    let mut next = at + 4 + (size_at + size_len) as u64;
    loop {
        let mut block = [0; 4];
        file.read_exact_at(&mut block[..3], next).map_err(|_| damaged("it ends too early"))?;
        let block = u32::from_le_bytes(block);
        // One byte, repeated, is packed as one.
        let len = if block >> 1 & 3 == 1 { 1 } else { block >> 3 };
        next += 3 + u64::from(len);
        if block & 1 == 1 {
            break;
        }
    }
    next += if descriptor >> 2 & 1 == 1 { 4 } else { 0 };
    Ok((next - at, (size_len > 0).then_some(said)))
}

fn unpack(file: &File, frame: Frame) -> io::Result<Vec<u8>> {
    if frame.packed > PIECE_MOST {
        return Err(too_large(frame.packed, HOW));
    }
    let mut packed = vec![0; frame.packed as usize];
    file.read_exact_at(&mut packed, frame.at)?;
    let bad = |error: &dyn std::fmt::Display| damaged(&format!("it cannot be unpacked ({error})"));
    let mut bytes = Vec::new();
    let mut stream = StreamingDecoder::new(&packed[..]).map_err(|error| bad(&error))?;
    (&mut stream).take(PIECE_MOST + 1).read_to_end(&mut bytes).map_err(|error| bad(&error))?;
    if bytes.len() as u64 > PIECE_MOST {
        return Err(too_large(bytes.len() as u64, HOW));
    }
    let decoder = stream.into_frame_decoder();
    let said = decoder.get_checksum_from_data();
    if said.is_some() && said != decoder.get_calculated_checksum() {
        return Err(damaged("the checksum is wrong"));
    }
    Ok(bytes)
}

impl Unpack for Index {
    fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    fn unpack(&self, file: &File, number: usize) -> io::Result<Vec<u8>> {
        unpack(file, self.frames[number])
    }
}
