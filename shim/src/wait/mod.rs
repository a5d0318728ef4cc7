// SPDX-License-Identifier: GPL-2.0-only
//! Waiting for several descriptors, of the host, of the kernel library, or of both.
//!
//! Where all are one kernel's, the call goes there as it is. `both` is how a thread waits for files of both; `files` are those
//! of a poll or select, `epoll_both` those of an epoll set.

mod both;
pub mod epoll;
mod epoll_both;
mod event;
mod files;
mod join;
mod masked;
mod nest;
mod owners;
pub mod poll;
pub mod select;
mod timeout;
mod waker;
