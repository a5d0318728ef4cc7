// SPDX-License-Identifier: GPL-2.0-only
//! Whose is descriptor N: one atomic byte per number, and the host placeholders.
//!
//! A kernel file that the application sees as N lives at N in the kernel's table; host descriptor N is a
//! placeholder (an O_PATH descriptor: no reading or writing), so that the host itself keeps the rules of
//! lowest free number, dup2, exec inheritance and close-on-exec.

use core::sync::atomic::{AtomicI32, AtomicU8, AtomicUsize, Ordering};

use crate::sys::errno::{EBADF, EIO, EMFILE};
use crate::sys::host::{self, Ret};
use crate::sys::report::say_once;

/// The host's, or not open. The value of memory never touched.
pub const HOST: u8 = 0;
/// The kernel library's, same number.
pub const KERNEL: u8 = 1;
/// Ours (image files, mount roots): the application sees it as not open.
pub const RESERVED: u8 = 2;
/// It was the kernel library's in the process that forked or exec'ed us.
pub const LOST: u8 = 3;
/// A host epoll set without members: may still become the kernel's.
pub const EPOLL_EMPTY: u8 = 4;

/// Numbers from here on are always the host's; the kernel library opens none there (fs.nr_open's default).
pub const LIMIT: usize = 1 << 20;

/// Lazily mapped: pages of numbers never used cost nothing.
static CLASS: [AtomicU8; LIMIT] = [const { AtomicU8::new(HOST) }; LIMIT];
/// How many numbers are KERNEL: 0 lets poll, select and sendmsg go straight to the host.
static KERNEL_FDS: AtomicUsize = AtomicUsize::new(0);
/// One above the highest number that ever had a class.
static HIGHEST: AtomicUsize = AtomicUsize::new(0);
/// The descriptor that placeholders are copies of, -1 before the boot.
static MASTER: AtomicI32 = AtomicI32::new(-1);

/// The class of the descriptor in an argument (an int: the upper half is ignored).
#[inline]
pub fn class(fd: usize) -> u8 {
    match CLASS.get(fd as u32 as usize) {
        Some(c) => c.load(Ordering::Relaxed),
        None => HOST,
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
    if class == KERNEL && old != KERNEL {
        KERNEL_FDS.fetch_add(1, Ordering::Relaxed);
    } else if class != KERNEL && old == KERNEL {
        KERNEL_FDS.fetch_sub(1, Ordering::Relaxed);
    }
    HIGHEST.fetch_max(fd + 1, Ordering::Relaxed);
}

/// Whether any descriptor is the kernel's.
#[inline]
pub fn any_kernel() -> bool {
    KERNEL_FDS.load(Ordering::Relaxed) != 0
}

/// The numbers of class `which` from `first` to `last`, ascending.
pub fn numbers(which: u8, first: usize, last: usize) -> impl Iterator<Item = usize> {
    let end = HIGHEST.load(Ordering::Relaxed).min(last.saturating_add(1));
    (first..end).filter(move |&n| class(n) == which)
}

/// What a call on a descriptor that is neither the host's nor the kernel's ends with.
pub fn refuse(class: u8) -> Ret {
    if class == LOST {
        say_once!(
            "a file of the parent process's kernel: not reachable after fork or exec, calls on it fail with EIO"
        );
        return EIO;
    }
    EBADF
}

/// Lowest number that we take for our own descriptors: right below the soft limit, out of the way of
/// programs that count up. Not above 8192: the kernel's table grows with its highest number.
fn reserve_from() -> usize {
    const ROOM: usize = 64;
    let mut limit = [0u64; 2];
    let r =
        host::call(libc::SYS_prlimit64, &[0, libc::RLIMIT_NOFILE as usize, 0, limit.as_mut_ptr() as usize]);
    let soft = if r < 0 { 256 } else { limit[0].min(8192) as usize };
    soft.saturating_sub(ROOM).max(soft / 2)
}

/// Copies host descriptor `fd` to a number of ours (close-on-exec); the number or -errno.
pub fn reserve_copy(fd: i32) -> i32 {
    let r = host::call(libc::SYS_fcntl, &[fd as usize, libc::F_DUPFD_CLOEXEC as usize, reserve_from()]);
    if r >= 0 {
        set(r as usize, RESERVED);
    }
    r as i32
}

/// The number from which on descriptors of ours should be taken (for those that others open for us).
pub fn reserved_range_start() -> i32 {
    reserve_from() as i32
}

/// Makes the master placeholder. Called once, at boot.
pub fn make_master() -> Result<(), Ret> {
    if MASTER.load(Ordering::Relaxed) >= 0 {
        return Ok(());
    }
    // An unnamed socket, because nothing can open it: neither reading nor writing is possible through the
    // O_PATH descriptor, and /proc/self/fd/N of a placeholder gives ENXIO instead of an empty file.
    let target = host::call(
        libc::SYS_socket,
        &[libc::AF_UNIX as usize, (libc::SOCK_DGRAM | libc::SOCK_CLOEXEC) as usize, 0],
    );
    let mut path = *b"/proc/self/fd/\0\0\0\0\0\0\0\0";
    put_number(&mut path[14..], target.max(0) as usize);
    let flags = (libc::O_PATH | libc::O_CLOEXEC) as usize;
    let mut plain =
        host::call(libc::SYS_openat, &[libc::AT_FDCWD as usize, path.as_ptr() as usize, flags, 0]);
    if target < 0 || plain < 0 {
        // No /proc: any O_PATH descriptor does, it is only harder to recognise for a person.
        plain = host::call(libc::SYS_openat, &[libc::AT_FDCWD as usize, c"/".as_ptr() as usize, flags, 0]);
    }
    if target >= 0 {
        host::close(target as i32);
    }
    if plain < 0 {
        return Err(plain);
    }
    let master = reserve_copy(plain as i32);
    host::close(plain as i32);
    if master < 0 {
        return Err(EMFILE);
    }
    MASTER.store(master, Ordering::Relaxed);
    Ok(())
}

/// Writes `n` in decimal with a NUL behind it.
pub fn put_number(into: &mut [u8], mut n: usize) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    let text = &digits[at..];
    into[..text.len()].copy_from_slice(text);
    into[text.len()] = 0;
}

