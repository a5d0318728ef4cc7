// SPDX-License-Identifier: GPL-2.0-only
//! What the servers ask of the host, and std has no name for.
//!
//! # Safety
//! With `host.rs` the only file of this program with unsafe code: one libc call after the other, with descriptors that are
//! borrowed for the call and structures that are locals.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::time::Duration;

/// The descriptors of a server that `stowaway run` started: where it says that it is ready, and whose it is.
pub const READY: RawFd = 3;
pub const OWNER: RawFd = 4;

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

fn owned(result: i32) -> io::Result<OwnedFd> {
    // SAFETY: what the call returned is new and nobody else's.
    checked(result).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A descriptor of this process, which becomes readable when it has ended.
pub fn own_pidfd() -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) } as i32)
}

/// A pipe: what is read, and what is written.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    checked(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    Ok((owned(ends[0])?, owned(ends[1])?))
}

/// The descriptor `fd` that whoever executed us left there.
pub fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    checked(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    owned(fd)
}

/// From now on the signals that ask a process to end are read from a descriptor. Those about a closed socket and a file that
/// grows too large are errors of the call.
pub fn end_signals() -> io::Result<OwnedFd> {
    signals(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP])
}

/// The same, of these signals.
pub fn signals(read: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: the set is made before it is used; dispositions are constants.
    unsafe {
        for &signal in read {
            libc::signal(signal, libc::SIG_DFL);
        }
        for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
            libc::signal(signal, libc::SIG_IGN);
        }
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for &signal in read {
            libc::sigaddset(&mut set, signal);
        }
        checked(libc::sigprocmask(libc::SIG_SETMASK, &set, ptr::null_mut()))?;
        owned(libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))
    }
}

/// Waits until one of the descriptors can be read; which ones.
pub fn wait_readable(fds: &[BorrowedFd], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> =
        fds.iter().map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 }).collect();
    let timeout = timeout.map_or(-1, |timeout| timeout.as_millis() as i32);
    // SAFETY: the array is a local of that length.
    match checked(unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout) }) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(polled.iter().map(|fd| fd.revents != 0).collect()),
    }
}

/// The number of a signal that the descriptor of [`signals`] has.
pub fn read_signal(signals: &OwnedFd) -> Option<i32> {
    let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
    // SAFETY: fills a local.
    let got = unsafe { libc::read(signals.as_raw_fd(), info.as_mut_ptr().cast(), info.len()) };
    // ssi_signo is the first field.
    (got == info.len() as isize).then(|| i32::from_ne_bytes([info[0], info[1], info[2], info[3]]))
}

/// The process at the other end, if it is one that can be named here.
pub fn peer(stream: &UnixStream) -> Option<u32> {
    let mut who = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the structure and its length are locals.
    let done = unsafe {
        let fd = stream.as_raw_fd();
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut who).cast(), &mut len)
    };
    u32::try_from(who.pid).ok().filter(|&pid| done == 0 && pid != 0)
}

/// Locks bytes of a file for this open file; false: another has them. `len` 0: to the end.
pub fn lock(file: &File, kind: i32, start: i64, len: i64) -> io::Result<bool> {
    let lock = whole(kind, start, len);
    // SAFETY: the structure is a local.
    match checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) }) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether nobody has a lock on these bytes.
pub fn is_free(file: &File, start: i64, len: i64) -> io::Result<bool> {
    let mut lock = whole(libc::F_WRLCK, start, len);
    // SAFETY: as above.
    checked(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) })?;
    Ok(i32::from(lock.l_type) == libc::F_UNLCK)
}

fn whole(kind: i32, start: i64, len: i64) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: start, l_len: len, l_pid: 0 }
}

/// Starts `args` as nobody's child, in a session of its own, with `ready` and `owner` at their numbers and no other descriptor of
/// ours. It has been started when this returns, or the pipe has no writer.
pub fn start_detached(args: &[CString], env: &[CString], ready: OwnedFd, owner: OwnedFd) -> io::Result<()> {
    let pointers =
        |list: &[CString]| -> Vec<_> { list.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect() };
    let (argv, envp) = (pointers(args), pointers(env));
    let (ready, owner) = (above_ours(ready)?, above_ours(owner)?);
    // SAFETY: this process has one thread. Both children make system calls with what was made ready before, and nothing
    // else.
    unsafe {
        let child = checked(libc::fork())?;
        if child == 0 {
            libc::setsid();
            if libc::fork() == 0 {
                become_server(&argv, &envp, ready.into_raw_fd(), owner.into_raw_fd());
            }
            libc::_exit(0);
        }
        while libc::waitpid(child, ptr::null_mut(), 0) < 0
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
    }
    Ok(())
}

/// The descriptor at a number that dup2 below does not overwrite.
fn above_ours(fd: OwnedFd) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    owned(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, OWNER + 1) })
}

/// # Safety
/// In a child with one thread; both arrays end with a null pointer and point to strings.
unsafe fn become_server(argv: &[*const libc::c_char], envp: &[*const libc::c_char], ready: i32, owner: i32) {
    // SAFETY: the caller's promise; the rest takes numbers and constants.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for to in 0..=2 {
            libc::dup2(null, to);
        }
        libc::dup2(ready, READY);
        libc::dup2(owner, OWNER);
        libc::syscall(libc::SYS_close_range, OWNER + 1, u32::MAX, 0);
        libc::umask(0o077);
        libc::execve(argv[0], argv.as_ptr(), envp.as_ptr());
        libc::_exit(127);
    }
}
