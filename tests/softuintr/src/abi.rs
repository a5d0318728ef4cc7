// SPDX-License-Identifier: GPL-2.0-only
//! The calls of Intel's later kernels (5.18 to 6.8 with their patches), by the same numbers, flags and errnos.

use crate::thread::{self, Thread, RED_ZONE};
use crate::{host, NOTIFY};
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

/// `uintr_register_handler(handler, flags)`
pub const REGISTER_HANDLER: i64 = 471;
/// `uintr_unregister_handler(flags)`
pub const UNREGISTER_HANDLER: i64 = 472;
/// `uintr_vector_fd(vector, flags)`
pub const VECTOR_FD: i64 = 473;
/// `uintr_register_sender(fd, flags)`: an index for SENDUIPI
pub const REGISTER_SENDER: i64 = 474;
/// `uintr_unregister_sender(index, flags)`
pub const UNREGISTER_SENDER: i64 = 475;
/// `uintr_wait(usec, flags)`
pub const WAIT: i64 = 476;
/// `uintr_register_self(vector, flags)`: an index for SENDUIPI
pub const REGISTER_SELF: i64 = 477;
/// `uintr_alt_stack(top, size, flags)`
pub const ALT_STACK: i64 = 478;
/// `uintr_ipi_fd(flags)`: not emulated
pub const IPI_FD: i64 = 479;

/// UINTR_HANDLER_FLAG_WAITING_RECEIVER and _SENDER
const WAITING: usize = 0x3000;
const VECTORS: usize = 64;
const WAIT_MAX_US: usize = 1_000_000_000;

fn errno(error: i32) -> isize {
    -error as isize
}

/// Descriptors of vectors: the file's inode number, which the host never gives twice while it is open, and in one
/// word the tid of the receiver and the vector.
static DESCRIPTORS: [(AtomicUsize, AtomicU64); 256] =
    [const { (AtomicUsize::new(0), AtomicU64::new(0)) }; 256];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// What `syscall(2)` would have given: nr, three arguments, -errno.
///
/// # Safety
/// A handler and a stack that are registered are used as such from then on.
pub unsafe extern "C" fn call(nr: i64, a: usize, b: usize, c: usize) -> isize {
    let thread = thread::current();
    match nr {
        REGISTER_HANDLER => register_handler(thread, a, b),
        UNREGISTER_HANDLER if a != 0 || !receives(thread) => errno(libc::EINVAL),
        UNREGISTER_HANDLER => {
            thread.stop();
            0
        }
        VECTOR_FD if b != 0 || !receives(thread) => errno(libc::EINVAL),
        VECTOR_FD if a >= VECTORS => errno(libc::ENOSPC),
        VECTOR_FD => vector_fd(thread, a),
        REGISTER_SENDER if b != 0 => errno(libc::EINVAL),
        REGISTER_SENDER => register_sender(a),
        UNREGISTER_SENDER if b != 0 || !thread::remove_target(a) => errno(libc::EINVAL),
        UNREGISTER_SENDER => 0,
        WAIT => wait(thread, a, b),
        REGISTER_SELF if b != 0 || !receives(thread) => errno(libc::EINVAL),
        REGISTER_SELF if a >= VECTORS => errno(libc::ENOSPC),
        REGISTER_SELF => thread::add_target(thread, a as u32),
        ALT_STACK if c != 0 => errno(libc::EINVAL),
        ALT_STACK if !receives(thread) => errno(libc::EOPNOTSUPP),
        ALT_STACK => {
            // As Intel's: the top of the stack; its size is not looked at.
            thread.adjust.store(if a == 0 { RED_ZONE } else { a as u64 | 1 }, SeqCst);
            0
        }
        _ => errno(libc::ENOSYS),
    }
}

fn receives(thread: &Thread) -> bool {
    thread.receives.load(SeqCst)
}

fn register_handler(thread: &Thread, handler: usize, flags: usize) -> isize {
    if flags & !WAITING != 0 {
        return errno(libc::EINVAL);
    }
    if handler == 0 {
        return errno(libc::EFAULT);
    }
    if receives(thread) {
        return errno(libc::EBUSY);
    }
    match thread.take_signal_stack() {
        0 => {
            thread.receive(handler as u64);
            0
        }
        error => error,
    }
}

fn inode(fd: usize) -> Option<usize> {
    // SAFETY: a stat is valid as zeroes.
    let mut stat: libc::stat = unsafe { core::mem::zeroed() };
    let r = host::call(libc::SYS_fstat, &[fd, &raw mut stat as usize]);
    (r == 0).then_some(stat.st_ino as usize)
}

fn vector_fd(thread: &'static Thread, vector: usize) -> isize {
    let name = c"[uvecfd]";
    let fd = host::call(libc::SYS_memfd_create, &[name.as_ptr() as usize, libc::MFD_CLOEXEC as usize]);
    if fd < 0 {
        return fd;
    }
    let Some(inode) = inode(fd as usize) else { return errno(libc::EIO) };
    let (file, meaning) = &DESCRIPTORS[NEXT.fetch_add(1, SeqCst) % DESCRIPTORS.len()];
    meaning.store(u64::from(thread.tid.load(Relaxed)) << 8 | vector as u64, SeqCst);
    file.store(inode, SeqCst);
    fd
}

fn register_sender(fd: usize) -> isize {
    let Some(inode) = inode(fd) else { return errno(libc::EBADF) };
    let Some((_, meaning)) = DESCRIPTORS.iter().find(|(file, _)| file.load(SeqCst) == inode) else {
        return errno(libc::EOPNOTSUPP);
    };
    let meaning = meaning.load(SeqCst);
    match thread::by_tid((meaning >> 8) as u32) {
        Some(thread) if receives(thread) => thread::add_target(thread, meaning as u32 & 0xff),
        _ => errno(libc::ESHUTDOWN),
    }
}

/// Waits for an interrupt; its handler runs before this returns to the caller.
fn wait(thread: &Thread, usec: usize, flags: usize) -> isize {
    if flags != 0 || usec > WAIT_MAX_US {
        return errno(libc::EINVAL);
    }
    if !receives(thread) {
        return errno(libc::EOPNOTSUPP);
    }
    if usec == 0 {
        return 0;
    }
    let notify = 1u64 << (NOTIFY - 1);
    let mut before = 0u64;
    set_mask(libc::SIG_BLOCK, notify, &mut before);
    let has = thread.has_requests();
    let us = if has { 0 } else { usec };
    let limit = libc::timespec { tv_sec: (us / 1_000_000) as i64, tv_nsec: (us % 1_000_000 * 1000) as i64 };
    let open = before & !notify;
    thread.waits.store(true, SeqCst);
    let (limit, open) = (&raw const limit as usize, &raw const open as usize);
    let r = host::call(libc::SYS_ppoll, &[0, 0, limit, open, 8]);
    thread.waits.store(false, SeqCst);
    if thread.has_requests() {
        // In the caller's own context, once the mask is back.
        host::send_signal(thread.tid.load(Relaxed), NOTIFY);
    }
    set_mask(libc::SIG_SETMASK, before, &mut 0);
    if has || r == errno(libc::EINTR) {
        errno(libc::EINTR)
    } else {
        0
    }
}

fn set_mask(how: i32, mask: u64, before: &mut u64) {
    let (mask, before) = (&raw const mask as usize, before as *mut u64 as usize);
    host::call(libc::SYS_rt_sigprocmask, &[how as usize, mask, before, 8]);
}
