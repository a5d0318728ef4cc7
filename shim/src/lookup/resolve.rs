// SPDX-License-Identifier: GPL-2.0-only
//! The careful resolution of a path that changes worlds: name by name, as fs/namei.c walks, but in strings.
//!
//! The place reached is always a canonical absolute path, so which world it lies in is a question of its
//! prefix, and `..` is cutting off a name. Only symlinks are asked for (readlinkat, in the world of the
//! place); permissions and missing names are left for the final call to report, and so are the links of /proc that lead to
//! what a process has open, which need not have a path.

use crate::instance::enter::section;
use crate::lookup::route::{self, Last, Spot, AT_FDCWD, MAX_SYMLINKS};
use crate::lookup::{magic_links, mount_lookup};
use crate::sys::errno::{EINVAL, ELOOP, ENAMETOOLONG};
use crate::sys::host::{self, Ret};
use crate::sys::scratch::{Buffers, Scratch, PATH_MAX};

/// Resolves the path of `len` bytes in `scratch.path` against `dirfd`. The spot's path lies in
/// `scratch.place`; true: the way led through a mount. `None`: the
/// directory it begins at has no name (removed, or no directory at all). An error is that of a name on the way.
pub fn resolve(
    scratch: &mut Scratch,
    len: usize,
    dirfd: i32,
    last: Last,
) -> Result<Option<(Spot, bool)>, Ret> {
    let buffers = scratch.buffers();
    let place_len = match buffers.path[0] {
        b'/' => 0,
        _ => match route::directory(dirfd, &mut buffers.place) {
            Ok(len) => len,
            Err(_) => return Ok(None),
        },
    };
    // The root is the empty string here: every place is a row of "/name".
    let place_len = if place_len == 1 { 0 } else { place_len };
    let mut walk = Walker { buffers, at: 0, end: len, place: place_len, links: 0, crossed: false };
    walk.run(last)?;
    let spot = walk.spot()?;
    Ok(Some((spot, walk.crossed || !spot.is_host())))
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
    fn run(&mut self, mode: Last) -> Result<(), Ret> {
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
                b"." | b".." if last && mode == Last::Parent => {
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
                    let slash_follows = to != self.end && mode != Last::Parent;
                    if !last || mode == Last::Follow || slash_follows {
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

    fn append(&mut self, from: usize, to: usize) -> Result<(), Ret> {
        let len = to - from;
        // Room for the slash, a final slash and the NUL.
        if self.place + len + 3 > PATH_MAX {
            return Err(ENAMETOOLONG);
        }
        self.buffers.place[self.place] = b'/';
        let (place, path) = (&mut self.buffers.place, &self.buffers.path);
        place[self.place + 1..self.place + 1 + len].copy_from_slice(&path[from..to]);
        self.place += 1 + len;
        Ok(())
    }

    /// If the place is a symlink: puts its target before what is left of the path.
    fn follow_link(&mut self, last: bool) -> Result<(), Ret> {
        let n = self.read_link(last);
        if n <= 0 {
            // A last name that is not there may be about to be made; the directories above a mount's path
            // need not exist on the host.
            let fine = n == EINVAL || last || mount_lookup::is_above_mount(&self.buffers.place[..self.place]);
            return if fine { Ok(()) } else { Err(n) };
        }
        let n = n as usize;
        self.links += 1;
        if self.links > MAX_SYMLINKS {
            return Err(ELOOP);
        }
        let rest = self.end - self.at;
        if n + rest + 1 > PATH_MAX {
            return Err(ENAMETOOLONG);
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

    fn read_link(&mut self, last: bool) -> Ret {
        let Ok(spot) = self.spot() else { return 0 };
        self.crossed |= !spot.is_host();
        let Buffers { place, link, .. } = &mut *self.buffers;
        let place = &place[..self.place];
        if spot.is_host() {
            if let Some(target) = magic_links::target_of(place, link) {
                return target.map_or_else(|e| e, |len| len as Ret);
            }
        }
        let n = ask(&spot, libc::SYS_readlinkat, [link.as_mut_ptr() as usize, PATH_MAX]);
        let is_path = !last && link[0] == b'/';
        if n > 0 && !is_path && spot.is_host() && magic_links::is_object(place) {
            return EINVAL;
        }
        n
    }

    /// `..` is looked up in a directory that may be searched: "place/." says whether it is one.
    fn check_directory(&mut self) -> Result<(), Ret> {
        if self.place + 3 > PATH_MAX {
            return Err(ENAMETOOLONG);
        }
        if self.place == 0 || mount_lookup::is_above_mount(&self.buffers.place[..self.place]) {
            return Ok(());
        }
        self.buffers.place[self.place..self.place + 2].copy_from_slice(b"/.");
        self.place += 2;
        let r = self.spot().map_or_else(|e| e, |spot| ask(&spot, libc::SYS_faccessat, [0, 0]));
        self.place -= 2;
        if r < 0 {
            Err(r)
        } else {
            Ok(())
        }
    }

    /// The place as a spot. A final slash of the path is kept: it demands a directory.
    fn spot(&mut self) -> Result<Spot, Ret> {
        let mut len = self.place;
        if len == 0 {
            self.buffers.place[0] = b'/';
            len = 1;
        } else if self.at == self.end && self.at > 0 && self.buffers.path[self.at - 1] == b'/' {
            self.buffers.place[len] = b'/';
            len += 1;
        }
        self.buffers.place[len] = 0;
        Ok(Spot::of_place(&self.buffers.place[..len]))
    }
}

/// `nr(dirfd, path, rest...)` in the world of `spot`.
fn ask(spot: &Spot, nr: i64, rest: [usize; 2]) -> Ret {
    if spot.is_host() {
        return host::call(nr, &[AT_FDCWD as usize, spot.path, rest[0], rest[1]]);
    }
    section(|door| match spot.kernel_at(door) {
        Ok((dirfd, path)) => door.call(nr, &[dirfd, path, rest[0], rest[1], 0, 0]),
        Err(e) => e,
    })
}
