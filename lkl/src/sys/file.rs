// SPDX-License-Identifier: GPL-2.0-only
//! Files of the host: typed calls, and a descriptor that closes itself.
//!
//! # Safety
//! Buffers are slices and structures of the caller, alive during the call. Calls that take addresses are `unsafe`.
#![allow(unsafe_code)]

use super::call::{call, plain, try_call};
use super::Errno;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::Range;

/// A descriptor of the host that is closed when it is dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct OwnedFd(i32);

impl OwnedFd {
    /// Takes over a descriptor.
    ///
    /// # Safety
    /// Nothing else closes `fd`.
    pub unsafe fn from_raw(fd: i32) -> OwnedFd {
        OwnedFd(fd)
    }

    pub(super) fn made(fd: usize) -> OwnedFd {
        OwnedFd(fd as i32)
    }

    /// The descriptor's number, which stays the owner's.
    pub fn raw(&self) -> i32 {
        self.0
    }

    /// Gives up the descriptor; the caller closes the number.
    pub fn into_raw(self) -> i32 {
        let fd = self.0;
        std::mem::forget(self);
        fd
    }

    /// Gives the descriptor the lowest free number that is at least `at_least`.
    pub fn move_up(self, at_least: i32) -> Result<OwnedFd, Errno> {
        dup(self.0, at_least)
    }
}

impl Drop for OwnedFd {
    fn drop(&mut self) {
        close(self.0);
    }
}

/// Closes a descriptor; an error means that it was not open.
pub fn close(fd: i32) {
    let _ = plain(libc::SYS_close, [fd as usize, 0, 0, 0, 0, 0]);
}

/// open(2), with O_CLOEXEC.
pub fn open(path: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    open_at(libc::AT_FDCWD, path, flags, 0)
}

/// openat(2), with O_CLOEXEC.
pub fn open_at(dir: i32, path: &CStr, flags: i32, mode: u32) -> Result<OwnedFd, Errno> {
    let flags = (flags | libc::O_CLOEXEC) as usize;
    let args = [dir as usize, path.as_ptr() as usize, flags, mode as usize, 0, 0];
    // SAFETY: the path is a live string.
    unsafe { try_call(libc::SYS_openat, args) }.map(OwnedFd::made)
}

/// A copy of `fd` with a number of at least `at_least`, closed at exec.
pub fn dup(fd: i32, at_least: i32) -> Result<OwnedFd, Errno> {
    let args = [fd as usize, libc::F_DUPFD_CLOEXEC as usize, at_least as usize, 0, 0, 0];
    plain(libc::SYS_fcntl, args).map(OwnedFd::made)
}

/// A memory file, closed at exec.
pub fn memory_file(name: &CStr, bytes: usize) -> Result<OwnedFd, Errno> {
    let args = [name.as_ptr() as usize, libc::MFD_CLOEXEC as usize, 0, 0, 0, 0];
    // SAFETY: the name is a live string.
    let fd = unsafe { try_call(libc::SYS_memfd_create, args) }.map(OwnedFd::made)?;
    truncate(fd.raw(), bytes)?;
    Ok(fd)
}

/// ftruncate(2)
pub fn truncate(fd: i32, bytes: usize) -> Result<(), Errno> {
    plain(libc::SYS_ftruncate, [fd as usize, bytes, 0, 0, 0, 0]).map(drop)
}

/// An eventfd, closed at exec.
pub fn eventfd() -> Result<OwnedFd, Errno> {
    plain(libc::SYS_eventfd2, [0, libc::EFD_CLOEXEC as usize, 0, 0, 0, 0]).map(OwnedFd::made)
}

/// read(2)
pub fn read(fd: i32, to: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: a live buffer with its size.
    unsafe { try_call(libc::SYS_read, [fd as usize, to.as_mut_ptr() as usize, to.len(), 0, 0, 0]) }
}

/// pread(2)
pub fn read_at(fd: i32, to: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let args = [fd as usize, to.as_mut_ptr() as usize, to.len(), offset as usize, 0, 0];
    // SAFETY: a live buffer with its size.
    unsafe { try_call(libc::SYS_pread64, args) }
}

