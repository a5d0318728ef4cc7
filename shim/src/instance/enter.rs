// SPDX-License-Identifier: GPL-2.0-only
//! The door into the kernel library: kernel sections.
//!
//! While a thread is in a section no handler of the application runs on it: a signal is noted by
//! `signal.rs`, the kernel call is interrupted, and the handler runs here, at the door, on the way out.
//! Then the call ends with EINTR or starts again, as SA_RESTART says (signal(7)).
//!
//! A section may be run again from its start: it must leave nothing behind when it returns an error.
#![allow(unsafe_code)]

use core::sync::atomic::{compiler_fence, Ordering};

use trampoline::gate::STOPPED;

use crate::instance::{boot, kick, mounts};
use crate::lookup::cwd;
use crate::observe;
use crate::process::handoff;
use crate::signals::{actions, cancel};
use crate::sys::errno::{EINTR, ENOMEM, ERESTARTNOHAND, ERESTARTNOINTR, ERESTARTSYS, ERESTART_RESTARTBLOCK};
use crate::sys::host::{Args, Ret};
use crate::sys::thread::{self, Thread};

/// What a section works with: the kernel, and the calling thread's task in it.
pub struct Door<'a> {
    kernel: &'static lkl::Kernel,
    thread: &'a mut Thread,
}

impl Door<'_> {
    /// Calls the kernel; raw result.
    pub fn call(&mut self, nr: i64, args: &Args) -> Ret {
        self.call_at(nr, args, -1)
    }

    /// The same for a call that opens a descriptor, which is to become number `want`.
    pub fn call_at(&mut self, nr: i64, args: &Args, want: i32) -> Ret {
        self.thread.in_call.store(1, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        if self.thread.noted.sig.load(Ordering::Relaxed) != 0 || cancel::is_stopped() {
            // It came before the call, which must not wait then.
            // SAFETY: called on the task's own thread.
            unsafe { self.kernel.interrupt(self.thread.task) };
        }
        // SAFETY: the task is this thread's own; the arguments are the application's, whose bad pointers
        // the kernel answers with EFAULT.
        let r = unsafe { self.kernel.call(self.thread.task, nr, args, want) };
        compiler_fence(Ordering::SeqCst);
        self.thread.in_call.store(0, Ordering::Relaxed);
        boot::stay_if_ending();
        r
    }

    /// Unmounts what is not in use (see [`boot::rest`]).
    pub fn unmount_idle(&mut self) -> bool {
        mounts::unmount_idle(self.kernel, self.thread)
    }

    /// The kernel descriptor of a mount's root, mounted if need be.
    pub fn mount_root(&mut self, index: usize) -> Result<i32, Ret> {
        mounts::mount_root(self.kernel, self.thread, index)
    }
}

/// Runs `work` as a kernel section; boots the kernel if need be.
#[inline]
pub fn section(mut work: impl FnMut(&mut Door<'_>) -> Ret) -> Ret {
    run(&mut |door: &mut Door<'_>| match cwd::is_parked() || handoff::is_pending() {
        true => resume(door).map_or_else(|e| e, |()| work(door)),
        false => work(door),
    })
}

/// What the kernel has to be told of the process before its next call.
#[cold]
fn resume(door: &mut Door<'_>) -> Result<(), Ret> {
    handoff::reopen(door);
    if cwd::is_parked() {
        cwd::enter(door)?;
    }
    Ok(())
}

/// A section in which a parked current directory stays parked (see `cwd.rs`).
pub fn section_away(mut work: impl FnMut(&mut Door<'_>) -> Ret) -> Ret {
    run(&mut work)
}

#[inline]
fn run(work: &mut impl FnMut(&mut Door<'_>) -> Ret) -> Ret {
    let Some(thread) = thread::current_or_new() else { return ENOMEM };
    thread.served = Some(observe::Route::Kernel);
    if thread.is_inside() {
        // A call of the section's own work came back through a hook; its outer part keeps the door.
        return enter(thread, work).unwrap_or_else(|e| e);
    }
    loop {
        thread.inside.store(1, Ordering::Relaxed);
        kick::back(thread);
        compiler_fence(Ordering::SeqCst);
        let result = enter(thread, work).unwrap_or_else(|e| e);
        compiler_fence(Ordering::SeqCst);
        thread.inside.store(0, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        kick::out(thread);
        let ran = actions::deliver_noted(thread);
        match result {
            ERESTARTNOINTR => {}
            ERESTARTSYS if !ran.without_restart => {}
            ERESTARTNOHAND | ERESTART_RESTARTBLOCK if !ran.any => {}
            ERESTARTSYS | ERESTARTNOHAND | ERESTART_RESTARTBLOCK => return EINTR,
            _ => return result,
        }
        if cancel::is_stopped() {
            return STOPPED;
        }
    }
}

/// A section that must not be left for signals and boots nothing: the end of a process or a thread.
pub fn last_section(work: impl FnOnce(&mut Thread)) {
    let Some(thread) = thread::current_or_new() else { return };
    thread.inside.fetch_add(1, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
    work(thread);
}

fn enter(thread: &mut Thread, work: &mut impl FnMut(&mut Door<'_>) -> Ret) -> Result<Ret, Ret> {
    let kernel = boot::kernel(thread)?;
    boot::adopt(kernel, thread)?;
    Ok(work(&mut Door { kernel, thread }))
}

/// Forwards a call of the application to the kernel as it is.
#[inline]
pub fn forward(nr: usize, args: &Args) -> Ret {
    section(|door| door.call(nr as i64, args))
}
