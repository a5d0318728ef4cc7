// SPDX-License-Identifier: GPL-2.0-only
//! Files of a mount that stay open over an exec (`ls >/mnt/data/list` in a shell).
//!
//! The kernel does not survive exec, so what it had open is handed on by name, in STOWAWAY_FDS: for each
//! descriptor its flags, offset, inode and path. The new program's kernel opens them again at the same numbers
//! before its first call. That is as good as inheriting them for a file that only this process has open; one
//! that the parent of a fork has open too (their offset would be shared) is marked LOST in the child already,
//! and stays so. Pipes and sockets of the kernel, and files without a name, are lost.
//!
//! Entries are separated by `;`: `N` lost, `N=M` the same open file as M, `N@FLAGS@OFFSET@INODE@PATH`, where
//! `;` and `%` in PATH are written %3B and %25.

use core::sync::atomic::{AtomicBool, Ordering};
use std::ffi::CString;

use once_cell::sync::OnceCell;

use crate::fdtable;
use crate::instance::boot;
use crate::instance::enter::{section, Door};
use crate::lookup::{mount_lookup, route};
use crate::sys::errno::{self, EIO, ENOENT};
use crate::sys::host::{self, Ret};
use crate::sys::report::say;
use crate::sys::scratch::PATH_MAX;

struct Entry {
    number: usize,
    what: What,
}

enum What {
    Lost,
    Same(usize),
    File { flags: usize, offset: usize, inode: u64, path: Vec<u8> },
}

/// What the environment said, and as it said it.
static ENTRIES: OnceCell<(Vec<Entry>, Vec<u8>)> = OnceCell::new();
/// The entries are still to be opened.
static PENDING: AtomicBool = AtomicBool::new(false);

/// Whether [`reopen`] is due.
#[inline]
pub fn is_pending() -> bool {
    PENDING.load(Ordering::Relaxed)
}

// ---------------------------------------------------------------- before the exec

/// Appends to a buffer, as long as there is room.
struct Text<'a> {
    bytes: &'a mut [u8; PATH_MAX],
    len: usize,
    full: bool,
}

impl Text<'_> {
    fn put(&mut self, from: &[u8]) {
        // One byte is kept for the NUL.
        if self.len + from.len() >= self.bytes.len() {
            self.full = true;
            return;
        }
        self.bytes[self.len..self.len + from.len()].copy_from_slice(from);
        self.len += from.len();
    }

    fn number(&mut self, n: usize) {
        let mut digits = [0u8; 24];
        fdtable::put_number(&mut digits, n);
        let len = digits.iter().position(|&b| b == 0).unwrap_or(0);
        self.put(&digits[..len]);
    }

    fn path(&mut self, path: &[u8]) {
        for &byte in path {
            match byte {
                b';' => self.put(b"%3B"),
                b'%' => self.put(b"%25"),
                byte => self.put(&[byte]),
            }
        }
    }
}

/// Writes `prefix` and the entries for all descriptors that stay open; false: there are none. `path` is room.
pub fn describe(bytes: &mut [u8; PATH_MAX], prefix: &[u8], path: &mut [u8; PATH_MAX]) -> bool {
    let mut text = Text { bytes, len: 0, full: false };
    text.put(prefix);
    let start = text.len;
    if let (true, Some((_, raw))) = (is_pending(), ENTRIES.get()) {
        text.put(raw);
    } else {
        for number in fdtable::numbers(fdtable::KERNEL, 0, fdtable::LIMIT).chain(fdtable::numbers(
            fdtable::LOST,
            0,
            fdtable::LIMIT,
        )) {
            let flags = host::call(libc::SYS_fcntl, &[number, libc::F_GETFD as usize]);
            if flags >= 0 && flags & libc::FD_CLOEXEC as isize == 0 {
                describe_one(&mut text, number, path);
            }
        }
    }
    text.bytes[text.len] = 0;
    text.len > start
}

fn describe_one(text: &mut Text<'_>, number: usize, path: &mut [u8; PATH_MAX]) {
    let before = text.len;
    text.number(number);
    let end = text.len;
    if fdtable::class(number) == fdtable::KERNEL && boot::is_up() {
        if let Some(other) =
            fdtable::numbers(fdtable::KERNEL, 0, number).find(|&n| n != number && is_same_file(number, n))
        {
            text.put(b"=");
            text.number(other);
        } else if describe_file(text, number, path).is_none() || text.full {
            text.len = end;
        }
    }
    text.full = false;
    text.put(b";");
    if text.full {
        text.len = before;
    }
}

