// SPDX-License-Identifier: GPL-2.0-only
//! /proc/self/fd/N and its kin for a kernel file: the host would find the placeholder. libc itself goes
//! this way (fchmodat with AT_SYMLINK_NOFOLLOW, shells with /dev/stdin).

use crate::errno::ENOENT;
use crate::fd::{self, KERNEL};
use crate::host::{self, Ret};
use crate::path::{directory, Spot};
use crate::scratch::{Scratch, PATH_MAX};
use crate::user;

const PREFIXES: [&[u8]; 3] = [b"/proc/self/fd/", b"/proc/thread-self/fd/", b"/dev/fd/"];
const STANDARD: [(&[u8], usize); 3] = [(b"/dev/stdin", 0), (b"/dev/stdout", 1), (b"/dev/stderr", 2)];

/// Length of "/proc/PID/fd/" if `path` begins so with the id of this process.
fn own_directory(path: &[u8]) -> Option<usize> {
    let pid = path.strip_prefix(b"/proc/")?;
    let digits = pid.iter().take_while(|b| b.is_ascii_digit()).count();
    let number: usize = core::str::from_utf8(&pid[..digits]).ok()?.parse().ok()?;
    let fds = pid[digits..].starts_with(b"/fd/");
    (fds && number == host::ids().0).then_some(b"/proc/".len() + digits + b"/fd/".len())
}

/// The kernel descriptor that `path` names, and where the rest of the path begins.
fn named(path: &[u8]) -> Option<(usize, usize)> {
    let (number, end) = match STANDARD.iter().find(|(name, _)| *name == path) {
        Some((name, number)) => (*number, name.len()),
        None => {
            let start = match PREFIXES.iter().find(|p| path.starts_with(p)) {
                Some(prefix) => prefix.len(),
                None => own_directory(path)?,
            };
            let digits = path[start..].iter().take_while(|b| b.is_ascii_digit()).count();
            let number = core::str::from_utf8(&path[start..start + digits]).ok()?.parse().ok()?;
            (number, start + digits)
        }
    };
    let ends = matches!(path.get(end), None | Some(b'/'));
    (ends && fd::class(number) == KERNEL).then_some((number, end))
}

/// If the path in `scratch` (of `len` bytes) leads through a kernel descriptor: where it leads.
pub fn through(scratch: &mut Scratch, len: usize) -> Result<Option<Spot>, Ret> {
    let Some((number, end)) = named(&scratch.path()[..len]) else { return Ok(None) };
    let buffers = scratch.buffers();
    let n = directory(number as i32, &mut buffers.place)?;
    let rest = len - end;
    if n + rest >= PATH_MAX {
        return Err(ENOENT);
    }
    buffers.place[n..n + rest].copy_from_slice(&buffers.path[end..len]);
    buffers.place[n + rest] = 0;
    let spot = Spot::of_place(&buffers.place[..n + rest]);
    Ok((!spot.is_host()).then_some(spot))
}

/// readlink of such a name: the file's path, cut to `size` as readlink(2) does.
pub fn read_link(path: usize, to: usize, size: usize) -> Option<Ret> {
    if !fd::any_kernel() || path == 0 {
        return None;
    }
    let mut scratch = Scratch::take().ok()?;
    let len = user::read_string(scratch.path(), path).ok()?;
    let (number, end) = named(&scratch.path()[..len])?;
    if end != len {
        return None;
    }
    let buffers = scratch.buffers();
    let n = match directory(number as i32, &mut buffers.place) {
        Ok(n) => n.min(size),
        Err(e) => return Some(e),
    };
    Some(user::write_bytes(to, &buffers.place[..n]).map_or_else(|e| e, |()| n as Ret))
}
