// SPDX-License-Identifier: GPL-2.0-only
//! An inotify(7) descriptor of the host gets an inotify file of the kernel library (`fdtable::watches`, overlay
//! `kernel/watches.c`).
//!
//! A program keeps its watches in a table by their numbers, so no two of one descriptor may be equal. Both kernels number them
//! in turn: the kernel library has the counter, and the host is told the next number before it makes a watch
//! (INOTIFY_IOC_SETNEXTWD). A host that cannot be told numbers its watches from 1, and the kernel library from [`HIGH`].

use lkl::{Private, WatchOp};

use crate::fdtable::{self, watches, HOST, INOTIFY, WATCHES};
use crate::instance::enter::{enter_kernel, KernelContext};
use crate::instance::pair::{add_kernel_file, close_kernels};
use crate::sys::call::{self, args};
use crate::sys::decimal::FdPath;
use crate::sys::errno::{Errno, Result};
use crate::sys::report::say_once;
use crate::sys::{fs, kernel};

/// Where the kernel library's numbers begin if the host cannot be told one.
const HIGH: i32 = 1 << 30;
/// The number of the chime's watch, if the host can be told: the one that comes last.
const LAST: i32 = i32::MAX;

/// include/uapi/linux/inotify.h
const INOTIFY_IOC_SETNEXTWD: usize = 0x4004_4900;

/// Whether a descriptor of the host is open as an inotify descriptor: the host looks at that before it looks at the path.
pub fn is_inotify(fd: usize) -> bool {
    check(fd, libc::IN_ACCESS as usize).is_ok()
}

/// What is wrong with a descriptor of the host, or with the mask of a new watch.
pub fn check(fd: usize, mask: usize) -> Result<()> {
    match call::host(libc::SYS_inotify_add_watch, &args([fd, 0, mask])) {
        Err(Errno::EFAULT) => Ok(()),
        Err(e) => Err(e),
        Ok(_) => Err(Errno::EINVAL),
    }
}

fn set_next(fd: usize, number: i32) -> Result<()> {
    call::host(libc::SYS_ioctl, &args([fd, INOTIFY_IOC_SETNEXTWD, number as usize])).map(drop)
}

fn op(context: &mut KernelContext, fd: usize, op: WatchOp, rest: [usize; 2]) -> Result {
    context.call(Private::WatchOp as i64, &args([fd, op as usize, rest[0], rest[1]]))
}

/// Whether the chime was rung, so that the host's descriptor has an event that is not the program's.
pub fn is_rung(context: &mut KernelContext, fd: usize) -> Result<bool> {
    op(context, fd, WatchOp::Rung, [0; 2]).map(|rung| rung != 0)
}

/// The descriptor gets its inotify file, and so do its copies. Inside a section.
pub fn begin(context: &mut KernelContext, number: usize) -> Result<()> {
    let _change = kernel::change();
    if number >= fdtable::LIMIT || fdtable::class(number) == WATCHES {
        return Ok(());
    }
    let is_told = set_next(number, LAST).is_ok();
    let seen = watched(number).map(|(number, _)| number.saturating_add(1)).max().unwrap_or(1);
    let next = if is_told { watches::next(number).max(seen) } else { HIGH };
    add_kernel_file(context, number, libc::SYS_inotify_init1, libc::IN_NONBLOCK as usize)?;
    let chime = watch_chime(context, number, next).inspect_err(|_| close_kernels(context, number))?;
    watches::begin(number, chime.0);
    for copy in copies(number, chime) {
        // Without this a copy would hand the chime's events to the program.
        let copied = context.call(libc::SYS_dup3, &args([number, copy]));
        if copied.is_ok() {
            watches::begin(copy, chime.0);
        }
    }
    Ok(())
}

/// A watch of the host: its number, and the inode.
type Watch = (i32, u64);

