// SPDX-License-Identifier: GPL-2.0-only
//! splice(2) and tee(2). A pipe of the host and a file of the kernel have no pages in common: what goes from one to the other is
//! copied, with the results and the waits of the call.

use crate::calls::transfer::{both_open, by_pair, kind, on, open_flags, with_sigpipe};
use crate::fdtable::{self, KERNEL};
use crate::instance::enter::enter_kernel;
use crate::sys::call::{args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::OwnedFd;
use crate::sys::mem::{Pages, PAGE};
use crate::sys::{fs, user};

/// SPLICE_F_NONBLOCK; and all flags that there are (include/linux/splice.h).
const NONBLOCK: usize = 2;
const KNOWN: u32 = 0xf;
/// A pipe that poll(2) calls writable takes so much without a wait (PIPE_BUF).
const ATOMIC: usize = PAGE;
const CHUNK: usize = 64 << 10;

/// splice(2). What is wrong comes in the order of fs/splice.c (`do_splice`).
pub fn splice(c: &Call<'_>) -> Result {
    by_pair(c, 0, 2, || copy(c))
}

fn copy(c: &Call<'_>) -> Result {
    let [input, offset_in, out, offset_out, len, flags] = c.args;
    if len == 0 {
        return Ok(0);
    }
    check_flags(flags)?;
    open_flags(input).and_then(|_| open_flags(out))?;
    let ends = [(input, offset_in), (out, offset_out)];
    for (end, offset) in ends {
        if offset != 0 && kind(end)? == libc::S_IFIFO {
            return Err(Errno::ESPIPE);
        }
    }
    let mut offsets = [None; 2];
    for (offset, (_, at)) in offsets.iter_mut().zip(ends).filter(|(_, (_, at))| *at != 0) {
        *offset = Some(user::read::<i64>(at)?);
    }
    let out_flags = both_open(input, out)?;
    let [from, to] = offsets;
    let is_pipe = [kind(input)? == libc::S_IFIFO, kind(out)? == libc::S_IFIFO];
    let done = match is_pipe {
        [false, false] => return Err(Errno::EINVAL),
        [true, false] if out_flags & libc::O_APPEND != 0 => return Err(Errno::EINVAL),
        [true, _] => {
            let waits = flags & NONBLOCK == 0 && open_flags(input)? & libc::O_NONBLOCK == 0;
            from_pipe(input, out, to, len, waits)?
        }
        [false, true] => {
            let waits = flags & NONBLOCK == 0 && out_flags & libc::O_NONBLOCK == 0;
            into_pipe(input, out, from, len, waits)?
        }
    };
    for (offset, (_, at)) in offsets.into_iter().zip(ends) {
        if let Some(offset) = offset {
            user::write(at, &(offset + done as i64))?;
        }
    }
    Ok(done)
}

/// Whether a descriptor is ready, or has an error that the next call will tell.
fn is_ready(fd: usize, events: i16, waits: bool) -> Result<bool> {
    let mut asked = libc::pollfd { fd: fd as i32, events, revents: 0 };
    let timeout = if waits { -1 } else { 0 };
    on(fd, libc::SYS_poll, args([&raw mut asked as usize, 1, timeout as usize])).map(|ready| ready > 0)
}

fn read(fd: usize, to: usize, len: usize, offset: Option<usize>) -> Result {
    match offset {
        Some(offset) => on(fd, libc::SYS_pread64, args([fd, to, len, offset])),
        None => on(fd, libc::SYS_read, args([fd, to, len])),
    }
}

/// A directory has no `splice_read`; and what has no offset is asked for that first.
fn of_splice(e: Errno) -> Errno {
    match e {
        Errno::EISDIR | Errno::ESPIPE => Errno::EINVAL,
        e => e,
    }
}

/// What was done, if anything was; else why nothing was.
fn done_or(done: usize, end: Result) -> Result {
    match done {
        0 => end,
        done => Ok(done),
    }
}

/// Fills a pipe with what is in a file: waits only for room for the first bytes.
fn into_pipe(input: usize, out: usize, from: Option<i64>, len: usize, waits: bool) -> Result {
    let buffer = Pages::new(ATOMIC)?;
    let mut done = 0;
    while done < len {
        match is_ready(out, libc::POLLOUT, waits && done == 0) {
            Ok(true) => {}
            Ok(false) => return done_or(done, Err(Errno::EAGAIN)),
            Err(e) => return done_or(done, Err(e)),
        }
        let at = from.map(|from| from as usize + done);
        let got = match read(input, buffer.address(), (len - done).min(ATOMIC), at) {
            Ok(got) if got > 0 => got,
            end => return done_or(done, end.map_err(of_splice)),
        };
        let put = with_sigpipe(on(out, libc::SYS_write, args([out, buffer.address(), got])), 0);
        done += put.unwrap_or(0);
        if put != Ok(got) {
            if from.is_none() {
                let back = (put.unwrap_or(0) as isize - got as isize) as usize;
                let _ = on(input, libc::SYS_lseek, args([input, back, libc::SEEK_CUR as usize]));
            }
            return done_or(done, put);
        }
    }
    Ok(done)
}

/// Takes what is in a pipe to a file: waits only for the first bytes. What the file does not take stays in the pipe.
fn from_pipe(input: usize, out: usize, to: Option<i64>, len: usize, waits: bool) -> Result {
    let buffer = Pages::new(CHUNK)?;
    let copies = if fdtable::class(input) == KERNEL { None } else { fs::pipe(libc::O_NONBLOCK).ok() };
    let mut done = 0;
    while done < len {
        match is_ready(input, libc::POLLIN, waits && done == 0) {
            Ok(true) => {}
            Ok(false) => return done_or(done, Err(Errno::EAGAIN)),
            Err(e) => return done_or(done, Err(e)),
        }
        let most = (len - done).min(CHUNK);
        let copied = match &copies {
            Some(copies) => look_into(input, copies, buffer.address(), most),
            None => look_into_kernel(input, buffer.address(), most),
        };
        let got = match copied.map_or_else(|| read(input, buffer.address(), most, None), Ok) {
            Ok(got) if got > 0 => got,
            end => return done_or(done, end),
        };
        let (put, end) = put_all(out, to.map(|at| at as usize + done), buffer.address(), got);
        if copied.is_some() {
            take_out(input, buffer.address(), put);
        }
        done += put;
        if let Some(end) = end {
            return done_or(done, end.map_err(of_splice));
        }
    }
    Ok(done)
}

/// Copies what is in a pipe of the host and leaves it there. None: it cannot be copied, or there is nothing.
fn look_into(pipe: usize, copies: &[OwnedFd; 2], to: usize, most: usize) -> Option<usize> {
    let [tail, head] = copies.each_ref().map(|end| end.raw() as usize);
    let copied = on(pipe, libc::SYS_tee, args([pipe, head, most, NONBLOCK])).ok().filter(|&n| n > 0)?;
    read(tail, to, copied, None).ok().filter(|&n| n == copied)
}

/// The same of a pipe of the kernel.
fn look_into_kernel(pipe: usize, to: usize, most: usize) -> Option<usize> {
    let ask = args([pipe, to, most]);
    enter_kernel(|context| context.call(lkl::Private::PipeLook as i64, &ask)).ok().filter(|&n| n > 0)
}

/// Takes bytes out of a pipe that another process may have taken meanwhile.
fn take_out(pipe: usize, room: usize, mut count: usize) {
    while count > 0 && is_ready(pipe, libc::POLLIN, false) == Ok(true) {
        match read(pipe, room, count, None) {
            Ok(taken) if taken > 0 => count -= taken,
            _ => return,
        }
    }
}

/// How much was written, and how it ended if not all was.
fn put_all(out: usize, at: Option<usize>, from: usize, len: usize) -> (usize, Option<Result>) {
    let mut put = 0;
    while put < len {
        let rest = [out, from + put, len - put];
        let r = match at {
            Some(at) => on(out, libc::SYS_pwrite64, args([rest[0], rest[1], rest[2], at + put])),
            None => on(out, libc::SYS_write, args(rest)),
        };
        match r {
            Ok(n) if n > 0 => put += n,
            end => return (put, Some(end)),
        }
    }
    (put, None)
}

/// tee(2): both are pipes, and neither is in the other's kernel.
pub fn tee(c: &Call<'_>) -> Result {
    let [input, out, len, flags, ..] = c.args;
    by_pair(c, 0, 1, || {
        check_flags(flags)?;
        if len == 0 {
            return Ok(0);
        }
        both_open(input, out)?;
        Err(Errno::EINVAL)
    })
}

fn check_flags(flags: usize) -> Result<()> {
    match flags as u32 & !KNOWN {
        0 => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}
