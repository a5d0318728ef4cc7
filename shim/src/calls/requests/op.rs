// SPDX-License-Identifier: GPL-2.0-only
//! Operations of io_uring that are looked at (`enum io_uring_op`, include/uapi/linux/io_uring.h).

pub const NOP: u8 = 0;
pub const READV: u8 = 1;
pub const WRITEV: u8 = 2;
pub const FSYNC: u8 = 3;
pub const READ_FIXED: u8 = 4;
pub const WRITE_FIXED: u8 = 5;
pub const SYNC_FILE_RANGE: u8 = 8;
pub const SENDMSG: u8 = 9;
pub const LINK_TIMEOUT: u8 = 15;
pub const FALLOCATE: u8 = 17;
pub const OPENAT: u8 = 18;
pub const CLOSE: u8 = 19;
pub const STATX: u8 = 21;
pub const READ: u8 = 22;
pub const WRITE: u8 = 23;
pub const FADVISE: u8 = 24;
pub const OPENAT2: u8 = 28;
pub const EPOLL_CTL: u8 = 29;
pub const SPLICE: u8 = 30;
pub const TEE: u8 = 33;
pub const SHUTDOWN: u8 = 34;
pub const RENAMEAT: u8 = 35;
pub const UNLINKAT: u8 = 36;
pub const MKDIRAT: u8 = 37;
pub const SYMLINKAT: u8 = 38;
pub const LINKAT: u8 = 39;
pub const FSETXATTR: u8 = 41;
pub const SETXATTR: u8 = 42;
pub const FGETXATTR: u8 = 43;
pub const GETXATTR: u8 = 44;
pub const SOCKET: u8 = 45;
pub const FTRUNCATE: u8 = 55;
pub const BIND: u8 = 56;
pub const LISTEN: u8 = 57;
