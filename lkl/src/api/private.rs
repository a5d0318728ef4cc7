// SPDX-License-Identifier: GPL-2.0-only
//! The private calls (overlay `asm/host.h`), usable as `nr` in [`crate::Kernel::call`].

use crate::sys::Errno;

/// Calls beyond x86-64's table.  Paths in them are the application's own pointers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i64)]
pub enum Private {
    /// `(*const NewDisk) -> N`
    DiskAdd = 4096,
    /// `(source, path, fstype, flags, data, root_fd)`
    AnchorMount = 4097,
    /// `()`
    Shutdown = 4098,
    /// `(*const Creds)`
    SetCreds = 4099,
    /// `()`
    LoopbackUp = 4100,
    /// `(dfd, path, at_flags, name, value, size)`
    GetXattrAt = 4101,
    /// `(dfd, path, at_flags | xattr_flags << 32, name, value, size)`
    SetXattrAt = 4102,
    /// `(dfd, path, at_flags, list, size)`
    ListXattrAt = 4103,
    /// `(dfd, path, at_flags, name)`
    RemoveXattrAt = 4104,
    /// `(dfd, path, *mut statfs)`; no path: the open file `dfd`
    StatfsAt = 4105,
    /// `(dfd, path)`; no path: the open file `dfd`
    ChdirAt = 4106,
    /// `(dfd, path, length)`; no path: the open file `dfd`
    TruncateAt = 4107,
    /// `(fd, buf, size, even_deleted) -> length with the NUL`: the absolute path of an open file
    FdPath = 4108,
    /// `(path, root_fd, disk or -1)`
    AnchorRelease = 4109,
    /// `() -> pages`
    ReleaseMemory = 4110,
    /// `()`
    LeaveCwd = 4111,
    /// `(fd, newdfd, newpath)`: gives an open file a name
    LinkFd = 4112,
    /// `(how)`: for tests, with `lkl_crash` on the command line
    Crash = 4113,
    /// `(fd, flags)`: opens the file of an open descriptor anew, with or without a name
    Reopen = 4114,
    /// `(N)`: names a disk that is one of several of a mount
    DiskNode = 4115,
    /// `(N)`
    DiskRemove = 4116,
    /// `(*mut *mut CallSlot) -> number of the member`
    MemberNew = 4117,
    /// `(bits, words, first)`: a bit for each descriptor from `first` on, a multiple of 64; set: it is open.
    /// 0: none is, there or above
    OpenFds = 4118,
    /// `(path, root_fd)`
    OpenRoot = 4119,
    /// `()`: the other threads of the caller's process are no more
    OnlyThread = 4120,
    /// `(address, length, prot, flags, fd, offset)`: mmap(2) of a file of the kernel
    AreaNew = 4121,
    /// `(address, length or 0, access)`: puts pages of such mappings in place; 0: after a fault
    AreaFault = 4122,
    /// `(what, address, length, ..)`: see [`AreaOp`]
    AreaOp = 4123,
    /// `(leaves)`: nothing of shared mappings is mapped any more; 1: this process leaves the kernel
    AreasEnd = 4124,
    /// `(*mut pollfd, n, bell, alone) -> how many are ready`: if none is, the bell rings at the first event; `alone`: it is
    /// enough if one of those who wait for this hears the bell
    WaitArm = 4125,
    /// `()`: the wait of the last [`Private::WaitArm`] is over
    WaitDisarm = 4126,
    /// `(fd, next) -> chime`: the inotify file at `fd` rings a chime from here on, and numbers its watches from `next` on
    WatchBegin = 4127,
    /// `(fd, what, ..)`: see [`WatchOp`]
    WatchOp = 4128,
    /// `(fd, buf, size)`: read(2) of such a file, without a wait, after its chime was heard
    WatchRead = 4129,
    /// `(fd, dfd, path, mask)`: inotify_add_watch(2)
    WatchAdd = 4130,
    /// `(fd, buf, size) -> length`: of the mount that an open file lies in, with a space between: its id, MAJOR:MINOR, the
    /// root in the file system, the mount's options, the file system's type and options, and both options as mounts(5) has them
    MountAbout = 4131,
    /// `(path)`: the directory of the host at this path (empty: the host's own root) is the root of the caller's process
    RootAnchor = 4132,
    /// `(dfd, path)`: chroot(2) into a mount
    RootAt = 4133,
    /// `(fd, ticket, half)`: the file waits for whoever receives the ticket ([`crate::Kernel::make_ticket`], [`PassHalf`])
    PassPark = 4134,
    /// `(ticket) -> fd | half << 32`
    PassTake = 4135,
    /// `()`: files whose ticket does not exist any more are closed
    PassLook = 4136,
    /// `(the host's pid, fd) -> fd`: of a file of another process
    PassFrom = 4137,
    /// `(*const NewInterface) -> index of the interface`
    NetAdd = 4138,
    /// `(name with slashes, value, length)`: a setting of the kernel's, without /proc
    Sysctl = 4139,
    /// `(fd, F_OWNER_*, pid or tid of the host, whether the caller may send signals to it)`: who gets the signals of a file, a
    /// thread only the caller itself; `(fd, -1) -> F_OWNER_* << 32 | pid or tid`
    Owner = 4140,
    /// `(pid of the host, bytes)`: RLIMIT_FSIZE of another process of this kernel, which the host has set
    FileLimit = 4141,
    /// `(offset, buf, size) -> length`: /proc/locks of this kernel, with the kernel's ids of processes ([`crate::Kernel::pid_of`]); 0: its end
    ProcLocks = 4142,
    /// `(fd, buf, size) -> length`: what is in a pipe, which stays there
    PipeLook = 4143,
}

/// What the host has of a file that is passed to another process, beside the ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum PassHalf {
    /// Nothing.
    Nothing = 0,
    /// An epoll set.
    Epoll = 1,
    /// An inotify descriptor.
    Inotify = 2,
}

/// What is asked or told of an inotify file that rings ([`Private::WatchOp`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum WatchOp {
    /// `() ->` the number of the chime's watch on the host
    Tell = 0,
    /// `(number of the chime's watch)`
    Chime = 1,
    /// `() ->` the number of the next watch, which the host is to use
    Reserve = 2,
    /// `(reserved number, number that the host used or -errno)`
    Used = 3,
    /// `() ->` 1: the chime was rung, and not answered yet
    Rung = 4,
}

/// What a program wanted to do with a page ([`Private::AreaFault`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Access {
    /// To read.
    Read = 0,
    /// To write.
    Write = 1,
    /// To execute.
    Exec = 2,
}

/// What is done to mappings of files ([`Private::AreaOp`]), by the system call that asks for it, with further arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum AreaOp {
    /// munmap
    Unmap = 0,
    /// Something else takes the place.
    Replace = 1,
    /// mprotect: prot
    Protect = 2,
    /// madvise: advice
    Advise = 3,
    /// mincore: vec
    Core = 4,
    /// msync: flags
    Sync = 5,
    /// mremap: new length, flags, new address
    Move = 6,
    /// mlock
    Lock = 7,
}

/// The answer where no mapping of a file is concerned: the call is the host's.
pub const AREA_NOT_OURS: Errno = Errno::EDOM;
/// The answer where [`crate::Kernel::start_area_helper`] has to come first.
pub const AREA_NO_HELPER: Errno = Errno::EXFULL;
