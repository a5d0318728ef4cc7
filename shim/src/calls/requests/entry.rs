// SPDX-License-Identifier: GPL-2.0-only
//! A request of io_uring, `struct io_uring_sqe`, as a call (io_uring_enter(2); io_uring/opdef.c).

use super::{never_waits, op, serve};
use crate::calls::passing;
use crate::fdtable::{self, KERNEL};
use crate::sys::errno::{Errno, Result};
use crate::sys::host::Args;
use crate::sys::report::say_once;
use crate::sys::user;

/// An entry in words.
pub type Words = [u64; 8];

// Flags of an entry.
const FIXED_FILE: u8 = 1;
const LINK: u8 = 1 << 2;
const HARDLINK: u8 = 1 << 3;
const BUFFER_SELECT: u8 = 1 << 5;
/// Of these the host goes on to take care: the order of results, and whether a success has one.
const STAY: u8 = 1 << 1 | 1 << 6;

/// Words of an entry: operation, flags, priority and descriptor; length and flags of the operation; buffer and personality.
const WHAT: usize = 0;
const LENGTH: usize = 3;
const BUFFER: usize = 5;
/// The words that [`Entry::becomes`] changes.
pub const CHANGED: [usize; 3] = [WHAT, LENGTH, BUFFER];

/// A request that does nothing and has the result that stands in its length (since Linux 6.10).
const NOP_INJECT_RESULT: u64 = 1;

const FSYNC_DATASYNC: usize = 1;

/// Who carries a request out.
pub enum Plan {
    /// The host.
    Host,
    /// The host, in step with the request before: a timeout for that request.
    WithTheOneBefore,
    /// This call.
    Call { nr: i64, args: Args },
    /// A read or a write of one buffer; the call has a vector, which is made then.
    Transfer { nr: i64, fd: usize, buffer: [usize; 2], offset: usize, flags: usize },
    /// Nobody.
    Refused,
}

/// One request.
#[derive(Clone, Copy)]
pub struct Entry(pub Words);

impl Entry {
    fn operation(&self) -> u8 {
        self.0[WHAT] as u8
    }

    fn flags(&self) -> u8 {
        (self.0[WHAT] >> 8) as u8
    }

    /// Whether the next request waits for this one.
    pub fn is_linked(&self) -> bool {
        self.flags() & (LINK | HARDLINK) != 0
    }

    fn is_hard_linked(&self) -> bool {
        self.flags() & HARDLINK != 0
    }

    fn fd(&self) -> usize {
        (self.0[WHAT] >> 32) as i32 as usize
    }

    fn len(&self) -> usize {
        self.0[LENGTH] as u32 as usize
    }

    fn operation_flags(&self) -> usize {
        (self.0[LENGTH] >> 32) as usize
    }

    /// `file_index`, `splice_fd_in`
    fn file_index(&self) -> usize {
        (self.0[BUFFER] >> 32) as u32 as usize
    }

    fn is_kernel(fd: usize) -> bool {
        fdtable::class(fd) == KERNEL
    }

    fn uses_kernel_file(&self) -> bool {
        self.flags() & FIXED_FILE == 0 && Entry::is_kernel(self.fd())
    }

