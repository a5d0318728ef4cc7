// SPDX-License-Identifier: GPL-2.0-only
//! Files of /proc that say what is mounted, what is locked, and what a descriptor is open to: the host knows neither the mounts nor
//! the files of the kernel library. A program that opens one gets a file in memory with the host's text and ours, as of that moment.
//!
//! The file is found by what the host opened, not by its path: the path may lead there by links (/etc/mtab).

pub mod descriptor;
mod lines;
mod locks;
mod snapshot;
mod text;

use crate::fdtable::{self, KERNEL};
use crate::instance::enter::enter_kernel;
use crate::lookup::mount_lookup;
use crate::sys::call::args;
use crate::sys::errno::Result;
use crate::sys::fs::{self, AT_FDCWD};
use crate::sys::kernel::running;
use crate::sys::mem::{Pages, PAGE};
use crate::sys::scratch::{Buffers, Scratch, PATH_MAX};
use crate::sys::settings::settings;
use crate::sys::{decimal, host, user};
use lines::{About, Kind, Line};
use text::Text;

/// More than the kernel library says of a mount.
const ABOUT_MAX: usize = 4 * PAGE;

/// What the host opened, in this directory of /proc.
enum Opened {
    Table(Kind),
    /// /proc/PID/fdinfo/N
    Descriptor(usize),
}

/// After an open of the host: gives the program our text where the host's is not all. `path`: where the open ended, as far
/// as it was followed here. The descriptor keeps its number.
pub fn opened(fd: Result, path: usize, flags: usize) -> Result {
    let fd = fd?;
    let looks_only = (libc::O_ACCMODE | libc::O_PATH | libc::O_DIRECTORY) as usize;
    if flags & looks_only != libc::O_RDONLY as usize
        || settings().mounts.is_empty()
        || !is_named_like_one(path)
    {
        return Ok(fd);
    }
    match replace(fd as i32, flags) {
        Ok(()) => Ok(fd),
        Err(e) => {
            fs::close(fd as i32);
            Err(e)
        }
    }
}

/// Whether the last name of a path is one of these files', or may be of a link to one.
fn is_named_like_one(path: usize) -> bool {
    const NAMES: [&[u8]; 5] = [b"mounts", b"mountinfo", b"mountstats", b"mtab", b"locks"];
    let Ok(mut scratch) = Scratch::take() else { return false };
    let Ok(len) = user::read_string(scratch.path(), path) else { return false };
    let mut names = scratch.path()[..len].rsplit(|&b| b == b'/').filter(|name| !name.is_empty());
    let Some(last) = names.next() else { return false };
    NAMES.contains(&last) || last[0].is_ascii_digit() && matches!(names.next(), Some(b"fd" | b"fdinfo"))
}

/// The directory of a process in /proc, the process, and which of its files this is. None: another file.
fn parse(path: &[u8]) -> Option<(&[u8], usize, Opened)> {
    let cut = |path| -> Option<(&[u8], &[u8])> {
        let path: &[u8] = path;
        let slash = path.iter().rposition(|&b| b == b'/')?;
        Some((&path[..slash], &path[slash + 1..]))
    };
    let (mut directory, name) = cut(path)?;
    let opened = match name {
        b"mounts" => Opened::Table(Kind::Mounts),
        b"mountinfo" => Opened::Table(Kind::Info),
        b"mountstats" => Opened::Table(Kind::Stats),
        digits => {
            let number = decimal::parse(digits)?;
            let (above, name) = cut(directory)?;
            directory = above;
            (name == b"fdinfo").then_some(Opened::Descriptor(number))?
        }
    };
    let (above, number) = cut(directory)?;
    let process = match cut(above) {
        Some((above, b"task")) => cut(above)?.1,
        _ => number,
    };
    Some((directory, decimal::parse(process)?, opened))
}

fn replace(fd: i32, flags: usize) -> Result<()> {
    let mut scratch = Scratch::take()?;
    let Buffers { path, place, .. } = scratch.buffers();
    let Ok(len) = fs::read_fd_link(fd, &mut path[..PATH_MAX - 1]) else { return Ok(()) };
    if !fs::is_of_proc(fd) {
        return Ok(());
    }
    if locks::is_its_path(&path[..len]) {
        path[len] = 0;
        return snapshot::put(fd, path, locks::text(fd)?.bytes(), flags, false);
    }
    let Some((directory, process, opened)) = parse(&path[..len]) else { return Ok(()) };
    let is_table = matches!(opened, Opened::Table(_));
    let is_own = process as i32 == host::pid() as i32;
    let text = match opened {
        Opened::Table(kind) if is_own => table(fd, kind, b"/")?,
        Opened::Table(kind) if is_member(process) => match root_of(directory, place) {
            Some(root) => table(fd, kind, root)?,
            None => return Ok(()),
        },
        Opened::Descriptor(number)
            if is_own && fdtable::class(number) == KERNEL && fdtable::is_placeholder(number) =>
        {
            descriptor::text(number)?
        }
        _ => return Ok(()),
    };
    path[len] = 0;
    snapshot::put(fd, path, text.bytes(), flags, is_table)
}

