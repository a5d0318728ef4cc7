// SPDX-License-Identifier: GPL-2.0-only
//! Changes to an input: those that find what checks of lengths, offsets and signs leave out.

use fastrand::Rng;

/// Numbers at which arithmetic goes wrong.
const NUMBERS: [u64; 16] = [
    0,
    1,
    7,
    8,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x1000,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];
/// Bytes in which headers are.
const HEAD: usize = 256;

/// Changes `input` in 1, 2, 4 or 8 ways; it never grows past `most` bytes. `other` is a second input to take parts of,
/// `words` what means something to the target. One input of two keeps its head: else little would come past the checks
/// there.
pub fn mutate(rng: &mut Rng, input: &mut Vec<u8>, other: &[u8], words: &[&[u8]], most: usize) {
    let from = if rng.bool() && input.len() > 2 * HEAD { HEAD } else { 0 };
    let mut tail = input.split_off(from);
    for _ in 0..1 << rng.u32(0..4) {
        change(rng, &mut tail, other, words);
    }
    input.append(&mut tail);
    input.truncate(most);
}

fn change(rng: &mut Rng, input: &mut Vec<u8>, other: &[u8], words: &[&[u8]]) {
    if input.is_empty() {
        input.extend(other);
        input.push(rng.u8(..));
        return;
    }
    let at = place(rng, input.len());
    match rng.u8(0..10) {
        0 => input[at] ^= 1 << rng.u8(0..8),
        1 => input[at] = rng.u8(..),
        2 => write(input, at, &number(rng)),
        3 => add(rng, input, at),
        4 => input.truncate(at),
        5 => drop(input.drain(at..end(rng, at, input.len()))),
        6 => {
            let part = input[at..end(rng, at, input.len())].to_vec();
            let to = place(rng, input.len());
            insert(input, to, &part);
        }
        7 if !other.is_empty() => {
            let from = place(rng, other.len());
            write(input, at, &other[from..end(rng, from, other.len())]);
        }
        8 if !words.is_empty() => {
            let word = words[rng.usize(..words.len())];
            match rng.bool() {
                true => insert(input, at, word),
                false => write(input, at, word),
            }
        }
        _ => insert(input, at, &number(rng)),
    }
}

/// A place in `len` bytes; the first ones, where headers are, as often as all others.
fn place(rng: &mut Rng, len: usize) -> usize {
    match rng.bool() {
        true => rng.usize(..len.min(HEAD)),
        false => rng.usize(..len),
    }
}

/// An end for a part that begins at `at`: short ones most often.
fn end(rng: &mut Rng, at: usize, len: usize) -> usize {
    let most = 1 << rng.u32(0..12);
    at + rng.usize(1..=most.min(len - at))
}

/// 1, 2, 4 or 8 bytes in either order.
fn number(rng: &mut Rng) -> Vec<u8> {
    let value = match rng.bool() {
        true => NUMBERS[rng.usize(..NUMBERS.len())],
        false => rng.u64(..) >> rng.u32(0..64),
    };
    let bytes = 1 << rng.u32(0..4);
    match rng.bool() {
        true => value.to_le_bytes()[..bytes].to_vec(),
        false => value.to_be_bytes()[8 - bytes..].to_vec(),
    }
}

/// Adds a little to a number of 1, 2 or 4 bytes.
fn add(rng: &mut Rng, input: &mut [u8], at: usize) {
    let mut carry = u16::from(rng.u8(1..=16));
    if rng.bool() {
        carry = 0x100 - carry;
    }
    for byte in input[at..].iter_mut().take(1 << rng.u32(0..3)) {
        carry += u16::from(*byte);
        *byte = carry as u8;
        carry >>= 8;
    }
}

fn write(input: &mut [u8], at: usize, bytes: &[u8]) {
    let len = bytes.len().min(input.len() - at);
    input[at..at + len].copy_from_slice(&bytes[..len]);
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    drop(input.splice(at..at, bytes.iter().copied()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_a_function_of_the_seed() {
        let make = |seed: u64| {
            let mut input = b"some text to begin with".to_vec();
            mutate(&mut Rng::with_seed(seed), &mut input, b"another", &[b"word"], 64);
            input
        };
        assert!((0..2000).all(|seed| make(seed) == make(seed) && make(seed).len() <= 64));
        assert!((0..2000).filter(|&seed| make(seed) != make(seed + 1)).count() > 1900);
    }
}
