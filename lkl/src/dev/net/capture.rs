// SPDX-License-Identifier: GPL-2.0-only
//! Writes the frames of a link to a file of pcapng (draft-ietf-opsawg-pcapng): a block for each, by one call to a file that is open to append.
//! The host appends such a block as a whole, so all processes of an instance write to one file, and several links may.
//!
//! The head of the file is written by whoever opens the file. This here runs on a kernel stack, with the frame in the driver's vectors: a
//! block is made of them in place, without memory of its own.

use super::events::{report, LinkEvent};
use super::frames::PARTS;
use super::link::{self, Link};
use super::{descriptors, message};
use crate::dev::block::Iov;
use crate::sys::time::realtime_ns;
use crate::sys::{file, Errno};
use std::sync::atomic::Ordering::Relaxed;

/// Which way a frame goes: the values of `epb_flags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    In = 1,
    Out = 2,
}

/// An Enhanced Packet Block.
const BLOCK: u32 = 6;
/// Type, length, interface, time (twice), and the frame's length (twice).
const HEAD: usize = 28;
/// `epb_flags` with its value, the end of options, and the length again.
const TAIL: usize = 16;
const FLAGS: u16 = 2;
/// `struct virtio_net_hdr`, which is no part of a frame.
const VNET_HEAD: usize = 10;

/// A frame went this way. `len`: of the frame; of one that came, with what the back end has in front.
pub(super) fn note(link: &Link, iov: &[Iov], len: usize, direction: Direction) {
    if link.features.load(Relaxed) & link::CAPTURED == 0 {
        return;
    }
    let skip = if link.kind.load(Relaxed) == link::TAP { VNET_HEAD } else { 0 };
    let len = if direction == Direction::In { len.saturating_sub(skip) } else { len };
    let Some((fd, id)) = descriptors::capture(link) else { return };
    if let Err(why) = write(fd, id, iov, (skip, len), direction) {
        // The file ends behind a whole block, and says no more.
        link.features.fetch_and(!link::CAPTURED, Relaxed);
        report(link, LinkEvent::NotCaptured(why));
    }
}

fn write(fd: i32, id: u32, iov: &[Iov], frame: (usize, usize), direction: Direction) -> Result<(), Errno> {
    let (len, padding) = (frame.1, frame.1.wrapping_neg() % 4);
    let total = HEAD + len + padding + TAIL;
    let head = head(id, realtime_ns(), len as u32, total as u32);
    let tail = tail(direction, total as u32);
    let mut parts = [Iov { base: 0, len: 0 }; PARTS];
    parts[0] = Iov { base: head.as_ptr() as usize, len: HEAD };
    let n = 1 + cut(iov, frame, &mut parts[1..PARTS - 1]);
    parts[n] = Iov { base: tail.as_ptr() as usize + 3 - padding, len: padding + TAIL };
    let written = message::write(fd, &parts[..=n])?;
    if written < total {
        let end = file::stat_fd(fd)?.st_size as usize;
        file::truncate(fd, end - written)?;
        return Err(Errno::ENOSPC);
    }
    Ok(())
}

/// The vectors of `len` bytes behind `skip`; how many.
fn cut(iov: &[Iov], (mut skip, mut len): (usize, usize), parts: &mut [Iov]) -> usize {
    let mut n = 0;
    for part in iov {
        let gone = skip.min(part.len);
        let here = (part.len - gone).min(len);
        (skip, len) = (skip - gone, len - here);
        if here > 0 && n < parts.len() {
            parts[n] = Iov { base: part.base + gone, len: here };
            n += 1;
        }
    }
    n
}

fn head(id: u32, time_ns: u64, len: u32, total: u32) -> [u8; HEAD] {
    let words = [BLOCK, total, id, (time_ns >> 32) as u32, time_ns as u32, len, len];
    let mut bytes = [0; HEAD];
    for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

/// With room for the padding in front.
fn tail(direction: Direction, total: u32) -> [u8; 3 + TAIL] {
    let mut bytes = [0; 3 + TAIL];
    bytes[3..5].copy_from_slice(&FLAGS.to_ne_bytes());
    bytes[5..7].copy_from_slice(&4u16.to_ne_bytes());
    bytes[7..11].copy_from_slice(&(direction as u32).to_ne_bytes());
    bytes[15..].copy_from_slice(&total.to_ne_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::OwnedFd;

    fn written(frame: &[u8], skip: usize, len: usize) -> Vec<u8> {
        let fd: OwnedFd = file::memory_file(c"a", 0).unwrap();
        let iov: Vec<Iov> =
            frame.chunks(7).map(|part| Iov { base: part.as_ptr() as usize, len: part.len() }).collect();
        write(fd.raw(), 3, &iov, (skip, len), Direction::Out).unwrap();
        let mut bytes = vec![0; 4096];
        let n = file::read_at(fd.raw(), &mut bytes, 0).unwrap();
        bytes.truncate(n);
        bytes
    }

    #[test]
    fn a_block_is_whole_whatever_the_length() {
        let frame: Vec<u8> = (0..100).collect();
        for len in [1, 13, 60, 61, 62, 63, 90] {
            let block = written(&frame, 10, len);
            let word = |at: usize| u32::from_ne_bytes(block[at..at + 4].try_into().unwrap());
            assert_eq!(block.len() % 4, 0);
            assert_eq!((word(0), word(4) as usize, word(8)), (6, block.len(), 3));
            assert_eq!((word(20) as usize, word(24) as usize), (len, len));
            assert_eq!(block[HEAD..HEAD + len], frame[10..10 + len]);
            assert!(block[HEAD + len..block.len() - TAIL].iter().all(|&b| b == 0));
            assert_eq!(word(block.len() - 4) as usize, block.len());
            assert_eq!(word(block.len() - 12), 2);
        }
    }
}