/// `@FLAGS@OFFSET@INODE@PATH`; None: not a file that can be opened again.
fn describe_file(text: &mut Text<'_>, number: usize, path: &mut [u8; PATH_MAX]) -> Option<()> {
    let status = stat(number).ok()?;
    let is_file = matches!(status.st_mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR);
    let flags = ask(number, libc::SYS_fcntl, [libc::F_GETFL as usize, 0]);
    let offset = ask(number, libc::SYS_lseek, [0, libc::SEEK_CUR as usize]);
    if !is_file || flags < 0 || offset < 0 {
        return None;
    }
    let len = route::directory(number as i32, path).ok()?;
    for value in [flags as usize, offset as usize, status.st_ino as usize] {
        text.put(b"@");
        text.number(value);
    }
    text.put(b"@");
    text.path(&path[..len]);
    Some(())
}

fn ask(number: usize, nr: i64, rest: [usize; 2]) -> Ret {
    section(|door| door.call(nr, &[number, rest[0], rest[1], 0, 0, 0]))
}

fn stat(number: usize) -> Result<libc::stat, Ret> {
    // SAFETY: plain data, filled by fstat.
    #[allow(unsafe_code)]
    let mut status: libc::stat = unsafe { core::mem::zeroed() };
    let at = &raw mut status as usize;
    match ask(number, libc::SYS_fstat, [at, 0]) {
        0 => Ok(status),
        e => Err(e),
    }
}

/// Whether two descriptors share one open file: then they share its offset.
fn is_same_file(a: usize, b: usize) -> bool {
    let inode = |n| stat(n).map(|s| (s.st_dev, s.st_ino)).ok();
    let offset = |n| ask(n, libc::SYS_lseek, [0, libc::SEEK_CUR as usize]);
    let (at, inode_a) = (offset(a), inode(a));
    if at < 0 || inode_a.is_none() || inode_a != inode(b) || offset(b) != at {
        return false;
    }
    let move_to = |to: Ret| ask(a, libc::SYS_lseek, [to as usize, libc::SEEK_SET as usize]);
    move_to(at + 1);
    let moved = offset(b) == at + 1;
    move_to(at);
    moved
}

// ---------------------------------------------------------------- in the new program

/// Takes what the program before the exec handed on. In the constructor.
pub fn accept(raw: &[u8]) {
    let entries: Vec<Entry> = raw.split(|&b| b == b';').filter_map(parse).collect();
    // A number that is no placeholder any more was closed or used otherwise since.
    let entries: Vec<Entry> = entries.into_iter().filter(|e| is_placeholder(e.number)).collect();
    for entry in &entries {
        let lost = matches!(entry.what, What::Lost);
        fdtable::set(entry.number, if lost { fdtable::LOST } else { fdtable::KERNEL });
    }
    let due = entries.iter().any(|e| !matches!(e.what, What::Lost));
    if ENTRIES.set((entries, raw.to_vec())).is_ok() {
        PENDING.store(due, Ordering::Relaxed);
    }
}

fn is_placeholder(number: usize) -> bool {
    let flags = host::call(libc::SYS_fcntl, &[number, libc::F_GETFL as usize]);
    number < fdtable::LIMIT && flags >= 0 && flags & libc::O_PATH as isize != 0
}

fn parse(entry: &[u8]) -> Option<Entry> {
    let text = |bytes: &[u8]| core::str::from_utf8(bytes).ok()?.parse::<usize>().ok();
    if let Some(at) = entry.iter().position(|&b| b == b'@') {
        let mut fields = entry[at + 1..].splitn(4, |&b| b == b'@');
        let mut next = || text(fields.next()?);
        let (flags, offset, inode) = (next()?, next()?, next()? as u64);
        let path = unescape(fields.next()?);
        let what = What::File { flags, offset, inode, path };
        return Some(Entry { number: text(&entry[..at])?, what });
    }
    if let Some(at) = entry.iter().position(|&b| b == b'=') {
        return Some(Entry { number: text(&entry[..at])?, what: What::Same(text(&entry[at + 1..])?) });
    }
    Some(Entry { number: text(entry)?, what: What::Lost })
}