/// Opens a placeholder at the lowest free number from `min` on; the number or -errno.
pub fn placeholder(min: usize, cloexec: bool) -> Ret {
    let op = if cloexec { libc::F_DUPFD_CLOEXEC } else { libc::F_DUPFD };
    let master = MASTER.load(Ordering::Relaxed);
    let r = host::call(libc::SYS_fcntl, &[master as usize, op as usize, min]);
    if r >= LIMIT as isize {
        host::close(r as i32);
        return EMFILE;
    }
    r
}

/// Puts a placeholder at exactly `fd`, which is open as a host file that goes away.
pub fn placeholder_at(fd: usize, cloexec: bool) -> Ret {
    let flags = if cloexec { libc::O_CLOEXEC } else { 0 };
    let master = MASTER.load(Ordering::Relaxed);
    host::call(libc::SYS_dup3, &[master as usize, fd, flags as usize])
}

/// Whether a descriptor of ours is of use in a child of fork, too.
fn is_kept_over_fork(fd: usize) -> bool {
    fd as i32 == crate::sys::report::stderr_fd()
        || crate::observe::keeps(fd as i32)
        || crate::lookup::self_exe::is_kept(fd)
        || crate::instance::server_keepalive::is_kept(fd)
}

/// Marks all kernel files as lost and closes our own: in a child of fork.
pub fn forget_kernel() {
    let end = HIGHEST.load(Ordering::Relaxed);
    for fd in 0..end {
        match class(fd) {
            KERNEL => set(fd, LOST),
            RESERVED if !is_kept_over_fork(fd) => {
                host::close(fd as i32);
                set(fd, HOST);
            }
            _ => {}
        }
    }
    MASTER.store(-1, Ordering::Relaxed);
}

/// Whether any number from `first` to `last` is more than a plain host descriptor.
pub fn any_special(first: usize, last: usize) -> bool {
    let end = HIGHEST.load(Ordering::Relaxed).min(last.saturating_add(1));
    (first..end).any(|n| class(n) != HOST)
}

/// The host closed these numbers: what was not ours is plain again.
pub fn forget(first: usize, last: usize) {
    let end = HIGHEST.load(Ordering::Relaxed).min(last.saturating_add(1));
    for n in first..end {
        if matches!(class(n), LOST | EPOLL_EMPTY) {
            set(n, HOST);
        }
    }
}

/// Whether any number at all ever got a class: if not, a wait concerns the host only.
#[inline]
pub fn any_special_now() -> bool {
    HIGHEST.load(Ordering::Relaxed) != 0
}
