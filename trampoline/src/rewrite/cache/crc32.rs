// SPDX-License-Identifier: GPL-2.0-only
//! CRC-32 as in IEEE 802.3, zip and png.

/// For [`crc32`]: what a byte adds, followed by as many zeroes as the table's index.
const CRC_TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut index = 0;
    while index < 256 * 8 {
        let (zeroes, byte) = (index / 256, index % 256);
        let mut value = if zeroes == 0 { byte as u32 } else { tables[zeroes - 1][byte] };
        let mut bit = 0;
        while bit < 8 {
            value = (value >> 1) ^ (0xedb8_8320 * (value & 1));
            bit += 1;
        }
        tables[zeroes][byte] = value;
        index += 1;
    }
    tables
};

/// The sum of `bytes`; eight bytes at a time.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let words = bytes.chunks_exact(8);
    let rest = words.remainder();
    let byte = |sum: u32, &byte: &u8| (sum >> 8) ^ CRC_TABLES[0][usize::from(sum as u8 ^ byte)];
    let word = |sum: u32, word: &[u8]| {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        let mixed = (word ^ u64::from(sum)).to_le_bytes();
        let parts = mixed.iter().zip(CRC_TABLES.iter().rev());
        parts.fold(0, |sum, (&byte, table)| sum ^ table[usize::from(byte)])
    };
    !rest.iter().fold(words.fold(!0, word), byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_that_others_publish() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b"The quick brown fox jumps over the lazy dog"), 0x414f_a339);
    }
}
