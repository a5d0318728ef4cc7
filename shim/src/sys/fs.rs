// SPDX-License-Identifier: GPL-2.0-only
//! Files of the host.
//!
//! A path is an address here, because it may be the application's: the host reads the text and says EFAULT where there
//! is none. [`address`] gives that of a string of ours. `dirfd` is a descriptor or AT_FDCWD, as for openat(2).
//!
//! # Safety
//! `unsafe` stands where buffers become addresses. Each call fills at most the buffer that it is given.
#![allow(unsafe_code)]

use core::ffi::CStr;
use core::mem::MaybeUninit;

use crate::sys::decimal::FdPath;
use crate::sys::errno::{Errno, Result};
use crate::sys::host;

pub use libc::AT_FDCWD;

pub use lkl::sys::file::{close, read, write, write_all};
pub use lkl::sys::OwnedFd;

/// Takes a descriptor that the host just gave us, or that another program handed on to us.
pub fn owned(fd: i32) -> OwnedFd {
    // SAFETY: the number came from a call that opened it for us, and nobody else knows it.
    unsafe { OwnedFd::from_raw(fd) }
}

/// The address of a string of ours.
pub fn address(path: &CStr) -> usize {
    path.as_ptr() as usize
}

/// openat(2).
pub fn open_at(dirfd: i32, path: usize, flags: i32, mode: u32) -> Result<OwnedFd> {
    // SAFETY: opens a new descriptor; the path is only read.
    let fd = unsafe { host::call(libc::SYS_openat, &[dirfd as usize, path, flags as usize, mode as usize]) }?;
    Ok(owned(fd as i32))
}

/// open(2) of a path of ours; O_CLOEXEC is added.
pub fn open(path: &CStr, flags: i32, mode: u32) -> Result<OwnedFd> {
    open_at(AT_FDCWD, address(path), flags | libc::O_CLOEXEC, mode)
}

/// Reads until `into` is full or the file ends; how many bytes were read.
pub fn read_at(fd: i32, into: &mut [u8], offset: usize) -> Result {
    let mut done = 0;
    while done < into.len() {
        let rest = &mut into[done..];
        let args = [fd as usize, rest.as_mut_ptr() as usize, rest.len(), offset + done];
        // SAFETY: fills what is left of the buffer.
        match unsafe { host::call(libc::SYS_pread64, &args) }? {
            0 => break,
            n => done += n,
        }
    }
    Ok(done)
}

/// Where the next read of an open file begins.
pub fn offset(fd: i32) -> Result {
    // SAFETY: changes nothing.
    unsafe { host::call(libc::SYS_lseek, &[fd as usize, 0, libc::SEEK_CUR as usize]) }
}

/// pwrite(2).
pub fn write_at(fd: i32, from: &[u8], offset: usize) -> Result {
    // SAFETY: reads the buffer.
    unsafe { host::call(libc::SYS_pwrite64, &[fd as usize, from.as_ptr() as usize, from.len(), offset]) }
}

/// readlinkat(2): how many bytes of the target were written, without a NUL.
pub fn read_link_at(dirfd: i32, path: usize, into: &mut [u8]) -> Result {
    let args = [dirfd as usize, path, into.as_mut_ptr() as usize, into.len()];
    // SAFETY: fills the buffer.
    unsafe { host::call(libc::SYS_readlinkat, &args) }
}

/// What the link `/proc/self/fd/FD` says.
pub fn read_fd_link(fd: i32, into: &mut [u8]) -> Result {
    read_link_at(AT_FDCWD, FdPath::new(fd as usize).address(), into)
}

/// Whether a descriptor is of an epoll set.
pub fn is_epoll_set(fd: i32) -> bool {
    let mut text = [0; 32];
    read_fd_link(fd, &mut text).is_ok_and(|n| &text[..n] == b"anon_inode:[eventpoll]")
}

/// What the host says of an open descriptor (proc_pid_fdinfo(5)); nothing: the host does not say.
pub fn fdinfo(number: usize) -> Vec<u8> {
    let path = format!("/proc/self/fdinfo/{number}\0");
    let file =
        CStr::from_bytes_with_nul(path.as_bytes()).ok().and_then(|path| open(path, libc::O_RDONLY, 0).ok());
    let mut text = Vec::new();
    let mut part = [0; 4096];
    while let Some(Ok(n @ 1..)) = file.as_ref().map(|file| read(file.raw(), &mut part)) {
        text.extend_from_slice(&part[..n]);
    }
    text
}