fn unescape(text: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, next) = match rest {
            [b'%', b'3', b'B', next @ ..] => (b';', next),
            [b'%', b'2', b'5', next @ ..] => (b'%', next),
            _ => (first, tail),
        };
        path.push(byte);
        rest = next;
    }
    path
}

/// First thing in a section: opens the files again.
pub fn reopen(door: &mut Door<'_>) {
    if !PENDING.swap(false, Ordering::AcqRel) {
        return;
    }
    for entry in ENTRIES.get().map_or(&[][..], |(entries, _)| entries) {
        let r = match &entry.what {
            What::Lost => continue,
            What::Same(other) if fdtable::class(*other) == fdtable::KERNEL => {
                door.call(libc::SYS_dup3, &[*other, entry.number, 0, 0, 0, 0])
            }
            What::Same(_) => EIO,
            What::File { .. } => open_again(door, entry),
        };
        if r < 0 {
            fdtable::set(entry.number, fdtable::LOST);
            say!(
                "descriptor {}, open over the exec: its file cannot be opened again: {}",
                entry.number,
                errno::name(r)
            );
        }
    }
}

fn open_again(door: &mut Door<'_>, entry: &Entry) -> Ret {
    let What::File { flags, offset, inode, path } = &entry.what else { return EIO };
    let number = entry.number;
    let Some((index, rest)) = mount_lookup::find_mount(path) else { return ENOENT };
    let root = match door.mount_root(index) {
        Ok(root) => root as usize,
        Err(e) => return e,
    };
    let Ok(name) = CString::new(if rest == path.len() { b"." } else { &path[rest..] }) else { return ENOENT };
    let once = (libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC | libc::O_CLOEXEC) as usize;
    let args = [root, name.as_ptr() as usize, flags & !once, 0, 0, 0];
    let got = door.call_at(libc::SYS_openat, &args, number as i32);
    if got < 0 {
        return got;
    }
    if got as usize != number {
        door.call(libc::SYS_dup3, &[got as usize, number, 0, 0, 0, 0]);
        door.call(libc::SYS_close, &[got as usize, 0, 0, 0, 0, 0]);
    }
    // SAFETY: plain data, filled by fstat.
    #[allow(unsafe_code)]
    let mut status: libc::stat = unsafe { core::mem::zeroed() };
    let r = door.call(libc::SYS_fstat, &[number, &raw mut status as usize, 0, 0, 0, 0]);
    if r < 0 || status.st_ino != *inode {
        door.call(libc::SYS_close, &[number, 0, 0, 0, 0, 0]);
        return if r < 0 { r } else { ENOENT };
    }
    door.call(libc::SYS_lseek, &[number, *offset, libc::SEEK_SET as usize, 0, 0, 0])
}

/// In the child of a fork: what was not opened yet is the parent's, for its offset would have to be shared.
pub fn after_fork() {
    if !PENDING.swap(false, Ordering::Relaxed) {
        return;
    }
    for entry in ENTRIES.get().map_or(&[][..], |(entries, _)| entries) {
        if fdtable::class(entry.number) == fdtable::KERNEL {
            fdtable::set(entry.number, fdtable::LOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_are_written() {
        let mut bytes = [0; PATH_MAX];
        let mut text = Text { bytes: &mut bytes, len: 0, full: false };
        text.path(b"/a;b%c@d");
        let len = text.len;
        assert_eq!(unescape(&bytes[..len]), b"/a;b%c@d");
        let entry = parse(&[b"7@1025@99@12@", &bytes[..len]].concat()).unwrap();
        let What::File { flags, offset, inode, path } = entry.what else { panic!("a file") };
        assert_eq!((entry.number, flags, offset, inode, &path[..]), (7, 1025, 99, 12, &b"/a;b%c@d"[..]));
        assert!(matches!(parse(b"3=2"), Some(Entry { number: 3, what: What::Same(2) })));
        assert!(matches!(parse(b"4"), Some(Entry { number: 4, what: What::Lost })));
        for bad in [&b""[..], b"x", b"3=", b"3@1@2", b"@1@2@3@/x"] {
            assert!(parse(bad).is_none());
        }
    }
}
