// SPDX-License-Identifier: GPL-2.0-only
//! The waker of a thread: a descriptor of the host that becomes ready when the kernel library wants the thread to look.
//!
//! It is an epoll set with one of the instance's bells in it, edge-triggered (`lkl`, `dev::bells`). The thread makes it when it
//! first waits for files of both kernels.
#![allow(unsafe_code)]

use core::sync::atomic::Ordering;

use crate::fdtable::{self, Keep};
use crate::instance::enter::KernelContext;
use crate::sys::errno::Result;
use crate::sys::fs;
use crate::sys::host;
use crate::sys::thread::Thread;
use crate::wait::event::Event;

/// The bell that a thread listens to.
pub fn bell(thread: &Thread) -> usize {
    thread.tid.load(Ordering::Relaxed)
}

/// The thread's waker, made if need be.
pub fn waker(context: &mut KernelContext) -> Result<i32> {
    let thread = context.thread();
    match thread.waker.load(Ordering::Relaxed) {
        0 => make(context, thread),
        waker => Ok(waker),
    }
}

#[cold]
fn make(context: &mut KernelContext, thread: &Thread) -> Result<i32> {
    let _room = fdtable::room();
    let bell = context.kernel().bell(bell(thread))?;
    // SAFETY: opens a new descriptor.
    let set = unsafe { host::call(libc::SYS_epoll_create1, &[libc::EPOLL_CLOEXEC as usize]) }?;
    let set = fs::owned(set as i32);
    let event = Event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, data: [0; 2] };
    event.add_to(set.raw(), bell)?;
    let waker = fdtable::reserve(set.raw(), Keep::InThread)?;
    thread.waker.store(waker, Ordering::Relaxed);
    Ok(waker)
}

/// The thread is awake: the waker is not ready until the next ring.
pub fn hush(waker: i32) {
    let mut event = Event::default();
    let at = &raw mut event as usize;
    // SAFETY: room for one event.
    let _ = unsafe { host::call(libc::SYS_epoll_wait, &[waker as usize, at, 1, 0]) };
}
