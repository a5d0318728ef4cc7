// SPDX-License-Identifier: GPL-2.0-only
//! A tap device (Linux, Documentation/networking/tuntap.rst): a frame a call, with a `struct virtio_net_hdr` in front, which
//! carries checksums that are still to be made and segments of a large frame. Its descriptor does not wait (O_NONBLOCK).

use super::back_end::{BackEnd, Stop};
use super::link::Link;
use super::message;
use crate::dev::block::Iov;
use crate::sys::Errno;

pub(super) struct Tap;

impl BackEnd for Tap {
    fn send(&self, _: &Link, fd: i32, iov: &[Iov], _: usize) -> Result<(), Stop> {
        match message::write(fd, iov) {
            Ok(_) => Ok(()),
            // The device is down on its other side, or does not take this frame.
            Err(e @ (Errno::EIO | Errno::EINVAL | Errno::EFAULT)) => Err(Stop::Lost(e)),
            Err(e) => Err(e.into()),
        }
    }

    fn receive(&self, _: &Link, fd: i32, iov: &[Iov]) -> Result<usize, Stop> {
        match message::read(fd, iov)? {
            0 => Err(Stop::Over("has ended")),
            len => Ok(len),
        }
    }
}
