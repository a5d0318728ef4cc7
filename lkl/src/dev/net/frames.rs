// SPDX-License-Identifier: GPL-2.0-only
//! Frames on a stream, each behind four bytes of length. A read asks for the rest of a frame, straight into its place, and for the next
//! length: so a frame costs one call where frames follow each other.

use super::link::Link;
use crate::dev::block::Iov;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes of a length.
pub(super) const HEAD: usize = 4;
/// Vectors of a call, at most: the driver's, and a length.
pub(super) const PARTS: usize = 24;

/// How far the reading of a stream is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Frames {
    /// Bytes of the frame under way that are there.
    got: usize,
    /// The frame's length; 0: not known yet.
    len: usize,
    /// The length that is under way.
    head: [u8; HEAD],
    head_got: usize,
}

/// What a read has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// A frame of this length is complete.
    Frame(usize),
    /// There is more to come.
    More,
}

impl Frames {
    /// As it was left in the link.
    pub(super) fn of(link: &Link) -> Frames {
        let [a, b, c, d] = &link.head;
        Frames {
            got: link.got.load(Relaxed) as usize,
            len: link.len.load(Relaxed) as usize,
            head: [a, b, c, d].map(|byte| byte.load(Relaxed)),
            head_got: link.head_got.load(Relaxed) as usize,
        }
    }

    /// Leaves it in the link.
    pub(super) fn keep(&self, link: &Link) {
        link.got.store(self.got as u32, Relaxed);
        link.len.store(self.len as u32, Relaxed);
        link.head_got.store(self.head_got as u32, Relaxed);
        link.head.iter().zip(self.head).for_each(|(to, byte)| to.store(byte, Relaxed));
    }

    /// Whether the frame under way does not fit.
    pub(super) fn is_too_long(&self, room: usize) -> bool {
        self.len > room
    }

    /// What is to be read next, as vectors: what is missing of the frame in `iov`, and of the length behind it in `head`.
    /// How many vectors.
    pub(super) fn wanted(&self, iov: &[Iov], head: &mut [u8; HEAD], parts: &mut [Iov; PARTS]) -> usize {
        let (mut skip, mut left, mut n) = (self.got, self.len.saturating_sub(self.got), 0);
        for part in iov {
            let gone = skip.min(part.len);
            let len = (part.len - gone).min(left);
            skip -= gone;
            if len > 0 && n < PARTS - 1 {
                parts[n] = Iov { base: part.base + gone, len };
                left -= len;
                n += 1;
            }
        }
        parts[n] = Iov { base: head.as_mut_ptr() as usize, len: HEAD - self.head_got };
        n + 1
    }

    /// `bytes` of what was wanted came; `head` has what came of the length.
    pub(super) fn came(&mut self, bytes: usize, head: &[u8; HEAD]) -> Progress {
        let of_frame = bytes.min(self.len - self.got);
        self.got += of_frame;
        let of_head = (bytes - of_frame).min(HEAD - self.head_got);
        self.head[self.head_got..self.head_got + of_head].copy_from_slice(&head[..of_head]);
        self.head_got += of_head;
        if self.got < self.len {
            return Progress::More;
        }
        let done = self.len;
        (self.got, self.len) = (0, 0);
        if self.head_got == HEAD {
            (self.len, self.head_got) = (u32::from_be_bytes(self.head) as usize, 0);
        }
        match done {
            0 => Progress::More,
            done => Progress::Frame(done),
        }
    }

    /// Reads frames from bytes that come in pieces of these sizes, into a buffer of `room` bytes: for tests and for the fuzzer. `None` at
    /// the end: a frame was too long.
    pub fn read_all(
        stream: &[u8],
        mut sizes: impl FnMut() -> usize,
        room: usize,
    ) -> (Vec<Vec<u8>>, Option<()>) {
        let (mut frames, mut all, mut at) = (Frames::default(), Vec::new(), 0);
        let mut buffer = vec![0u8; room];
        while at < stream.len() {
            if frames.is_too_long(room) {
                return (all, None);
            }
            // Which bytes go where is what `wanted()` says in addresses.
            let want = frames.len - frames.got + HEAD - frames.head_got;
            let bytes = sizes().clamp(1, want).min(stream.len() - at);
            let of_frame = bytes.min(frames.len - frames.got);
            buffer[frames.got..frames.got + of_frame].copy_from_slice(&stream[at..at + of_frame]);
            let mut head = [0; HEAD];
            head[..bytes - of_frame].copy_from_slice(&stream[at + of_frame..at + bytes]);
            at += bytes;
            if let Progress::Frame(len) = frames.came(bytes, &head) {
                all.push(buffer[..len].to_vec());
            }
        }
        (all, Some(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(frames: &[&[u8]]) -> Vec<u8> {
        frames.iter().flat_map(|f| [&(f.len() as u32).to_be_bytes()[..], f].concat()).collect()
    }

    #[test]
    fn frames_come_out_as_they_went_in_whatever_the_pieces() {
        let frames: [&[u8]; 4] = [b"one", b"", b"three and more", &[7; 300]];
        let stream = framed(&frames);
        for size in 1..stream.len() {
            let (all, end) = Frames::read_all(&stream, || size, 300);
            assert_eq!(end, Some(()));
            let full: Vec<_> = frames.iter().filter(|f| !f.is_empty()).map(|f| f.to_vec()).collect();
            assert_eq!(all, full, "{size}");
        }
    }

    #[test]
    fn a_frame_that_does_not_fit_ends_the_stream() {
        let stream = framed(&[b"good", &[1; 20]]);
        let (all, end) = Frames::read_all(&stream, || 3, 19);
        assert_eq!((all, end), (vec![b"good".to_vec()], None));
        let (all, end) = Frames::read_all(&[0xff; 64], || 64, 70_000);
        assert_eq!((all.len(), end), (0, None));
    }

    #[test]
    fn a_read_asks_for_the_rest_of_the_frame_and_the_next_length() {
        let frames = Frames { got: 6, len: 12, head: [0; HEAD], head_got: 0 };
        let iov = [Iov { base: 1000, len: 4 }, Iov { base: 2000, len: 4 }, Iov { base: 3000, len: 100 }];
        let (mut head, mut parts) = ([0; HEAD], [Iov { base: 0, len: 0 }; PARTS]);
        let n = frames.wanted(&iov, &mut head, &mut parts);
        let seen: Vec<_> = parts[..n].iter().map(|part| (part.base, part.len)).collect();
        assert_eq!(seen, [(2002, 2), (3000, 4), (head.as_ptr() as usize, HEAD)]);
    }
}
