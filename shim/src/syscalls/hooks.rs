// SPDX-License-Identifier: GPL-2.0-only
//! The libc names that are shortcuts into the dispatch. A hook is the name's system call, with libc's way of
//! reporting errors, and nothing else: what libc adds inside itself (stdio, opendir, fork handlers...) stays
//! libc's and its own `syscall` instructions reach the same dispatch through the trampoline.
//!
//! A variadic function is hooked with the arity of its widest call: in the System V ABI the registers are
//! the same, and what was not passed is not used.
#![allow(unsafe_code, non_snake_case, missing_abi, clippy::missing_safety_doc, clippy::too_many_arguments)]
#![allow(static_mut_refs, unused_imports, unused_doc_comments)]

use core::ffi::{c_char, c_int, c_uint, c_void};

use libc::{dev_t, gid_t, mode_t, off_t, size_t, ssize_t, uid_t};

use super::entry;
use crate::sys::host::Ret;

/// errno and -1, made here and nowhere else (musl's `__syscall_ret`).
#[inline]
fn report(r: Ret) -> isize {
    if (-4095..0).contains(&r) {
        // SAFETY: libc's own, valid for the thread.
        unsafe { *libc::__errno_location() = -r as c_int };
        return -1;
    }
    r
}

trait Word {
    fn word(self) -> usize;
}

macro_rules! words {
    ($($t:ty)*) => { $(impl Word for $t {
        #[inline]
        fn word(self) -> usize {
            self as usize
        }
    })* };
}
words!(c_int c_uint i64 u64 usize isize);

impl<T> Word for *const T {
    fn word(self) -> usize {
        self as usize
    }
}

impl<T> Word for *mut T {
    fn word(self) -> usize {
        self as usize
    }
}

macro_rules! hooks {
    ($($name:ident / $hook:ident ($($v:ident: $t:ty),*) -> $r:ty = $nr:ident ($($arg:expr),*);)*) => { $(
        redhook::hook! {
            unsafe fn $name($($v: $t),*) -> $r => $hook {
                let given: &[usize] = &[$(Word::word($arg)),*];
                let mut args = [0; 6];
                args[..given.len()].copy_from_slice(given);
                report(entry::from_hook(libc::$nr as usize, &args)) as $r
            }
        }
    )* };
}

// The cancellation points among the names (as in glibc: pthreads(7), and what Linux adds) are not redhook's:
// what it generates is no function that may be unwound, and a cancelled thread leaves them so.
macro_rules! points {
    ($($name:ident ($($v:ident: $t:ty),*) -> $r:ty = $nr:ident ($($arg:expr),*);)*) => { $(
        #[no_mangle]
        #[link_section = "unwindable"]
        pub unsafe extern "C-unwind" fn $name($($v: $t),*) -> $r {
            let given: &[usize] = &[$(Word::word($arg)),*];
            let mut args = [0; 6];
            args[..given.len()].copy_from_slice(given);
            // SAFETY: this function may be unwound and owns nothing.
            report(unsafe { entry::from_cancellation_point(libc::$nr as usize, &args) }) as $r
        }
    )* };
}

type Bytes = *const c_void;
type Room = *mut c_void;
type Path = *const c_char;
type Iov = *const libc::iovec;

/// preadv and its like pass the offset as two halves (fs/read_write.c, pos_from_hilo); on 64-bit the low
/// one holds all of it.
const HIGH: usize = 0;

/// libc's open and stat are openat and newfstatat of the current directory: a seccomp filter may allow those alone.
const CWD: c_int = libc::AT_FDCWD;