/// Whether two descriptors are copies of each other: what is set of the one's open file is set of the other's. For files to
/// which O_NONBLOCK means nothing.
pub fn is_same_open_file(a: i32, b: i32) -> bool {
    let has_it = |fd| open_flags(fd).map(|flags| flags & libc::O_NONBLOCK != 0);
    let turn = |on: bool| control(a, libc::F_SETFL, if on { libc::O_NONBLOCK as usize } else { 0 });
    let (Ok(at_a), Ok(at_b)) = (has_it(a), has_it(b)) else { return false };
    if at_a != at_b || turn(!at_a).is_err() {
        return false;
    }
    let follows = has_it(b) == Ok(!at_a);
    let _ = turn(at_a);
    follows
}

/// What a call of the stat family writes at the address that `call` is given.
pub fn filled_stat(call: impl FnOnce(usize) -> Result) -> Result<libc::stat> {
    filled(call)
}

fn filled<T: Filled>(call: impl FnOnce(usize) -> Result) -> Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    call(value.as_mut_ptr() as usize)?;
    // SAFETY: `T: Filled` is valid as zeroes and with any bytes that the host wrote.
    Ok(unsafe { value.assume_init() })
}

/// # Safety
/// Any bytes are a valid value.
unsafe trait Filled {}
// SAFETY: integers only.
unsafe impl Filled for libc::stat {}
// SAFETY: integers only.
unsafe impl Filled for libc::statfs {}

/// newfstatat(2).
pub fn stat_at(dirfd: i32, path: usize, flags: i32) -> Result<libc::stat> {
    // SAFETY: fills the structure.
    filled(|to| unsafe { host::call(libc::SYS_newfstatat, &[dirfd as usize, path, to, flags as usize]) })
}

/// fstat(2).
pub fn stat(fd: i32) -> Result<libc::stat> {
    // SAFETY: fills the structure.
    filled(|to| unsafe { host::call(libc::SYS_fstat, &[fd as usize, to]) })
}

/// statfs(2) of a path of ours.
pub fn statfs(path: &CStr) -> Result<libc::statfs> {
    // SAFETY: fills the structure.
    filled(|to| unsafe { host::call(libc::SYS_statfs, &[address(path), to]) })
}

/// `f_flags` of fstatfs(2), which libc keeps in its padding (include/uapi/asm-generic/statfs.h).
pub fn mount_flags(fd: i32) -> Result<u64> {
    const FLAGS_AT: usize = 80;
    const _: () = assert!(FLAGS_AT + 8 <= size_of::<libc::statfs>());
    // SAFETY: fills the structure.
    let fs: libc::statfs = filled(|to| unsafe { host::call(libc::SYS_fstatfs, &[fd as usize, to]) })?;
    // SAFETY: the field lies within the structure, and the structure's alignment is that of a word.
    Ok(unsafe { (&raw const fs).cast::<u8>().add(FLAGS_AT).cast::<u64>().read() })
}

/// faccessat(2), which has no flags.
pub fn access_at(dirfd: i32, path: usize, mode: i32) -> Result<()> {
    // SAFETY: changes nothing.
    unsafe { host::call(libc::SYS_faccessat, &[dirfd as usize, path, mode as usize]) }.map(drop)
}

/// faccessat2(2).
pub fn access_with(dirfd: i32, path: usize, mode: i32, flags: i32) -> Result<()> {
    // SAFETY: changes nothing.
    unsafe { host::call(libc::SYS_faccessat2, &[dirfd as usize, path, mode as usize, flags as usize]) }
        .map(drop)
}

/// fcntl(2) with a number.
fn control(fd: i32, command: i32, argument: usize) -> Result {
    // SAFETY: the commands used in this file take a number.
    unsafe { host::call(libc::SYS_fcntl, &[fd as usize, command as usize, argument]) }
}

/// Copies a descriptor to the lowest free number from `min` on.
pub fn copy_from(fd: i32, min: usize, cloexec: bool) -> Result<i32> {
    let command = if cloexec { libc::F_DUPFD_CLOEXEC } else { libc::F_DUPFD };
    control(fd, command, min).map(|fd| fd as i32)
}

/// dup3(2).
pub fn copy_onto(fd: i32, onto: usize, cloexec: bool) -> Result {
    let flags = if cloexec { libc::O_CLOEXEC } else { 0 };
    // SAFETY: callers replace what the application asked to replace.
    unsafe { host::call(libc::SYS_dup3, &[fd as usize, onto, flags as usize]) }
}

