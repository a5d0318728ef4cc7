// SPDX-License-Identifier: GPL-2.0-only
//! seccomp(2) and prctl(PR_SET_SECCOMP). A filter may forbid any call, so what this library needs is done before the filter
//! takes hold: sites are rewritten, images are mounted, the keeper runs, and what was written is on its way to the images.

use trampoline::freeze;

use crate::instance::enter::{enter_kernel, KernelContext};
use crate::instance::keeper;
use crate::process::{alone, last_thread};
use crate::sys::call::{args, Call};
use crate::sys::confinement::{self, may, Need};
use crate::sys::errno::Result;
use crate::sys::host;
use crate::sys::kernel::running;
use crate::sys::report::say_once;
use crate::sys::settings::settings;

/// seccomp(2)
pub fn seccomp(c: &Call<'_>) -> Result {
    const SET_MODE_STRICT: usize = 0;
    const SET_MODE_FILTER: usize = 1;
    const TSYNC: usize = 1;
    const NEW_LISTENER: usize = 1 << 3;
    let [mode, flags, filter, ..] = c.args;
    match mode as u32 as usize {
        SET_MODE_STRICT if flags == 0 && filter == 0 => confine(c, None),
        // The program's only thread has no other thread to bind: ours are to stay free.
        SET_MODE_FILTER
            if flags & (TSYNC | NEW_LISTENER) == TSYNC && filter != 0 && alone::is_last_thread() =>
        {
            let mut args = c.args;
            args[1] &= !TSYNC;
            confine(&Call { args, ..*c }, Some(filter))
        }
        SET_MODE_FILTER if filter != 0 => confine(c, Some(filter)),
        _ => c.to_host(),
    }
}

/// prctl(PR_SET_SECCOMP)
pub fn by_prctl(c: &Call<'_>) -> Result {
    const MODE_STRICT: usize = 1;
    const MODE_FILTER: usize = 2;
    match c.args {
        [_, MODE_STRICT, ..] => confine(c, None),
        [_, MODE_FILTER, filter, ..] if filter != 0 => confine(c, Some(filter)),
        // A question whether the host has filters.
        _ => c.to_host(),
    }
}

/// From now on no call is made that the filter forbids, as far as that goes.
fn confine(c: &Call<'_>, filter: Option<usize>) -> Result {
    let rows = filter.map(confinement::read).transpose()?;
    mount_all();
    // Asked of the host once: the filter may forbid it (sigaction(2) wants to know).
    host::version();
    freeze(c.frame);
    confinement::add(rows.as_deref());
    lkl::confine(lkl::Forbidden { sleep: !may(Need::Sleep), images: !may(Need::Images) });
    if !may(Need::End) {
        last_thread::watch(if filter.is_some() { libc::SIGSYS } else { libc::SIGKILL });
    }
    c.to_host()
}

/// Nothing is left to be booted, mounted or written when this returns.
fn mount_all() {
    let count = settings().mounts.len();
    if count > 0 && !confinement::is_confined() {
        let _ = enter_kernel(|context: &mut KernelContext| {
            // What is wrong with a mount was said, and is said again to whoever asks for it.
            for index in 0..count {
                let _ = context.mount_root(index);
            }
            Ok(0)
        });
    }
    let Some(kernel) = running() else { return };
    keeper::ensure(kernel);
    let _ = enter_kernel(|context| context.call(libc::SYS_sync, &args([])));
    let is_written = settings().mounts.iter().any(|mount| mount.image.is_some() && !mount.read_only);
    if is_written && kernel.keeper_pid().is_none() {
        say_once!("seccomp: without a keeper, what is written from now on may be lost at the program's end");
    }
}