hooks! {
    // Descriptors
    close_range/hook_close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int = SYS_close_range(first, last, flags);
    dup/hook_dup(fd: c_int) -> c_int = SYS_dup(fd);
    dup2/hook_dup2(old: c_int, new: c_int) -> c_int = SYS_dup2(old, new);
    dup3/hook_dup3(old: c_int, new: c_int, flags: c_int) -> c_int = SYS_dup3(old, new, flags);
    ioctl/hook_ioctl(fd: c_int, request: u64, arg: usize) -> c_int = SYS_ioctl(fd, request, arg);
    // Data
    sendfile/hook_sendfile(out: c_int, input: c_int, at: *mut off_t, n: size_t) -> ssize_t = SYS_sendfile(out, input, at, n);
    sendfile64/hook_sendfile64(out: c_int, input: c_int, at: *mut off_t, n: size_t) -> ssize_t = SYS_sendfile(out, input, at, n);
    // Files by descriptor
    lseek/hook_lseek(fd: c_int, at: off_t, whence: c_int) -> off_t = SYS_lseek(fd, at, whence);
    lseek64/hook_lseek64(fd: c_int, at: off_t, whence: c_int) -> off_t = SYS_lseek(fd, at, whence);
    fstat/hook_fstat(fd: c_int, to: *mut libc::stat) -> c_int = SYS_fstat(fd, to);
    fstat64/hook_fstat64(fd: c_int, to: *mut libc::stat) -> c_int = SYS_fstat(fd, to);
    __fxstat/hook_fxstat(_v: c_int, fd: c_int, to: *mut libc::stat) -> c_int = SYS_fstat(fd, to);
    __fxstat64/hook_fxstat64(_v: c_int, fd: c_int, to: *mut libc::stat) -> c_int = SYS_fstat(fd, to);
    fstatfs/hook_fstatfs(fd: c_int, to: *mut libc::statfs) -> c_int = SYS_fstatfs(fd, to);
    fstatfs64/hook_fstatfs64(fd: c_int, to: *mut libc::statfs) -> c_int = SYS_fstatfs(fd, to);
    syncfs/hook_syncfs(fd: c_int) -> c_int = SYS_syncfs(fd);
    ftruncate/hook_ftruncate(fd: c_int, n: off_t) -> c_int = SYS_ftruncate(fd, n);
    ftruncate64/hook_ftruncate64(fd: c_int, n: off_t) -> c_int = SYS_ftruncate(fd, n);
    readahead/hook_readahead(fd: c_int, at: off_t, n: size_t) -> ssize_t = SYS_readahead(fd, at, n);
    flock/hook_flock(fd: c_int, op: c_int) -> c_int = SYS_flock(fd, op);
    fchmod/hook_fchmod(fd: c_int, mode: mode_t) -> c_int = SYS_fchmod(fd, mode);
    fchown/hook_fchown(fd: c_int, uid: uid_t, gid: gid_t) -> c_int = SYS_fchown(fd, uid, gid);
    fchdir/hook_fchdir(fd: c_int) -> c_int = SYS_fchdir(fd);
    getdents64/hook_getdents64(fd: c_int, to: Room, n: size_t) -> ssize_t = SYS_getdents64(fd, to, n);
    fgetxattr/hook_fgetxattr(fd: c_int, name: Path, to: Room, n: size_t) -> ssize_t = SYS_fgetxattr(fd, name, to, n);
    fsetxattr/hook_fsetxattr(fd: c_int, name: Path, from: Bytes, n: size_t, flags: c_int) -> c_int = SYS_fsetxattr(fd, name, from, n, flags);
    flistxattr/hook_flistxattr(fd: c_int, to: *mut c_char, n: size_t) -> ssize_t = SYS_flistxattr(fd, to, n);
    fremovexattr/hook_fremovexattr(fd: c_int, name: Path) -> c_int = SYS_fremovexattr(fd, name);
    futimens/hook_futimens(fd: c_int, times: *const libc::timespec) -> c_int = SYS_utimensat(fd, core::ptr::null::<c_char>(), times, 0usize);
    // Files by path
    stat/hook_stat(path: Path, to: *mut libc::stat) -> c_int = SYS_newfstatat(CWD, path, to, 0usize);
    stat64/hook_stat64(path: Path, to: *mut libc::stat) -> c_int = SYS_newfstatat(CWD, path, to, 0usize);
    __xstat/hook_xstat(_v: c_int, path: Path, to: *mut libc::stat) -> c_int = SYS_stat(path, to);
    __xstat64/hook_xstat64(_v: c_int, path: Path, to: *mut libc::stat) -> c_int = SYS_stat(path, to);
    lstat/hook_lstat(path: Path, to: *mut libc::stat) -> c_int = SYS_newfstatat(CWD, path, to, libc::AT_SYMLINK_NOFOLLOW);
    lstat64/hook_lstat64(path: Path, to: *mut libc::stat) -> c_int = SYS_newfstatat(CWD, path, to, libc::AT_SYMLINK_NOFOLLOW);
    __lxstat/hook_lxstat(_v: c_int, path: Path, to: *mut libc::stat) -> c_int = SYS_lstat(path, to);
    __lxstat64/hook_lxstat64(_v: c_int, path: Path, to: *mut libc::stat) -> c_int = SYS_lstat(path, to);
    fstatat/hook_fstatat(dir: c_int, path: Path, to: *mut libc::stat, flags: c_int) -> c_int = SYS_newfstatat(dir, path, to, flags);
    fstatat64/hook_fstatat64(dir: c_int, path: Path, to: *mut libc::stat, flags: c_int) -> c_int = SYS_newfstatat(dir, path, to, flags);
    __fxstatat/hook_fxstatat(_v: c_int, dir: c_int, path: Path, to: *mut libc::stat, flags: c_int) -> c_int = SYS_newfstatat(dir, path, to, flags);
    __fxstatat64/hook_fxstatat64(_v: c_int, dir: c_int, path: Path, to: *mut libc::stat, flags: c_int) -> c_int = SYS_newfstatat(dir, path, to, flags);
    statx/hook_statx(dir: c_int, path: Path, flags: c_int, mask: c_uint, to: Room) -> c_int = SYS_statx(dir, path, flags, mask, to);
    access/hook_access(path: Path, mode: c_int) -> c_int = SYS_access(path, mode);
    mkdir/hook_mkdir(path: Path, mode: mode_t) -> c_int = SYS_mkdir(path, mode);
    mkdirat/hook_mkdirat(dir: c_int, path: Path, mode: mode_t) -> c_int = SYS_mkdirat(dir, path, mode);
    rmdir/hook_rmdir(path: Path) -> c_int = SYS_rmdir(path);
    unlink/hook_unlink(path: Path) -> c_int = SYS_unlink(path);
    unlinkat/hook_unlinkat(dir: c_int, path: Path, flags: c_int) -> c_int = SYS_unlinkat(dir, path, flags);
    mknod/hook_mknod(path: Path, mode: mode_t, dev: dev_t) -> c_int = SYS_mknodat(CWD, path, mode, dev);
    mknodat/hook_mknodat(dir: c_int, path: Path, mode: mode_t, dev: dev_t) -> c_int = SYS_mknodat(dir, path, mode, dev);
    rename/hook_rename(from: Path, to: Path) -> c_int = SYS_rename(from, to);
    renameat/hook_renameat(from_dir: c_int, from: Path, to_dir: c_int, to: Path) -> c_int = SYS_renameat(from_dir, from, to_dir, to);
    renameat2/hook_renameat2(from_dir: c_int, from: Path, to_dir: c_int, to: Path, flags: c_uint) -> c_int = SYS_renameat2(from_dir, from, to_dir, to, flags);
    link/hook_link(from: Path, to: Path) -> c_int = SYS_link(from, to);
    linkat/hook_linkat(from_dir: c_int, from: Path, to_dir: c_int, to: Path, flags: c_int) -> c_int = SYS_linkat(from_dir, from, to_dir, to, flags);
    symlink/hook_symlink(target: Path, path: Path) -> c_int = SYS_symlink(target, path);
    symlinkat/hook_symlinkat(target: Path, dir: c_int, path: Path) -> c_int = SYS_symlinkat(target, dir, path);
    readlink/hook_readlink(path: Path, to: *mut c_char, n: size_t) -> ssize_t = SYS_readlink(path, to, n);
    readlinkat/hook_readlinkat(dir: c_int, path: Path, to: *mut c_char, n: size_t) -> ssize_t = SYS_readlinkat(dir, path, to, n);
    chmod/hook_chmod(path: Path, mode: mode_t) -> c_int = SYS_chmod(path, mode);
    chown/hook_chown(path: Path, uid: uid_t, gid: gid_t) -> c_int = SYS_chown(path, uid, gid);
    lchown/hook_lchown(path: Path, uid: uid_t, gid: gid_t) -> c_int = SYS_lchown(path, uid, gid);
    fchownat/hook_fchownat(dir: c_int, path: Path, uid: uid_t, gid: gid_t, flags: c_int) -> c_int = SYS_fchownat(dir, path, uid, gid, flags);
    utime/hook_utime(path: Path, times: *const libc::utimbuf) -> c_int = SYS_utime(path, times);
    utimes/hook_utimes(path: Path, times: *const libc::timeval) -> c_int = SYS_utimes(path, times);
    utimensat/hook_utimensat(dir: c_int, path: Path, times: *const libc::timespec, flags: c_int) -> c_int = SYS_utimensat(dir, path, times, flags);
    truncate/hook_truncate(path: Path, n: off_t) -> c_int = SYS_truncate(path, n);
    truncate64/hook_truncate64(path: Path, n: off_t) -> c_int = SYS_truncate(path, n);
    statfs/hook_statfs(path: Path, to: *mut libc::statfs) -> c_int = SYS_statfs(path, to);
    statfs64/hook_statfs64(path: Path, to: *mut libc::statfs) -> c_int = SYS_statfs(path, to);
    chdir/hook_chdir(path: Path) -> c_int = SYS_chdir(path);
    umask/hook_umask(mask: mode_t) -> mode_t = SYS_umask(mask);
    getxattr/hook_getxattr(path: Path, name: Path, to: Room, n: size_t) -> ssize_t = SYS_getxattr(path, name, to, n);
    lgetxattr/hook_lgetxattr(path: Path, name: Path, to: Room, n: size_t) -> ssize_t = SYS_lgetxattr(path, name, to, n);
    setxattr/hook_setxattr(path: Path, name: Path, from: Bytes, n: size_t, flags: c_int) -> c_int = SYS_setxattr(path, name, from, n, flags);
    lsetxattr/hook_lsetxattr(path: Path, name: Path, from: Bytes, n: size_t, flags: c_int) -> c_int = SYS_lsetxattr(path, name, from, n, flags);
    listxattr/hook_listxattr(path: Path, to: *mut c_char, n: size_t) -> ssize_t = SYS_listxattr(path, to, n);
    llistxattr/hook_llistxattr(path: Path, to: *mut c_char, n: size_t) -> ssize_t = SYS_llistxattr(path, to, n);
    removexattr/hook_removexattr(path: Path, name: Path) -> c_int = SYS_removexattr(path, name);
    lremovexattr/hook_lremovexattr(path: Path, name: Path) -> c_int = SYS_lremovexattr(path, name);
    // Sockets
    socket/hook_socket(family: c_int, kind: c_int, protocol: c_int) -> c_int = SYS_socket(family, kind, protocol);
    bind/hook_bind(fd: c_int, address: Bytes, n: c_uint) -> c_int = SYS_bind(fd, address, n);
    listen/hook_listen(fd: c_int, backlog: c_int) -> c_int = SYS_listen(fd, backlog);
    shutdown/hook_shutdown(fd: c_int, how: c_int) -> c_int = SYS_shutdown(fd, how);
    getsockname/hook_getsockname(fd: c_int, address: Room, n: *mut c_uint) -> c_int = SYS_getsockname(fd, address, n);
    getpeername/hook_getpeername(fd: c_int, address: Room, n: *mut c_uint) -> c_int = SYS_getpeername(fd, address, n);
    getsockopt/hook_getsockopt(fd: c_int, level: c_int, option: c_int, to: Room, n: *mut c_uint) -> c_int = SYS_getsockopt(fd, level, option, to, n);
    setsockopt/hook_setsockopt(fd: c_int, level: c_int, option: c_int, from: Bytes, n: c_uint) -> c_int = SYS_setsockopt(fd, level, option, from, n);
    // Waiting
    epoll_create/hook_epoll_create(size: c_int) -> c_int = SYS_epoll_create(size);
    epoll_create1/hook_epoll_create1(flags: c_int) -> c_int = SYS_epoll_create1(flags);
    epoll_ctl/hook_epoll_ctl(set: c_int, op: c_int, fd: c_int, event: Room) -> c_int = SYS_epoll_ctl(set, op, fd, event);
}

