// SPDX-License-Identifier: GPL-2.0-only
//! Whose is descriptor N: one atomic byte per number, and the placeholders of the host.
//!
//! A kernel file that the application sees as N lives at N in the kernel's table. Host descriptor N is a placeholder (an
//! O_PATH descriptor, which can be neither read nor written). So the host itself keeps the rules of lowest free number,
//! dup2, exec inheritance and close-on-exec.

pub mod joined;
mod placeholder;
mod reserve;
pub mod sets;
pub mod stand_in;
pub mod watches;

use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

pub use placeholder::{is_placeholder, make_master, placeholder, placeholder_at};
pub use reserve::{
    close_those_of_threads, keep_stderr, release, reserve, reserved_range_start, room, take_over_stderr, Keep,
};

use crate::sys::errno::{Errno, Result};
use crate::sys::report::{say_once, set_two_is_the_hosts};

/// The host's, or not open. The value of memory never touched.
pub const HOST: u8 = 0;
/// The kernel library's, at the same number.
pub const KERNEL: u8 = 1;
/// Ours (image files, mount roots): the application sees the number as not open.
pub const RESERVED: u8 = 2;
/// The kernel library's in the process that forked or exec'ed us.
pub const LOST: u8 = 3;
/// An inotify descriptor of the host's ([`watches`]). To most calls as [`HOST`].
pub const INOTIFY: u8 = 4;
/// The same with an inotify file of the kernel library's at the same number.
pub const WATCHES: u8 = 5;

/// Numbers from here on are always the host's; the kernel library opens none there (fs.nr_open's default).
pub const LIMIT: usize = 1 << 20;

/// Lazily mapped: pages of numbers never used cost nothing.
static CLASS: [AtomicU8; LIMIT] = [const { AtomicU8::new(HOST) }; LIMIT];
/// How many numbers are KERNEL or WATCHES: 0 lets poll, select and sendmsg go straight to the host.
static KERNEL_FDS: AtomicUsize = AtomicUsize::new(0);
/// How many numbers are RESERVED.
static RESERVED_FDS: AtomicUsize = AtomicUsize::new(0);
/// One above the highest number that ever had a class.
static HIGHEST: AtomicUsize = AtomicUsize::new(0);

/// Who serves calls on a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The host, or nobody: then the host says EBADF.
    Host,
    /// The kernel library.
    Kernel,
}

/// The class of the descriptor in an argument (an int: the upper half is ignored).
#[inline]
pub fn class(fd: usize) -> u8 {
    match CLASS.get(fd as u32 as usize) {
        Some(c) => c.load(Ordering::Relaxed),
        None => HOST,
    }
}

/// Who serves calls on the descriptor in an argument; EBADF: nobody does, EIO: a kernel that is out of reach.
#[inline]
pub fn owner(fd: usize) -> Result<Owner> {
    owner_of_class(class(fd))
}

/// Who serves calls on what has this class.
#[inline]
pub fn owner_of_class(class: u8) -> Result<Owner> {
    match class {
        HOST | INOTIFY | WATCHES => Ok(Owner::Host),
        KERNEL => Ok(Owner::Kernel),
        other => Err(refuse(other)),
    }
}

/// The classes of all numbers below [`LIMIT`].
pub fn classes() -> &'static [AtomicU8] {
    &CLASS
}

/// Sets the class of an open number below [`LIMIT`].
pub fn set(fd: usize, class: u8) {
    let Some(slot) = CLASS.get(fd) else { return };
    let old = slot.swap(class, Ordering::Release);
    if has_kernels(class) && !has_kernels(old) {
        KERNEL_FDS.fetch_add(1, Ordering::Relaxed);
    } else if !has_kernels(class) && has_kernels(old) {
        KERNEL_FDS.fetch_sub(1, Ordering::Relaxed);
    }
    if class == RESERVED && old != RESERVED {
        RESERVED_FDS.fetch_add(1, Ordering::Relaxed);
    } else if class != RESERVED && old == RESERVED {
        RESERVED_FDS.fetch_sub(1, Ordering::Relaxed);
    }
    if fd == libc::STDERR_FILENO as usize {
        set_two_is_the_hosts(class == HOST);
    }
    HIGHEST.fetch_max(fd + 1, Ordering::Relaxed);
}

/// One above the highest number that ever had a class.
pub fn end() -> usize {
    HIGHEST.load(Ordering::Relaxed)
}

/// Whether the kernel library has something open at a number of this class.
pub fn has_kernels(class: u8) -> bool {
    matches!(class, KERNEL | WATCHES)
}

/// The class of a descriptor that is waited for: for an inotify descriptor the host is waited for alone.
#[inline]
pub fn waited_class(fd: usize) -> u8 {
    match class(fd) {
        INOTIFY | WATCHES => HOST,
        class => class,
    }
}

/// Whether any descriptor is the kernel's.
#[inline]
pub fn any_kernel() -> bool {
    KERNEL_FDS.load(Ordering::Relaxed) != 0
}

/// How many descriptors are the kernel's.
pub fn count_of_kernel() -> usize {
    KERNEL_FDS.load(Ordering::Relaxed)
}

/// Whether any descriptor of this process is ours.
pub fn any_reserved() -> bool {
    RESERVED_FDS.load(Ordering::Relaxed) != 0
}

/// The numbers at which the kernel library has something open, from `first` to `last`, ascending.
pub fn numbers_of_kernel(first: usize, last: usize) -> impl Iterator<Item = usize> {
    special_range(first, last).filter(|&n| has_kernels(class(n)))
}

/// The numbers of class `which` from `first` to `last`, ascending.
pub fn numbers(which: u8, first: usize, last: usize) -> impl Iterator<Item = usize> {
    special_range(first, last).filter(move |&n| class(n) == which)
}

/// The numbers from `first` to `last` that may have a class.
fn special_range(first: usize, last: usize) -> core::ops::Range<usize> {
    first..HIGHEST.load(Ordering::Relaxed).min(last.saturating_add(1))
}

/// What a call on a descriptor that is neither the host's nor the kernel's ends with.
#[cold]
pub fn refuse(class: u8) -> Errno {
    if class == LOST {
        say_once!("a file of the parent process's kernel: not reachable after fork or exec, calls on it fail with EIO");
        return Errno::EIO;
    }
    Errno::EBADF
}

/// In the child of a fork: marks all kernel files as lost, and closes our own descriptors but those that a child keeps.
pub fn forget_kernel() {
    for fd in special_range(0, LIMIT) {
        match class(fd) {
            KERNEL | WATCHES => set(fd, LOST),
            RESERVED if !reserve::is_kept_over_fork(fd) => release(fd),
            _ => {}
        }
    }
    placeholder::forget_master();
}

/// Whether any number from `first` to `last` is more than a plain host descriptor.
pub fn any_special(first: usize, last: usize) -> bool {
    special_range(first, last).any(|n| class(n) != HOST)
}

/// The host closed these numbers: what was not ours is plain again.
pub fn forget(first: usize, last: usize) {
    for n in special_range(first, last) {
        if matches!(class(n), LOST | INOTIFY) {
            set(n, HOST);
        }
    }
}

/// Whether any number at all ever got a class: if not, a wait concerns the host only.
#[inline]
pub fn any_special_now() -> bool {
    HIGHEST.load(Ordering::Relaxed) != 0
}
