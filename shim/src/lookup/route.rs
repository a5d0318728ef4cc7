// SPDX-License-Identifier: GPL-2.0-only
//! Calls with paths: made on the side where the path seems to lead, and again where the path really leads.

use crate::fdtable::{self, Owner};
use crate::instance::enter::{enter_kernel, KernelContext};
use crate::lookup::target::{FinalComponent, KernelPath, ResolvedPath, Target};
use crate::lookup::{covered_dirs, cwd, magic_links, mount_lookup, refused, resolve, resolver};
use crate::sys::confinement::{may, Need};
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, AT_FDCWD};
use crate::sys::identity::Identity;
use crate::sys::root;
use crate::sys::scratch::Scratch;
use crate::sys::settings::{is_loader, settings};
use crate::sys::user;

/// A path argument: its directory, its text, and what the call does with the last name.
#[derive(Clone, Copy)]
pub struct PathArg {
    /// The directory descriptor, as in the register.
    pub dirfd: usize,
    /// Address of the text.
    pub path: usize,
    /// What the call does with the last name.
    pub last: FinalComponent,
}

impl PathArg {
    /// A path relative to `dirfd`.
    pub fn new(dirfd: usize, path: usize, last: impl Into<FinalComponent>) -> PathArg {
        PathArg { dirfd, path, last: last.into() }
    }

    /// A path of a call without a directory argument.
    pub fn plain(path: usize, last: impl Into<FinalComponent>) -> PathArg {
        PathArg::new(AT_FDCWD as usize, path, last)
    }
}

/// What a call does to the file at its path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Intent {
    /// Nothing that could not be done in vain.
    Looks,
    Changes,
    /// It makes the file, even behind a symlink: where the host has nothing, that may be where a mount's path is.
    Creates,
}

/// A path argument on its way: where it seems to lead, and what is needed to look again.
struct Routed {
    found: ResolvedPath,
    asked: PathArg,
    scratch: Option<Scratch>,
    /// The path was walked name by name.
    is_certain: bool,
    /// That walk led through a mount, or elsewhere than was thought.
    has_moved: bool,
    /// The host is asked first although a mount's path exists there.
    is_covered: bool,
}

impl Routed {
    /// Finds out where the path seems to lead.
    fn new(asked: PathArg, intent: Intent) -> Result<Routed> {
        let dirfd = asked.dirfd as i32;
        let host = ResolvedPath { target: Target::Host, dirfd, path: asked.path };
        let mut routed = Routed {
            found: host,
            asked,
            scratch: None,
            is_certain: false,
            has_moved: false,
            is_covered: false,
        };
        if !settings().is_active() && !is_loader() {
            return Ok(routed);
        }
        if asked.path == 0 {
            // utimensat(fd, NULL): the descriptor itself.
            routed.found = relative(dirfd, host)?;
            return Ok(routed);
        }
        let mut scratch = Scratch::take()?;
        let Ok(len) = user::read_string(scratch.path(), asked.path) else {
            // The side on which the base lies says what is wrong with the path.
            routed.found = relative(dirfd, host)?;
            return Ok(routed);
        };
        let decided = if scratch.path().starts_with(b"/") && len > 0 {
            routed.route_absolute(&mut scratch, len)?
        } else {
            routed.found = relative(dirfd, host)?;
            !routed.found.is_host() || len == 0
        };
        if decided {
            routed.scratch = Some(scratch);
            return Ok(routed);
        }
        routed.route_on_host(scratch, len, intent)?;
        Ok(routed)
    }

    /// An absolute path of `len` bytes. True: it leads into a mount.
    fn route_absolute(&mut self, scratch: &mut Scratch, len: usize) -> Result<bool> {
        if root::is_in_mount() {
            self.found = ResolvedPath { target: Target::Kernel, dirfd: AT_FDCWD, path: self.asked.path };
            self.is_certain = true;
            return Ok(true);
        }
        if magic_links::is_hidden(&scratch.path()[..len]) {
            return Err(Errno::ENOENT);
        }
        let is_followed = self.asked.last == FinalComponent::Follow;
        if let Some(found) = is_followed.then(|| resolver::stands_for(&scratch.path()[..len])).flatten() {
            self.found = found;
            return Ok(true);
        }
        if self.asked.last == FinalComponent::Follow && magic_links::is_possible() {
            if let Some(found) = magic_links::through(scratch, len)? {
                self.found = found;
                return Ok(true);
            }
        }
        let found = ResolvedPath::of_place(&scratch.path()[..len]);
        if !found.is_host() {
            self.found = found;
        }
        Ok(!found.is_host())
    }