points! {
    // open's mode is an unused register when it was not passed.
    open(path: Path, flags: c_int, mode: mode_t) -> c_int = SYS_openat(CWD, path, flags, mode);
    open64(path: Path, flags: c_int, mode: mode_t) -> c_int = SYS_openat(CWD, path, flags | libc::O_LARGEFILE, mode);
    openat(dir: c_int, path: Path, flags: c_int, mode: mode_t) -> c_int = SYS_openat(dir, path, flags, mode);
    openat64(dir: c_int, path: Path, flags: c_int, mode: mode_t) -> c_int = SYS_openat(dir, path, flags | libc::O_LARGEFILE, mode);
    creat(path: Path, mode: mode_t) -> c_int = SYS_creat(path, mode);
    creat64(path: Path, mode: mode_t) -> c_int = SYS_creat(path, mode);
    close(fd: c_int) -> c_int = SYS_close(fd);
    read(fd: c_int, to: Room, n: size_t) -> ssize_t = SYS_read(fd, to, n);
    write(fd: c_int, from: Bytes, n: size_t) -> ssize_t = SYS_write(fd, from, n);
    pread(fd: c_int, to: Room, n: size_t, at: off_t) -> ssize_t = SYS_pread64(fd, to, n, at);
    pread64(fd: c_int, to: Room, n: size_t, at: off_t) -> ssize_t = SYS_pread64(fd, to, n, at);
    pwrite(fd: c_int, from: Bytes, n: size_t, at: off_t) -> ssize_t = SYS_pwrite64(fd, from, n, at);
    pwrite64(fd: c_int, from: Bytes, n: size_t, at: off_t) -> ssize_t = SYS_pwrite64(fd, from, n, at);
    readv(fd: c_int, iov: Iov, n: c_int) -> ssize_t = SYS_readv(fd, iov, n);
    writev(fd: c_int, iov: Iov, n: c_int) -> ssize_t = SYS_writev(fd, iov, n);
    preadv(fd: c_int, iov: Iov, n: c_int, at: off_t) -> ssize_t = SYS_preadv(fd, iov, n, at, HIGH);
    preadv64(fd: c_int, iov: Iov, n: c_int, at: off_t) -> ssize_t = SYS_preadv(fd, iov, n, at, HIGH);
    pwritev(fd: c_int, iov: Iov, n: c_int, at: off_t) -> ssize_t = SYS_pwritev(fd, iov, n, at, HIGH);
    pwritev64(fd: c_int, iov: Iov, n: c_int, at: off_t) -> ssize_t = SYS_pwritev(fd, iov, n, at, HIGH);
    preadv2(fd: c_int, iov: Iov, n: c_int, at: off_t, flags: c_int) -> ssize_t = SYS_preadv2(fd, iov, n, at, HIGH, flags);
    pwritev2(fd: c_int, iov: Iov, n: c_int, at: off_t, flags: c_int) -> ssize_t = SYS_pwritev2(fd, iov, n, at, HIGH, flags);
    copy_file_range(input: c_int, in_at: *mut off_t, out: c_int, out_at: *mut off_t, n: size_t, flags: c_uint) -> ssize_t = SYS_copy_file_range(input, in_at, out, out_at, n, flags);
    splice(input: c_int, in_at: *mut off_t, out: c_int, out_at: *mut off_t, n: size_t, flags: c_uint) -> ssize_t = SYS_splice(input, in_at, out, out_at, n, flags);
    fsync(fd: c_int) -> c_int = SYS_fsync(fd);
    fdatasync(fd: c_int) -> c_int = SYS_fdatasync(fd);
    sync_file_range(fd: c_int, at: off_t, n: off_t, flags: c_uint) -> c_int = SYS_sync_file_range(fd, at, n, flags);
    fallocate(fd: c_int, mode: c_int, at: off_t, n: off_t) -> c_int = SYS_fallocate(fd, mode, at, n);
    fallocate64(fd: c_int, mode: c_int, at: off_t, n: off_t) -> c_int = SYS_fallocate(fd, mode, at, n);
    accept(fd: c_int, address: Room, n: *mut c_uint) -> c_int = SYS_accept(fd, address, n);
    accept4(fd: c_int, address: Room, n: *mut c_uint, flags: c_int) -> c_int = SYS_accept4(fd, address, n, flags);
    connect(fd: c_int, address: Bytes, n: c_uint) -> c_int = SYS_connect(fd, address, n);
    send(fd: c_int, from: Bytes, n: size_t, flags: c_int) -> ssize_t = SYS_sendto(fd, from, n, flags, 0usize, 0usize);
    sendto(fd: c_int, from: Bytes, n: size_t, flags: c_int, to: Bytes, len: c_uint) -> ssize_t = SYS_sendto(fd, from, n, flags, to, len);
    sendmsg(fd: c_int, message: Bytes, flags: c_int) -> ssize_t = SYS_sendmsg(fd, message, flags);
    sendmmsg(fd: c_int, messages: Room, n: c_uint, flags: c_int) -> c_int = SYS_sendmmsg(fd, messages, n, flags);
    recv(fd: c_int, to: Room, n: size_t, flags: c_int) -> ssize_t = SYS_recvfrom(fd, to, n, flags, 0usize, 0usize);
    recvfrom(fd: c_int, to: Room, n: size_t, flags: c_int, from: Room, len: *mut c_uint) -> ssize_t = SYS_recvfrom(fd, to, n, flags, from, len);
    recvmsg(fd: c_int, message: Room, flags: c_int) -> ssize_t = SYS_recvmsg(fd, message, flags);
    recvmmsg(fd: c_int, messages: Room, n: c_uint, flags: c_int, timeout: Room) -> c_int = SYS_recvmmsg(fd, messages, n, flags, timeout);
    poll(fds: Room, n: u64, timeout: c_int) -> c_int = SYS_poll(fds, n, timeout);
    select(n: c_int, to_read: Room, to_write: Room, except: Room, timeout: Room) -> c_int = SYS_select(n, to_read, to_write, except, timeout);
    epoll_wait(set: c_int, events: Room, n: c_int, timeout: c_int) -> c_int = SYS_epoll_wait(set, events, n, timeout);
}

