// SPDX-License-Identifier: GPL-2.0-only
//! Calls about the process that the host answers and the kernel has to know of: credentials, the file mode
//! mask, and calls that concern both worlds.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use trampoline::rewrite;
use trampoline::sud::aside;

use crate::calls::Call;
use crate::instance::boot;
use crate::instance::enter::section;
use crate::process::fork;
use crate::signals::{actions, app_sud, mask};
use crate::sys::errno::EPERM;
use crate::sys::host::{self, Ret};
use crate::sys::report::say;
use crate::sys::user;

/// setuid(2) and its family, umask(2): the host decides, the kernel follows.
pub fn both(c: &Call<'_>) -> Ret {
    let r = c.to_host();
    if r >= 0 && boot::is_up() {
        let kernel = section(|door| door.call(c.nr as i64, &c.args));
        if kernel < 0 {
            log::warn!("{}: the kernel does not follow: {}", c.nr, kernel);
        }
    }
    r
}

/// sync(2)
pub fn sync(c: &Call<'_>) -> Ret {
    if boot::is_up() {
        section(|door| door.call(c.nr as i64, &c.args));
    }
    c.to_host()
}

/// exit_group(2)
pub fn exit_group(c: &Call<'_>) -> Ret {
    fork::exit_group(c.nr, &c.args)
}

/// exit(2). Of the last thread it is the process's end, which the kernel's own thread would be in the way of.
pub fn exit(c: &Call<'_>) -> Ret {
    if CONFINED.load(Ordering::Relaxed) {
        return c.to_host();
    }
    // What a process ends with is what its first thread ended with (kernel/exit.c, wait_task_zombie).
    static FIRST: AtomicUsize = AtomicUsize::new(0);
    let (pid, tid) = host::ids();
    if pid == tid {
        FIRST.store(c.args[0], Ordering::Relaxed);
    }
    if fork::is_last_thread() {
        return fork::exit_group(
            libc::SYS_exit_group as usize,
            &[FIRST.load(Ordering::Relaxed), 0, 0, 0, 0, 0],
        );
    }
    fork::exit_thread(c.nr, &c.args)
}

/// fork(2)
pub fn fork(_: &Call<'_>) -> Ret {
    fork::fork(false)
}

/// vfork(2)
pub fn vfork(_: &Call<'_>) -> Ret {
    fork::fork(true)
}

/// clone(2)
pub fn clone(c: &Call<'_>) -> Ret {
    fork::clone(&c.args, c.frame)
}

/// clone3(2)
pub fn clone3(c: &Call<'_>) -> Ret {
    fork::clone3(&c.args, c.frame)
}

/// arch_prctl(2): the GS base tells the trampoline which thread it is.
pub fn arch_prctl(c: &Call<'_>) -> Ret {
    const ARCH_SET_GS: usize = 0x1001;
    const ARCH_GET_GS: usize = 0x1004;
    match c.args[0] {
        ARCH_SET_GS => {
            say!("arch_prctl(ARCH_SET_GS): the GS base is used here (EPERM)");
            EPERM
        }
        ARCH_GET_GS => user::write(c.args[1], &0usize).map_or_else(|e| e, |()| 0),
        _ => c.to_host(),
    }
}

/// prctl(2): what would switch our own interception off, or forbid what it needs.
pub fn prctl(c: &Call<'_>) -> Ret {
    const PR_SET_SYSCALL_USER_DISPATCH: usize = 59;
    match c.args {
        [PR_SET_SYSCALL_USER_DISPATCH, ..] => app_sud::set(&c.args),
        [option, ..] if option == libc::PR_SET_SECCOMP as usize => confine(c),
        _ => c.to_host(),
    }
}

/// seccomp(2)
pub fn seccomp(c: &Call<'_>) -> Ret {
    const SET_MODE_STRICT: usize = 0;
    const SET_MODE_FILTER: usize = 1;
    match c.args[0] {
        SET_MODE_STRICT | SET_MODE_FILTER => confine(c),
        _ => c.to_host(),
    }
}

/// A filter may forbid any call: from now on none is made that the application did not ask for, as far as that goes.
fn confine(c: &Call<'_>) -> Ret {
    aside(rewrite::freeze);
    CONFINED.store(true, Ordering::Relaxed);
    c.to_host()
}

static CONFINED: AtomicBool = AtomicBool::new(false);

/// rt_sigaction(2)
pub fn sigaction(c: &Call<'_>) -> Ret {
    actions::sigaction(&c.args)
}

/// rt_sigprocmask(2)
pub fn sigprocmask(c: &Call<'_>) -> Ret {
    mask::sigprocmask(c.nr, &c.args)
}

/// rt_sigpending(2)
pub fn sigpending(c: &Call<'_>) -> Ret {
    mask::sigpending(c.nr, &c.args)
}

/// rt_sigsuspend(2): the mask must let our signals through.
pub fn sigsuspend(c: &Call<'_>) -> Ret {
    actions::with_mask(&c.args, 0, |args| crate::sys::host::forward(c.nr, args))
}