    /// Who carries the request out. What each field means: io_uring_prep_*(3), in liburing.
    pub fn plan(&self) -> Plan {
        let [_, offset, address, ..] = self.0.map(|word| word as usize);
        let (fd, len, flags) = (self.fd(), self.len(), self.operation_flags());
        let third = self.0[6] as usize;
        let call = |nr, args: &[usize]| {
            let mut all = [0; 6];
            all[..args.len()].copy_from_slice(args);
            Plan::Call { nr, args: all }
        };
        let by_path = match self.operation() {
            op::LINK_TIMEOUT => return Plan::WithTheOneBefore,
            op::OPENAT => call(libc::SYS_openat, &[fd, address, flags, len]),
            op::STATX => call(libc::SYS_statx, &[fd, address, flags, len, offset]),
            op::OPENAT2 => call(libc::SYS_openat2, &[fd, address, offset, len]),
            op::RENAMEAT => call(libc::SYS_renameat2, &[fd, address, len as i32 as usize, offset, flags]),
            op::UNLINKAT => call(libc::SYS_unlinkat, &[fd, address, flags]),
            op::MKDIRAT => call(libc::SYS_mkdirat, &[fd, address, len]),
            op::SYMLINKAT => call(libc::SYS_symlinkat, &[address, fd, offset]),
            op::LINKAT => call(libc::SYS_linkat, &[fd, address, len as i32 as usize, offset, flags]),
            op::SETXATTR => call(libc::SYS_setxattr, &[third, address, offset, len, flags]),
            op::GETXATTR => call(libc::SYS_getxattr, &[third, address, offset, len]),
            op::SOCKET => call(libc::SYS_socket, &[fd, offset, len]),
            op::BIND => call(libc::SYS_bind, &[fd, address, offset]),
            op::CLOSE if self.file_index() == 0 => call(libc::SYS_close, &[fd]),
            op::EPOLL_CTL if self.flags() & FIXED_FILE == 0 => {
                call(libc::SYS_epoll_ctl, &[fd, len, offset, address])
            }
            // Without a wait: EAGAIN where the host's request would wait.
            op::SENDMSG if !self.uses_kernel_file() && passing::carries(address) => {
                call(libc::SYS_sendmsg, &[fd, address, flags | libc::MSG_DONTWAIT as usize])
            }
            op::SPLICE | op::TEE if Entry::is_kernel(self.file_index()) => return Plan::Refused,
            _ if !self.uses_kernel_file() => return Plan::Host,
            _ => return self.plan_for_kernel_file(call),
        };
        // A file that is to have no descriptor, but a place among the registered ones.
        let is_direct =
            matches!(self.operation(), op::OPENAT | op::OPENAT2 | op::SOCKET) && self.file_index() != 0;
        match is_direct || self.flags() & FIXED_FILE != 0 {
            true => Plan::Refused,
            false => by_path,
        }
    }

    fn plan_for_kernel_file(&self, call: impl Fn(i64, &[usize]) -> Plan) -> Plan {
        let [_, offset, address, ..] = self.0.map(|word| word as usize);
        let (fd, len, flags) = (self.fd(), self.len(), self.operation_flags());
        let transfer = |nr| Plan::Transfer { nr, fd, buffer: [address, len], offset, flags };
        let plan = match self.operation() {
            op::READV => call(libc::SYS_preadv2, &[fd, address, len, offset, 0, flags]),
            op::WRITEV => call(libc::SYS_pwritev2, &[fd, address, len, offset, 0, flags]),
            // Buffers that were registered are named by their address as well.
            op::READ_FIXED | op::READ => transfer(libc::SYS_preadv2),
            op::WRITE_FIXED | op::WRITE => transfer(libc::SYS_pwritev2),
            op::FSYNC if flags & FSYNC_DATASYNC != 0 => call(libc::SYS_fdatasync, &[fd]),
            op::FSYNC => call(libc::SYS_fsync, &[fd]),
            op::SYNC_FILE_RANGE => call(libc::SYS_sync_file_range, &[fd, offset, len, flags]),
            op::FALLOCATE => call(libc::SYS_fallocate, &[fd, len, offset, address]),
            op::FADVISE => {
                call(libc::SYS_fadvise64, &[fd, offset, if len != 0 { len } else { address }, flags])
            }
            op::SHUTDOWN => call(libc::SYS_shutdown, &[fd, len]),
            op::FSETXATTR => call(libc::SYS_fsetxattr, &[fd, address, offset, len, flags]),
            op::FGETXATTR => call(libc::SYS_fgetxattr, &[fd, address, offset, len]),
            op::FTRUNCATE => call(libc::SYS_ftruncate, &[fd, offset]),
            op::LISTEN => call(libc::SYS_listen, &[fd, len]),
            _ => return Plan::Refused,
        };
        match self.flags() & BUFFER_SELECT != 0 {
            true => Plan::Refused,
            false => plan,
        }
    }

