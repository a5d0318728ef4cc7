// SPDX-License-Identifier: GPL-2.0-only
//! How a thread sleeps in the host inside a kernel section, where the thread waits for both kernels at once.
//!
//! A signal that comes meanwhile is noted, as everywhere in a section (`signals::deliver`), and ends the sleep. There is no
//! gap: a handler that comes before the host's call makes this call end before it begins.
#![allow(unsafe_code)]

use core::sync::atomic::{compiler_fence, Ordering};

use trampoline::gate::{gate_unless, stop_if_waiting, STOPPED};

use crate::sys::errno::{from_raw, Errno, Result};
use crate::sys::thread::{self, Thread};

/// poll(2) of the host, until an event comes, `ns` are over (None: never), or something ends the wait.
pub fn poll(thread: &Thread, fds: &mut [libc::pollfd], ns: Option<u64>) -> Result<()> {
    let time = ns.map(|ns| [(ns / 1_000_000_000) as i64, (ns % 1_000_000_000) as i64]);
    let time_at = time.as_ref().map_or(0, |time| time.as_ptr() as usize);
    let args = [fds.as_mut_ptr() as usize, fds.len(), time_at, 0, 0, 0];
    thread.sleep_is_over.store(0, Ordering::Relaxed);
    thread.sleeps.store(1, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
    let r = match is_disturbed(thread) {
        true => STOPPED,
        // SAFETY: the array is live, and so is the time; the flag lies in the thread's page.
        false => unsafe { gate_unless(thread.sleep_is_over.as_ptr(), libc::SYS_ppoll, &args) },
    };
    compiler_fence(Ordering::SeqCst);
    thread.sleeps.store(0, Ordering::Relaxed);
    match from_raw(r) {
        Err(Errno::EINTR) => Ok(()),
        Err(_) if r == STOPPED => Ok(()),
        r => r.map(drop),
    }
}

/// Whether something has come that ends a wait: a signal, or a request for the thread's cancellation.
pub fn is_disturbed(thread: &Thread) -> bool {
    thread.noted.sig.load(Ordering::Acquire) != 0 || thread::words().call.stop.load(Ordering::Relaxed) != 0
}

/// In a signal handler on the thread, which is in a section: something has come. Where the thread is to go on, if the thread
/// stands before the host's call.
pub fn end(thread: &Thread, ip: usize) -> Option<usize> {
    thread.sleep_is_over.store(1, Ordering::Relaxed);
    stop_if_waiting(ip).filter(|_| thread.sleeps.load(Ordering::Relaxed) != 0)
}
