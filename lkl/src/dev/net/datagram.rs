// SPDX-License-Identifier: GPL-2.0-only
//! A socket with a frame a message: SOCK_DGRAM or SOCK_SEQPACKET.

use super::back_end::{BackEnd, Stop};
use super::link::Link;
use super::message;
use crate::dev::block::Iov;
use crate::sys::socket;

pub(super) struct Datagram;

impl BackEnd for Datagram {
    fn send(&self, _: &Link, fd: i32, iov: &[Iov], _: usize) -> Result<(), Stop> {
        message::send(fd, iov).map(drop).map_err(Stop::from)
    }

    fn receive(&self, _: &Link, fd: i32, iov: &[Iov]) -> Result<usize, Stop> {
        let room: usize = iov.iter().map(|part| part.len).sum();
        loop {
            match message::receive(fd, iov, libc::MSG_TRUNC)? {
                // Of SOCK_DGRAM an empty message, of SOCK_SEQPACKET the end.
                0 if socket::kind(fd) != Ok(libc::SOCK_DGRAM) => return Err(Stop::Over("has ended")),
                0 => {}
                len if len > room => {}
                len => return Ok(len),
            }
        }
    }
}
