// SPDX-License-Identifier: GPL-2.0-only
//! The file that we ourselves are mapped from, so that an instance can map the embedded image once more.

use crate::sys::{host, map_anon, unmap};
use crate::Errno;

/// An open file and where in it the wanted bytes are.
pub(crate) struct Origin {
    pub(crate) fd: usize,
    pub(crate) offset: usize,
}

impl Origin {
    /// The file behind our own bytes at `address`; None: it has no name any more, or another file has it now, or there is no
    /// /proc.  Whether the bytes are the same is for the caller to see.
    pub(crate) fn find(address: usize, len: usize) -> Option<Origin> {
        // A line names a path of up to PATH_MAX bytes.
        const ROOM: usize = 16 << 10;
        let room = map_anon(ROOM).ok()?;
        // SAFETY: fresh zeroed memory of ours.
        let text = unsafe { std::slice::from_raw_parts_mut(room as *mut u8, ROOM) };
        let found = find_line(text, address).and_then(|(offset, path)| {
            let fd = open(text[path..].as_ptr())?;
            let bytes = size(fd);
            let origin = Origin { fd, offset };
            (bytes >= offset + len).then_some(origin)
        });
        unmap(room, ROOM);
        found
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        close(self.fd);
    }
}

fn open(path: *const u8) -> Option<usize> {
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK) as usize;
    Errno::check(host(libc::SYS_openat, [libc::AT_FDCWD as usize, path as usize, flags, 0, 0, 0])).ok()
}

fn close(fd: usize) {
    host(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
}

fn size(fd: usize) -> usize {
    host(libc::SYS_lseek, [fd, 0, libc::SEEK_END as usize, 0, 0, 0]).max(0) as usize
}

/// Looks through /proc/self/maps: `address`'s offset in its file, and where in `room` the file's name (with a
/// zero byte behind it) is.
fn find_line(room: &mut [u8], address: usize) -> Option<(usize, usize)> {
    let maps = open(c"/proc/self/maps".as_ptr().cast())?;
    let mut kept = 0;
    let mut found = None;
    while found.is_none() {
        let n = host(libc::SYS_read, [maps, room[kept..].as_mut_ptr() as usize, room.len() - kept, 0, 0, 0]);
        if n <= 0 {
            break;
        }
        let have = kept + n as usize;
        let mut from = 0;
        while let Some(len) = room[from..have].iter().position(|b| *b == b'\n') {
            if let Some((offset, path)) = parse(&room[from..from + len], address) {
                room[from + len] = 0;
                found = Some((offset, from + path));
                break;
            }
            from += len + 1;
        }
        if found.is_none() {
            room.copy_within(from..have, 0);
            kept = have - from;
        }
    }
    close(maps);
    found
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
        let image = crate::image::bytes();
        let origin = Origin::find(image.as_ptr() as usize, image.len()).unwrap();
        let mut head = [0u8; 4096];
        let args = [origin.fd, head.as_mut_ptr() as usize, head.len(), origin.offset, 0, 0];
        assert_eq!(host(libc::SYS_pread64, args), 4096);
        assert_eq!(head[..], image[..4096]);
    }
}
