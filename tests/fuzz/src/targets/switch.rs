// SPDX-License-Identifier: GPL-2.0-only
//! Frames as members of `stowaway switch` send them.

use stowaway_tools::switch::frames::{read_all, MOST};

use crate::target::Target;

/// Streams of frames.
pub const FRAMES: Target = Target {
    name: "switch_frames",
    seeds,
    words: &[&[0, 0, 0, 0], &[0, 0, 0, 14], &[0, 1, 4, 0], &[0, 1, 4, 1], &[0xff, 0xff, 0xff, 0xff]],
    most: 4096,
    read,
};

fn seeds() -> Vec<Vec<u8>> {
    let framed = |sizes: &[usize]| {
        sizes
            .iter()
            .flat_map(|&len| [&(len as u32).to_be_bytes()[..], &vec![len as u8; len]].concat())
            .collect()
    };
    vec![framed(&[60, 1514, 0, 42]), framed(&[13, 14]), vec![0, 1, 4, 0, 1, 2]]
}

fn read(input: &[u8]) {
    let (all, is_in_order) = read_all(input);
    let bytes: usize = all.iter().map(|len| len + 4).sum();
    assert!(bytes <= input.len() && all.iter().all(|&len| len <= MOST), "more than there is");
    let broken =
        input[bytes..].first_chunk::<4>().is_some_and(|&head| u32::from_be_bytes(head) as usize > MOST);
    assert_eq!(is_in_order, !broken);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_frames() {
        seeds().iter().for_each(|seed| read(seed));
        assert_eq!(read_all(&seeds()[0]).0, [60, 1514, 0, 42]);
    }
}
