// SPDX-License-Identifier: GPL-2.0-only
//! The server's side of the transmission: requests one after the other, each with a simple reply.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use super::image::Image;
use super::numbers::{
    DISCONNECT, FLAG_NO_HOLE, FLUSH, READ, REPLY_MAGIC, REQUEST_MAGIC, TRIM, WRITE, WRITE_ZEROES,
};

const REQUEST_BYTES: usize = 28;
const REPLY_BYTES: usize = 16;

const FLAG_FUA: u16 = 1 << 0;

/// Of one read or write.
pub const LEN_MOST: u32 = 32 << 20;

/// Errors of the protocol.
const EPERM: u32 = 1;
const EIO: u32 = 5;
const ENOMEM: u32 = 12;
const EINVAL: u32 = 22;
const ENOSPC: u32 = 28;

#[derive(Debug, Clone, Copy)]
struct Request {
    flags: u16,
    command: u16,
    cookie: [u8; 8],
    at: u64,
    len: u32,
}

/// Serves requests until the client goes or breaks the protocol.
pub fn serve(stream: &mut UnixStream, image: &Image, read_only: bool) -> io::Result<()> {
    let mut raw = [0; REQUEST_BYTES];
    // A reply's head and what was read, or what is to be written: kept from one request to the next.
    let mut buffer = Vec::new();
    loop {
        stream.read_exact(&mut raw)?;
        let Some(request) = parse(&raw) else { return Ok(()) };
        let len = request.len as usize;
        let (reads, writes) = (request.command == READ, request.command == WRITE);
        if request.command == DISCONNECT || (writes && request.len > LEN_MOST) {
            return Ok(());
        }
        let carried = if (reads || writes) && request.len <= LEN_MOST { len } else { 0 };
        if buffer.len() < REPLY_BYTES + carried {
            buffer.resize(REPLY_BYTES + carried, 0);
        }
        let (head, data) = buffer.split_at_mut(REPLY_BYTES);
        let data = &mut data[..carried];
        if writes {
            stream.read_exact(data)?;
        }
        let error = check(&request, image.bytes, read_only)
            .unwrap_or_else(|| carry_out(&request, image, data).err().map_or(0, |error| number(&error)));
        head[..4].copy_from_slice(&REPLY_MAGIC.to_be_bytes());
        head[4..8].copy_from_slice(&error.to_be_bytes());
        head[8..].copy_from_slice(&request.cookie);
        let carries = reads && error == 0;
        stream.write_all(&buffer[..REPLY_BYTES + if carries { carried } else { 0 }])?;
    }
}

fn parse(raw: &[u8; REQUEST_BYTES]) -> Option<Request> {
    let word = |at: usize| u32::from_be_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
    let mut cookie = [0; 8];
    cookie.copy_from_slice(&raw[8..16]);
    let (flags, command) = ((word(4) >> 16) as u16, word(4) as u16);
    let at = u64::from(word(16)) << 32 | u64::from(word(20));
    (word(0) == REQUEST_MAGIC).then_some(Request { flags, command, cookie, at, len: word(24) })
}

/// What is wrong with a request.
fn check(request: &Request, bytes: u64, read_only: bool) -> Option<u32> {
    let allowed = match request.command {
        WRITE_ZEROES => FLAG_FUA | FLAG_NO_HOLE,
        READ | WRITE | FLUSH | TRIM => FLAG_FUA,
        _ => return Some(EINVAL),
    };
    let changes = matches!(request.command, WRITE | TRIM | WRITE_ZEROES);
    let is_inside = request.at.checked_add(request.len.into()).is_some_and(|end| end <= bytes);
    if request.flags & !allowed != 0 || (request.command == READ && request.len > LEN_MOST) {
        Some(EINVAL)
    } else if changes && read_only {
        Some(EPERM)
    } else if !is_inside && request.command != FLUSH {
        Some(if matches!(request.command, WRITE | WRITE_ZEROES) { ENOSPC } else { EINVAL })
    } else {
        None
    }
}

fn carry_out(request: &Request, image: &Image, data: &mut [u8]) -> io::Result<()> {
    let (at, len) = (request.at, u64::from(request.len));
    match request.command {
        READ => return image.read(data, at),
        WRITE => image.write(data, at)?,
        TRIM => image.trim(at, len)?,
        WRITE_ZEROES => image.zero(at, len, request.flags & FLAG_NO_HOLE == 0)?,
        _ => return image.flush(),
    }
    match request.flags & FLAG_FUA {
        0 => Ok(()),
        _ => image.flush(),
    }
}

/// An error in the protocol's numbers.
fn number(error: &io::Error) -> u32 {
    match (error.raw_os_error(), error.kind()) {
        (Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG), _) | (_, ErrorKind::StorageFull) => ENOSPC,
        (Some(libc::ENOMEM), _) | (_, ErrorKind::OutOfMemory) => ENOMEM,
        (Some(libc::EPERM | libc::EACCES | libc::EROFS), _) => EPERM,
        _ => EIO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(command: u16, flags: u16, at: u64, len: u32) -> Request {
        Request { flags, command, cookie: [0; 8], at, len }
    }

    #[test]
    fn requests_are_read_as_they_are_written() {
        let mut raw = [0; REQUEST_BYTES];
        raw[..8].copy_from_slice(&[0x25, 0x60, 0x95, 0x13, 0, 1, 0, 6]);
        raw[8..16].copy_from_slice(b"cookie..");
        raw[19..28].copy_from_slice(&[1, 0, 0, 2, 0, 0, 0, 3, 0]);
        let got = parse(&raw).unwrap();
        assert_eq!((got.flags, got.command, got.at, got.len), (FLAG_FUA, WRITE_ZEROES, 0x1_0000_0200, 0x300));
        assert_eq!(&got.cookie, b"cookie..");
        raw[0] = 0;
        assert!(parse(&raw).is_none());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let end = 1 << 20;
        for (request, error) in [
            (request(READ, 0, end - 1, 1), None),
            (request(READ, 0, end, 1), Some(EINVAL)),
            (request(WRITE, 0, end, 1), Some(ENOSPC)),
            (request(WRITE, 0, u64::MAX, 2), Some(ENOSPC)),
            (request(TRIM, 0, end, 1), Some(EINVAL)),
            (request(FLUSH, 0, u64::MAX, 9), None),
            (request(WRITE, FLAG_NO_HOLE, 0, 1), Some(EINVAL)),
            (request(WRITE_ZEROES, FLAG_NO_HOLE | FLAG_FUA, 0, u32::MAX), Some(ENOSPC)),
            (request(READ, 0, 0, LEN_MOST + 1), Some(EINVAL)),
            (request(99, 0, 0, 0), Some(EINVAL)),
        ] {
            assert_eq!(check(&request, end, false), error, "{request:?}");
        }
        assert_eq!(check(&request(TRIM, 0, 0, 1), end, true), Some(EPERM));
        assert_eq!(check(&request(READ, 0, 0, 1), end, true), None);
    }

    #[test]
    fn errors_have_numbers() {
        for (errno, want) in
            [(libc::ENOSPC, ENOSPC), (libc::EFBIG, ENOSPC), (libc::EROFS, EPERM), (libc::EBADF, EIO)]
        {
            assert_eq!(number(&io::Error::from_raw_os_error(errno)), want);
        }
        assert_eq!(number(&io::Error::other("damaged")), EIO);
    }
}