/// write(2)
pub fn write(fd: i32, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: a live buffer with its size.
    unsafe { try_call(libc::SYS_write, [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]) }
}

/// pwrite(2). The file is not one that memory of this process is mapped from.
pub fn write_at(fd: i32, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
    let args = [fd as usize, bytes.as_ptr() as usize, bytes.len(), offset as usize, 0, 0];
    // SAFETY: a live buffer with its size.
    unsafe { try_call(libc::SYS_pwrite64, args) }
}

/// Writes all of `bytes`. False: the descriptor did not take them all.
pub fn write_all(fd: i32, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match write(fd, bytes) {
            Err(Errno::EINTR) => {}
            Err(_) | Ok(0) => return false,
            Ok(n) => bytes = &bytes[n..],
        }
    }
    true
}

/// fdatasync(2)
pub fn sync_data(fd: i32) -> Result<(), Errno> {
    plain(libc::SYS_fdatasync, [fd as usize, 0, 0, 0, 0, 0]).map(drop)
}

/// fallocate(2)
pub fn allocate(fd: i32, mode: i32, offset: u64, len: u64) -> Result<(), Errno> {
    plain(libc::SYS_fallocate, [fd as usize, mode as usize, offset as usize, len as usize, 0, 0]).map(drop)
}

/// fstat(2)
pub fn stat_fd(fd: i32) -> Result<libc::stat, Errno> {
    stat_by(libc::SYS_fstat, fd as usize)
}

/// stat(2)
pub fn stat(path: &CStr) -> Result<libc::stat, Errno> {
    stat_by(libc::SYS_stat, path.as_ptr() as usize)
}

fn stat_by(nr: i64, what: usize) -> Result<libc::stat, Errno> {
    let mut st = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `what` is a descriptor or a live string; the buffer is large enough, and all zeros is a valid one.
    unsafe {
        try_call(nr, [what, st.as_mut_ptr() as usize, 0, 0, 0, 0])?;
        Ok(st.assume_init())
    }
}

/// The f_type of fstatfs(2).
pub fn file_system_of(fd: i32) -> Result<i64, Errno> {
    let mut fs = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the buffer is large enough, and all zeros is a valid one.
    unsafe {
        try_call(libc::SYS_fstatfs, [fd as usize, fs.as_mut_ptr() as usize, 0, 0, 0, 0])?;
        Ok(fs.assume_init().f_type)
    }
}

/// Sets an open file description lock (F_OFD_SETLK) on `start..start + len`; `len` 0: to the end of the file.
pub fn set_ofd_lock(fd: i32, kind: i32, start: u64, len: u64) -> Result<(), Errno> {
    let lock = range_lock(kind, start, len);
    let args = [fd as usize, libc::F_OFD_SETLK as usize, &raw const lock as usize, 0, 0, 0];
    // SAFETY: a live structure.
    unsafe { try_call(libc::SYS_fcntl, args) }.map(drop)
}

/// Somebody's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLock {
    /// F_WRLCK, and not F_RDLCK.
    pub exclusive: bool,
    /// Its bytes.
    pub bytes: Range<u64>,
}

/// A lock that [`set_ofd_lock`] of this kind would find in the way.
pub fn held_lock(fd: i32, kind: i32, start: u64, len: u64) -> Result<Option<HeldLock>, Errno> {
    let mut lock = range_lock(kind, start, len);
    let args = [fd as usize, libc::F_OFD_GETLK as usize, &raw mut lock as usize, 0, 0, 0];
    // SAFETY: a live structure.
    unsafe { try_call(libc::SYS_fcntl, args) }?;
    if lock.l_type == libc::F_UNLCK as i16 {
        return Ok(None);
    }
    let start = lock.l_start as u64;
    let end = if lock.l_len == 0 { u64::MAX } else { start + lock.l_len as u64 };
    Ok(Some(HeldLock { exclusive: lock.l_type == libc::F_WRLCK as i16, bytes: start..end }))
}