/// Whether the descriptor is closed by an exec.
pub fn is_cloexec(fd: i32) -> Result<bool> {
    control(fd, libc::F_GETFD, 0).map(|flags| flags & libc::FD_CLOEXEC as usize != 0)
}

/// Says whether the descriptor is closed by an exec.
pub fn set_cloexec(fd: i32, cloexec: bool) {
    let _ = control(fd, libc::F_SETFD, if cloexec { libc::FD_CLOEXEC as usize } else { 0 });
}

/// The flags that the file was opened with (F_GETFL).
pub fn open_flags(fd: i32) -> Result<i32> {
    control(fd, libc::F_GETFL, 0).map(|flags| flags as i32)
}

/// close_range(2).
pub fn close_range(first: usize, last: usize, flags: usize) -> Result {
    // SAFETY: callers close what the application asked to close.
    unsafe { host::call(libc::SYS_close_range, &[first, last, flags]) }
}

/// memfd_create(2), close-on-exec.
pub fn memory_file(name: &CStr) -> Result<OwnedFd> {
    // SAFETY: opens a new descriptor.
    let fd = unsafe { host::call(libc::SYS_memfd_create, &[address(name), libc::MFD_CLOEXEC as usize]) }?;
    Ok(owned(fd as i32))
}

/// memfd_create(2), close-on-exec; for [`seal_and_forbid_writing`].
pub fn sealable_file(name: &CStr) -> Result<OwnedFd> {
    let flags = (libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) as usize;
    // SAFETY: opens a new descriptor.
    let fd = unsafe { host::call(libc::SYS_memfd_create, &[address(name), flags]) }?;
    Ok(owned(fd as i32))
}

/// A memory file stays as it is from now on, and its mode says so.
pub fn seal_and_forbid_writing(fd: i32) -> Result<()> {
    const MODE: usize = 0o444;
    // SAFETY: changes a file of ours.
    unsafe { host::call(libc::SYS_fchmod, &[fd as usize, MODE]) }?;
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    control(fd, libc::F_ADD_SEALS, seals as usize).map(drop)
}

/// Whether an open file is one of a /proc.
pub fn is_of_proc(fd: i32) -> bool {
    // SAFETY: fills the structure.
    let found: Result<libc::statfs> =
        filled(|to| unsafe { host::call(libc::SYS_fstatfs, &[fd as usize, to]) });
    found.is_ok_and(|fs| fs.f_type == libc::PROC_SUPER_MAGIC)
}

/// An AF_UNIX socket, close-on-exec.
pub fn unix_socket(kind: i32) -> Result<OwnedFd> {
    let kind = (kind | libc::SOCK_CLOEXEC) as usize;
    // SAFETY: opens a new descriptor.
    let fd = unsafe { host::call(libc::SYS_socket, &[libc::AF_UNIX as usize, kind, 0]) }?;
    Ok(owned(fd as i32))
}

/// pipe2(2), close-on-exec, with these flags: the end to read from, and the end to write to.
pub fn pipe(flags: i32) -> Result<[OwnedFd; 2]> {
    let mut ends = [0i32; 2];
    let flags = (flags | libc::O_CLOEXEC) as usize;
    // SAFETY: fills the two numbers.
    unsafe { host::call(libc::SYS_pipe2, &[ends.as_mut_ptr() as usize, flags]) }?;
    Ok(ends.map(owned))
}

/// bind(2) and listen(2): the socket waits for connections at a `struct sockaddr` in bytes.
pub fn listen(fd: i32, address: &[u8], backlog: usize) -> Result<()> {
    // SAFETY: reads the address.
    unsafe {
        host::call(libc::SYS_bind, &[fd as usize, address.as_ptr() as usize, address.len()])?;
        host::call(libc::SYS_listen, &[fd as usize, backlog]).map(drop)
    }
}

/// accept4(2), close-on-exec.
pub fn accept(fd: i32) -> Result<OwnedFd> {
    let args = [fd as usize, 0, 0, libc::SOCK_CLOEXEC as usize];
    // SAFETY: opens a new descriptor; the peer's address is not asked for.
    let fd = unsafe { host::call(libc::SYS_accept4, &args) }?;
    Ok(owned(fd as i32))
}

/// Who is at the other end of an AF_UNIX socket.
pub fn peer(fd: i32) -> Result<libc::ucred> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of_val(&peer) as libc::socklen_t;
    let (to, len) = (&raw mut peer as usize, &raw mut len as usize);
    let args = [fd as usize, libc::SOL_SOCKET as usize, libc::SO_PEERCRED as usize, to, len];
    // SAFETY: fills a live structure.
    unsafe { host::call(libc::SYS_getsockopt, &args) }?;
    Ok(peer)
}

