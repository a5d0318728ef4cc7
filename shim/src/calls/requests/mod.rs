// SPDX-License-Identifier: GPL-2.0-only
//! Requests that stand in the application's memory instead of in registers: of io_submit(2) and io_uring_enter(2). A request
//! that only this process's kernel can carry out is made as a call, like any other, before the host looks at the requests.
//! The host then gets a request in its place that ends at once with the same result, so that results are where the
//! application looks for them: in the host's queues.
//!
//! Linux, too, carries out buffered requests of files within the call that hands them in; io_uring(7) does so where the data is
//! at hand.

pub mod aio;
mod entry;
mod op;
mod restrictions;
pub mod uring;

use once_cell::sync::OnceCell;

use crate::calls::transfer;
use crate::sys::errno::{from_raw, Errno, Result, Ret};
use crate::sys::host::Args;

/// What serves a call: a number and arguments in, kernel ABI out.
pub type Dispatch = fn(usize, &Args) -> Ret;
static DISPATCH: OnceCell<Dispatch> = OnceCell::new();

/// Says what serves a call. Called by the constructor.
pub fn serve_by(dispatch: Dispatch) {
    let _ = DISPATCH.set(dispatch);
}

/// Makes the call that a request stands for.
fn serve(nr: i64, args: &Args) -> Result {
    DISPATCH.get().map_or(Err(Errno::ENOSYS), |dispatch| from_raw(dispatch(nr as usize, args)))
}

/// Whether a file never makes the caller wait for somebody else, as a FIFO, a socket and a device do.
fn never_waits(fd: usize) -> bool {
    transfer::kind(fd).is_ok_and(|kind| !matches!(kind, libc::S_IFIFO | libc::S_IFSOCK | libc::S_IFCHR))
}
