// SPDX-License-Identifier: GPL-2.0-only
//! Calls with paths that only the host has: mounts, quotas, swap. A path that leads into a mount is refused with
//! ENOSYS and a line. Any other path reaches the host as it is, and never as a name in the host's current directory.

use crate::fdtable::{self, KERNEL};
use crate::lookup::route::{self, PathArg};
use crate::lookup::target::FinalComponent;
use crate::observe;
use crate::sys::call::Call;
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::AT_FDCWD;
use crate::sys::report::say;
use crate::sys::settings::settings;
use crate::sys::user;

/// Where a path stands among the arguments of a call.
#[derive(Clone, Copy)]
enum Place {
    /// A directory descriptor, and the text in the argument behind it.
    At(usize),
    /// A text alone.
    Plain(usize),
}

/// Makes the call on the host if each path of it leads to the host.
fn make(c: &Call<'_>, places: &[Place], last: FinalComponent) -> Result {
    match places {
        _ if !settings().is_active() => c.to_host(),
        [] => c.to_host(),
        [first, rest @ ..] => {
            let (dirfd, path) = match *first {
                Place::Plain(i) if c.args[i] == 0 => return make(c, rest, last),
                Place::Plain(i) => (AT_FDCWD as usize, c.args[i]),
                Place::At(i) => (c.args[i], c.args[i + 1]),
            };
            let located = route::locate(PathArg::new(dirfd, path, last))?;
            let Some(found) = located.on_host() else { return Err(refuse(c)) };
            let mut args = c.args;
            match *first {
                Place::Plain(i) => args[i] = found.path,
                Place::At(i) => (args[i], args[i + 1]) = (found.dirfd as usize, found.path),
            }
            make(&Call { args, ..*c }, rest, last)
        }
    }
}

/// Said at each such call: they are rare, and never made in a loop.
#[cold]
fn refuse(c: &Call<'_>) -> Errno {
    say!("{}: not supported on a path in a mount (ENOSYS)", observe::name(c.nr));
    Errno::ENOSYS
}

macro_rules! host_only {
    ($($name:ident [$($place:ident($i:literal)),*];)*) => { $(
        #[doc = concat!(stringify!($name), "(2)")]
        pub fn $name(c: &Call<'_>) -> Result {
            make(c, &[$(Place::$place($i)),*], FinalComponent::Follow)
        }
    )* };
}

host_only! {
    acct [Plain(0)];
    swapon [Plain(0)];
    swapoff [Plain(0)];
    umount2 [Plain(0)];
    uselib [Plain(0)];
    pivot_root [Plain(0), Plain(1)];
    open_tree [At(0)];
    open_tree_attr [At(0)];
    move_mount [At(0), At(2)];
    mount_setattr [At(0)];
    fspick [At(0)];
    fanotify_mark [At(3)];
    file_getattr [At(0)];
    file_setattr [At(0)];
}

/// mount(2): the source is a path, or a word of the file system's own.
pub fn mount(c: &Call<'_>) -> Result {
    let places = [Place::Plain(1), Place::Plain(0)];
    let is_path = user::string_contains(c.args[0], b'/')?;
    make(c, if is_path { &places } else { &places[..1] }, FinalComponent::Follow)
}

/// quotactl(2): the device, and for Q_QUOTAON the file of the quota.
pub fn quotactl(c: &Call<'_>) -> Result {
    const Q_QUOTAON: usize = 0x80_0002;
    let places = [Place::Plain(1), Place::Plain(3)];
    let is_on = c.args[0] as u32 as usize >> 8 == Q_QUOTAON;
    make(c, if is_on { &places } else { &places[..1] }, FinalComponent::Follow)
}

/// fsconfig(2): some commands have a path, or a descriptor, as the value.
pub fn fsconfig(c: &Call<'_>) -> Result {
    const SET_PATH: usize = 3;
    const SET_PATH_EMPTY: usize = 4;
    const SET_FD: usize = 5;
    match c.args[1] {
        // No kernel file is a file system's context.
        _ if fdtable::class(c.args[0]) == KERNEL => Err(Errno::EINVAL),
        SET_PATH | SET_PATH_EMPTY => {
            let located = route::locate(PathArg::new(c.args[4], c.args[3], FinalComponent::Follow))?;
            let Some(found) = located.on_host() else { return Err(refuse(c)) };
            c.to_host_with(&[c.args[0], c.args[1], c.args[2], found.path, found.dirfd as usize, 0])
        }
        SET_FD if fdtable::class(c.args[4]) == KERNEL => Err(refuse(c)),
        _ => c.to_host(),
    }
}

/// bpf(2): two commands have a path, of an object in a bpffs, which no image has.
pub fn bpf(c: &Call<'_>) -> Result {
    const OBJ_PIN: usize = 6;
    const OBJ_GET: usize = 7;
    /// In `union bpf_attr`: the path; flags, of which one says that a directory follows; the directory.
    const FLAGS: usize = 12;
    const DIRECTORY: usize = 16;
    const PATH_FD: u32 = 1 << 14;
    let [command, attributes, size, ..] = c.args;
    if !matches!(command, OBJ_PIN | OBJ_GET) || !settings().is_active() || size < FLAGS {
        return c.to_host();
    }
    let path: u64 = user::read(attributes)?;
    let has_directory = size >= DIRECTORY + 4 && user::read::<u32>(attributes + FLAGS)? & PATH_FD != 0;
    let directory = if has_directory { user::read::<i32>(attributes + DIRECTORY)? } else { AT_FDCWD };
    let located = route::locate(PathArg::new(directory as usize, path as usize, FinalComponent::Follow))?;
    let Some(found) = located.on_host() else { return Err(refuse(c)) };
    if found.path == path as usize {
        return c.to_host();
    }
    // The words of these two commands, with the path as it was found. What follows the host takes for zero.
    let mut own = [0u64; 3];
    own[1] = user::read(attributes + 8)?;
    own[0] = found.path as u64;
    c.to_host_with(&[command, own.as_ptr() as usize, DIRECTORY, 0, 0, 0])
}
