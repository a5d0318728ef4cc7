// SPDX-License-Identifier: GPL-2.0-only
//! Bells: host descriptors by which the kernel wakes threads that sleep in the host (overlay, `kernel/waits.c`).
//!
//! A bell is an eventfd that is only ever written to: those who listen have it in an epoll set of their own, edge-triggered. So
//! several threads can listen to one bell, and none takes the ring away from another. Whoever drives the kernel rings. That
//! may be another process than the listener's, so bells are in the store of descriptors, where there is one.
//!
//! The ringing end runs on a kernel stack, with the CPU held.
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

/// Where this process has the bells; -1: not yet.
static FDS: [AtomicI32; BELLS] = [const { AtomicI32::new(-1) }; BELLS];

fn known(bell: usize) -> Option<i32> {
    Some(FDS[bell].load(Ordering::Acquire)).filter(|&fd| fd >= 0)
}

/// The descriptor of a bell, to listen to. The CPU is not held.
pub(crate) fn listen(number: usize) -> Result<i32, Errno> {
    let bell = number % BELLS;
    known(bell).map_or_else(|| watch::with_disks(|| find(bell).map_or_else(|| make(bell), Ok)), Ok)
}

/// `ops.ring`
pub(crate) unsafe extern "C" fn ring(bell: u32) {
    let bell = bell as usize % BELLS;
    // A listener that hears nothing looks again by itself, if there are other processes.
    if let Some(fd) = known(bell).or_else(|| watch::with_disks(|| find(bell))) {
        let _ = file::write(fd, &1u64.to_ne_bytes());
    }
}

/// Another process, or another thread, has made the bell.
fn find(bell: usize) -> Option<i32> {
    known(bell).or_else(|| {
        let (fd, _) = store()?.look().ok()?.take(Entry::bell(bell).disk)?;
        Some(remember(bell, fd.into_raw()))
    })
}

fn make(bell: usize) -> Result<i32, Errno> {
    let made = file::eventfd()?;
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
