// SPDX-License-Identifier: GPL-2.0-only
//! What the host says of this process in /proc, read without libc.

use core::ffi::CStr;

use crate::sys::errno::Result;
use crate::sys::fs;

/// The process's umask as /proc shows it: umask(2) could only tell by changing the umask.
pub fn umask() -> Option<u32> {
    let mut text = [0u8; 512];
    let n = fs::read_start(c"/proc/thread-self/status", &mut text).ok()?;
    let text = &text[..n];
    let at = text.windows(7).position(|w| w == b"\nUmask:")? + 7;
    let digits = text[at..].iter().copied().skip_while(|b| b.is_ascii_whitespace());
    Some(digits.take_while(u8::is_ascii_digit).fold(0, |v, d| v * 8 + u32::from(d - b'0')))
}

/// Reads all of a host file. Allocates: for the constructor.
pub fn read_all(path: &CStr) -> Result<Vec<u8>> {
    let file = fs::open(path, libc::O_RDONLY, 0)?;
    let mut text = vec![0; 16 << 10];
    let mut len = 0;
    loop {
        if text.len() - len < 4096 {
            text.resize(text.len() * 2, 0);
        }
        match fs::read(file.raw(), &mut text[len..])? {
            0 => break,
            n => len += n,
        }
    }
    text.truncate(len);
    Ok(text)
}

/// How many threads the host runs for the process's io_uring; the host counts them among the process's own.
pub fn io_workers() -> usize {
    let mut found = 0;
    let _ = fs::for_each_name(c"/proc/self/task", |tid| {
        found += usize::from(is_io_worker(tid));
        true
    });
    found
}

fn is_io_worker(tid: &[u8]) -> bool {
    let (mut path, mut comm) = ([0u8; 48], [0u8; 16]);
    let mut len = 0;
    for piece in [&b"/proc/self/task/"[..], tid, b"/comm\0"] {
        let Some(to) = path.get_mut(len..len + piece.len()) else { return false };
        to.copy_from_slice(piece);
        len += piece.len();
    }
    let path = CStr::from_bytes_until_nul(&path).unwrap_or(c"");
    fs::read_start(path, &mut comm).is_ok_and(|n| comm[..n].starts_with(b"iou-"))
}

/// How many threads the process has.
pub fn threads() -> Option<usize> {
    let status = fs::stat_at(fs::AT_FDCWD, fs::address(c"/proc/self/task"), 0).ok()?;
    // A directory for each, and two names of /proc/self/task itself.
    Some(status.st_nlink as usize - 2)
}
