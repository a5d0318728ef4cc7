// SPDX-License-Identifier: GPL-2.0-only
//! Calls of the host's kernel, through the gate.
//!
//! Rule of the place: everything that the shim itself asks of the host goes through the gate, never through a libc
//! name. The names of libc are our own hooks, and the `syscall` instructions of libc come back as SIGSYS. [`call`] is
//! the raw form; typed forms stand in `fs`, `mem`, `futex` and `sigcalls`.
//!
//! # Safety
//! `unsafe` stands where a number and words become a system call.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

use trampoline::gate::gate;

use crate::sys::errno::{from_raw, Errno, Result};

pub use crate::sys::errno::Ret;

/// The six arguments of a system call.
pub type Args = [usize; 6];

/// A system call with up to six arguments.
///
/// # Safety
/// The call must not change memory, mappings, descriptors or signal actions that somebody else relies on.
#[inline]
pub unsafe fn call(nr: i64, args: &[usize]) -> Result {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    // SAFETY: the caller's promise.
    from_raw(unsafe { gate(nr, &all) })
}

/// A call whose arguments are plain numbers, and which changes nothing that safe code relies on.
#[inline]
fn plain(nr: i64, args: &[usize]) -> Result {
    // SAFETY: private to this file: every use below passes numbers, and concerns neither memory nor descriptors.
    unsafe { call(nr, args) }
}

/// Process and thread id of the caller.
pub fn ids() -> (usize, usize) {
    (pid(), plain(libc::SYS_gettid, &[]).unwrap_or(0))
}

/// Whether the host makes calls of the x32 ABI: getpid(2) by that number.
pub fn knows_x32() -> bool {
    const X32_GETPID: i64 = 0x4000_0000 | libc::SYS_getpid;
    plain(X32_GETPID, &[]).is_ok()
}

/// The host's version, major and minor number; (0, 0): the host does not say. The host is asked once.
pub fn version() -> (u32, u32) {
    const IS_KNOWN: u64 = 1 << 63;
    static VERSION: AtomicU64 = AtomicU64::new(0);
    let known = VERSION.load(Ordering::Relaxed);
    if known & IS_KNOWN != 0 {
        return ((known >> 32) as u32 & 0x7fff_ffff, known as u32);
    }
    let (major, minor) = ask_version();
    VERSION.store(IS_KNOWN | u64::from(major) << 32 | u64::from(minor), Ordering::Relaxed);
    (major, minor)
}

