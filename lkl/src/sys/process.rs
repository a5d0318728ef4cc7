// SPDX-License-Identifier: GPL-2.0-only
//! This process and its threads: ids, limits, names, ends, random bytes.
//!
//! # Safety
//! Each call writes to a buffer of the caller at most.
#![allow(unsafe_code)]

use super::call::{call, plain, try_call};
use super::{file, Errno, OwnedFd};
use std::ffi::CStr;

/// The process id.
pub fn pid() -> u32 {
    plain(libc::SYS_getpid, [0; 6]).unwrap_or(0) as u32
}

/// The id of the calling thread.
pub fn tid() -> u32 {
    plain(libc::SYS_gettid, [0; 6]).unwrap_or(0) as u32
}

/// Whether the process of a pidfd is no more.
pub fn is_over(pidfd: i32) -> bool {
    let mut poll = libc::pollfd { fd: pidfd, events: libc::POLLIN, revents: 0 };
    // SAFETY: a live structure.
    unsafe { call(libc::SYS_poll, [&raw mut poll as usize, 1, 0, 0, 0, 0]) == 1 }
}

/// Whether a process is stopped by a signal: its state in /proc/PID/stat, behind the name (proc(5)).
pub fn is_stopped(pid: u32) -> bool {
    let mut room = [0; 32];
    let mut path = super::text::Text::new(&mut room);
    path.put(b"/proc/").decimal(pid.into()).put(b"/stat");
    let Ok(path) = CStr::from_bytes_until_nul(&room) else { return false };
    let mut text = [0; 128];
    let len =
        file::open(path, libc::O_RDONLY).and_then(|file| file::read(file.raw(), &mut text)).unwrap_or(0);
    let state = text[..len].iter().rposition(|&byte| byte == b')').and_then(|at| text.get(at + 2));
    state == Some(&b'T')
}

/// Sends a signal to a process.
pub fn signal(pid: u32, signal: i32) -> Result<(), Errno> {
    plain(libc::SYS_kill, [pid as usize, signal as usize, 0, 0, 0, 0]).map(drop)
}

/// Whether a process is no more: its parent need not have waited for it yet. Of a process that lives this takes no descriptor,
/// whose number the program could miss.
pub fn has_ended(pid: u32) -> bool {
    !has_memory(pid) && has_ended_by_descriptor(pid)
}

/// Whether a process surely has memory. A read of one byte at address 0 finds none of a process that is no more (ESRCH,
/// process_vm_readv(2)), nor of one whose first thread has ended.
fn has_memory(pid: u32) -> bool {
    let mut byte = 0u8;
    let local = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 1 };
    let args = [pid as usize, &raw const local as usize, 1, &raw const remote as usize, 1, 0];
    // SAFETY: live structures; of the other process nothing is changed.
    match unsafe { try_call(libc::SYS_process_vm_readv, args) } {
        Ok(_) | Err(Errno::EFAULT) => true,
        // It lives, but is another user's; or the call is forbidden here, and tells nothing.
        Err(_) => false,
    }
}

fn has_ended_by_descriptor(pid: u32) -> bool {
    match plain(libc::SYS_pidfd_open, [pid as usize, 0, 0, 0, 0, 0]) {
        Ok(fd) => is_over(OwnedFd::made(fd).raw()),
        // No descriptor is free: a process that waits to be waited for passes for alive.
        Err(e) if e != Errno::ESRCH => {
            plain(libc::SYS_kill, [pid as usize, 0, 0, 0, 0, 0]) == Err(Errno::ESRCH)
        }
        Err(_) => true,
    }
}

/// exit_group(2)
pub fn exit(status: i32) -> ! {
    loop {
        let _ = plain(libc::SYS_exit_group, [status as usize, 0, 0, 0, 0, 0]);
    }
}

/// Ends the calling thread and nothing else: its stack stays.
pub fn exit_thread() -> ! {
    loop {
        let _ = plain(libc::SYS_exit, [0; 6]);
    }
}

/// sched_yield(2)
pub fn yield_now() {
    if super::futex::is_forbidden() {
        return std::hint::spin_loop();
    }
    let _ = plain(libc::SYS_sched_yield, [0; 6]);
}

