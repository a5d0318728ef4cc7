// SPDX-License-Identifier: GPL-2.0-only
//! Waits for files of both kernels at once.
//!
//! A wait runs in one kernel section. It looks at both kernels, arms the kernel library's files, which ring the thread's bell
//! from then on, and sleeps in the host, where the thread's waker hears the bell. So the sleep has no gap: what comes after
//! the look is heard, and a signal that comes after it ends the sleep before it begins (`sys::sleep`). The section ends with
//! the wait, and handlers run then.

use crate::instance::enter::{ended_by_signal, KernelContext};
use crate::sys::errno::Result;
use crate::sys::sleep;
use crate::wait::timeout::Timeout;
use crate::wait::waker::{bell, hush, waker};

/// How long a thread sleeps before it looks around, if other processes use the kernel: one that was killed is to be seen
/// to, and may have died with a ring that it owed.
const LOOK_NS: u64 = 100_000_000;

/// Which kernels something may be ready in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At {
    /// The host.
    pub host: bool,
    /// The kernel library.
    pub kernel: bool,
}

impl At {
    /// In both.
    pub const BOTH: At = At { host: true, kernel: true };
}

/// What a thread waits for.
pub trait Wait {
    /// How much is ready, without waiting.
    fn look(&mut self, context: &mut KernelContext, at: At) -> Result;

    /// The files of the kernel library, the same as arguments of the private call that arms the wait.
    fn kernel_files(&mut self) -> &mut [libc::pollfd];

    /// It is enough if one of the threads that wait for the same is woken.
    const ALONE: bool;

    /// The files of the host, and a last entry that is the waker's.
    fn host_files(&mut self) -> &mut [libc::pollfd];
}

/// Waits inside a section. 0: the time is over.
pub fn wait(context: &mut KernelContext, wait: &mut impl Wait, timeout: &mut Timeout) -> Result {
    let mut at = At::BOTH;
    let mut is_armed = false;
    loop {
        let ready = wait.look(context, at);
        if is_armed {
            disarm(context);
        }
        let ready = ready?;
        let left = timeout.left_ns();
        if ready > 0 || left == Some(0) {
            return Ok(ready);
        }
        if sleep::is_disturbed(context.thread()) {
            return ended_by_signal();
        }
        is_armed = arm(context, wait)?;
        at = At::BOTH;
        if is_armed {
            let slept = sleep_in_host(context, wait, left);
            at = slept.inspect_err(|_| disarm(context))?;
        }
    }
}

fn disarm(context: &mut KernelContext) {
    let _ = context.call(lkl::Private::WaitDisarm as i64, &[0; 6]);
}

/// False: something is ready.
fn arm<W: Wait>(context: &mut KernelContext, wait: &mut W) -> Result<bool> {
    let waker = waker(context)?;
    if let Some(last) = wait.host_files().last_mut() {
        *last = libc::pollfd { fd: waker, events: libc::POLLIN, revents: 0 };
    }
    let files = wait.kernel_files();
    let args =
        [files.as_mut_ptr() as usize, files.len(), bell(context.thread()), usize::from(W::ALONE), 0, 0];
    context.call(lkl::Private::WaitArm as i64, &args).map(|ready| ready == 0)
}

fn sleep_in_host(context: &mut KernelContext, wait: &mut impl Wait, left: Option<u64>) -> Result<At> {
    let is_shared = context.kernel().look_after_members();
    let ns = match is_shared {
        true => Some(left.unwrap_or(LOOK_NS).min(LOOK_NS)),
        false => left,
    };
    let files = wait.host_files();
    files.iter_mut().for_each(|file| file.revents = 0);
    sleep::poll(context.thread(), files, ns)?;
    let Some((waker, others)) = files.split_last() else { return Ok(At::BOTH) };
    let at = At { host: others.iter().any(|file| file.revents != 0), kernel: waker.revents != 0 };
    if at.kernel {
        hush(waker.fd);
    }
    Ok(if at.host || at.kernel { at } else { At::BOTH })
}
