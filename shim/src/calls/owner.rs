// SPDX-License-Identifier: GPL-2.0-only
//! Who gets the signals of a kernel file (fcntl(2), "Managing signals"). The kernel library knows its own process and threads
//! by numbers of its own: here those of the application become the kernel's, and the kernel's the application's.

use crate::instance::enter::{enter_kernel, KernelContext};
use crate::sys::call::{args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::report::say_once;
use crate::sys::{fs, host, kernel, user};

/// Not in libc (include/uapi/asm-generic/fcntl.h).
pub const F_SETOWN_EX: i32 = 15;
/// As above.
pub const F_GETOWN_EX: i32 = 16;
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
    let id = c.args[2] as i32;
    let asked = match c.args[1] as i32 {
        F_SETOWN_EX => {
            let [kind, id] = user::read::<[i32; 2]>(c.args[2])?;
            Owner { kind, id }
        }
        _ if id == i32::MIN => return Err(Errno::EINVAL),
        _ if id < 0 => Owner { kind: F_OWNER_PGRP, id: -id },
        _ => Owner { kind: F_OWNER_PID, id },
    };
    if !(F_OWNER_TID..=F_OWNER_PGRP).contains(&asked.kind) {
        return Err(Errno::EINVAL);
    }
    let (pid, tid) = host::ids();
    let own = match asked.kind {
        F_OWNER_TID => Some(libc::SYS_gettid).filter(|_| asked.id == tid as i32),
        F_OWNER_PID => Some(libc::SYS_getpid).filter(|_| asked.id == pid as i32),
        _ => None,
    };
    if asked.id != 0 && own.is_none() {
        if host::is_there(asked.id, asked.kind == F_OWNER_PGRP) {
            say_once!("fcntl: only the program itself can own a file in a mount (F_SETOWN, ESRCH)");
        }
        return Err(Errno::ESRCH);
    }
    enter_kernel(|context| {
        let id = own.map_or(Ok(0), |number| context.call(number, &[0; 6]))?;
        let owner = [asked.kind, id as i32];
        let own = args([c.args[0], F_SETOWN_EX as usize, owner.as_ptr() as usize]);
        context.call(libc::SYS_fcntl, &own)
    })
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

/// Before O_ASYNC: a file or directory has no such signals on any kernel; those of pipes and sockets do not get out of the
/// kernel library.
pub fn check_async(fd: usize) -> Result<()> {
    let status =
        fs::filled_stat(|to| enter_kernel(|context| context.call(libc::SYS_fstat, &args([fd, to]))))?;
    match status.st_mode & libc::S_IFMT {
        libc::S_IFIFO | libc::S_IFSOCK => {
            say_once!(
                "fcntl: a pipe in a mount, or a socket of the kernel here, sends no SIGIO (O_ASYNC, EINVAL)"
            );
            Err(Errno::EINVAL)
        }
        _ => Ok(()),
    }
}

/// The owner, with the application's numbers.
fn now(context: &mut KernelContext, fd: usize) -> Result<Owner> {
    let mut found = [F_OWNER_PID, 0];
    context.call(libc::SYS_fcntl, &args([fd, F_GETOWN_EX as usize, found.as_mut_ptr() as usize]))?;
    let [kind, id] = found;
    let (pid, tid) = host::ids();
    let id = match kind {
        _ if id == 0 => 0,
        F_OWNER_TID if context.call(libc::SYS_gettid, &[0; 6]) == Ok(id as usize) => tid,
        F_OWNER_PID => pid,
        _ => 0,
    };
    Ok(Owner { kind, id: id as i32 })
}
