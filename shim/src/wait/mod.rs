// SPDX-License-Identifier: GPL-2.0-only
//! Waiting for several descriptors: of the host or of the kernel, not of both. A wait over both is refused with EINVAL (an
//! epoll set: EPERM when the second kind is added) until both can be waited for at once.

pub mod epoll;
mod masked;
pub mod owners;
pub mod poll;
