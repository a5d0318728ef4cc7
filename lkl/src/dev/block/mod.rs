// SPDX-License-Identifier: GPL-2.0-only
//! Block devices: what the kernel's driver `lkb` asks for is done here.
//!
//! # Rules of the place
//! [`submit`] runs on a kernel stack, on whatever thread holds the virtual CPU, and must be quick unless
//! nobody else wants the CPU. It either finishes the request or gives it to an engine, whose threads (bare
//! ones, see [`crate::sys::helper_thread`]) complete it by `request::complete`. Nothing here allocates, panics, or uses TLS.
//!
//! # Files
//! `request` is the border to the driver; `device` is a disk on the host's side; `engine` chooses the engine of a
//! request; `transfer` and `discard` do a request on the calling thread; `past_limit` writes beyond the file size
//! limit of the program; `bounce` reads into memory that is not there
//! yet; `read_around` reads into the application's memory; `store` has the descriptors that all processes of an instance need; `queue` and `workers` are the engine of threads; `ring` and `uring` are the engine of io_uring; `nbd` is a
//! disk on another machine or in another process.

pub(crate) mod bounce;
pub(crate) mod device;
mod discard;
mod engine;
#[cfg(test)]
pub(crate) mod layout;
pub(crate) mod nbd;
mod past_limit;
mod queue;
mod read_around;
mod request;
mod ring;
mod store;
mod transfer;
mod uring;
mod workers;

pub use device::keep_descriptors_by;
pub(crate) use device::{gone as forget, keep, set_states, set_store, store, Backing, Device, Kind};
pub(crate) use engine::{
    begin_to_leave, can_be_shared, close_copies, follow_store, gone, leave, leave_to_workers,
    reset_threads_in_child, set_engine, stop, submit,
};
pub use engine::{reset_in_child, Engine};
pub(crate) use read_around::read_around;
pub(crate) use request::{take_write_error, Iov, Request};
pub(crate) use store::Entry;
pub use store::Store;