/// Sleeps for less than a second; a signal ends the sleep.
pub fn sleep_ns(ns: u32) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: ns.into() };
    // SAFETY: a live structure.
    unsafe { call(libc::SYS_nanosleep, [&raw const time as usize, 0, 0, 0, 0, 0]) };
}

/// Names the calling thread, as /proc shows it.
pub fn set_thread_name(name: &CStr) {
    // SAFETY: a live string.
    unsafe { call(libc::SYS_prctl, [libc::PR_SET_NAME as usize, name.as_ptr() as usize, 0, 0, 0, 0]) };
}

/// How late the host may end a sleep of the calling thread.
pub fn set_timer_slack_ns(ns: u32) {
    let _ = plain(libc::SYS_prctl, [libc::PR_SET_TIMERSLACK as usize, ns as usize, 0, 0, 0, 0]);
}

/// A soft limit of the process at its hard limit, for what this library itself needs. The limit is the program's, and
/// comes back on drop, unless the program has changed it meanwhile.
#[derive(Debug)]
pub struct RaisedLimit {
    resource: u32,
    was: libc::rlimit,
}

impl RaisedLimit {
    /// `None`: the limit is as high as the process may have it.
    pub fn raise(resource: u32) -> Option<RaisedLimit> {
        let was = limit(resource, None)?;
        if was.rlim_cur >= was.rlim_max {
            return None;
        }
        limit(resource, Some(libc::rlimit { rlim_cur: was.rlim_max, ..was }))?;
        Some(RaisedLimit { resource, was })
    }
}

impl Drop for RaisedLimit {
    fn drop(&mut self) {
        let is_ours =
            |now: libc::rlimit| (now.rlim_cur, now.rlim_max) == (self.was.rlim_max, self.was.rlim_max);
        if limit(self.resource, None).is_some_and(is_ours) {
            limit(self.resource, Some(self.was));
        }
    }
}

/// prlimit(2) of this process: the limit, which is changed then.
fn limit(resource: u32, new: Option<libc::rlimit>) -> Option<libc::rlimit> {
    let mut was = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let at = new.as_ref().map_or(0, |new| std::ptr::from_ref(new) as usize);
    let args = [0, resource as usize, at, &raw mut was as usize, 0, 0];
    // SAFETY: live structures.
    unsafe { try_call(libc::SYS_prlimit64, args) }.ok().map(|_| was)
}

/// RLIMIT_FSIZE in bytes. A write beyond this limit, to a memory file too, gets SIGXFSZ.
pub fn file_size_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    let args = [0, libc::RLIMIT_FSIZE as usize, 0, &raw mut limit as usize, 0, 0];
    // SAFETY: a live structure; nothing is changed.
    unsafe { call(libc::SYS_prlimit64, args) };
    limit.rlim_cur
}

/// Copies memory of this process by the host (process_vm_writev(2)): a page that cannot be had is EFAULT and no signal.
///
/// # Safety
/// Both ranges are the caller's, and nothing refers to `to`.
pub unsafe fn copy_checked(from: usize, to: usize, len: usize) -> Result<usize, Errno> {
    let vectors = [from, to].map(|at| libc::iovec { iov_base: at as *mut _, iov_len: len });
    let [local, remote] = [&raw const vectors[0] as usize, &raw const vectors[1] as usize];
    // SAFETY: live structures, and the caller's promise.
    unsafe { try_call(libc::SYS_process_vm_writev, [pid() as usize, local, 1, remote, 1, 0]) }
}

/// Fills `to` with random bytes of the host; at most 256 bytes.
pub fn random(to: &mut [u8]) -> Result<(), Errno> {
    // SAFETY: a live buffer with its size. Up to 256 bytes are never cut short.
    unsafe { try_call(libc::SYS_getrandom, [to.as_mut_ptr() as usize, to.len(), 0, 0, 0, 0]) }.map(drop)
}

/// A random number of the host.
pub fn random_u64() -> Result<u64, Errno> {
    let mut bytes = [0; 8];
    random(&mut bytes).map(|()| u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_hosts() {
        assert_eq!(pid(), std::process::id());
        assert_ne!(std::thread::spawn(tid).join().unwrap(), tid());
        assert_ne!(random_u64(), random_u64());
    }
}
