// SPDX-License-Identifier: GPL-2.0-only
//! `struct lkl_net_link` and `struct lkl_net` of the overlay's `asm/host.h`.
//!
//! # Safety
//! Links lie in the kernel's memory as long as the kernel. They are all atomics.
#![allow(unsafe_code)]

use crate::cpu;
use crate::sys::futex::{self, Scope};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicU8, Ordering};

/// Interfaces with a back end, at most.
pub const LINKS: usize = 8;

/// `LKL_NET_TAP` and so on: what a back end is.
pub(crate) const TAP: u32 = 0;
pub(crate) const STREAM: u32 = 1;
pub(crate) const DATAGRAM: u32 = 2;
/// Features.
pub(crate) const TSO: u32 = 1;
pub(crate) const TRUSTED: u32 = 2;
pub(crate) const BARE_RESETS: u32 = 4;
pub(crate) const RETURNS: u32 = 8;
pub(crate) const STARTS_LISTENING: u32 = 16;
pub(crate) const CAPTURED: u32 = 32;
/// [`Link::state`].
pub(crate) const UP: u32 = 0;
pub(crate) const OVER: u32 = 1;
pub(crate) const DOWN: u32 = 2;
pub(crate) const LISTENING: u32 = 3;
/// [`Link::armed`].
pub(crate) const ARMED: u32 = 0;
pub(crate) const OFF: u32 = 1;
pub(crate) const ASLEEP: u32 = 2;

/// What the kernel is told of a new interface.
#[repr(C)]
pub(crate) struct NewInterface {
    pub(crate) number: u64,
    pub(crate) kind: u32,
    pub(crate) features: u32,
    pub(crate) mtu: u32,
    pub(crate) mac: [u8; 6],
    pub(crate) pad: u16,
}

/// A back end. `sent`, `got`, `len` and the head belong to the holder of the virtual CPU.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Link {
    pub(crate) next: AtomicPtr<Link>,
    /// Which of the interfaces it is.
    pub(crate) number: AtomicU64,
    pub(crate) kind: AtomicU32,
    pub(crate) features: AtomicU32,
    /// Who looks for frames: [`ARMED`] and so on. A futex word.
    pub(crate) armed: AtomicU32,
    /// The driver has a frame that there was no room for.
    pub(crate) wants_room: AtomicU32,
    /// The member whose thread waits for frames; 0: nobody's does.
    pub(crate) home: AtomicU32,
    /// Whether there is a back end: [`UP`] and so on. The holder of the virtual CPU makes it DOWN or OVER of UP; of DOWN and LISTENING the
    /// waiting thread makes what it is next.
    pub(crate) state: AtomicU32,
    /// Bytes of the frame that waits, with its head, which were sent.
    pub(crate) sent: AtomicU32,
    /// Bytes of the frame under way that were received; its length, 0 if it is not known; bytes of the next length.
    pub(crate) got: AtomicU32,
    pub(crate) len: AtomicU32,
    pub(crate) head_got: AtomicU32,
    pub(crate) head: [AtomicU8; 4],
    /// How often the back end was another one: a process whose descriptor is of an earlier one fetches the new one.
    pub(crate) generation: AtomicU32,
}

impl Link {
    /// Which of the interfaces it is.
    pub(crate) fn index(&self) -> usize {
        self.number.load(Ordering::Relaxed) as usize % LINKS
    }

    /// Whether frames can be moved.
    pub(crate) fn is_up(&self) -> bool {
        self.state.load(Ordering::SeqCst) == UP
    }

    /// Whether the back end has ended, for good.
    pub(crate) fn is_over(&self) -> bool {
        self.state.load(Ordering::SeqCst) == OVER
    }

    /// Whether a back end that has ended may come back.
    pub(crate) fn returns(&self) -> bool {
        self.features.load(Ordering::Relaxed) & RETURNS != 0
    }

    /// There is a new back end, in which no frame has begun.
    pub(crate) fn is_back(&self) {
        for word in [&self.sent, &self.got, &self.len, &self.head_got, &self.wants_room] {
            word.store(0, Ordering::Relaxed);
        }
        self.state.store(UP, Ordering::SeqCst);
    }

    /// The waiting thread is to look again.
    pub(crate) fn arm(&self) {
        if self.armed.swap(ARMED, Ordering::SeqCst) == ASLEEP {
            futex::wake(&raw const self.armed, 1, Scope::Shared);
        }
    }
}

/// All links of the kernel, if there is one.
pub(crate) fn all() -> impl Iterator<Item = &'static Link> {
    let mut at = cpu::net_links().map_or(std::ptr::null_mut(), |first| first.load(Ordering::Acquire).cast());
    std::iter::from_fn(move || {
        // SAFETY: links in the list are there as long as the kernel.
        let link = unsafe { (at as *const Link).as_ref() }?;
        at = link.next.load(Ordering::Acquire);
        Some(link)
    })
}
