// SPDX-License-Identifier: GPL-2.0-only
//! Calls about the process that the host answers and the kernel has to know of: credentials, the file mode
//! mask, and calls that concern host and kernel.

use trampoline::learn_all;

use crate::calls::{identity, seccomp};
use crate::fdtable;
use crate::instance::enter::{self, enter_kernel};
use crate::process::exit;
use crate::signals::{app_sud, mask};
use crate::sys::call::Call;
use crate::sys::credentials::Credentials;
use crate::sys::errno::{Errno, Result};
use crate::sys::report::{say, say_once};
use crate::sys::{kernel, told, user};

/// setuid(2) and its family, capset(2), setns(2): the host decides, and what the calling thread has become the kernel is told.
pub fn become_another(c: &Call<'_>) -> Result {
    let r = c.to_host()?;
    if kernel::is_up() {
        match Credentials::now() {
            Ok(who) => follow(&who),
            Err(e) => log::warn!("the kernel does not follow: {e:?}"),
        }
    }
    Ok(r)
}

/// unshare(2): in a user namespace of its own a thread is nobody else to what others mounted.
pub fn unshare(c: &Call<'_>) -> Result {
    if c.args[0] & libc::CLONE_NEWUSER as usize == 0 || told::is_told() {
        return c.to_host();
    }
    let before = Credentials::now()?;
    let r = c.to_host()?;
    let after = before.in_own_namespace();
    if kernel::is_up() {
        follow(&after);
    }
    Ok(r)
}

/// setns(2): no kernel file is a namespace.
pub fn setns(c: &Call<'_>) -> Result {
    if fdtable::class(c.args[0]) == fdtable::KERNEL {
        return Err(enter::open_flags(c.args[0]).map_or_else(|e| e, |_| Errno::EINVAL));
    }
    become_another(c)
}

/// Tells the kernel who the calling thread is.
pub fn follow(who: &Credentials) {
    if let Err(e) = enter_kernel(|context| context.set_credentials(who).map(|()| 0)) {
        log::warn!("the kernel does not follow: {e:?}");
    }
}

/// umask(2): the host decides, the kernel follows.
pub fn mirror_on_kernel(c: &Call<'_>) -> Result {
    let r = c.to_host()?;
    if kernel::is_up() {
        if let Err(e) = enter_kernel(|context| context.call(c.nr as i64, &c.args)) {
            log::warn!("{}: the kernel does not follow: {e:?}", c.nr);
        }
    }
    Ok(r)
}

/// sync(2)
pub fn sync(c: &Call<'_>) -> Result {
    if kernel::is_up() {
        let _ = enter_kernel(|context| context.call(c.nr as i64, &c.args));
    }
    c.to_host()
}

/// exit_group(2)
pub fn exit_group(c: &Call<'_>) -> Result {
    exit::exit_group(c)
}

/// exit(2)
pub fn exit(c: &Call<'_>) -> Result {
    exit::exit(c)
}

/// arch_prctl(2): the GS base tells the trampoline which thread it is.
pub fn arch_prctl(c: &Call<'_>) -> Result {
    const ARCH_SET_GS: usize = 0x1001;
    const ARCH_GET_GS: usize = 0x1004;
    match c.args[0] {
        ARCH_SET_GS => {
            say!("arch_prctl(ARCH_SET_GS): the GS base is used here (EPERM)");
            Err(Errno::EPERM)
        }
        ARCH_GET_GS => user::write(c.args[1], &0usize).map(|()| 0),
        _ => c.to_host(),
    }
}

/// prctl(2): what would switch our own interception off, or forbid what it needs.
pub fn prctl(c: &Call<'_>) -> Result {
    const PR_SET_SYSCALL_USER_DISPATCH: usize = 59;
    match c.args {
        [PR_SET_SYSCALL_USER_DISPATCH, ..] => app_sud::set(&c.args),
        [option, ..] if option == libc::PR_SET_SECCOMP as usize => seccomp::by_prctl(c),
        _ => identity::prctl(c).unwrap_or_else(|| c.to_host()),
    }
}

/// ptrace(2): a child that asks for a tracer stops at each signal from then on, those of unknown sites too; and a parent that
/// waits as for vfork(2) does not wait for stops.
pub fn ptrace(c: &Call<'_>) -> Result {
    if c.args[0] == libc::PTRACE_TRACEME as usize {
        learn_all(c.frame);
    }
    c.to_host()
}

/// kcmp(2): to the host all kernel files are one file.
pub fn kcmp(c: &Call<'_>) -> Result {
    const KCMP_FILE: usize = 0;
    if c.args[2] == KCMP_FILE
        && [c.args[3], c.args[4]].iter().all(|&fd| fdtable::class(fd) == fdtable::KERNEL)
    {
        say_once!("kcmp: two files in mounts cannot be compared (ENOSYS)");
        return Err(Errno::ENOSYS);
    }
    c.to_host()
}

/// rt_sigsuspend(2): the mask must let our signals through.
pub fn sigsuspend(c: &Call<'_>) -> Result {
    mask::with_mask(&c.args, 0, |args| c.to_host_with(args))
}
