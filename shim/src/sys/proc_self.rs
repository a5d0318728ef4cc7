// SPDX-License-Identifier: GPL-2.0-only
//! What the host says of this process in /proc, read without libc.

use crate::sys::host;

/// Credentials of the calling thread.
pub struct Credentials {
    /// Real, effective, saved user id.
    pub uid: [u32; 3],
    /// Real, effective, saved group id.
    pub gid: [u32; 3],
    /// File mode creation mask.
    pub umask: u32,
    groups: [u32; 256],
    group_count: usize,
}

impl Credentials {
    /// Supplementary groups (the first 256).
    pub fn groups(&self) -> &[u32] {
        &self.groups[..self.group_count]
    }
}

/// Reads the calling thread's credentials from the host; None if it does not tell.
pub fn credentials() -> Option<Credentials> {
    let mut who = Credentials { uid: [0; 3], gid: [0; 3], umask: 0o022, groups: [0; 256], group_count: 0 };
    let at = |array: &mut [u32; 3], i: usize| array.as_mut_ptr().wrapping_add(i) as usize;
    let (uid, gid) = (&mut who.uid, &mut who.gid);
    let ok = host::call(libc::SYS_getresuid, &[at(uid, 0), at(uid, 1), at(uid, 2)]) == 0
        && host::call(libc::SYS_getresgid, &[at(gid, 0), at(gid, 1), at(gid, 2)]) == 0;
    let n = host::call(libc::SYS_getgroups, &[who.groups.len(), who.groups.as_mut_ptr() as usize]);
    who.group_count = n.max(0) as usize;
    if let Some(mask) = umask() {
        who.umask = mask;
    }
    ok.then_some(who)
}

/// The process's umask as /proc shows it: umask(2) could only tell by changing it.
fn umask() -> Option<u32> {
    let mut text = [0u8; 512];
    let n = read_file(c"/proc/thread-self/status", &mut text)?;
    let text = &text[..n];
    let at = text.windows(7).position(|w| w == b"\nUmask:")? + 7;
    let digits = text[at..].iter().copied().skip_while(|b| b.is_ascii_whitespace());
    Some(digits.take_while(u8::is_ascii_digit).fold(0, |v, d| v * 8 + u32::from(d - b'0')))
}

/// Reads the start of a host file.
pub fn read_file(path: &core::ffi::CStr, into: &mut [u8]) -> Option<usize> {
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
    let fd = host::call(libc::SYS_openat, &[libc::AT_FDCWD as usize, path.as_ptr() as usize, flags, 0]);
    if fd < 0 {
        return None;
    }
    let n = host::call(libc::SYS_read, &[fd as usize, into.as_mut_ptr() as usize, into.len()]);
    host::close(fd as i32);
    (n >= 0).then_some(n as usize)
}

/// Reads all of a host file. Allocates: for the constructor.
pub fn read_all(path: &core::ffi::CStr) -> Option<Vec<u8>> {
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
    let fd = host::call(libc::SYS_openat, &[libc::AT_FDCWD as usize, path.as_ptr() as usize, flags, 0]);
    if fd < 0 {
        return None;
    }
    let mut text = vec![0; 16 << 10];
    let mut len = 0;
    loop {
        if text.len() - len < 4096 {
            text.resize(text.len() * 2, 0);
        }
        let to = text[len..].as_mut_ptr() as usize;
        let n = host::call(libc::SYS_read, &[fd as usize, to, text.len() - len]);
        if n <= 0 {
            break;
        }
        len += n as usize;
    }
    host::close(fd as i32);
    text.truncate(len);
    Some(text)
}

/// How many threads the host runs for the process's io_uring; it counts them among the process's own.
pub fn io_workers() -> usize {
    const D_RECLEN: usize = 16; // offsets in struct linux_dirent64
    const D_NAME: usize = 19;
    let flags = (libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) as usize;
    let task = c"/proc/self/task".as_ptr() as usize;
    let dir = host::call(libc::SYS_openat, &[libc::AT_FDCWD as usize, task, flags, 0]);
    if dir < 0 {
        return 0;
    }
    let (mut found, mut buf) = (0, [0u8; 1024]);
    loop {
        let n = host::call(libc::SYS_getdents64, &[dir as usize, buf.as_mut_ptr() as usize, buf.len()]);
        let mut rest = &buf[..usize::try_from(n).unwrap_or(0)];
        if rest.is_empty() {
            break;
        }
        while let Some(&[low, high]) = rest.get(D_RECLEN..D_RECLEN + 2) {
            let len = usize::from(u16::from_ne_bytes([low, high])).clamp(1, rest.len());
            let name = rest.get(D_NAME..len).unwrap_or_default();
            let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
            found += usize::from(is_io_worker(&name[..end]));
            rest = &rest[len..];
        }
    }
    host::close(dir as i32);
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
    let path = core::ffi::CStr::from_bytes_until_nul(&path).unwrap_or(c"");
    read_file(path, &mut comm).is_some_and(|n| comm[..n].starts_with(b"iou-"))
}

/// How many threads the process has.
#[allow(unsafe_code)]
pub fn threads() -> Option<usize> {
    // SAFETY: plain data, filled by stat.
    let mut status: libc::stat = unsafe { core::mem::zeroed() };
    let path = c"/proc/self/task".as_ptr() as usize;
    let args = [libc::AT_FDCWD as usize, path, &raw mut status as usize, 0];
    // A directory for each, and its own two names.
    (host::call(libc::SYS_newfstatat, &args) == 0).then(|| status.st_nlink as usize - 2)
}
