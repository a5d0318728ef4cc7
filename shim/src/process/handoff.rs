// SPDX-License-Identifier: GPL-2.0-only
//! What outlives an exec: files of a mount that stay open (`ls >/mnt/data/list` in a shell), and the current directory.
//!
//! The kernel does not survive exec, so what the kernel had open is handed on by name, in STOWAWAY_FDS
//! (`handoff_text.rs`). The new program's kernel opens the files again at the same numbers before its first call. That is
//! as good as inheriting them for a file that only this process has open. A file that the parent of a fork has open too
//! (their offset would be shared) is marked LOST in the child already, and stays so. Pipes and sockets of the kernel, and
//! files without a name, are lost.

use std::ffi::CString;

use once_cell::sync::OnceCell;

use crate::fdtable;
use crate::instance::enter::{clear_due, enter_kernel, is_due, set_due, KernelContext, DUE_FILES, DUE_ROOT};
use crate::instance::watches;
use crate::lookup::{cwd, directory, mount_lookup};
use crate::process::handoff_text::{self, Entry, What, Writer};
use crate::sys::call::args;
use crate::sys::errno::{Errno, Explained, Result};
use crate::sys::report::say;
use crate::sys::root;
use crate::sys::scratch::{Buffers, PATH_MAX};
use crate::sys::{fs, kernel};

/// Variables by which one program's library tells the next one's.
pub const CWD: &[u8] = b"STOWAWAY_CWD=";
pub const FDS: &[u8] = b"STOWAWAY_FDS=";

/// What the environment said, and as it said it.
static ENTRIES: OnceCell<(Vec<Entry>, Vec<u8>)> = OnceCell::new();

fn entries() -> &'static [Entry] {
    ENTRIES.get().map_or(&[], |(entries, _)| entries)
}

// ---------------------------------------------------------------- before the exec

/// The variables for the new program: addresses of `NAME=VALUE`, of which 0 is none.
pub fn variables(buffers: &mut Buffers) -> [usize; 2] {
    let Buffers { path, place, link } = buffers;
    let cwd = describe_cwd(path);
    let fds = describe_files(place, link);
    [if cwd { path.as_ptr() as usize } else { 0 }, if fds { place.as_ptr() as usize } else { 0 }]
}

/// Writes STOWAWAY_CWD=..., if the current directory lies in a mount.
fn describe_cwd(text: &mut [u8; PATH_MAX]) -> bool {
    cwd::remember();
    let Some(name) = cwd::name().filter(|name| CWD.len() + name.len() < PATH_MAX) else { return false };
    text[..CWD.len()].copy_from_slice(CWD);
    text[CWD.len()..CWD.len() + name.len()].copy_from_slice(name);
    text[CWD.len() + name.len()] = 0;
    true
}

/// Writes STOWAWAY_FDS=... with the entries for all descriptors that stay open; false: there are none. `path` is room.
fn describe_files(bytes: &mut [u8; PATH_MAX], path: &mut [u8; PATH_MAX]) -> bool {
    let mut text = Writer::new(bytes, FDS);
    if let (true, Some((_, raw))) = (is_due(DUE_FILES), ENTRIES.get()) {
        text.raw(raw);
    } else {
        let of_class = |class| fdtable::numbers(class, 0, fdtable::LIMIT);
        for number in fdtable::numbers_of_kernel(0, fdtable::LIMIT).chain(of_class(fdtable::LOST)) {
            if fs::is_cloexec(number as i32) == Ok(false) {
                text.entry(number, |entry| describe_one(entry, number, path));
            }
        }
    }
    let any = text.len() > FDS.len();
    text.finish();
    any
}

/// What is not described is lost.
fn describe_one(entry: &mut Writer<'_>, number: usize, path: &mut [u8; PATH_MAX]) {
    if fdtable::class(number) != fdtable::KERNEL || !kernel::is_up() {
        return;
    }
    let same = fdtable::numbers(fdtable::KERNEL, 0, number).find(|&n| n != number && is_same_file(number, n));
    match same {
        Some(other) => entry.same(other),
        None => {
            let _ = describe_file(entry, number, path);
        }
    }
}

/// Err: not a file that can be opened again.
fn describe_file(entry: &mut Writer<'_>, number: usize, path: &mut [u8; PATH_MAX]) -> Result<()> {
    let status = stat(number)?;
    if !matches!(status.st_mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR) {
        return Err(Errno::EINVAL);
    }
    let flags = ask(number, libc::SYS_fcntl, [libc::F_GETFL as usize, 0])?;
    let offset = seek(number, 0, libc::SEEK_CUR)?;
    let len = directory::path_of(number as i32, path)?;
    entry.file(flags, offset, status.st_ino, &path[..len]);
    Ok(())
}

fn ask(number: usize, nr: i64, rest: [usize; 2]) -> Result {
    enter_kernel(|context| context.call(nr, &args([number, rest[0], rest[1]])))
}

fn seek(number: usize, offset: usize, whence: i32) -> Result {
    ask(number, libc::SYS_lseek, [offset, whence as usize])
}

fn stat(number: usize) -> Result<libc::stat> {
    fs::filled_stat(|to| ask(number, libc::SYS_fstat, [to, 0]))
}

