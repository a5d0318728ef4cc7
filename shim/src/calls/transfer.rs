// SPDX-License-Identifier: GPL-2.0-only
//! Calls that move data between two descriptors, of which one may be the host's and the other the kernel's.

use crate::fdtable::{self, Owner, KERNEL};
use crate::instance::enter::enter_kernel;
use crate::sys::call::{self, args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::host::Args;
use crate::sys::mem::Pages;
use crate::sys::report::say_once;
use crate::sys::{sigcalls, user};

/// Whose two descriptors are.
enum Pair {
    Both(Owner),
    Mixed,
}

fn pair(a: usize, b: usize) -> Result<Pair> {
    let (a, b) = (fdtable::owner(a)?, fdtable::owner(b)?);
    Ok(if a == b { Pair::Both(a) } else { Pair::Mixed })
}

/// Makes the call as it is, or with `mixed` if the two descriptors are not of one owner.
fn by_pair(c: &Call<'_>, a: usize, b: usize, mixed: impl FnOnce() -> Result) -> Result {
    match pair(c.args[a], c.args[b])? {
        Pair::Both(Owner::Host) => c.to_host(),
        Pair::Both(Owner::Kernel) => c.to_kernel(),
        Pair::Mixed => mixed(),
    }
}

/// copy_file_range(2): between host and mount EXDEV, as between file systems that cannot; cp then copies.
pub fn copy_file_range(c: &Call<'_>) -> Result {
    by_pair(c, 0, 2, || Err(Errno::EXDEV))
}

/// splice(2) and tee(2): a pipe is the host's, so a kernel file has none to splice with.
pub fn splice(c: &Call<'_>) -> Result {
    let second = if c.nr == libc::SYS_tee as usize { 1 } else { 2 };
    by_pair(c, 0, second, || {
        say_once!("splice, tee: not supported between a file in a mount and a pipe of the host (EINVAL)");
        Err(Errno::EINVAL)
    })
}

const CHUNK: usize = 64 << 10;

/// sendfile(2); between host and mount a loop over a buffer, with the same result.
pub fn sendfile(c: &Call<'_>) -> Result {
    by_pair(c, 0, 1, || copy_by_buffer(c))
}

fn copy_by_buffer(c: &Call<'_>) -> Result {
    let [out, input, offset_at, count, ..] = c.args;
    let mut offset = if offset_at == 0 { None } else { Some(user::read::<i64>(offset_at)?) };
    let buffer = Pages::new(CHUNK)?;
    let done = pump(out, input, &mut offset, count, buffer.address())?;
    if let Some(offset) = offset {
        user::write(offset_at, &offset)?;
    }
    Ok(done)
}

/// Copies up to `count` bytes; how many. An error counts only where nothing was copied before.
fn pump(out: usize, input: usize, offset: &mut Option<i64>, count: usize, buffer: usize) -> Result {
    let mut done = 0;
    while done < count {
        let n = (count - done).min(CHUNK);
        let got = match offset {
            Some(at) => on(input, libc::SYS_pread64, args([input, buffer, n, *at as usize])),
            None => on(input, libc::SYS_read, args([input, buffer, n])),
        };
        let got = match got {
            Ok(got) if got > 0 => got,
            end => return if done > 0 { Ok(done) } else { end },
        };
        let (put, error) = write_out(out, buffer, got);
        done += put;
        if let Some(at) = offset {
            *at += put as i64;
        }
        if put < got {
            // What was read and not written is put back.
            if offset.is_none() {
                let back = (put as isize - got as isize) as usize;
                let _ = on(input, libc::SYS_lseek, args([input, back, libc::SEEK_CUR as usize]));
            }
            return if done > 0 { Ok(done) } else { error };
        }
    }
    Ok(done)
}

/// Writes `count` bytes; how many were written, and what the last write said.
fn write_out(out: usize, buffer: usize, count: usize) -> (usize, Result) {
    let mut put = 0;
    while put < count {
        match on(out, libc::SYS_write, args([out, buffer + put, count - put])) {
            Ok(n) if n > 0 => put += n,
            end => return (put, end),
        }
    }
    (put, Ok(put))
}

fn on(fd: usize, nr: i64, args: Args) -> Result {
    if fdtable::class(fd) == KERNEL {
        return enter_kernel(|context| context.call(nr, &args));
    }
    call::host(nr, &args)
}

/// Calls that write: like any by descriptor, and SIGPIPE where the host would send it.
#[inline]
pub fn write(c: &Call<'_>) -> Result {
    match fdtable::owner(c.args[0])? {
        Owner::Host => c.to_host(),
        Owner::Kernel => with_sigpipe(c.to_kernel(), 0),
    }
}

/// Sends SIGPIPE for EPIPE, unless MSG_NOSIGNAL is in `flags`: the kernel's own signal ends at its task.
pub fn with_sigpipe(r: Result, flags: usize) -> Result {
    if r == Err(Errno::EPIPE) && flags & libc::MSG_NOSIGNAL as usize == 0 {
        sigcalls::raise(libc::SIGPIPE);
    }
    r
}
