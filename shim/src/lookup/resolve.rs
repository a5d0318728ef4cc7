// SPDX-License-Identifier: GPL-2.0-only
//! The slow resolution of a path that changes between host and mount: name by name, as fs/namei.c walks, but in strings.
//!
//! The place reached is always a canonical absolute path, so its prefix says whether it lies in a mount, and `..` is cutting off a name. Only symlinks are asked for (readlinkat, on the side of the
//! place); permissions and missing names are left for the final call to report, and so are the links of /proc that lead to
//! what a process has open, which need not have a path.

use crate::instance::enter::enter_kernel;
use crate::lookup::directory::path_of;
use crate::lookup::rules::Rules;
use crate::lookup::target::{FinalComponent, KernelPath, ResolvedPath, Target};
use crate::lookup::{magic_links, mount_lookup};
use crate::sys::call::args;
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, AT_FDCWD};
use crate::sys::root;
use crate::sys::scratch::{Buffers, Scratch, PATH_MAX};

/// Symlinks followed in one walk (include/linux/namei.h).
const MAX_SYMLINKS: u32 = 40;

/// What a walk came to.
pub struct Walk {
    /// Where it ended.
    pub end: End,
    /// The way led through a mount.
    pub crossed: bool,
    /// Length of the path of the directory it began at.
    pub floor: usize,
}

/// How a walk ended.
pub enum End {
    /// At this path, whose text lies in `scratch.place`.
    Found(ResolvedPath),
    /// With the error of a name on the way.
    Failed(Errno),
    /// A rule forbids the way.
    Refused(Errno),
}

/// Resolves the path of `len` bytes in `scratch.path` against `dirfd`; true: the way led through a mount. `None`: the
/// directory it begins at has no name (removed, or no directory at all). An error is that of a name on the way.
pub fn resolve(
    scratch: &mut Scratch,
    len: usize,
    dirfd: i32,
    last: FinalComponent,
) -> Result<Option<(ResolvedPath, bool)>> {
    let Some(walk) = resolve_within(scratch, len, dirfd, last, Rules::NONE) else { return Ok(None) };
    match walk.end {
        End::Found(found) => Ok(Some((found, walk.crossed))),
        End::Failed(e) | End::Refused(e) => Err(e),
    }
}

/// The same under rules.
pub fn resolve_within(
    scratch: &mut Scratch,
    len: usize,
    dirfd: i32,
    last: FinalComponent,
    rules: Rules,
) -> Option<Walk> {
    let buffers = scratch.buffers();
    let floor = match buffers.path[0] {
        b'/' if !rules.have_root() => 0,
        _ => path_of(dirfd, &mut buffers.place).ok()?,
    };
    // The root is the empty string here: every place is a row of "/name".
    let floor = if floor == 1 { 0 } else { floor };
    let mut walk = Walker {
        buffers,
        at: 0,
        end: len,
        place: floor,
        floor,
        rules,
        refused: false,
        is_dot: false,
        links: 0,
        crossed: false,
        at_kernels_root: false,
    };
    let ran = walk.run(last);
    let found = walk.resolved();
    let end = match ran {
        Ok(()) => End::Found(found),
        Err(e) if walk.refused => End::Refused(e),
        Err(e) => End::Failed(e),
    };
    Some(Walk { end, crossed: walk.crossed || !found.is_host(), floor })
}

struct Walker<'a> {
    buffers: &'a mut Buffers,
    /// What is left of the path: `path[at..end]`.
    at: usize,
    end: usize,
    /// Length of the place reached.
    place: usize,
    /// Length of the place that the walk began at.
    floor: usize,
    rules: Rules,
    /// A rule was broken.
    refused: bool,
    /// The path ends in `.`, or in `..` and a slash: that demands a directory, and makes none.
    is_dot: bool,
    links: u32,
    /// A mount was entered.
    crossed: bool,
    /// A symlink led to the root, which is a directory of a mount: the rest is the kernel's to walk.
    at_kernels_root: bool,
}

