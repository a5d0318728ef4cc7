// SPDX-License-Identifier: GPL-2.0-only
//! The slow resolution of a path that changes between host and mount: name by name, as fs/namei.c walks, but in strings.
//!
//! The place reached is always a canonical absolute path, so its prefix says whether it lies in a mount, and `..` is cutting off a name. Only symlinks are asked for (readlinkat, on the side of the
//! place); permissions and missing names are left for the final call to report, and so are the links of /proc that lead to
//! what a process has open, which need not have a path.

use crate::instance::enter::enter_kernel;
use crate::lookup::directory::path_of;
use crate::lookup::target::{FinalComponent, KernelPath, ResolvedPath};
use crate::lookup::{magic_links, mount_lookup};
use crate::sys::call::args;
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, AT_FDCWD};
use crate::sys::scratch::{Buffers, Scratch, PATH_MAX};

/// Symlinks followed in one walk (include/linux/namei.h).
const MAX_SYMLINKS: u32 = 40;

/// Resolves the path of `len` bytes in `scratch.path` against `dirfd`. The found path lies in
/// `scratch.place`; true: the way led through a mount. `None`: the
/// directory it begins at has no name (removed, or no directory at all). An error is that of a name on the way.
pub fn resolve(
    scratch: &mut Scratch,
    len: usize,
    dirfd: i32,
    last: FinalComponent,
) -> Result<Option<(ResolvedPath, bool)>> {
    let buffers = scratch.buffers();
    let place_len = match buffers.path[0] {
        b'/' => 0,
        _ => match path_of(dirfd, &mut buffers.place) {
            Ok(len) => len,
            Err(_) => return Ok(None),
        },
    };
    // The root is the empty string here: every place is a row of "/name".
    let place_len = if place_len == 1 { 0 } else { place_len };
    let mut walk = Walker { buffers, at: 0, end: len, place: place_len, links: 0, crossed: false };
    walk.run(last)?;
    let found = walk.resolved();
    Ok(Some((found, walk.crossed || !found.is_host())))
}

struct Walker<'a> {
    buffers: &'a mut Buffers,
    /// What is left of the path: `path[at..end]`.
    at: usize,
    end: usize,
    /// Length of the place reached.
    place: usize,
    links: u32,
    /// A mount was entered.
    crossed: bool,
}

impl Walker<'_> {
    fn run(&mut self, mode: FinalComponent) -> Result<()> {
        loop {
            while self.at < self.end && self.buffers.path[self.at] == b'/' {
                self.at += 1;
            }
            if self.at == self.end {
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
                b"." => self.at = to,
                b".." => {
                    self.check_directory()?;
                    self.cut_name();
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
        // Room for the slash, a final slash and the NUL.
        if self.place + len + 3 > PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        self.buffers.place[self.place] = b'/';
        let (place, path) = (&mut self.buffers.place, &self.buffers.path);
        place[self.place + 1..self.place + 1 + len].copy_from_slice(&path[from..to]);
        self.place += 1 + len;
        Ok(())
    }

    /// If the place is a symlink: puts its target before what is left of the path.
    fn follow_link(&mut self, last: bool) -> Result<()> {
        let n = match self.read_link(last) {
            Ok(0) | Err(Errno::EINVAL) => return Ok(()),
            Ok(n) => n,
            // A last name that is not there may be about to be made; the directories above a mount's path
            // need not exist on the host.
            Err(_) if last || mount_lookup::is_above_mount(&self.buffers.place[..self.place]) => {
                return Ok(())
            }
            Err(e) => return Err(e),
        };
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
        if self.buffers.path[0] == b'/' {
            self.place = 0;
        } else {
            self.cut_name();
        }
        Ok(())
    }

    /// Reads the place as a symlink; 0: there is nothing to follow.
    fn read_link(&mut self, last: bool) -> Result {
        let at = self.resolved();
        self.crossed |= !at.is_host();
        let Buffers { place, link, .. } = &mut *self.buffers;
        let place = &place[..self.place];
        if at.is_host() {
            if let Some(target) = magic_links::target_of(place, link) {
                return target;
            }
        }
        let n = read_link(&at, link)?;
        let is_path = !last && link[0] == b'/';
        if n > 0 && !is_path && at.is_host() && magic_links::is_object(place) {
            return Ok(0);
        }
        Ok(n)
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

    /// The place. A final slash of the path is kept: it demands a directory.
    fn resolved(&mut self) -> ResolvedPath {
        let mut len = self.place;
        if len == 0 {
            self.buffers.place[0] = b'/';
            len = 1;
        } else if self.at == self.end && self.at > 0 && self.buffers.path[self.at - 1] == b'/' {
            self.buffers.place[len] = b'/';
            len += 1;
        }
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
