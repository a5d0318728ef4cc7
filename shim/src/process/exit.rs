// SPDX-License-Identifier: GPL-2.0-only
//! The end of threads and processes.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::OnceLock;

use crate::instance::enter::{final_entry, reopen_after_final_entry, shut_down};
use crate::instance::{boot, kick};
use crate::observe;
use crate::process::alone::is_last_thread;
use crate::process::{last_thread, stores};
use crate::sys::call::{self, args, Call};
use crate::sys::confinement::{is_confined, may, Need};
use crate::sys::errno::Result;
use crate::sys::kernel::{self, park_forever_if_ending, running};
use crate::sys::report::say;
use crate::sys::{host, sigcalls, thread, told};

/// What has to happen before the process ends, by whatever: what its parent is to have of it, the last word of those that watch, and the unmounting.
pub fn before_end() {
    stores::give_back();
    observe::end();
    shut_down();
    if let Some(work) = LAST.get() {
        work();
    }
}

static LAST: OnceLock<fn()> = OnceLock::new();

/// `work` is done when the process ends, with the images unmounted: what it has left on the host.
pub fn last_of_all(work: fn()) {
    let _ = LAST.set(work);
}

/// exit_group(2): the images are unmounted first. Where a filter of the application forbids what that takes, the process ends at once,
/// and the keeper unmounts: it finds that this process is no more.
pub fn exit_group(c: &Call<'_>) -> Result {
    let goes_on = is_confined() && running().is_some_and(lkl::Kernel::has_live_company);
    if goes_on || !may(Need::End) {
        return c.to_host();
    }
    end_process(c.args[0])
}

fn end_process(status: usize) -> Result {
    before_end();
    call::host(libc::SYS_exit_group, &args([status]))
}

/// exit(2). Of the last thread it is the process's end, which the kernel's own thread would be in the way of.
/// A filter of the application may forbid what the end of a thread takes.
pub fn exit(c: &Call<'_>) -> Result {
    if !may(Need::End) {
        last_thread::ends_with(c.args[0]);
        return c.to_host();
    }
    // What a process ends with is what its first thread ended with (kernel/exit.c, wait_task_zombie).
    static FIRST: AtomicUsize = AtomicUsize::new(0);
    let (pid, tid) = host::ids();
    if pid == tid {
        FIRST.store(c.args[0], Ordering::Relaxed);
    }
    if is_last_thread() {
        return end_process(FIRST.load(Ordering::Relaxed));
    }
    end_thread(c)
}

/// The end of one thread: its task goes with it.
fn end_thread(c: &Call<'_>) -> Result {
    final_entry(boot::release_task);
    // From here on no handler of the application may run: the thread's state is gone.
    sigcalls::set_mask(!0);
    kick::withdraw();
    thread::discard();
    told::forget();
    if trampoline::is_installed() {
        trampoline::thread::exit(c.args[0]);
    }
    c.to_host()
}

/// Makes the exec `execute` with the kernel ended: the kernel lives in the memory that goes away. Returns only if the exec
/// failed; then the process goes on without its mounts.
pub fn without_kernel(execute: impl FnOnce() -> Result) -> Result {
    park_forever_if_ending();
    let was_up = kernel::is_up();
    if was_up {
        shut_down();
        reopen_after_final_entry();
    }
    let r = execute();
    if was_up {
        kernel::end_failed();
        say!("exec failed after the mounts were given up: calls into them fail with EIO from now on");
    }
    r
}