fn ask_version() -> (u32, u32) {
    let mut names = core::mem::MaybeUninit::<libc::utsname>::zeroed();
    if plain(libc::SYS_uname, &[names.as_mut_ptr() as usize]).is_err() {
        return (0, 0);
    }
    // SAFETY: rows of characters, of which any bytes are valid; the host has filled them.
    let release = unsafe { names.assume_init() }.release;
    let mut numbers = release.split(|&c| !(c as u8).is_ascii_digit()).map(|digits| {
        digits.iter().fold(0u32, |n, &c| n.wrapping_mul(10).wrapping_add(u32::from(c as u8 - b'0')))
    });
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Process id of the caller.
pub fn pid() -> usize {
    plain(libc::SYS_getpid, &[]).unwrap_or(0)
}

/// Process id of the caller's parent.
pub fn parent() -> usize {
    plain(libc::SYS_getppid, &[]).unwrap_or(0)
}

/// The group of a process; 0: the caller's. `None`: there is no such process.
pub fn group_of(pid: u32) -> Option<u32> {
    plain(libc::SYS_getpgid, &[pid as usize]).ok().map(|group| group as u32)
}

/// Whether there is a process, a thread or a group of processes with this id.
pub fn is_there(id: i32, is_group: bool) -> bool {
    let which = if is_group { -id } else { id };
    // Signal 0 is sent to nobody.
    plain(libc::SYS_kill, &[which as usize, 0]) != Err(Errno::ESRCH)
}

/// Whether the host lets this process signal a process.
pub fn may_signal(pid: i32) -> bool {
    plain(libc::SYS_kill, &[pid as usize, 0]) != Err(Errno::EPERM)
}

/// Ends the process without a word to anybody.
pub fn exit_group(status: usize) -> ! {
    loop {
        let _ = plain(libc::SYS_exit_group, &[status]);
    }
}

/// Lets other threads have the processor.
pub fn yield_processor() {
    let _ = plain(libc::SYS_sched_yield, &[]);
}

/// Sleeps, at most this long: a signal ends the sleep.
pub fn sleep_ns(ns: i64) {
    let pause = libc::timespec { tv_sec: ns / 1_000_000_000, tv_nsec: ns % 1_000_000_000 };
    let _ = plain(libc::SYS_nanosleep, &[&raw const pause as usize, 0]);
}

/// The time of day of the host.
pub fn time_of_day() -> libc::timespec {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let _ = plain(libc::SYS_clock_gettime, &[libc::CLOCK_REALTIME as usize, &raw mut now as usize]);
    now
}

/// The soft and the hard limit of a resource (getrlimit(2)).
pub fn limits(resource: u32) -> Result<[u64; 2]> {
    let mut limits = [0u64; 2];
    plain(libc::SYS_prlimit64, &[0, resource as usize, 0, limits.as_mut_ptr() as usize])?;
    Ok(limits)
}

/// Sets both limits of a resource of this process.
pub fn set_limits(resource: u32, limits: [u64; 2]) -> Result<()> {
    plain(libc::SYS_prlimit64, &[0, resource as usize, limits.as_ptr() as usize, 0]).map(drop)
}

/// The soft limit of a resource.
pub fn soft_limit(resource: u32) -> Result<u64> {
    limits(resource).map(|[soft, _]| soft)
}

/// The hard limit of a resource.
pub fn hard_limit(resource: u32) -> Result<u64> {
    limits(resource).map(|[_, hard]| hard)
}

/// Real, effective, saved and file system user id of the calling thread.
pub fn user_ids() -> Result<[u32; 4]> {
    four_ids(libc::SYS_getresuid, libc::SYS_setfsuid)
}

/// Effective user id of the calling thread.
pub fn effective_user() -> u32 {
    // SAFETY: no arguments; it does not fail.
    unsafe { call(libc::SYS_geteuid, &[]) }.map_or(u32::MAX, |id| id as u32)
}

/// Real, effective, saved and file system group id of the calling thread.
pub fn group_ids() -> Result<[u32; 4]> {
    four_ids(libc::SYS_getresgid, libc::SYS_setfsgid)
}

/// The file system id is said by the call that sets it; -1 is no id, and changes nothing (setfsuid(2)).
fn four_ids(nr: i64, fs_nr: i64) -> Result<[u32; 4]> {
    let mut ids = [0u32; 4];
    let at = ids.as_mut_ptr() as usize;
    plain(nr, &[at, at + 4, at + 8])?;
    ids[3] = plain(fs_nr, &[usize::MAX])? as u32;
    Ok(ids)
}

/// The permitted and the effective set of capabilities of the calling thread.
pub fn capabilities() -> Result<(u64, u64)> {
    const VERSION_3: u32 = 0x2008_0522;
    let head = [VERSION_3, 0];
    // Effective, permitted, inheritable: the lower halves, then the upper ones.
    let mut sets = [0u32; 6];
    plain(libc::SYS_capget, &[head.as_ptr() as usize, sets.as_mut_ptr() as usize])?;
    let set = |at: usize| u64::from(sets[at]) | u64::from(sets[at + 3]) << 32;
    Ok((set(1), set(0)))
}

/// PR_GET_SECUREBITS
pub fn securebits() -> u32 {
    plain(libc::SYS_prctl, &[libc::PR_GET_SECUREBITS as usize, 0, 0, 0, 0]).unwrap_or(0) as u32
}

/// Supplementary groups of the calling thread; how many were written into `into`.
pub fn groups(into: &mut [u32]) -> usize {
    plain(libc::SYS_getgroups, &[into.len(), into.as_mut_ptr() as usize]).unwrap_or(0)
}

/// Whether the thread can gain no rights by executing something (prctl(2), PR_GET_NO_NEW_PRIVS).
pub fn has_no_new_privs() -> bool {
    plain(libc::SYS_prctl, &[libc::PR_GET_NO_NEW_PRIVS as usize, 0, 0, 0, 0]) == Ok(1)
}

/// Gives the thread the name that ps(1) shows.
pub fn set_thread_name(name: &[u8; 16]) {
    let _ = plain(libc::SYS_prctl, &[libc::PR_SET_NAME as usize, name.as_ptr() as usize, 0, 0, 0]);
}

/// Reads the name of the thread.
pub fn thread_name(name: &mut [u8; 16]) {
    let _ = plain(libc::SYS_prctl, &[libc::PR_GET_NAME as usize, name.as_mut_ptr() as usize, 0, 0, 0]);
}

/// membarrier(2) with a command.
pub fn membarrier(command: usize) -> Result {
    plain(libc::SYS_membarrier, &[command, 0, 0])
}
