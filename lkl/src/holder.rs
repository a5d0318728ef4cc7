// SPDX-License-Identifier: GPL-2.0-only
//! Who holds an image's lock?  Asked only when the lock was refused.
//!
//! An OFD lock has no pid.  /proc/PID/fdinfo/N of a descriptor that carries one says `OFDLCK`, so
//! all processes we may look into are searched for a descriptor of the same file with that line.
//! No allocation: names are built in small buffers.

use crate::disk::Disk;
use crate::Errno;
use std::ffi::CStr;
use std::mem::MaybeUninit;

/// Enough for "/proc/4194304/fdinfo/1048576".
const NAME: usize = 48;

pub(crate) fn find(disk: &Disk) -> Option<u32> {
    let own = identity(disk, libc::SYS_fstat, disk.fd() as usize)?;
    let mut found = None;
    each_number(disk, c"/proc", &mut |pid| {
        if found.is_none() && holds(disk, pid, own) {
            found = Some(pid);
        }
    });
    found
}

fn holds(disk: &Disk, pid: u32, file: (u64, u64)) -> bool {
    let mut dir = Name::new();
    dir.text(b"/proc/").number(pid).text(b"/fd");
    let mut found = false;
    each_number(disk, dir.as_cstr(), &mut |fd| {
        if found || (pid as usize, fd) == (own_pid(disk), disk.fd() as u32) {
            return;
        }
        let mut link = Name::new();
        link.text(b"/proc/").number(pid).text(b"/fd/").number(fd);
        let at = link.as_cstr().as_ptr() as usize;
        found = identity(disk, libc::SYS_stat, at) == Some(file) && locked(disk, pid, fd);
    });
    found
}

fn own_pid(disk: &Disk) -> usize {
    disk.host(libc::SYS_getpid, [0; 6]) as usize
}

/// (device, inode) by fstat() or stat().
fn identity(disk: &Disk, nr: i64, what: usize) -> Option<(u64, u64)> {
    let mut st = MaybeUninit::<libc::stat>::zeroed();
    Errno::check(disk.host(nr, [what, st.as_mut_ptr() as usize, 0, 0, 0, 0])).ok()?;
    // SAFETY: filled; and all zeros is a valid one.
    let st = unsafe { st.assume_init() };
    Some((st.st_dev, st.st_ino))
}

fn locked(disk: &Disk, pid: u32, fd: u32) -> bool {
    let mut name = Name::new();
    name.text(b"/proc/").number(pid).text(b"/fdinfo/").number(fd);
    let Some(file) = open(disk, name.as_cstr(), 0) else { return false };
    let mut text = [0u8; 1024];
    let n = disk.host(libc::SYS_read, [file, text.as_mut_ptr() as usize, text.len(), 0, 0, 0]);
    close(disk, file);
    text[..n.max(0) as usize].windows(6).any(|w| w == b"OFDLCK")
}

fn open(disk: &Disk, path: &CStr, flags: i32) -> Option<usize> {
    let flags = (flags | libc::O_RDONLY | libc::O_CLOEXEC) as usize;
    let args = [libc::AT_FDCWD as usize, path.as_ptr() as usize, flags, 0, 0, 0];
    Errno::check(disk.host(libc::SYS_openat, args)).ok()
}

fn close(disk: &Disk, fd: usize) {
    disk.host(libc::SYS_close, [fd, 0, 0, 0, 0, 0]);
}

/// Calls `f` with every entry of the directory that is a number.
fn each_number(disk: &Disk, dir: &CStr, f: &mut dyn FnMut(u32)) {
    const RECLEN: usize = 16; // offsets in struct linux_dirent64
    const D_NAME: usize = 19;
    let Some(fd) = open(disk, dir, libc::O_DIRECTORY) else { return };
    let mut buf = [0u8; 4096];
    loop {
        let n = disk.host(libc::SYS_getdents64, [fd, buf.as_mut_ptr() as usize, buf.len(), 0, 0, 0]);
        if n <= 0 {
            break;
        }
        let mut rest = &buf[..n as usize];
        while let (Some(len), Some(name)) = (rest.get(RECLEN..RECLEN + 2), rest.get(D_NAME..)) {
            if let Some(number) = parse(name) {
                f(number);
            }
            let len = usize::from(u16::from_ne_bytes([len[0], len[1]]));
            rest = rest.get(len.max(1)..).unwrap_or_default();
        }
    }
    close(disk, fd);
}

fn parse(name: &[u8]) -> Option<u32> {
    let end = name.iter().position(|b| *b == 0)?;
    std::str::from_utf8(&name[..end]).ok()?.parse().ok()
}

/// A path built in place.
struct Name {
    bytes: [u8; NAME],
    len: usize,
}

impl Name {
    fn new() -> Name {
        Name { bytes: [0; NAME], len: 0 }
    }

    fn text(&mut self, s: &[u8]) -> &mut Name {
        for b in s {
            if self.len < NAME - 1 {
                self.bytes[self.len] = *b;
                self.len += 1;
            }
        }
        self
    }

    fn number(&mut self, n: u32) -> &mut Name {
        let mut digits = [0u8; 10];
        let (mut at, mut rest) = (digits.len(), n);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return self.text(&digits[at..]);
            }
        }
    }

    fn as_cstr(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}
