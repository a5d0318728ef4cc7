// SPDX-License-Identifier: GPL-2.0-only
//! Calls that move data between two descriptors, of which one may be the host's and the other the kernel's.

use crate::fdtable::{self, Owner, KERNEL};
use crate::instance::enter::{self, enter_kernel};
use crate::instance::limits;
use crate::sys::call::{self, args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::host::Args;
use crate::sys::mem::Pages;
use crate::sys::report::say_once;
use crate::sys::{fs, sigcalls, user};

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
pub fn by_pair(c: &Call<'_>, a: usize, b: usize, mixed: impl FnOnce() -> Result) -> Result {
    match pair(c.args[a], c.args[b])? {
        Pair::Both(Owner::Host) => c.to_host(),
        Pair::Both(Owner::Kernel) => c.to_kernel(),
        Pair::Mixed => mixed(),
    }
}

/// The flags that a descriptor is open with, whoever has it.
pub fn open_flags(fd: usize) -> Result<i32> {
    match fdtable::class(fd) {
        KERNEL => enter::open_flags(fd),
        _ => fs::open_flags(fd as i32).and_then(|flags| match flags & libc::O_PATH {
            0 => Ok(flags),
            _ => Err(Errno::EBADF),
        }),
    }
}

/// EBADF, unless `flags` say that a descriptor is open for `mode`.
fn check_mode(flags: i32, mode: i32) -> Result<()> {
    match flags & libc::O_ACCMODE {
        libc::O_RDWR => Ok(()),
        now if now == mode => Ok(()),
        _ => Err(Errno::EBADF),
    }
}

/// EBADF, unless the first is open for reading and the second for writing. The flags of the second.
pub fn both_open(input: usize, out: usize) -> Result<i32> {
    let flags = [open_flags(input)?, open_flags(out)?];
    check_mode(flags[0], libc::O_RDONLY)?;
    check_mode(flags[1], libc::O_WRONLY)?;
    Ok(flags[1])
}

/// The type in the mode of an open descriptor.
pub fn kind(fd: usize) -> Result<u32> {
    fs::filled_stat(|to| on(fd, libc::SYS_fstat, args([fd, to]))).map(|status| status.st_mode & libc::S_IFMT)
}

/// copy_file_range(2): between host and mount EXDEV, as between file systems that cannot; cp then copies. What is wrong
/// beside that comes first (fs/read_write.c, `vfs_copy_file_range`).
pub fn copy_file_range(c: &Call<'_>) -> Result {
    let [input, offset_in, out, offset_out, _, flags] = c.args;
    by_pair(c, 0, 2, || {
        for fd in [input, out] {
            open_flags(fd)?;
        }
        for offset in [offset_in, offset_out].into_iter().filter(|&offset| offset != 0) {
            user::read::<i64>(offset)?;
        }
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        let kinds = [kind(input)?, kind(out)?];
        if kinds.contains(&libc::S_IFDIR) {
            return Err(Errno::EISDIR);
        }
        if kinds != [libc::S_IFREG; 2] {
            return Err(Errno::EINVAL);
        }
        match both_open(input, out)? & libc::O_APPEND {
            0 => Err(Errno::EXDEV),
            _ => Err(Errno::EBADF),
        }
    })
}

/// vmsplice(2): of a file that is no pipe EBADF, as the kernel says. A kernel's pipe cannot take pages of the application.
pub fn vmsplice(c: &Call<'_>) -> Result {
    match fdtable::owner(c.args[0])? {
        Owner::Host => c.to_host(),
        Owner::Kernel if kind(c.args[0])? == libc::S_IFIFO => {
            say_once!("vmsplice: not supported on a pipe in a mount (ENOSYS)");
            Err(Errno::ENOSYS)
        }
        Owner::Kernel => Err(Errno::EBADF),
    }
}

const CHUNK: usize = 64 << 10;

/// sendfile(2); between host and mount a loop over a buffer, with the same result.
pub fn sendfile(c: &Call<'_>) -> Result {
    let r = by_pair(c, 0, 1, || copy_by_buffer(c));
    if r.is_ok_and(|done| done > 0 && done < c.args[3]) && fdtable::class(c.args[0]) == KERNEL {
        signal_cut(c);
    }
    r
}

/// A copy that the file size limit cut short is a signal as well: the next write is what meets the limit.
fn signal_cut(c: &Call<'_>) {
    let at = |fd| on(fd, libc::SYS_lseek, args([fd, 0, libc::SEEK_CUR as usize]));
    let is_full = at(c.args[0]).is_ok_and(|at| at as u64 >= limits::soft());
    let read_to = match c.args[2] {
        0 => at(c.args[1]),
        offset => user::read::<i64>(offset).map(|offset| offset as usize),
    };
    let size = fs::filled_stat(|to| on(c.args[1], libc::SYS_fstat, args([c.args[1], to])));
    if is_full && size.is_ok_and(|st| read_to.is_ok_and(|at| (at as i64) < st.st_size)) {
        limits::signal_excess();
    }
}

fn copy_by_buffer(c: &Call<'_>) -> Result {
    let [out, input, offset_at, count, ..] = c.args;
    let mut offset = if offset_at == 0 { None } else { Some(user::read::<i64>(offset_at)?) };
    if !check_sendfile(out, input, offset, count)? {
        return Ok(0);
    }
    let buffer = Pages::new(CHUNK)?;
    let done = pump(out, input, &mut offset, count, buffer.address())?;
    if let Some(offset) = offset {
        user::write(offset_at, &offset)?;
    }
    Ok(done)
}

/// What is wrong with a sendfile, in the order of fs/read_write.c (`do_sendfile`). False: there is nothing to copy.
fn check_sendfile(out: usize, input: usize, offset: Option<i64>, count: usize) -> Result<bool> {
    check_mode(open_flags(input)?, libc::O_RDONLY)?;
    let kind = kind(input)?;
    let seek = args([input, 0, libc::SEEK_CUR as usize]);
    // A file without a type (an epoll set) has no positions, whatever lseek says.
    let is_seekable = kind != 0 && on(input, libc::SYS_lseek, seek).is_ok();
    if offset.is_some() && !is_seekable {
        return Err(Errno::ESPIPE);
    }
    if offset.is_some_and(|offset| offset < 0) || isize::try_from(count).is_err() {
        return Err(Errno::EINVAL);
    }
    let out_flags = open_flags(out)?;
    check_mode(out_flags, libc::O_WRONLY)?;
    if !is_seekable || out_flags & libc::O_APPEND != 0 {
        return Err(Errno::EINVAL);
    }
    match kind {
        _ if count == 0 => Ok(false),
        libc::S_IFDIR => Err(Errno::EINVAL),
        _ => Ok(true),
    }
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

pub fn on(fd: usize, nr: i64, args: Args) -> Result {
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
