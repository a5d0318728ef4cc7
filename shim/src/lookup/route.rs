// SPDX-License-Identifier: GPL-2.0-only
//! Where a path leads: to the host or into a mount.
//!
//! The quick answer is lexical: an absolute path at or below a mount's path goes to the kernel, relative to
//! the mount's root; a relative one goes where its directory is; everything else goes to the host. It is
//! wrong only for a path that changes worlds on the way (a symlink, or `..` above a mount's root), and then
//! the world asked says so: the kernel with EXDEV (hubfs: nothing above a mount's root can be walked), the
//! host with ENOENT, because the mount's path does not exist there. Then [`careful`] walks the
//! path name by name, reading every symlink in the world it stands in, and the call is made again.
//! If a mount's path does exist on the host, ENOENT proves nothing and host paths are walked before the call is made; but
//! for calls that only look, where what exists there has nothing in it (`shadow.rs`).

use crate::instance::enter::section;
use crate::lookup::{covered_dirs, cwd, magic_links, mount_lookup, resolve};
use crate::sys::errno::{EBADF, ENOENT, ENXIO, EXDEV};
use crate::sys::host::{self, Ret};
use crate::sys::identity::Identity;
use crate::sys::scratch::{Scratch, PATH_MAX};
use crate::sys::settings::settings;
use crate::sys::user;
use crate::{fdtable, loader};

pub const AT_FDCWD: i32 = libc::AT_FDCWD;

/// The root of a mount, relative to itself. Statics: their addresses are compared.
static ROOT: [u8; 2] = *b".\0";
static ROOT_AS_DIRECTORY: [u8; 3] = *b"./\0";

/// A directory descriptor and a path, to be handed to one of the two kernels.
#[derive(Clone, Copy)]
pub struct Spot {
    pub world: World,
    pub dirfd: i32,
    /// Address of the path.
    pub path: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum World {
    Host,
    /// Relative to a kernel descriptor (or the kernel's current directory).
    Kernel,
    /// Relative to the root of this mount, whose descriptor is found inside the section.
    Mount(usize),
}

impl Spot {
    /// The directory descriptor and path for a kernel call, from inside a section.
    pub fn kernel_at(&self, door: &mut crate::instance::enter::Door<'_>) -> Result<(usize, usize), Ret> {
        match self.world {
            World::Mount(index) => Ok((door.mount_root(index)? as usize, self.path)),
            _ => Ok((self.dirfd as usize, self.path)),
        }
    }

    pub fn is_host(&self) -> bool {
        self.world == World::Host
    }

    /// Where an absolute path without `..` lies by its name alone. A NUL has to follow `place`, and it has to
    /// stay where it is as long as the spot is used.
    pub fn of_place(place: &[u8]) -> Spot {
        match mount_lookup::find_mount(place) {
            None => Spot { world: World::Host, dirfd: AT_FDCWD, path: place.as_ptr() as usize },
            Some((index, rest)) => {
                let path = match (rest == place.len(), place.last()) {
                    (true, Some(b'/')) => ROOT_AS_DIRECTORY.as_ptr() as usize,
                    (true, _) => ROOT.as_ptr() as usize,
                    _ => place[rest..].as_ptr() as usize,
                };
                Spot { world: World::Mount(index), dirfd: -1, path }
            }
        }
    }

    /// Whether the path is the root of a mount itself.
    pub fn is_mount_root(&self) -> bool {
        self.path == ROOT.as_ptr() as usize || self.has_slash_behind_root()
    }

    /// The same, if it was named with a slash behind.
    pub fn has_slash_behind_root(&self) -> bool {
        self.path == ROOT_AS_DIRECTORY.as_ptr() as usize
    }
}

/// A path argument on its way: where it seems to lead, and what is needed to look again.
pub struct Walk {
    pub spot: Spot,
    dirfd: i32,
    path: usize,
    last: Last,
    scratch: Option<Scratch>,
    careful: bool,
    /// The host is asked first although a mount's path exists there.
    shadowed: bool,
}

/// What a call does with the last name of its path (fs/namei.c).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// A symlink there is followed.
    Follow,
    /// It is not, unless a slash stands behind it (lstat).
    Keep,
    /// The name itself is made or removed: it stays as it is written, `.`, `..` and slash included (rmdir).
    Parent,
}

impl From<bool> for Last {
    fn from(follow: bool) -> Last {
        if follow {
            Last::Follow
        } else {
            Last::Keep
        }
    }
}

/// What a call does to the file at its path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Touch {
    /// Nothing that could not be done in vain.
    Looks,
    Changes,
    /// It makes the file, even behind a symlink: where the host has nothing, that may be where a mount's path is.
    Creates,
}

