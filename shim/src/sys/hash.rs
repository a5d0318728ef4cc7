// SPDX-License-Identifier: GPL-2.0-only
//! FNV-1a, 64 bits (draft-eastlake-fnv): for names that nobody forges.

/// The hash of no bytes.
pub const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;

/// The hash of what `from` is the hash of, and these bytes behind it.
pub fn fnv1a(from: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(from, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_draft_has_it() {
        assert_eq!(fnv1a(EMPTY, b""), EMPTY);
        assert_eq!(fnv1a(EMPTY, b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(fnv1a(fnv1a(EMPTY, b"foo"), b"bar"), fnv1a(EMPTY, b"foobar"));
    }
}