/// A cancellation point where it waits for a lock.
#[inline]
unsafe fn fcntl_call(fd: c_int, command: c_int, arg: usize) -> c_int {
    let args = [Word::word(fd), Word::word(command), arg, 0, 0, 0];
    if matches!(command, libc::F_SETLKW | libc::F_OFD_SETLKW) {
        // SAFETY: called by the two functions below, which may be unwound and own nothing.
        return report(unsafe { entry::from_cancellation_point(libc::SYS_fcntl as usize, &args) }) as c_int;
    }
    report(entry::from_hook(libc::SYS_fcntl as usize, &args)) as c_int
}

#[no_mangle]
#[link_section = "unwindable"]
pub unsafe extern "C-unwind" fn fcntl(fd: c_int, command: c_int, arg: usize) -> c_int {
    // SAFETY: as above.
    unsafe { fcntl_call(fd, command, arg) }
}

#[no_mangle]
#[link_section = "unwindable"]
pub unsafe extern "C-unwind" fn fcntl64(fd: c_int, command: c_int, arg: usize) -> c_int {
    // SAFETY: as above.
    unsafe { fcntl_call(fd, command, arg) }
}

/// posix_fadvise returns the error instead of setting errno (its manual page).
redhook::hook! {
    unsafe fn posix_fadvise(fd: c_int, at: off_t, n: off_t, advice: c_int) -> c_int => hook_posix_fadvise {
        -entry::from_hook(libc::SYS_fadvise64 as usize, &[fd as usize, at as usize, n as usize, advice as usize, 0, 0]) as c_int
    }
}

redhook::hook! {
    unsafe fn posix_fadvise64(fd: c_int, at: off_t, n: off_t, advice: c_int) -> c_int => hook_posix_fadvise64 {
        -entry::from_hook(libc::SYS_fadvise64 as usize, &[fd as usize, at as usize, n as usize, advice as usize, 0, 0]) as c_int
    }
}
