// SPDX-License-Identifier: GPL-2.0-only
//! Text without allocation: numbers as digits, and text in a buffer.

use std::ffi::CStr;

/// Room for the digits of any u64.
pub const DIGITS: usize = 20;

/// The decimal digits of `n`.
pub fn decimal(n: u64, room: &mut [u8; DIGITS]) -> &[u8] {
    digits(n, 10, room)
}

/// The hexadecimal digits of `n`, without a prefix.
pub fn hex(n: u64, room: &mut [u8; DIGITS]) -> &[u8] {
    digits(n, 16, room)
}

fn digits(mut n: u64, base: u64, room: &mut [u8; DIGITS]) -> &[u8] {
    let mut at = room.len();
    loop {
        at -= 1;
        room[at] = b"0123456789abcdef"[(n % base) as usize];
        n /= base;
        if n == 0 {
            return &room[at..];
        }
    }
}

/// Text in a buffer of the caller, as far as the buffer has room. The last byte is kept for a NUL.
#[derive(Debug)]
pub struct Text<'a> {
    room: &'a mut [u8],
    len: usize,
}

impl<'a> Text<'a> {
    /// An empty text. `room` is not empty.
    pub fn new(room: &'a mut [u8]) -> Text<'a> {
        if let Some(first) = room.first_mut() {
            *first = 0;
        }
        Text { room, len: 0 }
    }

    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) -> &mut Self {
        let n = bytes.len().min(self.room.len().saturating_sub(self.len + 1));
        self.room[self.len..self.len + n].copy_from_slice(&bytes[..n]);
        self.len += n;
        if let Some(end) = self.room.get_mut(self.len) {
            *end = 0;
        }
        self
    }

    /// Appends a number in decimal.
    pub fn decimal(&mut self, n: u64) -> &mut Self {
        self.put(decimal(n, &mut [0; DIGITS]))
    }

    /// Appends a number in hexadecimal.
    pub fn hex(&mut self, n: u64) -> &mut Self {
        self.put(hex(n, &mut [0; DIGITS]))
    }

    /// The text so far.
    pub fn bytes(&self) -> &[u8] {
        &self.room[..self.len]
    }

    /// The text so far as a C string.
    pub fn as_cstr(&self) -> &CStr {
        CStr::from_bytes_until_nul(self.room).unwrap_or(c"")
    }
}

/// The number at the start of `text`; None: there is none, or it is too large.
pub fn leading_number(text: &[u8]) -> Option<usize> {
    let len = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    std::str::from_utf8(&text[..len]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written() {
        let mut room = [0; DIGITS];
        for (n, text) in [(0, "0"), (7, "7"), (10, "10"), (u64::MAX, "18446744073709551615")] {
            assert_eq!(decimal(n, &mut room), text.as_bytes());
        }
        for (n, text) in [(0, "0"), (0x1f, "1f"), (u64::MAX, "ffffffffffffffff")] {
            assert_eq!(hex(n, &mut room), text.as_bytes());
        }
    }

    #[test]
    fn text_is_cut_at_the_end_of_its_room() {
        let mut room = [b'x'; 8];
        let mut text = Text::new(&mut room);
        text.put(b"fd/").decimal(42).put(b"-").hex(0xabc);
        assert_eq!((text.bytes(), text.as_cstr()), (&b"fd/42-a"[..], c"fd/42-a"));
    }

    #[test]
    fn leading_numbers_are_read() {
        assert_eq!(leading_number(b"42 kB"), Some(42));
        assert_eq!(leading_number(b"42"), Some(42));
        assert_eq!(leading_number(b"x"), None);
        assert_eq!(leading_number(b""), None);
    }
}
