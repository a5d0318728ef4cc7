// SPDX-License-Identifier: GPL-2.0-only
//! Bells: host descriptors by which the kernel wakes threads that sleep in the host (overlay, `kernel/waits.c`).
//!
//! A bell is an eventfd that is only ever written to: those who listen have it in an epoll set of their own, edge-triggered. So
//! several threads can listen to one bell, and none takes the ring away from another. Whoever drives the kernel rings. That
//! may be another process than the listener's, so bells are in the store of descriptors, where there is one.
//!
//! The ringing end runs on a kernel stack, with the CPU held.
//!
//! A *chime* is for an inotify(7) descriptor of the host that has to become ready (overlay, `kernel/watches.c`): an empty memory
//! file, which that descriptor watches. To ring is to cut the file to the length that it has: an event for those who watch,
//! whatever right the process has lost, and of whatever kind its descriptor is.
//!
//! # Safety
//! [`ring`] is `unsafe` by its type alone, which is that of all host operations.
#![allow(unsafe_code)]

use crate::cpu::watch;
use crate::dev::block::{keep, store, Entry};
use crate::sys::{file, Errno};
use std::sync::atomic::{AtomicI32, Ordering};

/// `LKL_BELLS`: how many there are. Threads that have the same bell are woken for each other, and look in vain.
pub(crate) const BELLS: usize = 16;

/// `LKL_CHIME`
pub(crate) const CHIME: u32 = 0x8000_0000;
/// `LKL_CHIMES`: how many inotify descriptors of an instance can have watches of the kernel's.
pub(crate) const CHIMES: usize = 96;

/// How many there are of both.
pub(crate) const ALL: usize = BELLS + CHIMES;

/// Where this process has the bells, and behind them the chimes; -1: not yet.
static FDS: [AtomicI32; ALL] = [const { AtomicI32::new(-1) }; ALL];

fn known(bell: usize) -> Option<i32> {
    Some(FDS[bell].load(Ordering::Acquire)).filter(|&fd| fd >= 0)
}

/// The descriptor of a bell, to listen to. The CPU is not held.
pub(crate) fn listen(number: usize) -> Result<i32, Errno> {
    open(number % BELLS)
}

/// The descriptor of a chime, to be watched. The CPU is not held.
pub(crate) fn chime(number: usize) -> Result<i32, Errno> {
    open(BELLS + number % CHIMES)
}

fn open(bell: usize) -> Result<i32, Errno> {
    known(bell).map_or_else(|| watch::with_disks(|| find(bell).map_or_else(|| make(bell), Ok)), Ok)
}

/// `ops.ring`
pub(crate) unsafe extern "C" fn ring(bell: u32) {
    let is_chime = bell & CHIME != 0;
    let bell = if is_chime { BELLS + (bell & !CHIME) as usize % CHIMES } else { bell as usize % BELLS };
    // A listener of a bell that hears nothing looks again by itself, if there are other processes.
    let Some(fd) = known(bell).or_else(|| watch::with_disks(|| find(bell))) else { return };
    let _ = match is_chime {
        true => file::truncate(fd, 0),
        false => file::write(fd, &1u64.to_ne_bytes()).map(drop),
    };
}

/// Another process, or another thread, has made the bell.
fn find(bell: usize) -> Option<i32> {
    known(bell).or_else(|| {
        let (fd, _) = store()?.look().ok()?.take(Entry::bell(bell).disk)?;
        Some(remember(bell, fd.into_raw()))
    })
}

fn make(bell: usize) -> Result<i32, Errno> {
    let made = if bell < BELLS { file::eventfd()? } else { file::memory_file(c"stowaway-chime", 0)? };
    if let Some(store) = store() {
        store.add(Entry::bell(bell), made.raw())?;
    }
    Ok(remember(bell, made.into_raw()))
}

fn remember(bell: usize, fd: i32) -> i32 {
    let fd = keep(fd);
    FDS[bell].store(fd, Ordering::Release);
    fd
}

/// In the child of a fork that does not go on with its parent's kernel, and after the end of a kernel: the descriptors are
/// somebody else's to close.
pub(crate) fn forget() {
    FDS.iter().for_each(|fd| fd.store(-1, Ordering::Release));
}
