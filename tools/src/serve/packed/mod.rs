// SPDX-License-Identifier: GPL-2.0-only
//! Packed disks, which are only read. Where an image is opened, an index of its pieces is made: a piece can be unpacked
//! without those before it. The pieces that were needed last are kept.
//!
//! Floors, from the lowest: gzip, xz, zst.

mod gzip;
mod xz;
mod zst;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::disk::Disk;
use super::formats::Packing;

/// Unpacked pieces that are kept, in bytes; one piece always is.
const KEPT_MOST: usize = 128 << 20;
/// A piece that is larger cannot be unpacked whole for each read.
const PIECE_MOST: u64 = 256 << 20;

/// A part of the disk, and where it begins in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    start: u64,
    len: u64,
}

/// What unpacks a piece.
trait Unpack: Send + Sync {
    /// The pieces, in the order of the disk.
    fn pieces(&self) -> &[Piece];
    /// The bytes of one.
    fn unpack(&self, file: &File, number: usize) -> io::Result<Vec<u8>>;
}

/// A packed image.
pub struct Packed {
    file: File,
    unpack: Box<dyn Unpack>,
    kept: Mutex<Kept>,
}

/// Pieces, the one that was used last in front.
#[derive(Default)]
struct Kept {
    pieces: VecDeque<(usize, Arc<Vec<u8>>)>,
    bytes: usize,
}

impl Packed {
    /// Makes the index. The file is locked by the caller.
    pub fn open(file: File, packing: Packing) -> io::Result<Packed> {
        let unpack: Box<dyn Unpack> = match packing {
            Packing::Gzip => Box::new(gzip::Index::make(&file)?),
            Packing::Xz => Box::new(xz::Index::make(&file)?),
            Packing::Zstd => Box::new(zst::Index::make(&file)?),
        };
        Ok(Packed { file, unpack, kept: Mutex::default() })
    }

    /// The size of the disk.
    pub fn bytes(&self) -> u64 {
        self.unpack.pieces().last().map_or(0, |piece| piece.start + piece.len)
    }

    fn piece(&self, number: usize) -> io::Result<Arc<Vec<u8>>> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = kept().find(number) {
            return Ok(bytes);
        }
        let bytes = Arc::new(self.unpack.unpack(&self.file, number)?);
        if bytes.len() as u64 != self.unpack.pieces()[number].len {
            return Err(damaged("a piece has another length than the index says"));
        }
        kept().put(number, Arc::clone(&bytes));
        Ok(bytes)
    }
}

impl Kept {
    fn find(&mut self, number: usize) -> Option<Arc<Vec<u8>>> {
        let at = self.pieces.iter().position(|(other, _)| *other == number)?;
        let found = self.pieces.remove(at)?;
        let bytes = Arc::clone(&found.1);
        self.pieces.push_front(found);
        Some(bytes)
    }

    fn put(&mut self, number: usize, bytes: Arc<Vec<u8>>) {
        self.bytes += bytes.len();
        self.pieces.push_front((number, bytes));
        while self.bytes > KEPT_MOST && self.pieces.len() > 1 {
            self.bytes -= self.pieces.pop_back().map_or(0, |(_, bytes)| bytes.len());
        }
    }
}

impl Disk for Packed {
    fn read(&self, to: &mut [u8], at: u64) -> io::Result<()> {
        let pieces = self.unpack.pieces();
        let (mut to, mut at) = (to, at);
        while !to.is_empty() {
            let number = pieces.partition_point(|piece| piece.start + piece.len <= at);
            let piece = pieces.get(number).ok_or(io::ErrorKind::UnexpectedEof)?;
            let bytes = self.piece(number)?;
            let from = &bytes[(at - piece.start) as usize..];
            let n = from.len().min(to.len());
            let (now, rest) = to.split_at_mut(n);
            now.copy_from_slice(&from[..n]);
            (to, at) = (rest, at + n as u64);
        }
        Ok(())
    }

