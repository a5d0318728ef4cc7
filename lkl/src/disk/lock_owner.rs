// SPDX-License-Identifier: GPL-2.0-only
//! Which process has an image's lock? Asked only when the lock was refused.
//!
//! An OFD lock has no pid. /proc/PID/fdinfo/N of a descriptor that carries a lock of any kind has a line `lock:`. So all
//! processes that this one may look into are searched for a descriptor of the same file with that line. Nothing is allocated.

use crate::sys::text::Text;
use crate::sys::{file, process, Errno};
use std::ffi::CStr;

/// Enough for "/proc/4194304/fdinfo/1048576".
const PATH_BYTES: usize = 48;

/// The process that has a lock of the file behind `fd`.
pub(super) fn find(fd: i32) -> Option<u32> {
    let own = identity(file::stat_fd(fd)).ok()?;
    let mut found = None;
    each_number(c"/proc", &mut |pid| {
        if found.is_none() && holds(pid, own, fd) {
            found = Some(pid);
        }
    });
    found
}

/// Whether `pid` has a descriptor of the file with a lock; this process's `fd` is left out.
fn holds(pid: u32, file: (u64, u64), fd: i32) -> bool {
    let mut found = false;
    let own = process::pid();
    each_number(path(&mut [0; PATH_BYTES], pid, b"/fd", None), &mut |other| {
        if found || (pid, other) == (own, fd as u32) {
            return;
        }
        let mut room = [0; PATH_BYTES];
        found = identity(file::stat(path(&mut room, pid, b"/fd/", Some(other)))) == Ok(file)
            && is_locked(path(&mut [0; PATH_BYTES], pid, b"/fdinfo/", Some(other)));
    });
    found
}

/// (device, inode)
fn identity(st: Result<libc::stat, Errno>) -> Result<(u64, u64), Errno> {
    st.map(|st| (st.st_dev, st.st_ino))
}

fn is_locked(fdinfo: &CStr) -> bool {
    let Ok(file) = file::open(fdinfo, libc::O_RDONLY) else { return false };
    let mut text = [0u8; 1024];
    let n = file::read(file.raw(), &mut text).unwrap_or(0);
    text[..n].windows(6).any(|w| w == b"\nlock:")
}

/// Calls `f` with every entry of the directory that is a number.
fn each_number(dir: &CStr, f: &mut dyn FnMut(u32)) {
    let Ok(dir) = file::open(dir, libc::O_RDONLY | libc::O_DIRECTORY) else { return };
    file::each_entry(dir.raw(), |name| {
        if let Some(number) = name.to_str().ok().and_then(|name| name.parse().ok()) {
            f(number);
        }
    });
}

/// `/proc/PID`, `what`, and a number.
fn path<'a>(room: &'a mut [u8; PATH_BYTES], pid: u32, what: &[u8], number: Option<u32>) -> &'a CStr {
    let mut text = Text::new(room);
    text.put(b"/proc/").decimal(pid.into()).put(what);
    if let Some(number) = number {
        text.decimal(number.into());
    }
    CStr::from_bytes_until_nul(room).unwrap_or(c"")
}
