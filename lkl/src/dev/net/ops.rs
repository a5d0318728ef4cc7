// SPDX-License-Identifier: GPL-2.0-only
//! The three operations that the kernel's driver calls.
//!
//! # Safety
//! Links and vectors are the driver's, valid during the call.
#![allow(unsafe_code)]

use super::back_end::{BackEnd, Stop};
use super::capture::{self, Direction};
use super::datagram::Datagram;
use super::descriptors;
use super::events::{report, LinkEvent};
use super::link::{self, Link, LINKS};
use super::stream::Stream;
use super::tap::Tap;
use crate::dev::block::Iov;
use std::sync::atomic::{AtomicBool, Ordering};

fn of(link: &Link) -> &'static dyn BackEnd {
    match link.kind.load(Ordering::Relaxed) {
        link::STREAM => &Stream,
        link::DATAGRAM => &Datagram,
        _ => &Tap,
    }
}

fn ends(link: &Link, why: &'static str) {
    let (to, event) = match link.returns() {
        true => (link::DOWN, LinkEvent::Down(why)),
        false => (link::OVER, LinkEvent::Over(why)),
    };
    if link.state.compare_exchange(link::UP, to, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
        report(link, event);
        descriptors::ring(link);
    }
}

fn answer(link: &Link, stop: Stop) -> i64 {
    match stop {
        Stop::Later => -i64::from(libc::EAGAIN),
        Stop::Lost(e) => -i64::from(e.into_raw()),
        Stop::Over(why) => {
            ends(link, why);
            -i64::from(libc::EPIPE)
        }
    }
}

/// This process cannot have the descriptor (there are too many open): a frame that it is to send is lost, and it says so once.
fn without_descriptor(link: &Link) -> i64 {
    static IS_SAID: [AtomicBool; LINKS] = [const { AtomicBool::new(false) }; LINKS];
    if !IS_SAID[link.index()].swap(true, Ordering::Relaxed) {
        report(link, LinkEvent::Over("is out of reach of a process: frames are lost"));
    }
    -i64::from(libc::EMFILE)
}

/// `ops.net_send`
pub(crate) unsafe extern "C" fn send(link: *const Link, iov: *const Iov, n: u32, len: usize) -> i64 {
    // SAFETY: the driver's.
    let (link, iov) = unsafe { (&*link, std::slice::from_raw_parts(iov, n as usize)) };
    if !link.is_up() {
        return -i64::from(libc::EPIPE);
    }
    let Some(fd) = descriptors::back_end(link) else { return without_descriptor(link) };
    match of(link).send(link, fd, iov, len) {
        Ok(()) => {
            capture::note(link, iov, len, Direction::Out);
            0
        }
        Err(Stop::Later) => {
            if link.wants_room.swap(1, Ordering::SeqCst) == 0 {
                descriptors::ring(link);
            }
            answer(link, Stop::Later)
        }
        Err(stop) => answer(link, stop),
    }
}

/// `ops.net_receive`
pub(crate) unsafe extern "C" fn receive(link: *const Link, iov: *const Iov, n: u32) -> i64 {
    // SAFETY: the driver's.
    let (link, iov) = unsafe { (&*link, std::slice::from_raw_parts(iov, n as usize)) };
    if !link.is_up() {
        return -i64::from(libc::EPIPE);
    }
    // A process without the descriptor leaves the frames to the member whose thread waits for them, which does not starve: its
    // thread drives the CPU when it sees them.
    let Some(fd) = descriptors::back_end(link) else { return -i64::from(libc::EAGAIN) };
    match of(link).receive(link, fd, iov) {
        Ok(len) => {
            capture::note(link, iov, len, Direction::In);
            len as i64
        }
        Err(Stop::Lost(_)) => -i64::from(libc::EAGAIN),
        Err(stop) => answer(link, stop),
    }
}

/// `ops.net_arm`
pub(crate) unsafe extern "C" fn arm(link: *const Link) {
    // SAFETY: the driver's.
    unsafe { &*link }.arm();
}
