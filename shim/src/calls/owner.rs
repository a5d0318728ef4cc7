// SPDX-License-Identifier: GPL-2.0-only
//! Who gets the signals of a kernel file (fcntl(2), "Managing signals"): the overlay's `kernel/signals.c` sends them on the host.

use crate::instance::enter::{enter_kernel, KernelContext};
use crate::sys::call::{args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::report::say_once;
use crate::sys::{host, kernel, user};

/// Not in libc (include/uapi/asm-generic/fcntl.h).
pub const F_SETOWN_EX: i32 = 15;
/// As above.
pub const F_GETOWN_EX: i32 = 16;
/// <asm-generic/sockios.h>
pub const FIOSETOWN: usize = 0x8901;
/// As above.
pub const SIOCSPGRP: usize = 0x8902;
/// As above.
pub const FIOGETOWN: usize = 0x8903;
/// As above.
pub const SIOCGPGRP: usize = 0x8904;
const F_OWNER_TID: i32 = 0;
const F_OWNER_PID: i32 = 1;
const F_OWNER_PGRP: i32 = 2;

/// `struct f_owner_ex`
#[derive(Clone, Copy)]
struct Owner {
    kind: i32,
    id: i32,
}

/// F_GETLK: the holder of the lock in the way, as the host calls the process.
pub fn get_lock(c: &Call<'_>) -> Result {
    const TYPE: usize = core::mem::offset_of!(libc::flock, l_type);
    const PID: usize = core::mem::offset_of!(libc::flock, l_pid);
    let r = c.to_kernel()?;
    let lock = c.args[2];
    if i32::from(user::read::<u16>(lock + TYPE)?) != libc::F_UNLCK {
        let holder = user::read::<i32>(lock + PID)?;
        let pid = u32::try_from(holder).ok().and_then(|tgid| kernel::running()?.pid_of(tgid));
        user::write(lock + PID, &pid.map_or(holder, |pid| pid as i32))?;
    }
    Ok(r)
}

/// F_SETOWN, F_SETOWN_EX
pub fn set(c: &Call<'_>) -> Result {
    // The kernel's order (do_fcntl in fs/fcntl.c): a descriptor that has no owner (O_PATH) is EBADF before a bad address is EFAULT.
    enter_kernel(|context| now(context, c.args[0]).map(|_| 0))?;
    let asked = match c.args[1] as i32 {
        F_SETOWN_EX => {
            let [kind, id] = user::read::<[i32; 2]>(c.args[2])?;
            Owner { kind, id }
        }
        _ => by_number(c.args[2] as i32)?,
    };
    tell(c.args[0], asked)
}

/// The owner as F_SETOWN, FIOSETOWN and SIOCSPGRP name it.
fn by_number(id: i32) -> Result<Owner> {
    let kind = if id < 0 { F_OWNER_PGRP } else { F_OWNER_PID };
    Ok(Owner { kind, id: id.checked_abs().ok_or(Errno::EINVAL)? })
}

fn tell(fd: usize, mut asked: Owner) -> Result {
    if !(F_OWNER_TID..=F_OWNER_PGRP).contains(&asked.kind) {
        return Err(Errno::EINVAL);
    }
    let (pid, tid) = host::ids();
    let is_other_thread = asked.kind == F_OWNER_TID && asked.id != tid as i32;
    if asked.id != 0 && (is_other_thread || asked.kind == F_OWNER_PGRP) {
        return Err(nobody(&asked));
    }
    // The number of a thread stands for its process.
    if asked.kind == F_OWNER_PID && asked.id == tid as i32 {
        asked.id = pid as i32;
    }
    let may_signal = asked.id == 0 || host::may_signal(asked.id);
    let told = args([fd, asked.kind as usize, asked.id as usize, may_signal.into()]);
    enter_kernel(|context| context.call(lkl::Private::Owner as i64, &told)).map_err(|e| match e {
        Errno::ESRCH => nobody(&asked),
        other => other,
    })
}

/// An owner that is no process of this kernel.
fn nobody(asked: &Owner) -> Errno {
    if asked.id != 0 && host::is_there(asked.id, asked.kind == F_OWNER_PGRP) {
        say_once!("fcntl: only a process of this kernel, or the calling thread, can own a file in a mount (F_SETOWN, ESRCH)");
    }
    Errno::ESRCH
}

/// FIOSETOWN and SIOCSPGRP, FIOGETOWN and SIOCGPGRP: of sockets only.
pub fn ioctl(c: &Call<'_>) -> Result {
    let mut unused = 0i32;
    let ask = args([c.args[0], FIOGETOWN, &raw mut unused as usize]);
    enter_kernel(|context| context.call(libc::SYS_ioctl, &ask))?;
    match c.args[1] {
        FIOSETOWN | SIOCSPGRP => tell(c.args[0], by_number(user::read(c.args[2])?)?),
        _ => {
            let mut owner = Owner { kind: F_OWNER_PID, id: 0 };
            enter_kernel(|context| {
                owner = now(context, c.args[0])?;
                Ok(0)
            })?;
            user::write(c.args[2], &owner.id).map(|()| 0)
        }
    }
}

/// F_GETOWN, F_GETOWN_EX
pub fn get(c: &Call<'_>) -> Result {
    let mut owner = Owner { kind: F_OWNER_PID, id: 0 };
    enter_kernel(|context| {
        owner = now(context, c.args[0])?;
        Ok(0)
    })?;
    match c.args[1] as i32 {
        F_GETOWN_EX => user::write(c.args[2], &[owner.kind, owner.id]).map(|()| 0),
        _ => Ok(owner.id as usize),
    }
}

/// The owner, with the application's numbers.
fn now(context: &mut KernelContext, fd: usize) -> Result<Owner> {
    const TELL: usize = -1i32 as usize;
    let found = context.call(lkl::Private::Owner as i64, &args([fd, TELL]))?;
    Ok(Owner { kind: (found >> 32) as i32, id: found as i32 })
}
