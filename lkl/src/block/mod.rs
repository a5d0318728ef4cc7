// SPDX-License-Identifier: GPL-2.0-only
//! Block devices: what the kernel's driver `lkb` asks for is done here.
//!
//! # The place
//! [`submit`] runs on a kernel stack, on whatever thread holds the virtual CPU, and must be quick unless
//! nobody else wants the CPU. It either finishes the request or gives it to an engine, whose threads (bare
//! ones, see `bare`) complete it by [`complete`]. Nothing here allocates, panics, or uses TLS.
//!
//! # Rooms
//! `request` is the border to the driver; `device` what a disk is made of; `transfer` and `space` do a
//! request on the calling thread, `fresh` what is read into memory that is not there yet; `engine` decides who
//! does it; `queue` and `workers` are the engine of threads, `uring`, over `ring`, the other one; `nbd` is a
//! device on another machine or in another process.

mod attach;
mod device;
mod engine;
pub(crate) mod fresh;
pub(crate) mod nbd;
mod queue;
mod request;
mod ring;
mod space;
mod transfer;
mod uring;
mod workers;

pub(crate) use device::{Device, Kind};
pub use engine::{after_fork, Engine};
pub(crate) use engine::{commit, gone, stop, submit};
pub(crate) use request::{take_write_error, Request};
