// SPDX-License-Identifier: GPL-2.0-only
//! /proc/self/fd/N, /proc/self/cwd and their kin for a kernel file: the host would find the placeholder. libc itself goes
//! this way (fchmodat with AT_SYMLINK_NOFOLLOW, shells with /dev/stdin).

use crate::errno::ENOENT;
use crate::fd::{self, KERNEL};
use crate::host::{self, Ret};
use crate::load::exe;
use crate::path::{directory, Spot, AT_FDCWD};
use crate::scratch::{Scratch, PATH_MAX};
use crate::{cwd, user};

const STANDARD: [(&[u8], i32); 3] = [(b"/dev/stdin", 0), (b"/dev/stdout", 1), (b"/dev/stderr", 2)];

/// Whether anything of this process is the kernel's that such a name could mean.
#[inline]
pub fn is_possible() -> bool {
    fd::any_kernel() || cwd::class() == KERNEL || exe::is_known()
}

/// What follows "/proc/self/" and the other names of that directory, and how long the name is.
fn in_own_directory(path: &[u8]) -> Option<(&[u8], usize)> {
    let proc = path.strip_prefix(b"/proc/")?;
    let name = proc.iter().position(|&b| b == b'/')?;
    let own = match &proc[..name] {
        b"self" | b"thread-self" => true,
        digits => core::str::from_utf8(digits).ok()?.parse() == Ok(host::ids().0),
    };
    let start = b"/proc/".len() + name + 1;
    own.then(|| (&path[start..], start))
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
                let number = core::str::from_utf8(&digits[..count]).ok()?.parse().ok()?;
                (number, start + 3 + count)
            }
        }
    };
    let class = if number == AT_FDCWD { cwd::class() } else { fd::class(number as usize) };
    let ends = matches!(path.get(end), None | Some(b'/'));
    (ends && class == KERNEL).then_some((number, end))
}

/// If the path in `scratch` (of `len` bytes) leads through a kernel descriptor: where it leads.
pub fn through(scratch: &mut Scratch, len: usize) -> Result<Option<Spot>, Ret> {
    if is_exe(&scratch.path()[..len]) {
        let place = &mut scratch.buffers().place;
        let n = exe::way(place);
        return Ok(Some(Spot::of_place(&place[..n])));
    }
    let Some((number, end)) = named(&scratch.path()[..len]) else { return Ok(None) };
    let buffers = scratch.buffers();
    let n = directory(number, &mut buffers.place)?;
    let rest = len - end;
    if n + rest >= PATH_MAX {
        return Err(ENOENT);
    }
    buffers.place[n..n + rest].copy_from_slice(&buffers.path[end..len]);
    buffers.place[n + rest] = 0;
    let spot = Spot::of_place(&buffers.place[..n + rest]);
    Ok((!spot.is_host()).then_some(spot))
}

/// Whether `path` is a name of the program's own file.
fn is_exe(path: &[u8]) -> bool {
    exe::is_known() && in_own_directory(path).is_some_and(|(entry, _)| exe::is_entry(entry))
}

/// The kernel descriptor that the application's path at `path` is a name of, if it is one.
pub fn descriptor(path: usize) -> Option<i32> {
    if !fd::any_kernel() {
        return None;
    }
    let mut scratch = Scratch::take().ok()?;
    let len = user::read_string(scratch.path(), path).ok()?;
    let (number, end) = named(&scratch.path()[..len])?;
    (end == len && number != AT_FDCWD).then_some(number)
}

/// readlink of such a name: the file's path, cut to `size` as readlink(2) does.
pub fn read_link(path: usize, to: usize, size: usize) -> Option<Ret> {
    if !is_possible() || path == 0 {
        return None;
    }
    let mut scratch = Scratch::take().ok()?;
    let len = user::read_string(scratch.path(), path).ok()?;
    if is_exe(&scratch.path()[..len]) {
        let target = exe::target();
        let n = target.len().min(size);
        return Some(user::write_bytes(to, &target[..n]).map_or_else(|e| e, |()| n as Ret));
    }
    let (number, end) = named(&scratch.path()[..len])?;
    if end != len {
        return None;
    }
    let buffers = scratch.buffers();
    let n = match directory(number, &mut buffers.place) {
        Ok(n) => n.min(size),
        Err(e) => return Some(e),
    };
    Some(user::write_bytes(to, &buffers.place[..n]).map_or_else(|e| e, |()| n as Ret))
}
