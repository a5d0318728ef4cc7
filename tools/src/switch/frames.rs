// SPDX-License-Identifier: GPL-2.0-only
//! Ethernet frames in QEMU's framing: four bytes of length, big endian, and the frame.

/// Bytes of a length.
pub const HEAD: usize = 4;
/// The longest frame that members have: 64 KiB behind an Ethernet header, as those of a kernel inside.
pub const MOST: usize = (64 << 10) + 1024;
/// Bytes of an Ethernet header.
const HEADER: usize = 14;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// A frame of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Where it begins in the buffer, with its length in front.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// Destination and source. `None`: it is too short to have any.
    pub addresses: Option<(Mac, Mac)>,
}

/// What stands at a place of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A whole frame.
    Frame(Frame),
    /// A part of one.
    Part,
    /// What can be no length: nobody knows where the next frame begins.
    Broken,
}

/// What stands at `at`.
pub fn next(buffer: &[u8], at: usize) -> Next {
    let rest = &buffer[at..];
    let Some((head, rest)) = rest.split_first_chunk::<HEAD>() else { return Next::Part };
    let len = u32::from_be_bytes(*head) as usize;
    if len > MOST {
        return Next::Broken;
    }
    let Some(frame) = rest.get(..len) else { return Next::Part };
    let addresses = (len >= HEADER).then(|| {
        let part = |from: usize| [0, 1, 2, 3, 4, 5].map(|i: usize| frame[from + i]);
        (part(0), part(6))
    });
    Next::Frame(Frame { start: at, end: at + HEAD + len, addresses })
}

/// Whether it is the address of a group: broadcast and multicast.
pub fn is_group(mac: &Mac) -> bool {
    mac[0] & 1 != 0
}

/// Reads all frames of a stream, for the fuzzer: their lengths, and whether it ends in order.
#[doc(hidden)]
pub fn read_all(stream: &[u8]) -> (Vec<usize>, bool) {
    let (mut at, mut lengths) = (0, Vec::new());
    loop {
        match next(stream, at) {
            Next::Frame(frame) => {
                assert!(frame.start == at && frame.end > at && frame.end <= stream.len());
                lengths.push(frame.end - frame.start - HEAD);
                at = frame.end;
            }
            Next::Part => return (lengths, true),
            Next::Broken => return (lengths, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_parts_and_what_is_none() {
        let mut stream = vec![0, 0, 0, 14];
        stream.extend(1..=14);
        stream.extend([0, 0, 0, 3, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 60, 1]);
        let Next::Frame(first) = next(&stream, 0) else { panic!() };
        assert_eq!((first.start, first.end), (0, 18));
        assert_eq!(first.addresses, Some(([1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12])));
        assert_eq!(next(&stream, 18), Next::Frame(Frame { start: 18, end: 25, addresses: None }));
        assert_eq!(read_all(&stream), (vec![14, 3, 0], true));
        assert_eq!(next(&[0, 0], 0), Next::Part);
        assert_eq!(next(b"GET /", 0), Next::Broken);
        assert_eq!(next(&[0xff; 9], 0), Next::Broken);
    }
}
