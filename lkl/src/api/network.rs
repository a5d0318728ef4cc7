// SPDX-License-Identifier: GPL-2.0-only
//! Network interfaces of the kernel's, with back ends of the host's.
//!
//! # Safety
//! Tasks are used by the thread that made them.
#![allow(unsafe_code)]

use super::{Private, Task};
use crate::attach::Kernel;
use crate::dev::net::{self, link, NewInterface};
use crate::sys::{Errno, OwnedFd};
use std::ffi::CStr;

/// What a descriptor is that an interface's frames go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackEndKind {
    /// A tap device with IFF_VNET_HDR, whose descriptor does not wait.
    Tap,
    /// A stream socket in QEMU's framing.
    Stream,
    /// A socket of a frame a message.
    Datagram,
}

/// A new interface.
#[derive(Debug, Clone, Copy)]
pub struct Interface {
    /// What the descriptor is.
    pub kind: BackEndKind,
    /// The back end takes and gives TCP segments of 64 KiB.
    pub has_segments: bool,
    /// No frame can be damaged between whoever makes its checksums and this kernel.
    pub is_trusted: bool,
    /// Who refuses a connection leaves the ACK bit out.
    pub has_bare_resets: bool,
    /// A back end that has ended may come back (`renew_network_by`).
    pub returns: bool,
    /// The descriptor is a socket that waits for the back end.
    pub is_listening: bool,
    /// The longest packet.
    pub mtu: u32,
    /// The Ethernet address; `None`: a random one.
    pub mac: Option<[u8; 6]>,
}

impl Kernel {
    /// Makes an interface, ethN, which is down. Its index. Its frames are written to the file `capture` as well, of which it is the
    /// interface with that number.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn add_interface(
        &self,
        t: *mut Task,
        back_end: OwnedFd,
        capture: Option<(OwnedFd, u32)>,
        what: &Interface,
    ) -> Result<u32, Errno> {
        let number = link::all().count();
        if number == link::LINKS {
            return Err(Errno::ENOSPC);
        }
        let features = [
            (what.has_segments, link::TSO),
            (what.is_trusted, link::TRUSTED),
            (what.has_bare_resets, link::BARE_RESETS),
            (what.returns, link::RETURNS),
            (what.is_listening, link::STARTS_LISTENING),
            (capture.is_some(), link::CAPTURED),
        ];
        net::begin();
        net::add(number, back_end, capture)?;
        let new = NewInterface {
            number: number as u64,
            kind: match what.kind {
                BackEndKind::Tap => link::TAP,
                BackEndKind::Stream => link::STREAM,
                BackEndKind::Datagram => link::DATAGRAM,
            },
            features: features.iter().filter(|(has, _)| *has).fold(0, |all, (_, bit)| all | bit),
            mtu: what.mtu,
            mac: what.mac.unwrap_or_default(),
            pad: 0,
        };
        // SAFETY: the caller answers for the task; the pointer is valid during the call.
        let index = unsafe { self.private(t, Private::NetAdd, [&raw const new as usize, 0, 0, 0, 0, 0]) }?;
        net::follow();
        Ok(index as u32)
    }

    /// Leaves a file with what the network told at the start for all processes of the instance: the resolvers.
    pub fn leave_network_file(&self, fd: i32) -> Result<(), Errno> {
        net::leave_file(fd)
    }

    /// A copy of the descriptor of the file that [`Kernel::leave_network_file`] was given.
    pub fn network_file(&self) -> Option<OwnedFd> {
        net::left_file()
    }

    /// Sets something of the kernel's, by its name in /proc/sys.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn set_sysctl(&self, t: *mut Task, name: &CStr, value: &[u8]) -> Result<(), Errno> {
        let args = [name.as_ptr() as usize, value.as_ptr() as usize, value.len(), 0, 0, 0];
        // SAFETY: the caller answers for the task; the pointers are valid during the call.
        unsafe { self.private(t, Private::Sysctl, args) }.map(drop)
    }
}