fn range_lock(kind: i32, start: u64, len: u64) -> libc::flock {
    libc::flock {
        l_type: kind as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: start as i64,
        l_len: len as i64,
        l_pid: 0,
    }
}

/// flock(2)
pub fn flock(fd: i32, how: i32) -> Result<(), Errno> {
    plain(libc::SYS_flock, [fd as usize, how as usize, 0, 0, 0, 0]).map(drop)
}

/// Drops all locks of the open file description, whoever else refers to the description.
pub fn unlock(fd: i32) {
    let _ = set_ofd_lock(fd, libc::F_UNLCK, 0, 0);
    let _ = flock(fd, libc::LOCK_UN);
}

/// Gives `fd` what `from` is of, with O_CLOEXEC.
pub fn dup_onto(from: i32, fd: i32) -> Result<(), Errno> {
    plain(libc::SYS_dup3, [from as usize, fd as usize, libc::O_CLOEXEC as usize, 0, 0, 0]).map(drop)
}

/// Calls `f` with each line of a file, as far as the line is not longer than a page.
pub fn each_line(path: &CStr, mut f: impl FnMut(&[u8])) -> Result<(), Errno> {
    let file = open(path, libc::O_RDONLY)?;
    let mut room = [0u8; 4096];
    let mut filled = 0;
    loop {
        let got = read(file.raw(), &mut room[filled..])?;
        filled += got;
        let mut at = 0;
        while let Some(len) = room[at..filled].iter().position(|b| *b == b'\n') {
            f(&room[at..at + len]);
            at += len + 1;
        }
        if got == 0 {
            return Ok(());
        }
        if at == 0 && filled == room.len() {
            // A longer line: its end is taken for the line.
            filled = 0;
        } else {
            room.copy_within(at..filled, 0);
            filled -= at;
        }
    }
}

/// ioctl(2)
///
/// # Safety
/// `arg` is what `request` wants.
pub unsafe fn ioctl(fd: i32, request: usize, arg: usize) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    unsafe { try_call(libc::SYS_ioctl, [fd as usize, request, arg, 0, 0, 0]) }
}

/// Calls `f` with the name of every entry of an open directory, as far as it can be read.
pub fn each_entry(dir: i32, mut f: impl FnMut(&CStr)) {
    const RECORD_LEN: usize = 16; // offsets in struct linux_dirent64
    const NAME: usize = 19;
    let mut buf = [0u8; 4096];
    loop {
        let args = [dir as usize, buf.as_mut_ptr() as usize, buf.len(), 0, 0, 0];
        // SAFETY: a live buffer with its size.
        let n = unsafe { call(libc::SYS_getdents64, args) };
        if n <= 0 {
            return;
        }
        let mut rest = &buf[..n as usize];
        while let (Some(len), Some(name)) = (rest.get(RECORD_LEN..RECORD_LEN + 2), rest.get(NAME..)) {
            if let Ok(name) = CStr::from_bytes_until_nul(name) {
                f(name);
            }
            let len = usize::from(u16::from_ne_bytes([len[0], len[1]]));
            rest = rest.get(len.max(1)..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_descriptor_closes_itself() {
        let fd = memory_file(c"test", 4096).unwrap().move_up(300).unwrap();
        let number = fd.raw();
        assert!(number >= 300);
        assert!(write_all(number, b"some bytes") && !write_all(-1, b"some bytes"));
        let mut back = [0; 10];
        assert_eq!(read_at(number, &mut back, 0), Ok(10));
        assert_eq!(&back, b"some bytes");
        assert_eq!(stat_fd(number).unwrap().st_size, 4096);
        drop(fd);
        assert_eq!(read(number, &mut back), Err(Errno::EBADF));
    }

    #[test]
    fn entries_of_a_directory_are_named() {
        let dir = open(c"/proc/self", libc::O_DIRECTORY).unwrap();
        let mut found = false;
        each_entry(dir.raw(), |name| found |= name == c"fdinfo");
        assert!(found);
        assert_eq!(open(c"/no/such", 0), Err(Errno::ENOENT));
    }
}
