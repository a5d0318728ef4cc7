// SPDX-License-Identifier: GPL-2.0-only
//! Calls about limits of the process, which the host keeps, and the kernel for files on mounts.

use crate::instance::enter::enter_kernel;
use crate::instance::limits;
use crate::sys::call::{self, args, Call};
use crate::sys::errno::Result;
use crate::sys::{host, kernel, user};

/// getrlimit(2)
pub fn getrlimit(c: &Call<'_>) -> Result {
    let r = c.to_host()?;
    show(c.args[0], c.args[1])?;
    Ok(r)
}

/// setrlimit(2)
pub fn setrlimit(c: &Call<'_>) -> Result {
    let [resource, new, ..] = c.args;
    set(c, [0, resource, new, 0])
}

/// prlimit64(2)
pub fn prlimit64(c: &Call<'_>) -> Result {
    let [process, resource, new, old, ..] = c.args;
    let is_own = process as u32 == 0 || process as i32 == host::pid() as i32;
    if is_own {
        return set(c, [process, resource, new, old]);
    }
    let r = c.to_host()?;
    if new != 0 {
        changed_of(process, resource, new);
    }
    Ok(r)
}

/// The limits of this process. Those of address space are the host's with room for the kernel.
fn set(c: &Call<'_>, [process, resource, new, old]: [usize; 4]) -> Result {
    let before = limits::address_space();
    let asked = match new {
        0 => None,
        _ if resource as u32 != libc::RLIMIT_AS || !kernel::is_up() => None,
        _ => Some(user::read::<[u64; 2]>(new)?),
    };
    let r = match asked.map(limits::with_room_for_kernel) {
        Some(all) => call::host(libc::SYS_prlimit64, &args([process, resource, all.as_ptr() as usize, old]))?,
        None => c.to_host()?,
    };
    if let Some(soft) = before.filter(|_| resource as u32 == libc::RLIMIT_AS && old != 0) {
        user::write(old, &soft)?;
    }
    if let Some([soft, _]) = asked {
        limits::program_has(if soft == libc::RLIM_INFINITY { 0 } else { soft });
    }
    if new != 0 {
        changed(resource);
    }
    Ok(r)
}

/// Shows the program its own soft limit of address space, in a structure that the host has filled.
fn show(resource: usize, limits: usize) -> Result<()> {
    match limits::address_space().filter(|_| resource as u32 == libc::RLIMIT_AS) {
        Some(soft) => user::write(limits, &soft),
        None => Ok(()),
    }
}

/// The program has set a limit of another process, which may be one of this kernel.
fn changed_of(process: usize, resource: usize, new: usize) {
    let Ok(soft) = user::read::<u64>(new) else { return };
    if resource as u32 == libc::RLIMIT_FSIZE && kernel::is_up() {
        let of = args([process, soft as usize]);
        let _ = enter_kernel(|context| context.call(lkl::Private::FileLimit as i64, &of));
    }
}

/// The program has set the limit of a resource: the kernel follows.
fn changed(resource: usize) {
    if resource as u32 == libc::RLIMIT_FSIZE && kernel::is_up() {
        let _ = enter_kernel(|context| {
            limits::follow(|nr, args| context.call(nr, args));
            Ok(0)
        });
    }
}