/// Routes a path argument.
fn route(dirfd: usize, path: usize, last: Last, touch: Touch) -> Result<Walk, Ret> {
    let dirfd = dirfd as i32;
    let host = Spot { world: World::Host, dirfd, path };
    let mut walk = Walk { spot: host, dirfd, path, last, scratch: None, careful: false, shadowed: false };
    if !settings().is_active() && !loader::is_loader() {
        return Ok(walk);
    }
    let base = if dirfd == AT_FDCWD { cwd::class() } else { fdtable::class(dirfd as usize) };
    if path == 0 {
        // utimensat(fd, NULL): the descriptor itself.
        walk.spot = by_base(base, host)?;
        return Ok(walk);
    }
    let mut scratch = Scratch::take()?;
    let len = match user::read_string(scratch.path(), path) {
        Ok(len) => len,
        // The world that the base lies in says what is wrong with the path.
        Err(_) => {
            walk.spot = by_base(base, host)?;
            return Ok(walk);
        }
    };
    let text = &scratch.path()[..len];
    if text.first() == Some(&b'/') {
        if last == Last::Follow && magic_links::is_possible() {
            if let Some(spot) = magic_links::through(&mut scratch, len)? {
                walk.spot = spot;
                walk.scratch = Some(scratch);
                return Ok(walk);
            }
        }
        let text = &scratch.path()[..len];
        let spot = Spot::of_place(text);
        if !spot.is_host() {
            walk.spot = spot;
            walk.scratch = Some(scratch);
            return Ok(walk);
        }
    } else {
        walk.spot = by_base(base, host)?;
        if !walk.spot.is_host() || len == 0 {
            return Ok(walk);
        }
    }
    let text = &scratch.path()[..len];
    // One name that is not followed leads nowhere out of its directory, and that is none of those: nothing is in them. (A
    // descriptor of one may have been inherited.)
    let stays = || {
        let here = dirfd == AT_FDCWD || touch == Touch::Looks;
        last != Last::Follow && is_one_name(text) && here && covered_dirs::is_empty()
    };
    walk.shadowed = settings().host_paths_shadowed && !stays();
    if walk.must_be_walked(text, touch)
        || touch == Touch::Creates && last == Last::Follow && is_link(&walk.spot)
    {
        walk.scratch = Some(scratch);
        walk.again_carefully()?;
    }
    Ok(walk)
}

fn is_one_name(path: &[u8]) -> bool {
    !path.contains(&b'/') && path != b"." && path != b".."
}

/// Whether a path of the host ends at a symlink.
fn is_link(spot: &Spot) -> bool {
    let mut byte = 0u8;
    host::call(libc::SYS_readlinkat, &[spot.dirfd as usize, spot.path, &raw mut byte as usize, 1]) > 0
}

fn by_base(base: u8, host: Spot) -> Result<Spot, Ret> {
    match base {
        fdtable::HOST | fdtable::EPOLL_EMPTY => Ok(host),
        fdtable::KERNEL => Ok(Spot { world: World::Kernel, ..host }),
        other => Err(fdtable::refuse(other)),
    }
}

impl Walk {
    /// Whether the host cannot be asked first: what it says proves nothing, or the call may make the very name
    /// that stands for a mount (mkdir("data") in /mnt).
    fn must_be_walked(&self, path: &[u8], touch: Touch) -> bool {
        let proves_nothing = self.shadowed && (touch != Touch::Looks || !covered_dirs::is_empty());
        proves_nothing || mount_lookup::ends_like_a_mount(path)
    }

    /// Whether `result` may come from a path that changes worlds on the way.
    pub fn doubtful(&self, result: Ret) -> bool {
        !self.careful
            && match self.spot.world {
                // ENXIO: the placeholder of a kernel file, by a symlink to its name in /proc.
                World::Host => matches!(result, ENOENT | ENXIO) && settings().is_active(),
                _ => result == EXDEV,
            }
    }

    /// Whether the host was asked although a mount's path exists there.
    fn is_in_shadow(&self) -> bool {
        self.shadowed && !self.careful && self.spot.is_host()
    }

    /// Walks the path name by name. Returns whether it leads elsewhere than was thought.
    pub fn again_carefully(&mut self) -> Result<bool, Ret> {
        self.careful = true;
        if self.path == 0 {
            return Ok(false);
        }
        let mut scratch = match self.scratch.take() {
            Some(scratch) => scratch,
            None => Scratch::take()?,
        };
        let len = user::read_string(scratch.path(), self.path)?;
        if len == 0 {
            return Ok(false);
        }
        let before = self.spot.world;
        let found = resolve::resolve(&mut scratch, len, self.dirfd, self.last);
        self.scratch = Some(scratch);
        let Some((spot, crossed)) = found? else { return Ok(false) };
        self.spot = spot;
        Ok(before != World::Host || crossed)
    }
}