/// What stands at a place that is a symlink.
struct Link {
    /// Length of the target; 0: the link is not to be followed here.
    len: usize,
    /// One of /proc, that leads to an object.
    is_magic: bool,
}

impl Walker<'_> {
    fn run(&mut self, mode: FinalComponent) -> Result<()> {
        loop {
            while self.at < self.end && self.buffers.path[self.at] == b'/' {
                self.at += 1;
            }
            if self.at == self.end || self.at_kernels_root {
                return Ok(());
            }
            let name_end = self.name_end();
            let (from, to) = (self.at, name_end);
            let last = self.buffers.path[to..self.end].iter().all(|&b| b == b'/');
            match &self.buffers.path[from..to] {
                b"." | b".." if last && mode == FinalComponent::Parent => {
                    self.append(from, to)?;
                    self.at = to;
                }
                b"." => {
                    self.is_dot = last;
                    self.at = to;
                }
                b".." => {
                    self.check_directory()?;
                    self.go_up()?;
                    self.is_dot = last && to != self.end;
                    self.at = to;
                }
                _ => {
                    self.append(from, to)?;
                    self.at = to;
                    let slash_follows = to != self.end && mode != FinalComponent::Parent;
                    if !last || mode == FinalComponent::Follow || slash_follows {
                        self.follow_link(last)?;
                    }
                }
            }
        }
    }

    /// The walk may not go on.
    fn refuse<T>(&mut self, why: Errno) -> Result<T> {
        self.refused = true;
        Err(why)
    }

    /// The mount that the place lies in.
    fn mount(&self) -> Option<usize> {
        mount_lookup::find_mount(&self.buffers.place[..self.place]).map(|(index, _)| index)
    }

    fn go_up(&mut self) -> Result<()> {
        if self.rules.are_scoped() && self.place == self.floor {
            return if self.rules.have_root() { Ok(()) } else { self.refuse(Errno::EXDEV) };
        }
        let before = self.mount();
        self.cut_name();
        if self.rules.keep_mount() && self.mount() != before {
            return self.refuse(Errno::EXDEV);
        }
        Ok(())
    }

    fn name_end(&self) -> usize {
        let rest = &self.buffers.path[self.at..self.end];
        self.at + rest.iter().position(|&b| b == b'/').unwrap_or(rest.len())
    }

    fn cut_name(&mut self) {
        let place = &self.buffers.place[..self.place];
        self.place = place.iter().rposition(|&b| b == b'/').unwrap_or(0);
    }

    fn append(&mut self, from: usize, to: usize) -> Result<()> {
        let len = to - from;
        // Room for the slash, a final slash and dot, and the NUL.
        if self.place + len + 4 > PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        self.buffers.place[self.place] = b'/';
        let (place, path) = (&mut self.buffers.place, &self.buffers.path);
        place[self.place + 1..self.place + 1 + len].copy_from_slice(&path[from..to]);
        let before = if self.rules.keep_mount() { self.mount() } else { None };
        self.place += 1 + len;
        if self.rules.keep_mount() && self.mount() != before {
            return self.refuse(Errno::EXDEV);
        }
        Ok(())
    }

    /// If the place is a symlink: puts its target before what is left of the path.
    fn follow_link(&mut self, last: bool) -> Result<()> {
        let link = match self.read_link(last) {
            Ok(None) | Err(Errno::EINVAL) => return Ok(()),
            Ok(Some(link)) => link,
            // A last name that is not there may be about to be made; the directories above a mount's path
            // need not exist on the host.
            Err(_) if last || mount_lookup::is_above_mount(&self.buffers.place[..self.place]) => {
                return Ok(())
            }
            Err(e) => return Err(e),
        };
        if let Some(why) = self.rules.refusal_of_link(link.is_magic) {
            return self.refuse(why);
        }
        let n = link.len;
        if n == 0 {
            return Ok(());
        }
        self.links += 1;
        if self.links > MAX_SYMLINKS {
            return Err(Errno::ELOOP);
        }
        let rest = self.end - self.at;
        if n + rest + 1 > PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        // The rest begins with its slash or is empty.
        self.buffers.path.copy_within(self.at..self.end, n);
        let Buffers { path, link, .. } = &mut *self.buffers;
        path[..n].copy_from_slice(&link[..n]);
        self.at = 0;
        self.end = n + rest;
        self.cut_name();
        if self.buffers.path[0] == b'/' {
            return self.jump_to_root();
        }
        Ok(())
    }

    /// The target of a symlink is absolute (fs/namei.c, nd_jump_root).
    fn jump_to_root(&mut self) -> Result<()> {
        let leaves = self.rules.are_scoped() && !self.rules.have_root();
        if leaves || self.rules.keep_mount() && self.mount().is_some() {
            return self.refuse(Errno::EXDEV);
        }
        self.place = if self.rules.have_root() { self.floor } else { 0 };
        self.at_kernels_root = root::is_in_mount() && !self.rules.have_root();
        Ok(())
    }

    /// Reads the place as a symlink. None: it is none.
    fn read_link(&mut self, last: bool) -> Result<Option<Link>> {
        let at = self.resolved();
        self.crossed |= !at.is_host();
        let Buffers { place, link, .. } = &mut *self.buffers;
        let place = &place[..self.place];
        if at.is_host() {
            if let Some(target) = magic_links::target_of(place, link) {
                return target.map(|len| Some(Link { len, is_magic: true }));
            }
        }
        let n = read_link(&at, link)?;
        if n == 0 {
            return Ok(None);
        }
        let is_path = !last && link[0] == b'/';
        let is_magic = at.is_host() && magic_links::is_object(place);
        let len = if is_magic && !is_path { 0 } else { n };
        Ok(Some(Link { len, is_magic }))
    }

    /// `..` is looked up in a directory that may be searched: "place/." says whether it is one.
    fn check_directory(&mut self) -> Result<()> {
        if self.place + 3 > PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if self.place == 0 || mount_lookup::is_above_mount(&self.buffers.place[..self.place]) {
            return Ok(());
        }
        self.buffers.place[self.place..self.place + 2].copy_from_slice(b"/.");
        self.place += 2;
        let at = self.resolved();
        self.place -= 2;
        exists(&at)
    }

    /// The place. A final slash of the path is kept, and so is a final `.`: they demand a directory.
    fn resolved(&mut self) -> ResolvedPath {
        if self.at_kernels_root {
            self.buffers.path[self.end] = 0;
            let path = self.buffers.path.as_ptr() as usize;
            return ResolvedPath { target: Target::Kernel, dirfd: AT_FDCWD, path };
        }
        let mut len = self.place;
        let is_whole = self.at == self.end && self.at > 0;
        let end: &[u8] = match len {
            0 => b"/",
            _ if is_whole && self.is_dot => b"/.",
            _ if is_whole && self.buffers.path[self.at - 1] == b'/' => b"/",
            _ => b"",
        };
        self.buffers.place[len..len + end.len()].copy_from_slice(end);
        len += end.len();
        self.buffers.place[len] = 0;
        ResolvedPath::of_place(&self.buffers.place[..len])
    }
}

/// readlinkat(2) on the side of the path.
fn read_link(at: &ResolvedPath, into: &mut [u8; PATH_MAX]) -> Result {
    if at.is_host() {
        return fs::read_link_at(AT_FDCWD, at.path, into);
    }
    enter_kernel(|context| {
        let KernelPath { dirfd, path, .. } = at.in_kernel(context)?;
        context.call(libc::SYS_readlinkat, &args([dirfd, path, into.as_mut_ptr() as usize, PATH_MAX]))
    })
}

/// Whether there is something at the path, on its side.
fn exists(at: &ResolvedPath) -> Result<()> {
    if at.is_host() {
        return fs::access_at(AT_FDCWD, at.path, libc::F_OK);
    }
    enter_kernel(|context| {
        let KernelPath { dirfd, path, .. } = at.in_kernel(context)?;
        context.call(libc::SYS_faccessat, &args([dirfd, path, libc::F_OK as usize]))
    })
    .map(drop)
}
