// SPDX-License-Identifier: GPL-2.0-only
//! The file that this library is mapped from, so that an instance can map the embedded image once more.

use crate::sys::file::{self, OwnedFd};
use crate::sys::memory::Buffer;
use std::ffi::CStr;

/// An open file, and where in it the wanted bytes are.
pub(super) struct SelfFile {
    pub(super) fd: OwnedFd,
    pub(super) offset: usize,
}

impl SelfFile {
    /// The file behind this library's bytes at `address`; None: it has no name any more, or another file has the
    /// name now, or there is no /proc. Whether the bytes are the same is for the caller to see.
    pub(super) fn find(address: usize, len: usize) -> Option<SelfFile> {
        // A line names a path of up to PATH_MAX bytes.
        const ROOM: usize = 16 << 10;
        let mut room = Buffer::new(ROOM).ok()?;
        let text = room.bytes_mut();
        let (offset, path) = find_line(text, address)?;
        let fd = open(CStr::from_bytes_until_nul(&text[path..]).ok()?)?;
        let bytes = file::stat_fd(fd.raw()).ok()?.st_size as usize;
        (bytes >= offset + len).then_some(SelfFile { fd, offset })
    }
}

fn open(path: &CStr) -> Option<OwnedFd> {
    file::open(path, libc::O_RDONLY | libc::O_NOCTTY | libc::O_NONBLOCK).ok()
}

/// Looks through /proc/self/maps: `address`'s offset in its file, and where in `room` the file's name (with a
/// zero byte behind it) is.
fn find_line(room: &mut [u8], address: usize) -> Option<(usize, usize)> {
    let maps = open(c"/proc/self/maps")?;
    let mut kept = 0;
    loop {
        let have = match file::read(maps.raw(), &mut room[kept..]) {
            Ok(0) | Err(_) => return None,
            Ok(n) => kept + n,
        };
        let mut from = 0;
        while let Some(len) = room[from..have].iter().position(|b| *b == b'\n') {
            if let Some((offset, path)) = parse(&room[from..from + len], address) {
                room[from + len] = 0;
                return Some((offset, from + path));
            }
            from += len + 1;
        }
        room.copy_within(from..have, 0);
        kept = have - from;
    }
}

/// `START-END perm OFFSET dev inode      /path`: offset of `address` in the file and where the path begins.
fn parse(line: &[u8], address: usize) -> Option<(usize, usize)> {
    let (start, rest) = hex(line)?;
    let (end, rest) = hex(rest.strip_prefix(b"-")?)?;
    if !(start..end).contains(&address) {
        return None;
    }
    let rest = rest.strip_prefix(b" ")?;
    let (offset, _) = hex(rest.get(5..)?)?;
    let path = line.iter().position(|b| *b == b'/')?;
    Some((offset + (address - start), path))
}

fn hex(text: &[u8]) -> Option<(usize, &[u8])> {
    let len = text.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(len);
    let digits = std::str::from_utf8(digits).ok()?;
    Some((usize::from_str_radix(digits, 16).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let line = b"7f0000002000-7f0000005000 r--p 00001000 fd:01 1234     /usr/lib/a b.so";
        let (offset, path) = parse(line, 0x7f00_0000_4010).unwrap();
        assert_eq!((offset, &line[path..]), (0x3010, &b"/usr/lib/a b.so"[..]));
        assert!(parse(line, 0x7f00_0000_5000).is_none());
        assert!(parse(b"7f0000002000-7f0000005000 rw-p 00000000 00:00 0", 0x7f00_0000_2000).is_none());
    }

    #[test]
    fn our_own_file_is_found() {
        let image = crate::instance::image::bytes();
        let found = SelfFile::find(image.as_ptr() as usize, image.len()).unwrap();
        let mut head = [0u8; 4096];
        assert_eq!(file::read_at(found.fd.raw(), &mut head, found.offset as u64), Ok(4096));
        assert_eq!(head[..], image[..4096]);
    }
}