/// Makes a call with one path: in the world it seems to lead to, and again where it really leads.
pub fn with_path(dirfd: usize, path: usize, last: impl Into<Last>, call: impl FnMut(&Spot) -> Ret) -> Ret {
    make((dirfd, path, last.into()), Touch::Changes, call, |_, _| None, |_| ())
}

/// The same for one that makes the file if it is not there.
pub fn create_at_path(dirfd: usize, path: usize, last: Last, call: impl FnMut(&Spot) -> Ret) -> Ret {
    make((dirfd, path, last), Touch::Creates, call, |_, _| None, |_| ())
}

/// The same for one that only looks at the file. `found`: which file that was, where it says so, on the host; `undo` takes
/// back what it made.
pub fn look_at_path(
    dirfd: usize,
    path: usize,
    last: impl Into<Last>,
    call: impl FnMut(&Spot) -> Ret,
    found: impl FnOnce(&Spot, Ret) -> Option<Identity>,
    undo: impl FnOnce(Ret),
) -> Ret {
    make((dirfd, path, last.into()), Touch::Looks, call, found, undo)
}

fn make(
    (dirfd, path, last): (usize, usize, Last),
    touch: Touch,
    mut call: impl FnMut(&Spot) -> Ret,
    found: impl FnOnce(&Spot, Ret) -> Option<Identity>,
    undo: impl FnOnce(Ret),
) -> Ret {
    let mut walk = match route(dirfd, path, last, touch) {
        Ok(walk) => walk,
        Err(e) => return e,
    };
    let result = call(&walk.spot);
    let shadowed = || walk.is_in_shadow() && covered_dirs::is_doubtful(result, found(&walk.spot, result));
    if !walk.doubtful(result) && !shadowed() {
        return result;
    }
    match walk.again_carefully() {
        Ok(true) => {
            undo(result);
            call(&walk.spot)
        }
        Ok(false) => result,
        Err(e) => {
            undo(result);
            e
        }
    }
}

/// Makes a call with two paths.
pub fn with_two_paths(
    first: (usize, usize, Last),
    second: (usize, usize, Last),
    mut call: impl FnMut(&Spot, &Spot) -> Ret,
) -> Ret {
    let route = |(dirfd, path, last)| route(dirfd, path, last, Touch::Changes);
    let (mut a, mut b) = match (route(first), route(second)) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(e), _) | (_, Err(e)) => return e,
    };
    let result = call(&a.spot, &b.spot);
    if !(a.doubtful(result) || b.doubtful(result)) {
        return result;
    }
    match (a.again_carefully(), b.again_carefully()) {
        (Ok(false), Ok(false)) => result,
        (Ok(_), Ok(_)) => call(&a.spot, &b.spot),
        (Err(e), _) | (_, Err(e)) => e,
    }
}

/// Writes the absolute path of a directory (a descriptor or the current one) into `into`; its length.
pub fn directory(dirfd: i32, into: &mut [u8; PATH_MAX]) -> Result<usize, Ret> {
    if dirfd < 0 && dirfd != AT_FDCWD {
        return Err(EBADF);
    }
    let class = if dirfd == AT_FDCWD { cwd::class() } else { fdtable::class(dirfd as usize) };
    let (address, size) = (into.as_mut_ptr() as usize, into.len());
    let getcwd = [address, size, 0, 0, 0, 0];
    // getcwd and FD_PATH count the NUL, readlink has none.
    let (n, nul) = match (class, dirfd == AT_FDCWD) {
        (fdtable::HOST | fdtable::EPOLL_EMPTY, true) => {
            (host::forward(libc::SYS_getcwd as usize, &getcwd), 1)
        }
        (fdtable::HOST | fdtable::EPOLL_EMPTY, false) => {
            let mut link = *b"/proc/self/fd/\0\0\0\0\0\0\0\0\0\0\0\0";
            fdtable::put_number(&mut link[14..], dirfd as usize);
            let args = [AT_FDCWD as usize, link.as_ptr() as usize, address, size];
            (host::call(libc::SYS_readlinkat, &args), 0)
        }
        (fdtable::KERNEL, true) => (section(|door| door.call(libc::SYS_getcwd, &getcwd)), 1),
        (fdtable::KERNEL, false) => {
            let args = [dirfd as usize, address, size, 0, 0, 0];
            (section(|door| door.call(lkl::Private::FdPath as i64, &args)), 1)
        }
        (other, _) => return Err(fdtable::refuse(other)),
    };
    if n <= nul {
        return Err(match n {
            // No such entry in /proc/self/fd: not open.
            ENOENT if dirfd != AT_FDCWD => EBADF,
            e if e < 0 => e,
            _ => ENOENT,
        });
    }
    let n = n - nul;
    if into[0] != b'/' {
        return Err(ENOENT); // deleted, or out of reach
    }
    Ok(n as usize)
}

/// Symlinks followed in one walk (include/linux/namei.h).
pub const MAX_SYMLINKS: u32 = 40;