fn watch_chime(context: &mut KernelContext, number: usize, next: i32) -> Result<Watch> {
    let chime = context.call(Private::WatchBegin as i64, &args([number, next as usize]));
    if chime == Err(Errno::ENOSPC) {
        say_once!("inotify: too many inotify descriptors watch mounts at a time (ENOSPC)");
    }
    let chime = chime?;
    let file = context.kernel().chime(chime)?;
    let path = FdPath::new(file as usize);
    let made = args([number, path.address(), libc::IN_MODIFY as usize]);
    let wd = call::host(libc::SYS_inotify_add_watch, &made)?;
    op(context, number, WatchOp::Chime, [wd, 0])?;
    Ok((wd as i32, fs::stat(file)?.st_ino))
}

/// Other numbers of the same descriptor: they have the same chime.
fn copies(number: usize, chime: Watch) -> impl Iterator<Item = usize> {
    let is_copy = move |&other: &usize| other != number && watched(other).any(|watch| watch == chime);
    fdtable::numbers(INOTIFY, 0, fdtable::LIMIT).filter(is_copy)
}

/// What a descriptor watches on the host, as proc_pid_fdinfo(5) has it.
fn watched(number: usize) -> impl Iterator<Item = Watch> {
    let watches: Vec<Watch> = fs::fdinfo(number).split(|&byte| byte == b'\n').filter_map(watch).collect();
    watches.into_iter()
}

/// `inotify wd:1 ino:9e7e sdev:800013 ...`, in hexadecimal (fs/notify/fdinfo.c, `inotify_fdinfo`).
fn watch(line: &[u8]) -> Option<Watch> {
    let mut words = core::str::from_utf8(line).ok()?.strip_prefix("inotify ")?.split_ascii_whitespace();
    let number = words.next()?.strip_prefix("wd:")?;
    let inode = words.next()?.strip_prefix("ino:")?;
    Some((i32::from_str_radix(number, 16).ok()?, u64::from_str_radix(inode, 16).ok()?))
}

/// Before a fork: a child that goes on with the kernel has the parent's inotify descriptors, and either of the two may watch
/// something in a mount.
pub fn begin_all() {
    if !watches::any() {
        return;
    }
    for number in fdtable::numbers(INOTIFY, 0, fdtable::LIMIT) {
        if is_inotify(number) {
            let _ = enter_kernel(|context| begin(context, number).map(|()| 0));
        } else {
            // Closed in a way that is not seen here.
            fdtable::set(number, HOST);
        }
    }
}

/// After an exec, at a number that the kernel has open: whether it is an inotify descriptor. Inside a section.
pub fn resume(context: &mut KernelContext, number: usize) -> bool {
    if !is_inotify(number) {
        return false;
    }
    match op(context, number, WatchOp::Tell, [0; 2]) {
        Ok(chime) => watches::begin(number, chime as i32),
        Err(_) => return false,
    }
    true
}

/// Makes a watch of the host's, by `make`, for a descriptor that has watches of both.
pub fn add_on_host(fd: usize, mut make: impl FnMut() -> Result) -> Result {
    if watches::chime(fd) != Some(LAST) {
        return make();
    }
    enter_kernel(|context| {
        // Nobody of this process makes another one between the two.
        let _change = kernel::change();
        let number = op(context, fd, WatchOp::Reserve, [0; 2])?;
        let _ = set_next(fd, number as i32);
        let made = make();
        if made != Ok(number) {
            let used = made.map_or(-1, |used| used as isize);
            op(context, fd, WatchOp::Used, [number, used as usize])?;
        }
        made
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_read_as_the_host_writes_it() {
        let line = b"inotify wd:7fffffff ino:ccd sdev:1 mask:2 ignored_mask:0 fhandle-bytes:c";
        assert_eq!(watch(line), Some((i32::MAX, 0xccd)));
        assert_eq!(watch(b"flags:\t02"), None);
        assert_eq!(watch(b"inotify ino:1"), None);
    }
}