/// Whether another process uses the same kernel, and so has the same mounts.
fn is_member(process: usize) -> bool {
    running().is_some_and(|kernel| kernel.any_process(|pid| pid as usize == process))
}

/// The root of a process, as this one sees it. None: the process is gone, or not ours to look at.
fn root_of<'a>(directory: &[u8], into: &'a mut [u8; PATH_MAX]) -> Option<&'a [u8]> {
    let (mut path, end) = ([0; 64], directory.len());
    path.get_mut(..end)?.copy_from_slice(directory);
    path.get_mut(end..end + 6)?.copy_from_slice(b"/root\0");
    let len = fs::read_link_at(AT_FDCWD, path.as_ptr() as usize, into).ok()?;
    Some(&into[..len])
}

/// The host's lines, read from `fd`, and one for each mount below `root`.
fn table(fd: i32, kind: Kind, root: &[u8]) -> Result<Text> {
    let mut text = Text::of_file(fd)?;
    let host_len = text.bytes().len();
    let (mut own, mut other) = (Pages::new(ABOUT_MAX)?, Pages::new(ABOUT_MAX)?);
    for index in by_length() {
        let mount = &settings().mounts[index];
        let Some(path) = mount_lookup::visible(mount).and_then(|path| below(path, root)) else { continue };
        let Some(about) = ask(index, own.bytes()) else { continue };
        let above = match settings().parent(index) {
            Some(parent) => ask(parent, other.bytes()).map(|above| above.id),
            None => lines::parent_on_host(&text.bytes()[..host_len], path),
        };
        let parent = Text::of(above.unwrap_or(b"0"))?;
        Line { mount, about, path, parent: parent.bytes() }.write(kind, &mut text)?;
    }
    Ok(text)
}

/// The places of all mounts, those with shorter paths first: a mount stands behind the one that it lies below.
fn by_length() -> impl Iterator<Item = usize> {
    let key = |index: &usize| (settings().mounts[*index].path.len(), *index);
    let mut last = None;
    core::iter::from_fn(move || {
        let all = 0..settings().mounts.len();
        let next = all.filter(|index| last.is_none_or(|last| key(index) > last)).min_by_key(key)?;
        last = Some(key(&next));
        Some(next)
    })
}

/// A path as a process with this root has it.
fn below<'a>(path: &'a [u8], root: &[u8]) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(root.strip_suffix(b"/").unwrap_or(root))?;
    rest.starts_with(b"/").then_some(rest)
}

/// What the kernel library says of a mount, which is mounted if it was not yet. None: it cannot be.
fn ask(index: usize, into: &mut [u8]) -> Option<About<'_>> {
    let (to, room) = (into.as_mut_ptr() as usize, into.len());
    let len = enter_kernel(|context| {
        let root = context.mount_root(index)?;
        context.call(lkl::Private::MountAbout as i64, &args([root, to, room]))
    });
    About::parse(&into[..len.ok()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_process_are_known_by_their_path() {
        let of =
            |path: &'static str| parse(path.as_bytes()).map(|(directory, process, _)| (directory, process));
        assert_eq!(of("/proc/12/mounts"), Some((&b"/proc/12"[..], 12)));
        assert_eq!(of("/proc/12/task/13/mountinfo"), Some((&b"/proc/12/task/13"[..], 12)));
        assert_eq!(of("/x/proc/12/fdinfo/7"), Some((&b"/x/proc/12"[..], 12)));
        assert_eq!(of("/proc/12/task/13/fdinfo/7"), Some((&b"/proc/12/task/13"[..], 12)));
        for other in ["/proc/mounts", "/proc/12/status", "/proc/12/fd/7", "mounts", "/proc/x/mounts"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn paths_below_a_root() {
        assert_eq!(below(b"/mnt/x", b"/"), Some(&b"/mnt/x"[..]));
        assert_eq!(below(b"/jail/mnt", b"/jail"), Some(&b"/mnt"[..]));
        assert_eq!(below(b"/jail", b"/jail"), None);
        assert_eq!(below(b"/jails/x", b"/jail"), None);
    }
}
