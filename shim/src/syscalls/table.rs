// SPDX-License-Identifier: GPL-2.0-only
//! THE table: one row per system call of x86-64. What a call's arguments are, who serves it, and what is
//! not done. Dispatch, hooks and the coverage page come from the rows; a call without a row is the host's.

use syscalls::Sysno;

use crate::calls::{descriptors, links, memory, paths, process, sockets, transfer, xattrs, Call};
use crate::sys::host::Ret;
use crate::syscalls::hosted;
use crate::{exec, wait};

/// Who serves a call.
#[derive(Clone, Copy)]
pub enum Serve {
    /// The host, always: memory, threads, signals, time, the process.
    Host,
    /// Whoever owns the descriptor in this argument; the call goes on untouched.
    Fd(usize),
    /// The host; with a kernel descriptor in this argument ENOSYS, said once.
    HostFdOnly(usize),
    /// Code of its own.
    Own(fn(&Call<'_>) -> Ret),
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Arg {
    Fd,
    DirFd,
    Path,
    Flags,
    Mode,
    Size,
    Offset,
    Int,
    Hex,
    /// Data the call reads; its size follows.
    Buf,
    /// Data the call fills, as much as its result says; the room follows.
    Fill,
    Text,
    Iov,
    FillIov,
    /// A structure.
    Ptr,
    // Structures, flags and values that have names.
    Argv,
    Envp,
    Stat,
    Time,
    /// A socket's; its size follows.
    Address,
    Open,
    At,
    Access,
    Prot,
    Map,
    Signal,
    How,
    Whence,
    Command,
    Clone,
    Futex,
    Family,
    Socket,
    Message,
    Advice,
    Wait,
    Rename,
    Clock,
    Limit,
    Epoll,
}

/// One system call. What only the coverage page reads is not in the product.
#[cfg_attr(not(test), allow(dead_code))]
pub struct Row {
    /// Number and name.
    pub nr: Sysno,
    /// Its arguments in order.
    pub args: &'static [Arg],
    /// Who serves it.
    pub serve: Serve,
    /// What a user should know; empty: nothing.
    pub note: &'static str,
}

macro_rules! rows {
    ($($nr:ident [$($arg:ident)*] $serve:expr $(, $note:literal)?;)*) => {
        /// The rows that are more than "the host's", by family.
        pub static ROWS: &[Row] = &[$(Row {
            nr: Sysno::$nr,
            args: &[$(Arg::$arg),*],
            serve: $serve,
            note: concat!("" $(, $note)?),
        }),*];
    };
}

use Serve::{Fd, HostFdOnly, Own};

rows! {
    // Descriptors
    open [Path Open Mode] Own(descriptors::open), "O_DIRECT goes through the kernel's page cache";
    openat [DirFd Path Open Mode] Own(descriptors::openat), "O_DIRECT goes through the kernel's page cache";
    openat2 [DirFd Path Ptr Size] Own(descriptors::openat2);
    creat [Path Mode] Own(descriptors::creat);
    open_by_handle_at [Fd Ptr Open] Own(descriptors::open_by_handle_at);
    close [Fd] Own(descriptors::close);
    close_range [Int Int Flags] Own(descriptors::close_range);
    dup [Fd] Own(descriptors::dup);
    dup2 [Fd Fd] Own(descriptors::dup2);
    dup3 [Fd Fd Open] Own(descriptors::dup3);
    fcntl [Fd Command Hex] Own(descriptors::fcntl);
    ioctl [Fd Hex Hex] Own(descriptors::ioctl);
    // Data by descriptor
    read [Fd Fill Size] Fd(0);
    pread64 [Fd Fill Size Offset] Fd(0);
    readv [Fd FillIov Int] Fd(0);
    preadv [Fd FillIov Int Offset] Fd(0);
    preadv2 [Fd FillIov Int Offset Int Flags] Fd(0);
    write [Fd Buf Size] Own(transfer::write);
    pwrite64 [Fd Buf Size Offset] Own(transfer::write);
    writev [Fd Iov Int] Own(transfer::write);
    pwritev [Fd Iov Int Offset] Own(transfer::write);
    pwritev2 [Fd Iov Int Offset Int Flags] Own(transfer::write);
    sendfile [Fd Fd Ptr Size] Own(transfer::sendfile);
    copy_file_range [Fd Ptr Fd Ptr Size Flags] Own(transfer::copy_file_range), "EXDEV between the worlds";
    splice [Fd Ptr Fd Ptr Size Flags] Own(transfer::splice), "EINVAL between the worlds";
    tee [Fd Fd Size Flags] Own(transfer::splice), "EINVAL between the worlds";
    vmsplice [Fd Iov Int Flags] HostFdOnly(0);
    // Files by descriptor
    lseek [Fd Offset Whence] Fd(0);
    fstat [Fd Stat] Fd(0);
    fstatfs [Fd Ptr] Fd(0);
    fsync [Fd] Fd(0);
    fdatasync [Fd] Fd(0);
    syncfs [Fd] Fd(0);
    sync_file_range [Fd Offset Offset Flags] Fd(0);
    ftruncate [Fd Offset] Fd(0);
    fallocate [Fd Int Offset Offset] Fd(0);
    fadvise64 [Fd Offset Offset Int] Fd(0);
    readahead [Fd Offset Size] Fd(0);
    flock [Fd Hex] Fd(0);
    fchmod [Fd Mode] Fd(0);
    fchown [Fd Int Int] Fd(0);
    getdents [Fd Ptr Size] Fd(0);
    getdents64 [Fd Ptr Size] Fd(0);
    fgetxattr [Fd Text Fill Size] Fd(0);
    fsetxattr [Fd Text Buf Size Flags] Fd(0);
    flistxattr [Fd Fill Size] Fd(0);
    fremovexattr [Fd Text] Fd(0);
    fchdir [Fd] Own(paths::fchdir);
    // Files by path
    stat [Path Stat] Own(paths::stat);
    lstat [Path Stat] Own(paths::lstat);
    newfstatat [DirFd Path Stat At] Own(paths::newfstatat);
    statx [DirFd Path At Hex Ptr] Own(paths::statx);
    access [Path Access] Own(paths::access);
    faccessat [DirFd Path Access] Own(paths::faccessat);
    faccessat2 [DirFd Path Access At] Own(paths::faccessat2);
    mkdir [Path Mode] Own(paths::mkdir);
    mkdirat [DirFd Path Mode] Own(paths::mkdirat);
    rmdir [Path] Own(paths::rmdir);
    unlink [Path] Own(paths::unlink);
    unlinkat [DirFd Path At] Own(paths::unlinkat);
    mknod [Path Mode Int] Own(paths::mknod);
    mknodat [DirFd Path Mode Int] Own(paths::mknodat);
    rename [Path Path] Own(links::rename);
    renameat [DirFd Path DirFd Path] Own(links::renameat);
    renameat2 [DirFd Path DirFd Path Rename] Own(links::renameat2);
    link [Path Path] Own(links::link);
    linkat [DirFd Path DirFd Path At] Own(links::linkat);
    symlink [Text Path] Own(links::symlink);
    symlinkat [Text DirFd Path] Own(links::symlinkat);
    readlink [Path Fill Size] Own(paths::readlink);
    readlinkat [DirFd Path Fill Size] Own(paths::readlinkat);
    chmod [Path Mode] Own(paths::chmod);
    fchmodat [DirFd Path Mode] Own(paths::fchmodat);
    fchmodat2 [DirFd Path Mode At] Own(paths::fchmodat2), "ENOSYS in a mount: newer than Linux 6.1";
    chown [Path Int Int] Own(paths::chown);
    lchown [Path Int Int] Own(paths::lchown);
    fchownat [DirFd Path Int Int At] Own(paths::fchownat);
    utime [Path Ptr] Own(paths::utime);
    utimes [Path Ptr] Own(paths::utimes);
    futimesat [DirFd Path Ptr] Own(paths::futimesat);
    utimensat [DirFd Path Ptr At] Own(paths::utimensat);
    truncate [Path Offset] Own(paths::truncate);
    statfs [Path Ptr] Own(paths::statfs);
    chdir [Path] Own(paths::chdir);
    getcwd [Fill Size] Own(paths::getcwd);
    chroot [Path] Own(paths::chroot), "ENOSYS for a path in a mount";
    name_to_handle_at [DirFd Path Ptr Ptr At] Own(paths::name_to_handle_at);
    getxattr [Path Text Fill Size] Own(xattrs::getxattr);
    lgetxattr [Path Text Fill Size] Own(xattrs::lgetxattr);
    setxattr [Path Text Buf Size Flags] Own(xattrs::setxattr);
    lsetxattr [Path Text Buf Size Flags] Own(xattrs::lsetxattr);
    listxattr [Path Fill Size] Own(xattrs::listxattr);
    llistxattr [Path Fill Size] Own(xattrs::llistxattr);
    removexattr [Path Text] Own(xattrs::removexattr);
    lremovexattr [Path Text] Own(xattrs::lremovexattr);
    inotify_add_watch [Fd Path Hex] Own(paths::inotify_add_watch), "ENOSYS for a path in a mount";
    sync [] Own(process::sync);
    // Sockets
    socket [Family Socket Int] Own(sockets::socket), "AF_INET, AF_INET6, AF_NETLINK, AF_PACKET with net=lo; AF_UNIX stays the host's";
    bind [Fd Address Int] Fd(0);
    listen [Fd Int] Fd(0);
    accept [Fd Ptr Ptr] Own(sockets::accept);
    accept4 [Fd Ptr Ptr Socket] Own(sockets::accept);
    connect [Fd Address Int] Fd(0);
    shutdown [Fd Int] Fd(0);
    getsockname [Fd Ptr Ptr] Fd(0);
    getpeername [Fd Ptr Ptr] Fd(0);
    getsockopt [Fd Int Int Ptr Ptr] Fd(0);
    setsockopt [Fd Int Int Ptr Int] Fd(0);
    sendto [Fd Buf Size Message Address Int] Own(sockets::send);
    sendmsg [Fd Ptr Message] Own(sockets::sendmsg), "a file in a mount cannot be passed (EINVAL)";
    sendmmsg [Fd Ptr Int Message] Own(sockets::send);
    recvfrom [Fd Fill Size Message Ptr Ptr] Fd(0);
    recvmsg [Fd Ptr Message] Fd(0);
    recvmmsg [Fd Ptr Int Message Time] Fd(0);
    // Waiting
    poll [Ptr Int Int] Own(wait::poll), "EINVAL for descriptors of both worlds in one call";
    ppoll [Ptr Int Time Ptr Size] Own(wait::poll), "EINVAL for descriptors of both worlds in one call";
    select [Int Ptr Ptr Ptr Time] Own(wait::select), "EINVAL for descriptors of both worlds in one call";
    pselect6 [Int Ptr Ptr Ptr Time Ptr] Own(wait::select), "EINVAL for descriptors of both worlds in one call";
    epoll_create [Int] Own(wait::epoll_create);
    epoll_create1 [Open] Own(wait::epoll_create);
    epoll_ctl [Fd Epoll Fd Ptr] Own(wait::epoll_ctl), "EPERM for descriptors of both worlds in one set";
    epoll_wait [Fd Ptr Int Int] Own(wait::epoll_wait);
    epoll_pwait [Fd Ptr Int Int Ptr Size] Own(wait::epoll_wait);
    epoll_pwait2 [Fd Ptr Int Time Ptr Size] Own(wait::epoll_wait);
    // Memory
    mmap [Ptr Size Prot Map Fd Offset] Own(memory::mmap), "a private mapping of a file in a mount is a copy; MAP_SHARED is ENODEV";
    // Processes, threads, signals
    fork [] Own(process::fork), "what the parent has open in a mount is EIO in the child";
    vfork [] Own(process::vfork), "the child gets a copy of the memory";
    clone [Clone Ptr Ptr Ptr Hex] Own(process::clone), "without CLONE_THREAD as fork";
    clone3 [Ptr Size] Own(process::clone3), "without CLONE_THREAD as fork";
    execve [Path Argv Envp] Own(exec::execve), "files in mounts are opened again by name in the new program";
    execveat [DirFd Path Argv Envp At] Own(exec::execveat), "files in mounts are opened again by name in the new program";
    exit [Int] Own(process::exit);
    exit_group [Int] Own(process::exit_group);
    rt_sigaction [Signal Ptr Ptr Size] Own(process::sigaction);
    rt_sigpending [Ptr Size] Own(process::sigpending);
    rt_sigprocmask [How Ptr Ptr Size] Own(process::sigprocmask), "SIGSYS, SIGSEGV, SIGBUS are never blocked";
    rt_sigsuspend [Ptr Size] Own(process::sigsuspend);
    munmap [Ptr Size] Own(memory::munmap);
    mremap [Ptr Size Size Flags Ptr] Own(memory::munmap);
    mprotect [Ptr Size Prot] Own(memory::mprotect);
    pkey_mprotect [Ptr Size Prot Int] Own(memory::mprotect);
    prctl [Int Int Int Int Int] Own(process::prctl);
    seccomp [Int Flags Ptr] Own(process::seccomp), "what the host is asked is filtered; calls that are served here are not";
    arch_prctl [Int Ptr] Own(process::arch_prctl), "the GS base is ours: EPERM";
    umask [Mode] Own(process::both);
    setuid [Int] Own(process::both);
    setgid [Int] Own(process::both);
    setreuid [Int Int] Own(process::both);
    setregid [Int Int] Own(process::both);
    setresuid [Int Int Int] Own(process::both);
    setresgid [Int Int Int] Own(process::both);
    setfsuid [Int] Own(process::both);
    setfsgid [Int] Own(process::both);
    setgroups [Int Ptr] Own(process::both);
    // By descriptor, and not done: named instead of failing on the placeholder
    signalfd [Fd Ptr Size] HostFdOnly(0);
    signalfd4 [Fd Ptr Size Flags] HostFdOnly(0);
    fanotify_mark [Fd Flags Int DirFd Path] HostFdOnly(3);
    fsconfig [Fd Int Text Buf Int] HostFdOnly(0);
    fsmount [Fd Flags Int] HostFdOnly(0);
    finit_module [Fd Text Flags] HostFdOnly(0);
    setns [Fd Int] HostFdOnly(0);
    perf_event_open [Ptr Int Int Fd Flags] HostFdOnly(3);
    cachestat [Fd Ptr Ptr Flags] HostFdOnly(0);
}

/// Numbers from here on are the host's.
pub const NUMBERS: usize = 512;

/// Row of each number, for the dispatch.
static BY_NUMBER: [Serve; NUMBERS] = {
    let mut table = [Serve::Host; NUMBERS];
    let mut i = 0;
    while i < ROWS.len() {
        table[ROWS[i].nr as usize] = ROWS[i].serve;
        i += 1;
    }
    table
};

/// Who serves call `nr`.
#[inline]
pub fn serve(nr: usize) -> Serve {
    match BY_NUMBER.get(nr) {
        Some(serve) => *serve,
        None => Serve::Host,
    }
}

/// The call's name, for messages.
pub fn name(nr: usize) -> &'static str {
    known(nr).unwrap_or("unknown system call")
}

/// The call's name, if it has one.
pub fn known(nr: usize) -> Option<&'static str> {
    Sysno::new(nr).map(|nr| nr.name())
}

/// What the call's arguments are; None: it has no row here, nor among the host's.
pub fn arguments(nr: usize) -> Option<&'static [Arg]> {
    let row = ROWS.iter().find(|row| row.nr as usize == nr).map(|row| row.args);
    row.or_else(|| hosted::ROWS.iter().find(|row| row.0 as usize == nr).map(|row| row.1))
}