    fn write(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn trim(&self, _: u64, _: u64) -> io::Result<bool> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn zero(&self, _: u64, _: u64, _: bool) -> io::Result<bool> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

fn damaged(why: &str) -> io::Error {
    io::Error::other(format!("is damaged: {why}"))
}

/// The error of an image whose pieces are too large; `how` packs one with smaller pieces.
fn too_large(bytes: u64, how: &str) -> io::Error {
    io::Error::other(format!(
        "has {} MiB in one piece, which cannot be read in the middle; unpack it, or pack it with {how}",
        bytes >> 20
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// 9 MB, some of it hard to pack.
    fn disk() -> Vec<u8> {
        let mut state = 1u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let text = b"the quick brown fox jumps over the lazy dog\n".repeat(100_000);
        [noise.take(3_000_001).collect(), text, vec![0; 1_600_000]].concat()
    }

    fn packed_by(words: &[&str], disk: &[u8]) -> Option<File> {
        let mut file = tempfile::tempfile().unwrap();
        for part in disk.chunks(5 << 20) {
            let mut child = Command::new(words[0])
                .args(&words[1..])
                .stdin(Stdio::piped())
                .stdout(file.try_clone().unwrap())
                .spawn()
                .ok()?;
            let mut pipe = child.stdin.take().unwrap();
            pipe.write_all(part).unwrap();
            drop(pipe);
            assert!(child.wait().unwrap().success());
        }
        file.flush().unwrap();
        Some(file)
    }

    fn reads(packing: Packing, words: &[&str]) {
        let disk = disk();
        let Some(file) = packed_by(words, &disk) else {
            let _ = writeln!(io::stderr(), "note: {} is not installed: not tested", words[0]);
            return;
        };
        let packed = Packed::open(file, packing).unwrap();
        assert_eq!(packed.bytes(), disk.len() as u64);
        let mut state = 7usize;
        for len in [1, 512, 4096, 100_000, 5 << 20] {
            for _ in 0..20 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (state >> 20) % (disk.len() - len);
                let mut found = vec![0; len];
                packed.read(&mut found, at as u64).unwrap();
                assert!(found == disk[at..at + len], "{words:?}: {len} bytes at {at}");
            }
        }
        assert!(packed.read(&mut [0; 2], disk.len() as u64 - 1).is_err());
        assert!(packed.write(&[0], 0).is_err());
    }

    #[test]
    fn gzip_in_the_middle() {
        reads(Packing::Gzip, &["gzip", "-c"]);
        reads(Packing::Gzip, &["gzip", "-c", "-1"]);
    }

    #[test]
    fn xz_in_the_middle() {
        reads(Packing::Xz, &["xz", "-c", "--block-size=1MiB"]);
        reads(Packing::Xz, &["xz", "-c", "-0", "--check=crc32"]);
    }

    #[test]
    fn zstd_in_the_middle() {
        reads(Packing::Zstd, &["zstd", "-q", "-c"]);
        reads(Packing::Zstd, &["zstd", "-q", "-c", "--no-check", "-1"]);
    }

    #[test]
    fn what_is_cut_or_changed_is_no_disk() {
        let disk = disk();
        for (packing, words) in [
            (Packing::Gzip, &["gzip", "-c"][..]),
            (Packing::Xz, &["xz", "-c", "-0"]),
            (Packing::Zstd, &["zstd", "-q", "-c"]),
        ] {
            let Some(file) = packed_by(words, &disk) else { continue };
            let len = file.metadata().unwrap().len();
            let copy = |change: &dyn Fn(&mut Vec<u8>)| {
                let mut bytes = vec![0; len as usize];
                std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 0).unwrap();
                change(&mut bytes);
                let mut copy = tempfile::tempfile().unwrap();
                copy.write_all(&bytes).unwrap();
                copy
            };
            let whole = |file: File| {
                let packed = Packed::open(file, packing)?;
                let mut found = vec![0; packed.bytes() as usize];
                packed.read(&mut found, 0).map(|()| found)
            };
            assert!(whole(copy(&|_| ())).unwrap() == disk, "{words:?}");
            for at in [1000, len as usize / 2, len as usize - 3] {
                let changed = whole(copy(&|bytes| bytes[at] ^= 0x10));
                assert!(changed.is_err() || changed.unwrap() == disk, "{words:?}: changed at {at}");
                let cut = whole(copy(&|bytes| bytes.truncate(at)));
                // At the border of two files that were joined, what is left is whole.
                assert!(cut.is_err() || disk.starts_with(&cut.unwrap()), "{words:?}: cut at {at}");
            }
        }
    }
}
