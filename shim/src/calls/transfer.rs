// SPDX-License-Identifier: GPL-2.0-only
//! Calls that move data between two descriptors, which may lie in different worlds.
#![allow(unsafe_code)]

use crate::calls::Call;
use crate::fdtable::{self, EPOLL_EMPTY, HOST, KERNEL};
use crate::instance::enter::section;
use crate::signals::actions;
use crate::sys::errno::{EFAULT, EINVAL, ENOMEM, EPIPE, EXDEV};
use crate::sys::host::{self, Ret};
use crate::sys::report::say_once;
use crate::sys::user;

#[derive(PartialEq)]
enum Pair {
    Host,
    Kernel,
    Mixed,
}

fn pair(a: usize, b: usize) -> Result<Pair, Ret> {
    let world = |fd| match fdtable::class(fd) {
        HOST | EPOLL_EMPTY => Ok(false),
        KERNEL => Ok(true),
        other => Err(fdtable::refuse(other)),
    };
    Ok(match (world(a)?, world(b)?) {
        (false, false) => Pair::Host,
        (true, true) => Pair::Kernel,
        _ => Pair::Mixed,
    })
}

/// copy_file_range(2): between two worlds EXDEV, as between file systems that cannot; cp then copies.
pub fn copy_file_range(c: &Call<'_>) -> Ret {
    match pair(c.args[0], c.args[2]) {
        Ok(Pair::Host) => c.to_host(),
        Ok(Pair::Kernel) => c.to_kernel(),
        Ok(Pair::Mixed) => EXDEV,
        Err(e) => e,
    }
}

/// splice(2) and tee(2): a pipe is the host's, so a kernel file has none to splice with.
pub fn splice(c: &Call<'_>) -> Ret {
    let (a, b) = if c.nr == libc::SYS_tee as usize { (0, 1) } else { (0, 2) };
    match pair(c.args[a], c.args[b]) {
        Ok(Pair::Host) => c.to_host(),
        Ok(Pair::Kernel) => c.to_kernel(),
        Ok(Pair::Mixed) => {
            say_once!("splice, tee: not supported between a file in a mount and a pipe of the host (EINVAL)");
            EINVAL
        }
        Err(e) => e,
    }
}

const CHUNK: usize = 64 << 10;

/// sendfile(2); between two worlds a loop over a buffer, with the same result.
pub fn sendfile(c: &Call<'_>) -> Ret {
    let (out, input, offset_at, count) = (c.args[0], c.args[1], c.args[2], c.args[3]);
    match pair(out, input) {
        Ok(Pair::Host) => return c.to_host(),
        Ok(Pair::Kernel) => return c.to_kernel(),
        Ok(Pair::Mixed) => {}
        Err(e) => return e,
    }
    let mut offset = match offset_at {
        0 => None,
        at => match user::read::<i64>(at) {
            Ok(offset) => Some(offset),
            Err(e) => return e,
        },
    };
    let buffer = host::map(CHUNK);
    if buffer < 0 {
        return ENOMEM;
    }
    let r = pump(out, input, &mut offset, count, buffer as usize);
    host::unmap(buffer as usize, CHUNK);
    if let (Some(offset), true) = (offset, r >= 0) {
        if user::write(offset_at, &offset).is_err() {
            return EFAULT;
        }
    }
    r
}

fn pump(out: usize, input: usize, offset: &mut Option<i64>, count: usize, buffer: usize) -> Ret {
    let mut done = 0;
    while done < count {
        let n = (count - done).min(CHUNK);
        let got = match offset {
            Some(at) => on(input, libc::SYS_pread64, [input, buffer, n, *at as usize, 0, 0]),
            None => on(input, libc::SYS_read, [input, buffer, n, 0, 0, 0]),
        };
        if got <= 0 {
            return if done > 0 { done as Ret } else { got };
        }
        let mut put = 0;
        while put < got {
            let n = on(out, libc::SYS_write, [out, buffer + put as usize, (got - put) as usize, 0, 0, 0]);
            if n <= 0 {
                // What was read and not written is put back.
                if offset.is_none() {
                    let back = -(got - put) as usize;
                    on(input, libc::SYS_lseek, [input, back, libc::SEEK_CUR as usize, 0, 0, 0]);
                }
                done += put as usize;
                if let Some(at) = offset {
                    *at += put as i64;
                }
                return if done > 0 { done as Ret } else { n };
            }
            put += n;
        }
        done += got as usize;
        if let Some(at) = offset {
            *at += got as i64;
        }
    }
    done as Ret
}

fn on(fd: usize, nr: i64, args: host::Args) -> Ret {
    if fdtable::class(fd) == KERNEL {
        return section(|door| door.call(nr, &args));
    }
    host::forward(nr as usize, &args)
}

/// Calls that write: like any by descriptor, and SIGPIPE where the host would send it.
pub fn write(c: &Call<'_>) -> Ret {
    match fdtable::class(c.args[0]) {
        HOST | EPOLL_EMPTY => c.to_host(),
        KERNEL => broken_pipe(c.to_kernel(), 0),
        other => fdtable::refuse(other),
    }
}

/// Sends SIGPIPE for EPIPE, unless MSG_NOSIGNAL is in `flags`: the kernel's own signal ends at its task.
pub fn broken_pipe(r: Ret, flags: usize) -> Ret {
    if r == EPIPE && flags & libc::MSG_NOSIGNAL as usize == 0 {
        actions::raise(libc::SIGPIPE);
    }
    r
}
