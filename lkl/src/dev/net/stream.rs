// SPDX-License-Identifier: GPL-2.0-only
//! A stream socket in QEMU's framing (`-netdev stream`, passt): four bytes of length, big endian, and the frame.

use super::back_end::{BackEnd, Stop};
use super::frames::{Frames, Progress, HEAD, PARTS};
use super::link::Link;
use super::message;
use crate::dev::block::Iov;
use std::sync::atomic::Ordering::Relaxed;

pub(super) struct Stream;

impl BackEnd for Stream {
    fn send(&self, link: &Link, fd: i32, iov: &[Iov], len: usize) -> Result<(), Stop> {
        let head = (len as u32).to_be_bytes();
        let mut parts = [Iov { base: 0, len: 0 }; PARTS];
        let mut n = 0;
        // What was sent before of this frame is left out.
        let mut skip = link.sent.load(Relaxed) as usize;
        let first = Iov { base: head.as_ptr() as usize, len: HEAD };
        for part in std::iter::once(&first).chain(iov) {
            let gone = skip.min(part.len);
            skip -= gone;
            if part.len > gone && n < PARTS {
                parts[n] = Iov { base: part.base + gone, len: part.len - gone };
                n += 1;
            }
        }
        let sent = link.sent.load(Relaxed) as usize + message::send(fd, &parts[..n])?;
        if sent < HEAD + len {
            link.sent.store(sent as u32, Relaxed);
            return Err(Stop::Later);
        }
        link.sent.store(0, Relaxed);
        Ok(())
    }

    fn receive(&self, link: &Link, fd: i32, iov: &[Iov]) -> Result<usize, Stop> {
        let mut frames = Frames::of(link);
        let room = iov.iter().map(|part| part.len).sum();
        let end = loop {
            if frames.is_too_long(room) {
                break Err(Stop::Over("sends no frames (QEMU's framing is expected)"));
            }
            let mut parts = [Iov { base: 0, len: 0 }; PARTS];
            let mut head = [0; HEAD];
            let n = frames.wanted(iov, &mut head, &mut parts);
            match message::receive(fd, &parts[..n], 0) {
                Ok(0) => break Err(Stop::Over("has ended")),
                Ok(bytes) => {
                    if let Progress::Frame(len) = frames.came(bytes, &head) {
                        break Ok(len);
                    }
                }
                Err(e) => break Err(e.into()),
            }
        };
        frames.keep(link);
        end
    }
}
