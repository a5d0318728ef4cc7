// SPDX-License-Identifier: GPL-2.0-only
//! Calls of a guest: a process that shares this one's memory without being one of its threads (clone(2) with CLONE_VM alone), as a
//! sanitizer's tracer is. What the memory says of descriptors, of the directory, of signals and of the kernel's tasks is another
//! process's. So a guest's calls are the host's, and what lies in a mount is out of its reach: EIO.
#![allow(unsafe_code)]

use trampoline::frame::EntryKind;
use trampoline::Frame;

use super::table;
use crate::fdtable::{self, KERNEL, LOST, WATCHES};
use crate::lookup::{cwd, mount_lookup};
use crate::observe::Arg;
use crate::signals::claimed::never_blocked;
use crate::sys::errno::{from_raw, to_raw, Errno, Result};
use crate::sys::fs::AT_FDCWD;
use crate::sys::host::{Args, Ret};
use crate::sys::mem::Pages;
use crate::sys::report::say_once;
use crate::sys::scratch::PATH_MAX;
use crate::sys::{proc_self, root, sigcalls, user};

/// Refuses a call, and says so once for each kind.
macro_rules! refuse {
    ($errno:expr, $what:literal) => {{
        say_once!("a process that shares its parent's memory, and is not waited for, cannot {}", $what);
        Err($errno)
    }};
}

/// A guest's call, by a name of libc's.
#[cold]
pub fn call(nr: usize, args: &Args) -> Ret {
    to_raw(serve(nr as u32 as usize, args))
}

/// A guest's call, by a `syscall` instruction.
#[cold]
pub fn caught(frame: &mut Frame) {
    frame.rax = match frame.entry_kind() {
        // SAFETY: the guest's own call.
        EntryKind::Int80 => unsafe { frame.call32_on_host() as usize },
        _ => call(frame.nr, &frame.args()) as usize,
    };
}

fn serve(nr: usize, args: &Args) -> Result {
    match nr as i64 {
        libc::SYS_exit | libc::SYS_exit_group if proc_self::threads() == Some(1) => {
            sigcalls::set_mask(!0);
            trampoline::thread::exit(args[0])
        }
        libc::SYS_execve | libc::SYS_execveat => refuse!(Errno::ENOSYS, "execute anything"),
        libc::SYS_fork | libc::SYS_vfork | libc::SYS_clone | libc::SYS_clone3 => {
            refuse!(Errno::ENOSYS, "make processes or threads")
        }
        // The signal of dispatched calls is ours, and comes on our stack.
        libc::SYS_sigaltstack => Ok(0),
        libc::SYS_rt_sigaction if args[0] as i32 == libc::SIGSYS => Ok(0),
        libc::SYS_rt_sigprocmask if args[1] != 0 => set_mask(args),
        _ if is_out_of_reach(nr, args)? => refuse!(Errno::EIO, "reach what is in a mount"),
        // SAFETY: the guest's own call.
        _ => unsafe { from_raw(trampoline::gate(nr as i64, args)) },
    }
}

/// rt_sigprocmask(2): faults and dispatched calls are never blocked.
fn set_mask(args: &Args) -> Result {
    let asked: u64 = user::read(args[1])?;
    let unblocks = args[0] as i32 == libc::SIG_UNBLOCK;
    let mask = if unblocks { asked } else { asked & !never_blocked() };
    let mut own = *args;
    own[1] = &raw const mask as usize;
    // SAFETY: the guest's own call, with a mask of ours.
    unsafe { from_raw(trampoline::gate(libc::SYS_rt_sigprocmask, &own)) }
}

/// Whether an argument leads into a mount, or to a file of one.
fn is_out_of_reach(nr: usize, args: &Args) -> Result<bool> {
    let kinds = table::arguments(nr).unwrap_or_default();
    let mut directory = AT_FDCWD as usize;
    for (&kind, &argument) in kinds.iter().zip(args) {
        match kind {
            Arg::Fd if is_kernels(argument) => return Ok(true),
            Arg::DirFd => directory = argument,
            Arg::Path if leads_into_mount(directory, argument)? => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}

fn is_kernels(fd: usize) -> bool {
    matches!(fdtable::class(fd), KERNEL | WATCHES | LOST)
}

fn leads_into_mount(directory: usize, path: usize) -> Result<bool> {
    let is_cwd = directory as i32 == AT_FDCWD;
    let from_mount = if is_cwd { cwd::class() != fdtable::HOST } else { is_kernels(directory) };
    if path == 0 {
        return Ok(from_mount);
    }
    let mut text = Pages::new(2 * PATH_MAX)?;
    let (given, plain) = text.bytes().split_at_mut(PATH_MAX);
    let len = user::read_string(given, path)?;
    if given[0] != b'/' {
        return Ok(from_mount);
    }
    if root::is_in_mount() {
        return Ok(true);
    }
    Ok(mount_lookup::find_mount(without_dots(&given[..len], plain)).is_some())
}

/// An absolute path without `.`, `..` and empty names. Symbolic links are not looked at.
fn without_dots<'a>(path: &[u8], room: &'a mut [u8]) -> &'a [u8] {
    let mut len = 0;
    for name in path.split(|&b| b == b'/') {
        match name {
            b"" | b"." => {}
            b".." => len = room[..len].iter().rposition(|&b| b == b'/').unwrap_or(0),
            name => {
                room[len] = b'/';
                room[len + 1..len + 1 + name.len()].copy_from_slice(name);
                len += 1 + name.len();
            }
        }
    }
    if len == 0 {
        room[0] = b'/';
        len = 1;
    }
    &room[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_taken_out_of_paths() {
        let plain = |path: &str| {
            let mut room = [0; 64];
            String::from_utf8(without_dots(path.as_bytes(), &mut room).to_vec()).unwrap()
        };
        for (path, expected) in [
            ("/a/b", "/a/b"),
            ("//a/./b/", "/a/b"),
            ("/a/../b", "/b"),
            ("/../..", "/"),
            ("/a/b/../../c/...", "/c/..."),
        ] {
            assert_eq!(plain(path), expected);
        }
    }
}
