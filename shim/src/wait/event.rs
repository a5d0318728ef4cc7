// SPDX-License-Identifier: GPL-2.0-only
//! `struct epoll_event`.
#![allow(unsafe_code)]

use crate::sys::errno::Result;
use crate::sys::host;
use crate::sys::user::Pod;

/// `struct epoll_event` of x86-64, which is packed: the data in two halves.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Event {
    /// EPOLLIN and so on.
    pub events: u32,
    /// The user's word, lower half first.
    pub data: [u32; 2],
}

const _: () = assert!(size_of::<Event>() == size_of::<libc::epoll_event>());

// SAFETY: integers.
unsafe impl Pod for Event {}

impl Event {
    /// Adds a host descriptor of ours to a set of the host, with this event.
    pub fn add_to(&self, set: i32, member: i32) -> Result<()> {
        let at = core::ptr::from_ref(self) as usize;
        let args = [set as usize, libc::EPOLL_CTL_ADD as usize, member as usize, at];
        // SAFETY: reads the event; callers own the member.
        unsafe { host::call(libc::SYS_epoll_ctl, &args) }.map(drop)
    }
}
