// SPDX-License-Identifier: GPL-2.0-only
//! What a back end is.

use super::link::Link;
use crate::dev::block::Iov;
use crate::sys::Errno;

/// Why a frame was not moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Not now: there is no frame, or no room, or there was only a part of it.
    Later,
    /// This frame is lost.
    Lost(Errno),
    /// The back end has ended: no frame will be moved any more.
    Over(&'static str),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Stop {
        match errno {
            Errno::EAGAIN | Errno::EINTR => Stop::Later,
            Errno::ENOBUFS | Errno::ENOMEM => Stop::Lost(errno),
            _ => Stop::Over("has ended"),
        }
    }
}

/// A kind of back end. All that it keeps between two calls is in the link.
pub(super) trait BackEnd: Sync {
    /// Sends a frame of `len` bytes: all of it, or what is left of it since the last call.
    fn send(&self, link: &Link, fd: i32, iov: &[Iov], len: usize) -> Result<(), Stop>;
    /// Receives a frame, or what is left of it. Its length.
    fn receive(&self, link: &Link, fd: i32, iov: &[Iov]) -> Result<usize, Stop>;
}