    /// A path that seems to be the host's: whether the host can be asked first.
    fn route_on_host(&mut self, mut scratch: Scratch, len: usize, intent: Intent) -> Result<()> {
        let text = &scratch.path()[..len];
        // One name that is not followed leads nowhere out of its directory, and that is none of the covered ones: nothing
        // is in them. (A descriptor of one may have been inherited.)
        let stays = || {
            let here = self.asked.dirfd as i32 == AT_FDCWD || intent == Intent::Looks;
            self.asked.last != FinalComponent::Follow && is_one_name(text) && here && covered_dirs::is_empty()
        };
        self.is_covered = settings().host_paths_covered && !stays();
        let creates_behind_link = || {
            let follows = intent == Intent::Creates && self.asked.last == FinalComponent::Follow;
            follows && may(Need::Walk) && is_link(&self.found)
        };
        if self.must_be_walked(text, intent) || creates_behind_link() {
            self.scratch = Some(scratch);
            self.resolve_slowly()?;
        }
        Ok(())
    }

    /// Whether the host cannot be asked first: what the host says proves nothing, or the call may make the very name
    /// that stands for a mount (mkdir("data") in /mnt), or an absolute symlink does not lead where the host thinks.
    fn must_be_walked(&self, path: &[u8], intent: Intent) -> bool {
        let proves_nothing = self.is_covered && (intent != Intent::Looks || !covered_dirs::is_empty());
        proves_nothing || mount_lookup::ends_like_a_mount(path) || root::is_in_mount()
    }

    /// Whether `result` may come from a path that changes between host and mount on the way.
    fn may_have_crossed(&self, result: Result) -> bool {
        // A filter of the program may forbid what a walk takes. The host's answer stands then.
        !self.is_certain
            && may(Need::Walk)
            && match self.found.target {
                // ENXIO: the placeholder of a kernel file, by a symlink to its name in /proc.
                Target::Host => matches!(result, Err(Errno::ENOENT | Errno::ENXIO)) && settings().is_active(),
                _ => result == Err(Errno::EXDEV),
            }
    }

    /// Whether the host was asked although a mount's path exists there.
    fn was_asked_in_spite(&self) -> bool {
        self.is_covered && !self.is_certain && self.found.is_host()
    }

    /// Walks the path name by name. Returns whether the path leads elsewhere than was thought.
    fn resolve_slowly(&mut self) -> Result<bool> {
        self.is_certain = true;
        if self.asked.path == 0 {
            return Ok(false);
        }
        let mut scratch = match self.scratch.take() {
            Some(scratch) => scratch,
            None => Scratch::take()?,
        };
        let len = user::read_string(scratch.path(), self.asked.path)?;
        if len == 0 {
            return Ok(false);
        }
        let before = self.found.target;
        let found = resolve::resolve(&mut scratch, len, self.asked.dirfd as i32, self.asked.last);
        self.scratch = Some(scratch);
        let Some((found, crossed)) = found? else { return Ok(false) };
        self.found = found;
        self.has_moved = before != Target::Host || crossed;
        Ok(self.has_moved)
    }
}

fn is_one_name(path: &[u8]) -> bool {
    !path.contains(&b'/') && path != b"." && path != b".."
}

/// Whether a path of the host ends at a symlink.
fn is_link(at: &ResolvedPath) -> bool {
    fs::read_link_at(at.dirfd, at.path, &mut [0]).is_ok_and(|n| n > 0)
}

/// A path relative to a directory, on the side of that directory.
fn relative(dirfd: i32, host: ResolvedPath) -> Result<ResolvedPath> {
    let class = if dirfd == AT_FDCWD { cwd::class() } else { fdtable::class(dirfd as usize) };
    match fdtable::owner_of_class(class)? {
        Owner::Host => Ok(host),
        Owner::Kernel => Ok(ResolvedPath { target: Target::Kernel, ..host }),
    }
}

/// Makes the call once, where the path was found.
fn attempt(
    at: &ResolvedPath,
    on_host: &mut impl FnMut(&ResolvedPath) -> Result,
    in_kernel: &mut impl FnMut(&mut KernelContext, KernelPath) -> Result,
) -> Result {
    if at.is_host() {
        return on_host(at);
    }
    enter_kernel(|context| {
        let at = at.in_kernel(context)?;
        in_kernel(context, at)
    })
}

/// Makes a call with one path, which has a form for the host and one for the kernel. The kernel's runs inside a section.
pub fn with_path(
    asked: PathArg,
    on_host: impl FnMut(&ResolvedPath) -> Result,
    in_kernel: impl FnMut(&mut KernelContext, KernelPath) -> Result,
) -> Result {
    make(asked, Intent::Changes, on_host, in_kernel, nothing_found(), |_| ())
}