    /// Makes the call of the request's plan. The host's requests have no result here.
    pub fn carry_out(&self, plan: &Plan) -> Result {
        match plan {
            Plan::Host | Plan::WithTheOneBefore => Err(Errno::ECANCELED),
            Plan::Refused => Err(self.refuse()),
            Plan::Call { nr: nr @ (libc::SYS_preadv2 | libc::SYS_pwritev2), args } => {
                self.transfer(*nr, args[0], args)
            }
            Plan::Call { nr, args } => serve(*nr, args),
            Plan::Transfer { nr, fd, buffer, offset, flags } => {
                self.transfer(*nr, *fd, &[*fd, buffer.as_ptr() as usize, 1, *offset, 0, *flags])
            }
        }
    }

    /// A read or a write, of a file that cannot make the caller wait for somebody else.
    fn transfer(&self, nr: i64, fd: usize, args: &Args) -> Result {
        if never_waits(fd) {
            serve(nr, args)
        } else {
            Err(self.refuse())
        }
    }

    fn refuse(&self) -> Errno {
        say_once!(
            "io_uring: operation {} is not supported on a file in a mount or a socket of its kernel, in this form (EOPNOTSUPP)",
            self.operation()
        );
        Errno::EOPNOTSUPP
    }

    /// Says that the request belongs to a chain that has the host's requests, too, and is refused.
    pub fn refuse_in_mixed_chain(&self) -> Errno {
        say_once!("io_uring: a chain of requests for host and mount is not supported (EOPNOTSUPP)");
        Errno::EOPNOTSUPP
    }

    /// Whether what `result` says ends a chain.
    pub fn breaks_chain(&self, plan: &Plan, result: Result) -> bool {
        let is_short = match (plan, result) {
            (_, Err(_)) => true,
            (Plan::Transfer { buffer, .. }, Ok(n)) => n < buffer[1],
            (Plan::Call { nr: libc::SYS_preadv2 | libc::SYS_pwritev2, args }, Ok(n)) => {
                n < bytes_of(args[1], args[2])
            }
            _ => false,
        };
        is_short && !self.is_hard_linked()
    }

    /// The entry that the host gets: a request with this result, and no link unless `keeps_link`.
    pub fn becomes(&self, result: Result, keeps_link: bool) -> Entry {
        let mut words = self.0;
        let result = match result {
            Ok(n) => n.min(i32::MAX as usize) as u32,
            Err(e) => (-e.into_raw()) as u32,
        };
        let stay = STAY | if keeps_link { LINK | HARDLINK } else { 0 };
        words[WHAT] = u64::from(op::NOP)
            | u64::from(self.flags() & stay) << 8
            | words[WHAT] & (u64::from(u32::MAX) << 32);
        words[LENGTH] = u64::from(result) | NOP_INJECT_RESULT << 32;
        words[BUFFER] = 0;
        Entry(words)
    }
}

/// How many bytes a vector has.
fn bytes_of(vector: usize, count: usize) -> usize {
    let len =
        |n: usize| user::read::<[usize; 2]>(vector + n * size_of::<[usize; 2]>()).map_or(0, |part| part[1]);
    (0..count).map(len).fold(0, usize::saturating_add)
}

impl Plan {
    /// Whether the host is to have the request as it is.
    pub fn is_hosts(&self) -> bool {
        matches!(self, Plan::Host)
    }

    /// Whether the request is served here, or refused.
    pub fn is_ours(&self) -> bool {
        !matches!(self, Plan::Host | Plan::WithTheOneBefore)
    }
}
