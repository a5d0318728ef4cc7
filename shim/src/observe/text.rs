// SPDX-License-Identifier: GPL-2.0-only
//! A line under construction, on the stack.

use core::fmt;

use crate::sys::errno::Errno;
use crate::sys::user;

/// Longest line.
const ROOM: usize = 1024;
/// Kept for the end of the line.
const TAIL: usize = 128;
/// Of data this much is shown, as strace does.
pub const EXCERPT: usize = 32;
/// Of paths this much.
pub const NAME: usize = 512;

/// A line. What does not fit is cut off, and the cut shown.
pub struct Text {
    bytes: [u8; ROOM],
    len: usize,
    limit: usize,
    cut: bool,
}

impl Text {
    pub fn new() -> Text {
        Text { bytes: [0; ROOM], len: 0, limit: ROOM - TAIL, cut: false }
    }

    pub fn put(&mut self, bytes: &[u8]) {
        let n = bytes.len().min(self.limit - self.len);
        self.bytes[self.len..self.len + n].copy_from_slice(&bytes[..n]);
        self.len += n;
        self.cut |= n < bytes.len();
    }

    pub fn fmt(&mut self, args: fmt::Arguments<'_>) {
        let _ = fmt::Write::write_fmt(self, args);
    }

    /// From here on the kept room is used.
    pub fn tail(&mut self) {
        self.limit = ROOM;
        if core::mem::take(&mut self.cut) {
            self.put(b"...");
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub fn pointer(&mut self, address: usize) {
        match address {
            0 => self.put(b"NULL"),
            _ => self.fmt(format_args!("{address:#x}")),
        }
    }

    /// The string at an address of the application, up to `max` bytes.
    pub fn string(&mut self, address: usize, max: usize) {
        if address == 0 {
            return self.pointer(0);
        }
        let mut room = [0u8; NAME + 1];
        let room = &mut room[..max.min(NAME) + 1];
        match user::read_string(room, address) {
            Ok(n) => self.quoted(&room[..n], false),
            Err(Errno::ENAMETOOLONG) => self.quoted(&room[..room.len() - 1], true),
            Err(_) => self.pointer(address),
        }
    }

    /// `length` bytes at an address of the application, the first of them.
    pub fn excerpt(&mut self, address: usize, length: usize) {
        if address == 0 {
            return self.pointer(0);
        }
        let mut room = [0u8; EXCERPT];
        let room = &mut room[..length.min(EXCERPT)];
        match user::read_bytes(room, address) {
            Ok(()) => self.quoted(room, length > EXCERPT),
            Err(_) => self.pointer(address),
        }
    }

    fn quoted(&mut self, bytes: &[u8], cut: bool) {
        self.put(b"\"");
        for (at, &byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' => self.put(b"\\n"),
                b'\t' => self.put(b"\\t"),
                b'\r' => self.put(b"\\r"),
                b'"' => self.put(b"\\\""),
                b'\\' => self.put(b"\\\\"),
                b' '..=b'~' => self.put(&[byte]),
                // A digit behind a short octal would belong to it.
                _ if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => {
                    self.fmt(format_args!("\\{byte:03o}"))
                }
                _ => self.fmt(format_args!("\\{byte:o}")),
            }
        }
        self.put(if cut { b"\"..." } else { b"\"" });
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_escaped() {
        let mut text = Text::new();
        text.quoted(b"a\"\\\n\x001\x01z\xff", false);
        assert_eq!(text.as_bytes(), br#""a\"\\\n\0001\1z\377""#);
    }

    #[test]
    fn a_long_line_keeps_its_end() {
        let mut text = Text::new();
        text.put(&[b'x'; 2000]);
        text.tail();
        text.put(b") = 0");
        assert!(text.as_bytes().ends_with(b"x...) = 0"));
    }

    #[test]
    fn of_data_the_first_bytes() {
        let mut text = Text::new();
        let data = [b'y'; 100];
        text.excerpt(data.as_ptr() as usize, 100);
        assert_eq!(text.as_bytes(), format!("\"{}\"...", "y".repeat(32)).as_bytes());
    }
}
