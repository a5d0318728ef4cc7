// SPDX-License-Identifier: GPL-2.0-only
//! Numbers in decimal, written where nothing may be allocated, and paths that contain one.

use lkl::sys::text::{decimal, DIGITS};

/// A number's decimal digits.
pub struct Decimal {
    room: [u8; DIGITS],
    len: usize,
}

impl Decimal {
    /// The digits of `n`.
    pub fn new(n: usize) -> Decimal {
        let mut this = Decimal { room: [0; DIGITS], len: 0 };
        let mut room = [0; DIGITS];
        let digits = decimal(n as u64, &mut room);
        this.len = digits.len();
        this.room[..this.len].copy_from_slice(digits);
        this
    }

    /// The digits.
    pub fn as_bytes(&self) -> &[u8] {
        &self.room[..self.len]
    }
}

/// Reads a row of decimal digits; None: a byte is no digit, there is none, or the number is too large.
pub fn parse(text: &[u8]) -> Option<usize> {
    let digits = text.iter().all(u8::is_ascii_digit);
    core::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// The path `/proc/self/fd/N`, NUL-ended.
pub struct FdPath([u8; FdPath::LEN]);

impl FdPath {
    /// The path without its number.
    pub const PREFIX: &[u8] = b"/proc/self/fd/";
    const LEN: usize = 40;

    /// The path of descriptor `fd`.
    pub fn new(fd: usize) -> FdPath {
        let mut path = [0; FdPath::LEN];
        let digits = Decimal::new(fd);
        let (prefix, number) = path.split_at_mut(FdPath::PREFIX.len());
        prefix.copy_from_slice(FdPath::PREFIX);
        number[..digits.as_bytes().len()].copy_from_slice(digits.as_bytes());
        FdPath(path)
    }

    /// Address of the text.
    pub fn address(&self) -> usize {
        self.0.as_ptr() as usize
    }

    /// The text without its NUL.
    pub fn as_bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&b| b == 0).unwrap_or(FdPath::LEN);
        &self.0[..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_paths() {
        for n in [0, 7, 10, 4096, usize::MAX] {
            assert_eq!(Decimal::new(n).as_bytes(), n.to_string().as_bytes());
            assert_eq!(parse(Decimal::new(n).as_bytes()), Some(n));
            assert_eq!(FdPath::new(n).as_bytes(), format!("/proc/self/fd/{n}").as_bytes());
        }
        for bad in [&b""[..], b"+1", b"1x", b"-1", b"99999999999999999999999"] {
            assert_eq!(parse(bad), None);
        }
    }
}
