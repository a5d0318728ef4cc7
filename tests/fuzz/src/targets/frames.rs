// SPDX-License-Identifier: GPL-2.0-only
//! Frames on a stream, as a peer of `--net stream:PATH` sends them. The first byte is the size of the pieces in which they come.

use lkl::Frames;

use crate::target::Target;

/// Streams of frames.
pub const FRAMES: Target = Target {
    name: "net_frames",
    seeds,
    words: &[&[0, 0, 0, 0], &[0, 0, 0, 60], &[0, 1, 0, 0], &[0xff, 0xff, 0xff, 0xff], &[0x80, 0, 0, 0]],
    most: 4096,
    read,
};

/// The longest frame.
const ROOM: usize = 1514;

fn seeds() -> Vec<Vec<u8>> {
    let framed = |sizes: &[usize]| {
        let frames =
            sizes.iter().flat_map(|&len| [&(len as u32).to_be_bytes()[..], &vec![len as u8; len]].concat());
        [7].into_iter().chain(frames).collect()
    };
    vec![framed(&[60, 1514, 0, 42]), framed(&[14]), framed(&[100, 1515, 60])]
}

fn read(input: &[u8]) {
    let Some((&size, stream)) = input.split_first() else { return };
    let (all, end) = Frames::read_all(stream, || size.into(), ROOM);
    assert!(all.iter().all(|frame| !frame.is_empty() && frame.len() <= ROOM), "a frame that does not fit");
    let mut wanted = Vec::new();
    let mut rest = stream;
    while let Some((head, behind)) = rest.split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*head) as usize;
        if len > ROOM || len > behind.len() {
            break;
        }
        if len > 0 {
            wanted.push(behind[..len].to_vec());
        }
        rest = &behind[len..];
    }
    assert_eq!(all, wanted, "other frames than were sent (the end: {end:?})");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_frames() {
        for seed in seeds() {
            read(&seed);
            assert!(!Frames::read_all(&seed[1..], || 1000, ROOM).0.is_empty());
        }
    }
}
