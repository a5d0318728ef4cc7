// SPDX-License-Identifier: GPL-2.0-only
//! gzip (RFC 1952), which has no index: the whole is unpacked once, and the state of the unpacking is kept at even distances.
//! From each of them it goes on later.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use miniz_oxide::inflate::stream::{inflate, InflateState};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

use super::{damaged, Piece, Unpack};

/// Between two states, in bytes of the disk.
const SPAN: u64 = 4 << 20;
/// With more states every second one is given up. A state has 43 KiB.
const STATES_MOST: usize = 1024;
/// So much is read at a time.
const CHUNK: usize = 256 << 10;
/// Behind the deflated data: a checksum and the length.
const TRAILER: u64 = 8;

const HAS_CRC: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;

/// A reader somewhere in the file.
#[derive(Clone)]
struct Reader {
    state: Box<InflateState>,
    /// Where the next packed byte is.
    at: u64,
    /// The member that is read has ended; or none has begun.
    between: bool,
    sum: crc32fast::Hasher,
    /// Bytes of the member.
    len: u32,
}

impl Reader {
    fn new() -> Reader {
        Reader {
            state: InflateState::new_boxed(DataFormat::Raw),
            at: 0,
            between: true,
            sum: crc32fast::Hasher::new(),
            len: 0,
        }
    }

    /// Fills `to`, as far as there is something; how much.
    fn fill(&mut self, file: &File, to: &mut [u8]) -> io::Result<usize> {
        let mut chunk = vec![0; CHUNK];
        let mut done = 0;
        while done < to.len() {
            if self.between && !self.begin(file)? {
                break;
            }
            let read = file.read_at(&mut chunk, self.at)?;
            let result = inflate(&mut self.state, &chunk[..read], &mut to[done..], MZFlush::None);
            self.at += result.bytes_consumed as u64;
            let new = &to[done..done + result.bytes_written];
            self.sum.update(new);
            self.len = self.len.wrapping_add(new.len() as u32);
            done += new.len();
            match result.status {
                Ok(MZStatus::StreamEnd) => self.end(file)?,
                Ok(_) | Err(MZError::Buf) if result.bytes_consumed + result.bytes_written > 0 => {}
                Ok(_) | Err(MZError::Buf) => return Err(damaged("it ends too early")),
                Err(_) => return Err(damaged("it cannot be unpacked")),
            }
        }
        Ok(done)
    }

    /// Reads the header of the next member; false: there is none.
    fn begin(&mut self, file: &File) -> io::Result<bool> {
        let mut head = [0; 10];
        let read = file.read_at(&mut head, self.at)?;
        // Zeroes may fill the file up; other bytes that are no member are ignored by gzip, too, but here not.
        if read < head.len() || head[..2] != [0x1f, 0x8b] {
            return match head[..read].iter().all(|&byte| byte == 0) && self.at > 0 {
                true => Ok(false),
                false => Err(damaged("something else follows")),
            };
        }
        if head[2] != 8 {
            return Err(damaged("its method is not deflate"));
        }
        self.at += 10;
        if head[3] & HAS_EXTRA != 0 {
            let mut len = [0; 2];
            file.read_exact_at(&mut len, self.at)?;
            self.at += 2 + u64::from(u16::from_le_bytes(len));
        }
        for _ in [HAS_NAME, HAS_COMMENT].into_iter().filter(|bit| head[3] & bit != 0) {
            self.skip_text(file)?;
        }
        if head[3] & HAS_CRC != 0 {
            self.at += 2;
        }
        *self = Reader { at: self.at, between: false, ..Reader::new() };
        Ok(true)
    }

    /// A text ends with a zero.
    fn skip_text(&mut self, file: &File) -> io::Result<()> {
        let mut byte = [1];
        while byte != [0] {
            file.read_exact_at(&mut byte, self.at).map_err(|_| damaged("it ends too early"))?;
            self.at += 1;
        }
        Ok(())
    }

    /// The trailer of a member says what came out of it.
    fn end(&mut self, file: &File) -> io::Result<()> {
        let mut trailer = [0; TRAILER as usize];
        file.read_exact_at(&mut trailer, self.at).map_err(|_| damaged("it ends too early"))?;
        let word =
            |at: usize| u32::from_le_bytes([trailer[at], trailer[at + 1], trailer[at + 2], trailer[at + 3]]);
        if word(0) != self.sum.clone().finalize() || word(4) != self.len {
            return Err(damaged("the checksum is wrong"));
        }
        self.at += TRAILER;
        self.between = true;
        Ok(())
    }
}

/// The states.
pub struct Index {
    pieces: Vec<Piece>,
    readers: Vec<Reader>,
}

impl Index {
    /// Unpacks the whole once.
    pub fn make(file: &File) -> io::Result<Index> {
        let mut index = Index { pieces: Vec::new(), readers: Vec::new() };
        let (mut reader, mut start, mut span) = (Reader::new(), 0, SPAN);
        let mut room = vec![0; SPAN as usize];
        loop {
            let before = reader.clone();
            let mut len = 0;
            while len < span {
                let n = reader.fill(file, &mut room)? as u64;
                len += n;
                if n < SPAN {
                    break;
                }
            }
            if len > 0 {
                index.pieces.push(Piece { start, len });
                index.readers.push(before);
            }
            start += len;
            if len < span {
                return Ok(index);
            }
            if index.pieces.len() >= STATES_MOST {
                index.halve();
                span *= 2;
            }
        }
    }

    /// Gives up every second state.
    fn halve(&mut self) {
        let pairs = self.pieces.chunks(2);
        self.pieces = pairs
            .map(|pair| Piece { start: pair[0].start, len: pair.iter().map(|piece| piece.len).sum() })
            .collect();
        self.readers = std::mem::take(&mut self.readers).into_iter().step_by(2).collect();
    }
}

impl Unpack for Index {
    fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    fn unpack(&self, file: &File, number: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.pieces[number].len as usize];
        let n = self.readers[number].clone().fill(file, &mut bytes)?;
        bytes.truncate(n);
        Ok(bytes)
    }
}