/// Makes a call that makes the file if it is not there.
pub fn create_at_path(
    asked: PathArg,
    on_host: impl FnMut(&ResolvedPath) -> Result,
    in_kernel: impl FnMut(&mut KernelContext, KernelPath) -> Result,
) -> Result {
    make(asked, Intent::Creates, on_host, in_kernel, nothing_found(), |_| ())
}

fn nothing_found() -> impl FnOnce(&ResolvedPath, Result) -> Option<Identity> {
    |_, _| None
}

/// Makes a call that only looks at the file. `found` says which file of the host that was, where the call tells; `undo`
/// takes back what the call made.
pub fn look_at_path(
    asked: PathArg,
    on_host: impl FnMut(&ResolvedPath) -> Result,
    in_kernel: impl FnMut(&mut KernelContext, KernelPath) -> Result,
    found: impl FnOnce(&ResolvedPath, Result) -> Option<Identity>,
    undo: impl FnOnce(Result),
) -> Result {
    make(asked, Intent::Looks, on_host, in_kernel, found, undo)
}

/// The one loop: the call is made where the path seems to lead, and again where the path really leads.
fn make(
    asked: PathArg,
    intent: Intent,
    mut on_host: impl FnMut(&ResolvedPath) -> Result,
    mut in_kernel: impl FnMut(&mut KernelContext, KernelPath) -> Result,
    found: impl FnOnce(&ResolvedPath, Result) -> Option<Identity>,
    undo: impl FnOnce(Result),
) -> Result {
    let mut routed = Routed::new(asked, intent)?;
    let result = attempt(&routed.found, &mut on_host, &mut in_kernel);
    if result == Err(Errno::EACCES) && intent != Intent::Looks && !routed.found.is_host() {
        refused::explain(routed.found.target);
    }
    let covered =
        || routed.was_asked_in_spite() && covered_dirs::is_doubtful(result, found(&routed.found, result));
    if !routed.may_have_crossed(result) && !covered() {
        return result;
    }
    match routed.resolve_slowly() {
        Ok(true) => {
            undo(result);
            attempt(&routed.found, &mut on_host, &mut in_kernel)
        }
        Ok(false) => result,
        Err(e) => {
            undo(result);
            Err(e)
        }
    }
}

/// Makes a call with two paths.
pub fn with_two_paths(
    first: PathArg,
    second: PathArg,
    mut call: impl FnMut(&ResolvedPath, &ResolvedPath) -> Result,
) -> Result {
    let (mut a, mut b) = (Routed::new(first, Intent::Changes)?, Routed::new(second, Intent::Changes)?);
    let result = call(&a.found, &b.found);
    if !(a.may_have_crossed(result) || b.may_have_crossed(result)) {
        return result;
    }
    match (a.resolve_slowly()?, b.resolve_slowly()?) {
        (false, false) => result,
        _ => call(&a.found, &b.found),
    }
}

/// A path that was walked to its end: for calls that only the host has.
pub struct Located {
    found: ResolvedPath,
    /// The text of `found`.
    _scratch: Option<Scratch>,
}

impl Located {
    /// The path on the host; None: it leads into a mount.
    pub fn on_host(&self) -> Option<ResolvedPath> {
        self.found.is_host().then_some(self.found)
    }

    /// The path for a kernel call, from inside a section.
    pub fn in_kernel(&self, context: &mut KernelContext) -> Result<KernelPath> {
        self.found.in_kernel(context)
    }

    /// The mount that the path leads into, where the path has a name.
    pub fn mount(&self) -> Option<usize> {
        match self.found.target {
            Target::Mount(index) => Some(index),
            _ => None,
        }
    }
}

/// Finds out where a path leads, before anything is done there.
pub fn locate(asked: PathArg) -> Result<Located> {
    let mut routed = Routed::new(asked, Intent::Changes)?;
    if !routed.is_certain {
        routed.resolve_slowly()?;
    }
    if routed.found.is_host() && !routed.has_moved {
        // The host needs no help with a path that is the host's from its beginning to its end.
        routed.found = ResolvedPath { target: Target::Host, dirfd: asked.dirfd as i32, path: asked.path };
    }
    Ok(Located { found: routed.found, _scratch: routed.scratch })
}

/// The same; a path of the host is absolute and has no symlinks then, if the directory that it begins at has a path.
pub fn locate_by_walk(asked: PathArg) -> Result<Located> {
    let mut routed = Routed::new(asked, Intent::Changes)?;
    if !routed.is_certain && asked.path != 0 {
        routed.resolve_slowly()?;
    }
    Ok(Located { found: routed.found, _scratch: routed.scratch })
}
