// SPDX-License-Identifier: GPL-2.0-only
//! Files of the kernel that go from one process of the instance to another (unix(7), SCM_RIGHTS). What the host carries is a
//! *ticket* (`lkl`, `dev::tickets`), and the file waits in the kernel for whoever receives it.

use lkl::{PassHalf, Private};

use crate::fdtable::sets::{self, Set};
use crate::fdtable::{self, Keep, HOST, INOTIFY, KERNEL, WATCHES};
use crate::instance::enter::{enter_kernel, KernelContext};
use crate::instance::pair::{self, close_kernels};
use crate::instance::watches;
use crate::sys::call::args;
use crate::sys::errno::{Errno, Explained, Result};
use crate::sys::fs;
use crate::sys::kernel::running;
use crate::sys::report::say_once;

/// Whether a descriptor is passed by a ticket: what the host alone could not carry. An inotify descriptor without a watch in a
/// mount is, because whoever receives it may watch something there, and both read what comes.
pub fn needs_ticket(number: usize) -> bool {
    match fdtable::class(number) {
        INOTIFY => running().is_some_and(lkl::Kernel::can_be_shared) && watches::is_inotify(number),
        class => fdtable::has_kernels(class),
    }
}

/// A ticket of this process: a host descriptor of ours.
pub struct Ticket(i32);

impl Ticket {
    /// For the file at `number`, which waits in the kernel from here on. The number may be an inotify descriptor's as well.
    pub fn of(number: usize) -> Result<Ticket> {
        let mut ticket = None;
        enter_kernel(|context| {
            ticket = Some(park(context, number)?);
            Ok(0)
        })
        .inspect_err(|e| match *e {
            Errno::ETOOMANYREFS => {
                say_once!(
                    "sendmsg: more than 1024 files in mounts are under way to other processes (ETOOMANYREFS)"
                );
            }
            Errno::EBADF => {}
            _ => {
                say_once!("sendmsg: a file in a mount cannot be passed to another process: {}", Explained(*e))
            }
        })?;
        ticket.ok_or(Errno::EBADF)
    }

    /// The number that the host is to send.
    pub fn raw(&self) -> i32 {
        self.0
    }

    /// Takes up what [`Ticket::into_raw`] gave.
    pub fn from_raw(fd: i32) -> Ticket {
        Ticket(fd)
    }

    /// To be closed by [`Ticket::from_raw`].
    pub fn into_raw(self) -> i32 {
        let fd = self.0;
        core::mem::forget(self);
        fd
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        fdtable::release(self.0 as usize);
    }
}

/// Inside a section.
fn park(context: &mut KernelContext, number: usize) -> Result<Ticket> {
    if fdtable::class(number) == INOTIFY {
        watches::begin(context, number)?;
    }
    let half = match fdtable::class(number) {
        WATCHES => PassHalf::Inotify,
        _ if pair::is_of_both(number) => PassHalf::Epoll,
        _ => PassHalf::Nothing,
    };
    let ticket = new_ticket()?;
    let kernel = context.kernel();
    let name = kernel.make_ticket(ticket.raw())?;
    context.call(Private::PassPark as i64, &args([number, name as usize, half as usize]))?;
    if half != PassHalf::Nothing {
        kernel.keep_half(name, number as i32)?;
    }
    Ok(ticket)
}

fn new_ticket() -> Result<Ticket> {
    let _room = fdtable::room();
    let socket = fs::unix_socket(libc::SOCK_STREAM)?;
    fdtable::reserve(socket.raw(), Keep::InThread).map(Ticket)
}

/// Files whose ticket exists no more are closed now. Without this they are within 100 ms.
pub fn look() {
    let _ = enter_kernel(|context| context.call(Private::PassLook as i64, &args([])));
}

/// The host has just opened `number` for this process: if that is a ticket, the file that it stands for takes its place.
/// Whether it did.
pub fn received(number: usize, cloexec: bool) -> bool {
    // The number may have been another file's, closed in a way that is not seen here.
    sets::note_set(number, Set::Unknown);
    if fdtable::class(number) != HOST {
        fdtable::set(number, HOST);
    }
    let Some(kernel) = running().filter(|_| number < fdtable::LIMIT) else { return false };
    let Ok(ticket) = kernel.ticket_number(number as i32) else { return false };
    let taken = enter_kernel(|context| {
        let mut half = 0;
        pair::install(context, number, |context, want| {
            let taken = context.call_at(Private::PassTake as i64, &args([ticket as usize]), want)?;
            half = taken >> 32;
            Ok(taken as u32 as usize)
        })?;
        place(context, number, ticket, half, cloexec).inspect_err(|_| close_kernels(context, number))?;
        Ok(0)
    });
    if let Err(e) = taken {
        if e != Errno::ENOENT {
            say_once!("recvmsg: a file in a mount was sent, and cannot be opened: {}", Explained(e));
        }
        return false;
    }
    true
}

/// The kernel has the file at `number`, and the host has the ticket there.
fn place(context: &mut KernelContext, number: usize, ticket: u64, half: usize, cloexec: bool) -> Result<()> {
    if half == PassHalf::Nothing as usize {
        fdtable::placeholder_at(number, cloexec)?;
        fdtable::set(number, KERNEL);
        return Ok(());
    }
    let half = context.kernel().half_of(ticket)?;
    fs::copy_onto(half.raw(), number, cloexec)?;
    has_both(context, number);
    Ok(())
}

/// What the host and the kernel have at `number` belongs together. False: the host's file is none that the kernel has half of.
fn has_both(context: &mut KernelContext, number: usize) -> bool {
    if fs::is_epoll_set(number as i32) {
        fdtable::set(number, KERNEL);
        sets::note_set(number, Set::Both);
        sets::note_nested();
        return true;
    }
    watches::resume(context, number)
}

/// After the host's pidfd_getfd(2), which opened `fd` as a copy of what a process, by the host's id, has at `number`: if the kernel
/// has a file there, too, this process gets that as well. EBADF: the process has closed the file meanwhile, and `fd` is nothing.
pub fn received_from(pid: usize, number: usize, fd: usize) -> Result<()> {
    let is_placeholder = fdtable::is_placeholder(fd);
    if fd >= fdtable::LIMIT || !(is_placeholder || fs::is_epoll_set(fd as i32) || watches::is_inotify(fd)) {
        return Ok(());
    }
    let from = args([pid, number]);
    let taken = enter_kernel(|context| {
        pair::install(context, fd, |context, want| context.call_at(Private::PassFrom as i64, &from, want))?;
        match is_placeholder {
            true => fdtable::set(fd, KERNEL),
            false if has_both(context, fd) => {}
            false => close_kernels(context, fd),
        }
        Ok(0)
    });
    // An epoll set or an inotify descriptor may be the host's alone.
    match taken {
        Err(e) if is_placeholder => Err(e),
        _ => Ok(()),
    }
}
