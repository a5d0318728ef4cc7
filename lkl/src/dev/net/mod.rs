// SPDX-License-Identifier: GPL-2.0-only
//! Network interfaces: what the kernel's driver `lkn` asks for is done here.
//!
//! # Rules of the place
//! [`send`], [`receive`] and [`arm`] run on a kernel stack, on whatever thread holds the virtual CPU: they never wait, allocate
//! or panic. All that two calls share lies in the [`Link`], in the kernel's memory, so that each call may come from another
//! process.
//!
//! # Files
//! `link` is what the driver, this side and all processes share of a back end; `descriptors` is where a process has the descriptor of a
//! back end; `back_end` is the trait, `ops` has the driver's operations, `events` what the user is told, and `tap`, `stream` and `datagram` are the back ends; `frames` reads frames off a stream;
//! `waiter` is the thread that waits for frames, and for a back end to come back; `capture` writes frames to a file.

mod back_end;
mod capture;
mod datagram;
mod descriptors;
mod events;
mod frames;
#[cfg(test)]
pub(crate) mod layout;
pub(crate) mod link;
mod message;
mod ops;
mod stream;
mod tap;
mod waiter;

pub(crate) use descriptors::{add, leave_file, left_file, DESCRIPTORS};
pub use events::{report_by, LinkEvent};
pub use frames::Frames;
pub(crate) use link::{Link, NewInterface};
pub(crate) use ops::{arm, receive, send};
pub(crate) use waiter::{begin, follow, forget, leave, reset_in_child, stop};
pub use waiter::{renew_by, Renewal, Renewed};