/// connect(2) to a `struct sockaddr` in bytes.
pub fn connect(fd: i32, address: &[u8]) -> Result<()> {
    // SAFETY: reads the address.
    unsafe { host::call(libc::SYS_connect, &[fd as usize, address.as_ptr() as usize, address.len()]) }
        .map(drop)
}

/// getcwd(2): how many bytes were written, the NUL counted.
pub fn current_directory(into: &mut [u8]) -> Result {
    // SAFETY: fills the buffer.
    unsafe { host::call(libc::SYS_getcwd, &[into.as_mut_ptr() as usize, into.len()]) }
}

/// chdir(2) to a path of ours.
pub fn change_directory(path: &CStr) -> Result<()> {
    // SAFETY: reads the path; callers know what the current directory is to the application.
    unsafe { host::call(libc::SYS_chdir, &[address(path)]) }.map(drop)
}

/// mkdir(2) of a directory that its owner alone may use, whatever the file mode mask is.
pub fn make_directory(path: &CStr) -> Result<()> {
    const MODE: usize = 0o700;
    // SAFETY: reads the path, and makes what did not exist.
    unsafe { host::call(libc::SYS_mkdir, &[address(path), MODE]) }?;
    // SAFETY: reads the path.
    unsafe { host::call(libc::SYS_chmod, &[address(path), MODE]) }.map(drop)
}

/// Makes a directory that only `user` may enter, if it is not there. False: another directory, or a file, has the name.
pub fn make_private_directory(path: &CStr, user: u32) -> Result<bool> {
    match make_directory(path) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(e) => return Err(e),
    }
    let status = stat_at(AT_FDCWD, address(path), libc::AT_SYMLINK_NOFOLLOW)?;
    let is_ours = status.st_mode & libc::S_IFMT == libc::S_IFDIR && status.st_uid == user;
    Ok(is_ours && status.st_mode & 0o077 == 0)
}

/// symlink(2): `path`, a path of ours, leads to the text at `target`.
pub fn make_symlink(target: usize, path: &CStr) -> Result<()> {
    // SAFETY: reads both texts, and makes what did not exist.
    unsafe { host::call(libc::SYS_symlink, &[target, address(path)]) }.map(drop)
}

/// unlink(2) of a file of ours.
pub fn remove(path: &CStr) -> Result<()> {
    // SAFETY: reads the path, which names what we made.
    unsafe { host::call(libc::SYS_unlink, &[address(path)]) }.map(drop)
}

/// rmdir(2) of a directory of ours.
pub fn remove_directory(path: &CStr) -> Result<()> {
    // SAFETY: reads the path, which names what we made.
    unsafe { host::call(libc::SYS_rmdir, &[address(path)]) }.map(drop)
}

/// Whether the file has this extended attribute.
pub fn has_xattr(fd: i32, name: &CStr) -> bool {
    // SAFETY: asks for the size only.
    unsafe { host::call(libc::SYS_fgetxattr, &[fd as usize, address(name), 0, 0]) }.is_ok_and(|size| size > 0)
}

/// Reads the start of a file.
pub fn read_start(path: &CStr, into: &mut [u8]) -> Result {
    let file = open(path, libc::O_RDONLY, 0)?;
    read(file.raw(), into)
}

/// The names in a directory: `each` is called with every one, `.` and `..` among them, until it returns false.
pub fn for_each_name(path: &CStr, mut each: impl FnMut(&[u8]) -> bool) -> Result<()> {
    /// Offsets in `struct linux_dirent64` (getdents64(2)): length of the entry, and its name.
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let directory = open(path, libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    let mut buffer = [0u8; 1024];
    loop {
        let args = [directory.raw() as usize, buffer.as_mut_ptr() as usize, buffer.len()];
        // SAFETY: fills the buffer.
        let n = unsafe { host::call(libc::SYS_getdents64, &args) }?;
        let mut rest = &buffer[..n];
        if rest.is_empty() {
            return Ok(());
        }
        while let Some(&[low, high]) = rest.get(LENGTH..LENGTH + 2) {
            let length = usize::from(u16::from_ne_bytes([low, high])).clamp(1, rest.len());
            let name = rest.get(NAME..length).unwrap_or_default();
            let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
            if !each(&name[..end]) {
                return Ok(());
            }
            rest = &rest[length..];
        }
    }
}
