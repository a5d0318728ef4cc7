// SPDX-License-Identifier: GPL-2.0-only
//! Descriptors in messages over sockets of the host (unix(7), SCM_RIGHTS), and pidfd_getfd(2): files of the kernel go from one
//! process of the instance to another (`instance::passing`).

use crate::calls::unix_names;
use crate::fdtable::{self, sets, LOST, RESERVED};
use crate::instance::passing::{self, Ticket};
use crate::sys::call::{self, args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::fs;
use crate::sys::kernel::running;
use crate::sys::mem::Pages;
use crate::sys::scratch::{Scratch, PATH_MAX};
use crate::sys::settings::settings;
use crate::sys::user;

/// The length of a header of ancillary data, and what the lengths are multiples of (cmsg(3)).
const HEAD: usize = size_of::<libc::cmsghdr>();
const ALIGNMENT: usize = size_of::<usize>();
/// More ancillary data than the host takes (net.core.optmem_max).
const MOST_CONTROL: usize = 1 << 20;

/// Calls `each` with the address of every descriptor in the ancillary data, until one fails. What is no good the host says.
fn each_descriptor(control: usize, len: usize, mut each: impl FnMut(usize) -> Result<()>) -> Result<()> {
    let (mut at, end) = (control, control.saturating_add(len));
    while control != 0 && at + HEAD <= end {
        let head: libc::cmsghdr = user::read(at)?;
        if head.cmsg_len < HEAD || head.cmsg_len > end - at {
            break;
        }
        if head.cmsg_level == libc::SOL_SOCKET && head.cmsg_type == libc::SCM_RIGHTS {
            (0..(head.cmsg_len - HEAD) / size_of::<i32>())
                .try_for_each(|i| each(at + HEAD + i * size_of::<i32>()))?;
        }
        at += head.cmsg_len.next_multiple_of(ALIGNMENT);
    }
    Ok(())
}

/// Whether the `struct msghdr` at `address` passes a descriptor that the host cannot carry.
pub fn carries(address: usize) -> bool {
    if !fdtable::any_special_now() && sets::numbers_of_sets().next().is_none() {
        return false;
    }
    let Ok(message) = user::read::<libc::msghdr>(address) else { return false };
    let mut found = false;
    let _ = each_descriptor(message.msg_control as usize, message.msg_controllen, |at| {
        let number = user::read::<i32>(at)? as usize;
        // Whoever receives an epoll set may add to it what we do not see.
        sets::generalise(number);
        found |= passing::needs_ticket(number) || matches!(fdtable::class(number), LOST | RESERVED);
        Ok(())
    });
    found
}

/// Memory for ancillary data: that of most messages fits into what is kept for paths.
enum Room {
    Kept(Scratch),
    Mapped(Pages),
}

impl Room {
    fn new(bytes: usize) -> Result<Room> {
        match bytes <= PATH_MAX {
            true => Scratch::take().map(Room::Kept),
            false => Pages::new(bytes).map(Room::Mapped),
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        match self {
            Room::Kept(scratch) => scratch.path(),
            Room::Mapped(pages) => pages.bytes(),
        }
    }
}

/// The ancillary data of a message with tickets in the place of descriptors, and behind it the tickets.
struct Parcel {
    _room: Room,
    address: usize,
    len: usize,
    count: usize,
}

impl Parcel {
    fn pack(message: &libc::msghdr) -> Result<Parcel> {
        let len = message.msg_controllen;
        if len > MOST_CONTROL {
            return Err(Errno::ENOBUFS);
        }
        let at = len.next_multiple_of(ALIGNMENT);
        let mut room = Room::new(at + len)?;
        user::read_bytes(&mut room.bytes()[..len], message.msg_control as usize)?;
        let mut parcel = Parcel { address: room.bytes().as_ptr() as usize, _room: room, len: at, count: 0 };
        each_descriptor(parcel.address, len, |at| {
            let number = user::read::<i32>(at)? as usize;
            let ticket = match fdtable::class(number) {
                class @ (LOST | RESERVED) => return Err(fdtable::refuse(class)),
                _ if !passing::needs_ticket(number) => return Ok(()),
                _ => Ticket::of(number)?,
            };
            user::write(at, &ticket.raw())?;
            user::write(parcel.place(parcel.count), &ticket.into_raw())?;
            parcel.count += 1;
            Ok(())
        })?;
        Ok(parcel)
    }

    /// Where the n-th ticket is kept.
    fn place(&self, n: usize) -> usize {
        self.address + self.len + n * size_of::<i32>()
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        for ticket in (0..self.count).filter_map(|n| user::read(self.place(n)).ok()) {
            drop(Ticket::from_raw(ticket));
        }
    }
}

/// sendmsg(2) on a socket of the host, of a message that [`carries`] such descriptors.
pub fn send(c: &Call<'_>) -> Result {
    let message: libc::msghdr = user::read(c.args[1])?;
    let parcel = Parcel::pack(&message)?;
    let own = libc::msghdr { msg_control: parcel.address as *mut _, ..message };
    let call = Call { args: args([c.args[0], &raw const own as usize, c.args[2]]), ..*c };
    let sent = unix_names::send_message(&call);
    drop(parcel);
    if sent.is_err() {
        passing::look();
    }
    sent
}

/// After recvmsg(2) with these flags on a socket of the host, into the `struct msghdr` at `address`.
pub fn received(address: usize, flags: usize) {
    if !settings().is_active() {
        return;
    }
    let Ok(message) = user::read::<libc::msghdr>(address) else { return };
    let cloexec = flags & libc::MSG_CMSG_CLOEXEC as usize != 0;
    let mut any = false;
    let _ = each_descriptor(message.msg_control as usize, message.msg_controllen, |at| {
        any |= passing::received(user::read::<i32>(at)? as usize, cloexec);
        Ok(())
    });
    // What was received is mostly a ticket's last copy.
    if any {
        passing::look();
    }
}

/// pidfd_getfd(2): of a file of the kernel the host gives a copy of its placeholder.
pub fn pidfd_getfd(c: &Call<'_>) -> Result {
    let fd = c.to_host()?;
    if running().is_some() && !passing::received(fd, true) {
        if let Some(pid) = pid_of(c.args[0]) {
            passing::received_from(pid, c.args[1], fd).inspect_err(|_| {
                let _ = call::host(libc::SYS_close, &args([fd]));
            })?;
        }
    }
    Ok(fd)
}

/// The process of a pidfd (proc_pid_fdinfo(5)).
fn pid_of(pidfd: usize) -> Option<usize> {
    let text = fs::fdinfo(pidfd as u32 as usize);
    let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Pid:\t"))?;
    core::str::from_utf8(line).ok()?.parse().ok()
}
