// SPDX-License-Identifier: GPL-2.0-only
//! Faults that are there to be found: each at a pattern that no seed has.

use crate::target::Target;

const PATTERN: [u8; 2] = [0xde, 0xad];

/// Panics.
pub const PANIC: Target = Target { name: "planted_panic", seeds, words: &[], most: 256, read: panic };

/// Makes a length that was read an allocation, which ends the process.
pub const ABORT: Target = Target { name: "planted_abort", seeds, words: &[], most: 256, read: abort };

fn seeds() -> Vec<Vec<u8>> {
    vec![b"a header, a length, and what it counts".to_vec(), vec![0; 64]]
}

fn is_met(input: &[u8]) -> bool {
    input.windows(PATTERN.len()).any(|part| part == PATTERN)
}

fn panic(input: &[u8]) {
    assert!(!is_met(input), "planted");
}

fn abort(input: &[u8]) {
    let length = if is_met(input) { 1 << 40 } else { 1 };
    std::hint::black_box(vec![1u8; length]);
}