/// Whether two descriptors share one open file: then they share its offset.
fn is_same_file(a: usize, b: usize) -> bool {
    let inode = |n| stat(n).map(|s| (s.st_dev, s.st_ino)).ok();
    let offset = |n| seek(n, 0, libc::SEEK_CUR);
    let (Ok(at), inode_a) = (offset(a), inode(a)) else { return false };
    if inode_a.is_none() || inode_a != inode(b) || offset(b) != Ok(at) {
        return false;
    }
    let _ = seek(a, at + 1, libc::SEEK_SET);
    let moved = offset(b) == Ok(at + 1);
    let _ = seek(a, at, libc::SEEK_SET);
    moved
}

// ---------------------------------------------------------------- in the new program

/// Takes what the program before the exec handed on. In the constructor.
pub fn accept(raw: &[u8]) {
    // A number that is no placeholder any more was closed or used otherwise since. (An inotify descriptor has none.)
    let mut entries = handoff_text::parse(raw);
    let is_watcher = |entry: &Entry| entry.what == What::Lost && watches::is_inotify(entry.number);
    entries.retain(|entry| fdtable::is_placeholder(entry.number) || is_watcher(entry));
    for entry in &entries {
        let class = if entry.what == What::Lost { fdtable::LOST } else { fdtable::KERNEL };
        fdtable::set(entry.number, class);
    }
    let due = entries.iter().any(|entry| entry.what != What::Lost);
    if ENTRIES.set((entries, raw.to_vec())).is_ok() && due {
        set_due(DUE_FILES);
    }
}

/// First thing in a section, where due: tells the kernel of what outlived the exec, or was left before a fork.
pub fn resume(context: &mut KernelContext) -> Result<()> {
    enter_root(context)?;
    reopen(context);
    cwd::enter(context)
}

/// The kernel's names of files are those below the process's root.
fn enter_root(context: &mut KernelContext) -> Result<()> {
    // The kernel has kept a root in a mount over the exec.
    if is_due(DUE_ROOT) && !root::is_in_mount() {
        let mut path = [0u8; PATH_MAX];
        let prefix = root::host_prefix();
        path[..prefix.len()].copy_from_slice(prefix);
        context.call(lkl::Private::RootAnchor as i64, &args([path.as_ptr() as usize]))?;
        clear_due(DUE_ROOT);
    }
    Ok(())
}

/// Opens the files again.
fn reopen(context: &mut KernelContext) {
    if !clear_due(DUE_FILES) {
        return;
    }
    for entry in entries() {
        let opened = match &entry.what {
            What::Lost => continue,
            What::Same(other) if fdtable::class(*other) == fdtable::KERNEL => {
                context.call(libc::SYS_dup3, &args([*other, entry.number]))
            }
            What::Same(_) => Err(Errno::EIO),
            What::File { flags, offset, inode, path } => open_again(context, entry.number, *flags, path)
                .and_then(|()| {
                    check_inode(context, entry.number, *inode)?;
                    context.call(libc::SYS_lseek, &args([entry.number, *offset, libc::SEEK_SET as usize]))
                }),
        };
        if let Err(e) = opened {
            fdtable::set(entry.number, fdtable::LOST);
            let number = entry.number;
            say!(
                "descriptor {number}, open over the exec: its file cannot be opened again: {}",
                Explained(e)
            );
        }
    }
}

/// Opens a file at its number in the kernel.
fn open_again(context: &mut KernelContext, number: usize, flags: usize, path: &[u8]) -> Result<()> {
    let (index, rest) = mount_lookup::find_mount(path).ok_or(Errno::ENOENT)?;
    let root = context.mount_root(index)?;
    let name = if rest == path.len() { b"." } else { &path[rest..] };
    let name = CString::new(name).map_err(|_| Errno::ENOENT)?;
    let once = (libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC | libc::O_CLOEXEC) as usize;
    let open = args([root, name.as_ptr() as usize, flags & !once]);
    let got = context.call_at(libc::SYS_openat, &open, number as i32)?;
    if got != number {
        let moved = context.call(libc::SYS_dup3, &args([got, number]));
        let _ = context.call(libc::SYS_close, &args([got]));
        moved?;
    }
    Ok(())
}

/// ENOENT: another file has the name now; the descriptor is closed.
fn check_inode(context: &mut KernelContext, number: usize, inode: u64) -> Result<()> {
    let status = fs::filled_stat(|to| context.call(libc::SYS_fstat, &args([number, to])));
    if status.as_ref().is_ok_and(|status| status.st_ino == inode) {
        return Ok(());
    }
    let _ = context.call(libc::SYS_close, &args([number]));
    Err(status.err().unwrap_or(Errno::ENOENT))
}

/// In the child of a fork: what was not opened yet is the parent's, for its offset would have to be shared.
pub fn forget_in_child() {
    if clear_due(DUE_FILES) {
        let kernels = entries().iter().filter(|entry| fdtable::class(entry.number) == fdtable::KERNEL);
        kernels.for_each(|entry| fdtable::set(entry.number, fdtable::LOST));
    }
}
