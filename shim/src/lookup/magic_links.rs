// SPDX-License-Identifier: GPL-2.0-only
//! /proc/self/fd/N, /proc/self/cwd and their kin for a kernel file: the host would find the placeholder. libc itself goes
//! this way (fchmodat with AT_SYMLINK_NOFOLLOW, shells with /dev/stdin).

use crate::fdtable::{self, KERNEL, RESERVED};
use crate::instance::enter::enter_kernel;
use crate::lookup::directory::path_of;
use crate::lookup::target::ResolvedPath;
use crate::lookup::{cwd, self_exe};
use crate::sys::call::args;
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::AT_FDCWD;
use crate::sys::root;
use crate::sys::scratch::{Scratch, PATH_MAX};
use crate::sys::{decimal, host, user};

const STANDARD: [(&[u8], i32); 3] = [(b"/dev/stdin", 0), (b"/dev/stdout", 1), (b"/dev/stderr", 2)];

/// Whether anything of this process is the kernel's that such a name could mean.
#[inline]
pub fn is_possible() -> bool {
    !root::is_in_mount() && has_any()
}

fn has_any() -> bool {
    fdtable::any_kernel() || fdtable::any_reserved() || cwd::class() == KERNEL || self_exe::is_known()
}

/// The process in "/proc/PROCESS/", what follows (a thread's directory is the process's), and where that begins.
fn in_process(path: &[u8]) -> Option<(&[u8], &[u8], usize)> {
    const PROC: &[u8] = b"/proc/";
    let rest = path.strip_prefix(PROC)?;
    let end = rest.iter().position(|&b| b == b'/')?;
    let start = PROC.len() + end + 1;
    let start = start + task_len(&path[start..]);
    Some((&rest[..end], &path[start..], start))
}

/// What follows in a path of this process's own directory in /proc, and where that begins.
fn in_own_directory(path: &[u8]) -> Option<(&[u8], usize)> {
    let (process, entry, start) = in_process(path)?;
    let own = match process {
        b"self" | b"thread-self" => true,
        digits => decimal::parse(digits) == Some(host::pid()),
    };
    own.then_some((entry, start))
}

/// The length of "task/N/" at the beginning of `entry`.
fn task_len(entry: &[u8]) -> usize {
    let Some(rest) = entry.strip_prefix(b"task/") else { return 0 };
    match rest.iter().position(|&b| b == b'/') {
        Some(end) if is_number(&rest[..end]) => b"task/".len() + end + 1,
        _ => 0,
    }
}

fn is_number(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(u8::is_ascii_digit)
}

/// Whether the canonical `place` is a directory of this process's descriptors.
pub fn lists_descriptors(place: &[u8]) -> bool {
    in_own_directory(place).is_some_and(|(entry, _)| matches!(entry, b"fd" | b"fdinfo"))
}

/// Whether `path` is a name of a descriptor that is ours, or leads through one: the application sees none there.
pub fn is_hidden(path: &[u8]) -> bool {
    if !fdtable::any_reserved() {
        return false;
    }
    let entry = match path.strip_prefix(b"/dev/") {
        Some(entry) => entry,
        None => in_own_directory(path).map_or(&path[..0], |(entry, _)| entry),
    };
    let digits = entry.strip_prefix(b"fd/").or_else(|| entry.strip_prefix(b"fdinfo/")).unwrap_or_default();
    let digits = digits.split(|&b| b == b'/').next().unwrap_or_default();
    decimal::parse(digits).is_some_and(|number| fdtable::class(number) == RESERVED)
}

/// The kernel descriptor (or AT_FDCWD) that `path` names, and where the rest of the path begins.
fn named(path: &[u8]) -> Option<(i32, usize)> {
    let (number, end) = match STANDARD.iter().find(|(name, _)| *name == path) {
        Some((name, number)) => (*number, name.len()),
        None => {
            let (entry, start) = match path.strip_prefix(b"/dev/") {
                Some(entry) => (entry, b"/dev/".len()),
                None => in_own_directory(path)?,
            };
            if path.starts_with(b"/proc/") && entry.starts_with(b"cwd") {
                (AT_FDCWD, start + 3)
            } else {
                let digits = entry.strip_prefix(b"fd/")?;
                let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
                let number = i32::try_from(decimal::parse(&digits[..count])?).ok()?;
                (number, start + 3 + count)
            }
        }
    };
    let class = if number == AT_FDCWD { cwd::class() } else { fdtable::class(number as usize) };
    let ends = matches!(path.get(end), None | Some(b'/'));
    (ends && class == KERNEL).then_some((number, end))
}

/// If the path in `scratch` (of `len` bytes) leads through a kernel descriptor: where it leads.
pub fn through(scratch: &mut Scratch, len: usize) -> Result<Option<ResolvedPath>> {
    if is_exe(&scratch.path()[..len]) {
        let place = &mut scratch.buffers().place;
        let n = self_exe::write_path(place);
        return Ok(Some(ResolvedPath::of_place(&place[..n])));
    }
    let Some((number, end)) = named(&scratch.path()[..len]) else { return Ok(None) };
    let buffers = scratch.buffers();
    let n = path_of(number, &mut buffers.place)?;
    let rest = len - end;
    if n + rest >= PATH_MAX {
        return Err(Errno::ENOENT);
    }
    buffers.place[n..n + rest].copy_from_slice(&buffers.path[end..len]);
    buffers.place[n + rest] = 0;
    let found = ResolvedPath::of_place(&buffers.place[..n + rest]);
    Ok((!found.is_host()).then_some(found))
}

