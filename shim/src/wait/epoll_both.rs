// SPDX-License-Identifier: GPL-2.0-only
//! A wait in both halves of an epoll set.

use core::sync::atomic::Ordering;

use crate::fdtable::sets;
use crate::instance::enter::KernelContext;
use crate::sys::call::{self, args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::user;
use crate::wait::both::{self, At, Wait};
use crate::wait::event::Event;
use crate::wait::join;
use crate::wait::masked::wait_under;
use crate::wait::timeout::Timeout;

const EVENT: usize = size_of::<Event>();

/// What a call of epoll_wait waits for.
struct BothHalves {
    set: usize,
    /// The application's room for events, and for how many.
    room: usize,
    most: usize,
    kernel: [libc::pollfd; 1],
    /// The set's host half, and the waker's place.
    host: [libc::pollfd; 2],
}

/// epoll_wait(2) and its like in both halves.
pub fn wait_in_both(c: &Call<'_>, mut timeout: Timeout, mask: Option<u64>) -> Result {
    let set = libc::pollfd { fd: c.args[0] as i32, events: libc::POLLIN, revents: 0 };
    wait_under(mask, |context| {
        let mut halves =
            BothHalves { set: c.args[0], room: c.args[1], most: c.args[2], kernel: [set], host: [set; 2] };
        both::wait(context, &mut halves, &mut timeout)
    })
}

impl BothHalves {
    /// The events of one half, behind those that there are already.
    fn look_at(&self, context: &mut KernelContext, is_kernel: bool, there: usize) -> Result {
        let asked = args([self.set, self.room + there * EVENT, self.most.wrapping_sub(there), 0]);
        let r = match is_kernel {
            true => context.call(libc::SYS_epoll_wait, &asked),
            false => call::host(libc::SYS_epoll_wait, &asked),
        };
        match r {
            Ok(events) if events > 0 && join::may_be_marked() => drop_marks(asked[1], events),
            // A signal, which is noted now.
            Err(Errno::EINTR) => Ok(0),
            r => r,
        }
    }
}

impl Wait for BothHalves {
    const ALONE: bool = true;

    fn look(&mut self, context: &mut KernelContext, at: At) -> Result {
        let turn = &context.thread().turn;
        let kernel_first = turn.load(Ordering::Relaxed) != 0;
        let mut there = 0;
        for is_kernel in [kernel_first, !kernel_first] {
            if !(if is_kernel { at.kernel } else { at.host })
                || (there > 0 && there == self.most as i32 as usize)
            {
                continue;
            }
            match self.look_at(context, is_kernel, there) {
                Ok(events) if there > 0 && events > 0 && sets::may_be_nested() => {
                    there += drop_twins(self.room, there, events)?;
                }
                Ok(events) => there += events,
                Err(e) if there == 0 => return Err(e),
                Err(_) => {}
            }
        }
        if there > 0 && there == self.most as i32 as usize {
            // The other one may have been left out.
            turn.store(u8::from(!kernel_first), Ordering::Relaxed);
        }
        Ok(there)
    }

    fn kernel_files(&mut self) -> &mut [libc::pollfd] {
        &mut self.kernel
    }

    fn host_files(&mut self) -> &mut [libc::pollfd] {
        &mut self.host
    }
}

/// Takes the marks of rousers out of what a wait in one half gave. None: nothing is left, and the set has two halves now.
pub fn without_marks(c: &Call<'_>, events: usize) -> Result<Option<usize>> {
    drop_marks(c.args[1], events).map(|left| Some(left).filter(|&left| left > 0))
}

/// How many events are left.
fn drop_marks(room: usize, events: usize) -> Result {
    keep_those(room, events, |event| Ok(!join::is_mark(event)))
}

/// A set with two halves that is a member of another one is reported by both halves: once is enough. Behind the first
/// `there` events, of one half, are `events` of the other one. How many of those are left.
fn drop_twins(room: usize, there: usize, events: usize) -> Result {
    keep_those(room + there * EVENT, events, |event| {
        for number in 0..there {
            if event.events == libc::EPOLLIN as u32 && user::read::<Event>(room + number * EVENT)? == *event {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

/// Keeps some of the events at `room`. How many.
fn keep_those(room: usize, events: usize, keep: impl Fn(&Event) -> Result<bool>) -> Result {
    let mut left = 0;
    for number in 0..events {
        let event: Event = user::read(room + number * EVENT)?;
        if !keep(&event)? {
            continue;
        }
        if left != number {
            user::write(room + left * EVENT, &event)?;
        }
        left += 1;
    }
    Ok(left)
}
