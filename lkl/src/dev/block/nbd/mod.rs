// SPDX-License-Identifier: GPL-2.0-only
//! A disk that a server has: the client's side of the NBD protocol (the fixed newstyle negotiation and simple
//! replies of the NetworkBlockDevice project's proto.md). A server that is lost means EIO for everything from then
//! on; nothing waits for ever.
//!
//! `uri` reads an address and connects, `handshake` negotiates: both run when a mount is made, and `patience` bounds them
//! as a whole. `link` carries the
//! kernel's requests, `wire` has the protocol's numbers and moves bytes.

mod handshake;
mod link;
mod patience;
mod uri;
mod wire;

pub(crate) use handshake::{disconnect, drain, negotiate, read_at, Export, NbdError};
pub(crate) use link::{Link, State};
pub use patience::set_interrupted;
pub(crate) use patience::Patience;
pub(crate) use uri::{connect, set_timeouts, Address};
pub(crate) use wire::{READ_ONLY, SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES};