/// What the symlink of the host at the canonical `place` leads to, if that is ours to say.
pub fn target_of(place: &[u8], into: &mut [u8; PATH_MAX]) -> Option<Result> {
    if is_exe(place) {
        return Some(Ok(self_exe::write_path(into)));
    }
    let (number, end) = named(place)?;
    (end == place.len()).then(|| path_of(number, into))
}

/// Whether the symlink of the host at the canonical `place` leads to what a process has, whatever its text says (proc(5)).
pub fn is_object(place: &[u8]) -> bool {
    let Some((process, entry, _)) = in_process(place) else { return false };
    let mut names = entry.split(|&b| b == b'/');
    let (name, below) = (names.next(), names.count());
    is_number(process)
        && matches!(
            (name, below),
            (Some(b"exe" | b"cwd" | b"root"), 0) | (Some(b"fd" | b"ns" | b"map_files"), 1)
        )
}

/// Whether `path` is a name of the program's own file.
fn is_exe(path: &[u8]) -> bool {
    self_exe::is_known() && in_own_directory(path).is_some_and(|(entry, _)| self_exe::is_entry(entry))
}

/// The kernel descriptor that the application's path at `path` is a name of, if it is one.
pub fn descriptor(path: usize) -> Option<i32> {
    if !fdtable::any_kernel() || root::is_in_mount() {
        return None;
    }
    let mut scratch = Scratch::take().ok()?;
    let len = user::read_string(scratch.path(), path).ok()?;
    let (number, end) = named(&scratch.path()[..len])?;
    (end == len && number != AT_FDCWD).then_some(number)
}

/// The kernel descriptor that the application's path at `path` is a name of, if the file has no other name any more.
pub fn unlinked(path: usize) -> Option<i32> {
    let number = descriptor(path)?;
    let mut scratch = Scratch::take().ok()?;
    (path_of(number, &mut scratch.buffers().place) == Err(Errno::ENOENT)).then_some(number)
}

/// What the host's symlink would say of a kernel file.
fn text_of(number: i32, into: &mut [u8; PATH_MAX]) -> Result {
    if number == AT_FDCWD {
        return match path_of(number, into) {
            Err(Errno::ENOENT) => text_of_removed_directory(into),
            r => r,
        };
    }
    let call = args([number as usize, into.as_mut_ptr() as usize, into.len(), 1]);
    // The NUL is counted.
    Ok(enter_kernel(|context| context.call(lkl::Private::FdPath as i64, &call))?.saturating_sub(1))
}

/// What the host's symlink would say of a current directory that getcwd(2) has no path of: a descriptor has its last path.
fn text_of_removed_directory(into: &mut [u8; PATH_MAX]) -> Result {
    let open = args([AT_FDCWD as usize, c".".as_ptr() as usize, (libc::O_PATH | libc::O_DIRECTORY) as usize]);
    let n = enter_kernel(|context| {
        // Closed in the same section: nobody sees its number.
        let fd = context.call(libc::SYS_openat, &open)?;
        let text = args([fd, into.as_mut_ptr() as usize, into.len(), 1]);
        let n = context.call(lkl::Private::FdPath as i64, &text);
        let _ = context.call(libc::SYS_close, &args([fd]));
        n
    })?;
    Ok(n.saturating_sub(1))
}

/// readlink of a name that is ours to answer: the file's path, cut to `size` as readlink(2) does. None: it is not ours.
pub fn read_link(path: usize, to: usize, size: usize) -> Option<Result> {
    if !is_possible() || path == 0 {
        return None;
    }
    let mut scratch = Scratch::take().ok()?;
    let len = user::read_string(scratch.path(), path).ok()?;
    let answer = |text: &[u8]| {
        let n = text.len().min(size);
        user::write_bytes(to, &text[..n]).map(|()| n)
    };
    if is_exe(&scratch.path()[..len]) {
        return Some(answer(self_exe::target()));
    }
    if is_hidden(&scratch.path()[..len]) {
        return Some(Err(Errno::ENOENT));
    }
    let (number, end) = named(&scratch.path()[..len])?;
    if end != len {
        return None;
    }
    let place = &mut scratch.buffers().place;
    Some(text_of(number, place).and_then(|n| answer(&place[..n])))
}

#[cfg(test)]
mod tests {
    use super::is_object;

    #[test]
    fn what_a_process_has_is_told_from_the_rest_of_proc() {
        for place in
            ["/proc/1/fd/63", "/proc/12/task/13/fd/0", "/proc/1/exe", "/proc/1/task/2/cwd", "/proc/1/ns/net"]
        {
            assert!(is_object(place.as_bytes()), "{place}");
        }
        for place in [
            "/proc/self",
            "/proc/1/fd",
            "/proc/1/fd/3/x",
            "/proc/x/fd/3",
            "/proc/1/net/tcp",
            "/fd/3",
            "/proc/mounts",
        ] {
            assert!(!is_object(place.as_bytes()), "{place}");
        }
    }
}
