// SPDX-License-Identifier: GPL-2.0-only
//! A descriptor that the program was started with.
#![allow(unsafe_code)]

use lkl::sys::{file, socket, try_call, OwnedFd};
use lkl::BackEndKind;

use super::tap;
use crate::sys::errno::Explained;
use crate::sys::fs;

/// Takes the descriptor away from the program, and looks what it is.
pub fn take(number: i32) -> Result<(OwnedFd, BackEndKind), String> {
    let flags = fs::open_flags(number)
        .map_err(|e| format!("the program was started without a descriptor {number}: {}", Explained(e)))?;
    let kind = match socket::kind(number) {
        Ok(libc::SOCK_STREAM) => BackEndKind::Stream,
        Ok(libc::SOCK_DGRAM | libc::SOCK_SEQPACKET) => BackEndKind::Datagram,
        _ => match tap::take(number) {
            Some(ready) => {
                ready.map(|()| BackEndKind::Tap).map_err(|why| format!("descriptor {number} {why}"))?
            }
            None => {
                return Err(format!(
                    "descriptor {number} is neither a tap device nor a socket of messages or a stream"
                ))
            }
        },
    };
    let copy = file::dup(number, 0).map_err(|e| format!("descriptor {number}: {}", Explained(e)))?;
    if kind == BackEndKind::Tap {
        let args =
            [copy.raw() as usize, libc::F_SETFL as usize, (flags | libc::O_NONBLOCK) as usize, 0, 0, 0];
        // SAFETY: takes numbers.
        let set = unsafe { try_call(libc::SYS_fcntl, args) };
        set.map_err(|e| format!("descriptor {number}: {}", Explained(e)))?;
    }
    fs::close(number);
    Ok((copy, kind))
}
