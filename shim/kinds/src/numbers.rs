// SPDX-License-Identifier: GPL-2.0-only
//! Numbers as disks have them.

/// 32 bits, the lowest byte first.
pub fn little(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// 32 bits, the highest byte first.
pub fn big(bytes: &[u8], at: usize) -> u32 {
    little(bytes, at).swap_bytes()
}

/// 64 bits, the lowest byte first.
pub fn little_long(bytes: &[u8], at: usize) -> u64 {
    u64::from(little(bytes, at)) | u64::from(little(bytes, at + 4)) << 32
}
