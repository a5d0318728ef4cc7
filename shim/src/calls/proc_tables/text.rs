// SPDX-License-Identifier: GPL-2.0-only
//! Text under construction, where nothing may be allocated.

use crate::sys::errno::Result;
use crate::sys::fs;
use crate::sys::mem::Pages;

/// Bytes that grow.
pub struct Text {
    pages: Pages,
    len: usize,
}

impl Text {
    /// An empty text.
    pub fn new() -> Result<Text> {
        Ok(Text { pages: Pages::new(1)?, len: 0 })
    }

    /// A text of these bytes.
    pub fn of(bytes: &[u8]) -> Result<Text> {
        let mut text = Text::new()?;
        text.put(bytes)?;
        Ok(text)
    }

    /// What is left to read of a file of the host.
    pub fn of_file(fd: i32) -> Result<Text> {
        const STEP: usize = 16 << 10;
        let mut text = Text::new()?;
        loop {
            text.make_room(STEP)?;
            match fs::read(fd, &mut text.pages.bytes()[text.len..])? {
                0 => return Ok(text),
                n => text.len += n,
            }
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.pages.as_bytes()[..self.len]
    }

    fn make_room(&mut self, bytes: usize) -> Result<()> {
        let wanted = self.len + bytes;
        if wanted > self.pages.as_bytes().len() {
            let mut larger = Pages::new(2 * wanted)?;
            larger.bytes()[..self.len].copy_from_slice(self.bytes());
            self.pages = larger;
        }
        Ok(())
    }

    /// Appends.
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.make_room(bytes.len())?;
        self.pages.bytes()[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    /// Appends, and each of `special` as a backslash and three octal digits (seq_escape() of fs/seq_file.c).
    pub fn put_escaped(&mut self, bytes: &[u8], special: &[u8]) -> Result<()> {
        for &byte in bytes {
            match special.contains(&byte) {
                true => self.put(&[b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)])?,
                false => self.put(&[byte])?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn texts_grow_and_are_escaped() {
        let mut text = Text::of(b"a ").unwrap();
        text.put_escaped(b"b c\n\\#", b" \n\\").unwrap();
        assert_eq!(text.bytes(), b"a b\\040c\\012\\134#");
        let long = vec![b'x'; 100_000];
        text.put(&long).unwrap();
        assert!(text.bytes().ends_with(&long) && text.bytes().starts_with(b"a b"));
    }
}
