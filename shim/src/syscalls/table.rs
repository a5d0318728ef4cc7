// SPDX-License-Identifier: GPL-2.0-only
//! THE table: one row per system call of x86-64. What a call's arguments are, who serves the call, and what is not done.
//! Dispatch, fast routes, trace and the compatibility page come from the rows; a test holds that each hook's call has one.

use syscalls::Sysno;

use super::rows::ROWS;
use crate::observe::Arg;
use crate::sys::call::Call;
use crate::sys::errno::{Errno, Result};

/// Who serves a call.
#[derive(Clone, Copy)]
pub enum Serve {
    /// The host, always: memory, threads, signals, time, the process.
    Host,
    /// The owner of the descriptor in this argument; the call goes on untouched.
    Fd(usize),
    /// The host; with a kernel descriptor in this argument ENOSYS, said once for each call.
    HostFdOnly(usize),
    /// The host; with a kernel descriptor in this argument the errno: no kernel file is of the one kind that the call takes.
    OtherKind(usize, Errno),
    /// The owner of the descriptor in the first argument; code of its own for an inotify descriptor.
    Watched(fn(&Call<'_>) -> Result),
    /// Code of its own.
    Own(fn(&Call<'_>) -> Result),
    /// The host, or code of its own where the program is told who it is (the setting `as`).
    Told(fn(&Call<'_>) -> Result),
    /// The host; code of its own if this argument is SIGKILL. A signal that a thread sends to itself comes on its own stack.
    Kill(usize, fn(&Call<'_>) -> Result),
    /// A number that is not known here, and might take a path: the host, or ENOSYS where there are mounts.
    Unknown,
}

/// One system call.
pub struct Row {
    /// Number and name.
    pub nr: Sysno,
    /// Its arguments in order.
    pub args: &'static [Arg],
    /// Who serves it.
    pub serve: Serve,
    /// What a user should know; empty: nothing. Read by the compatibility page, not by the product.
    #[cfg_attr(not(test), allow(dead_code))]
    pub note: &'static str,
}

/// Numbers from here on are not in the table: [`Serve::Unknown`].
pub const NUMBERS: usize = 512;

/// The numbers that have a meaning (arch/x86/entry/syscalls/syscall_64.tbl): first and last of each range. The last two
/// are listns and rseq_slice_yield, which take no path.
const KNOWN: [(usize, usize); 3] = [(0, 336), (424, Sysno::file_setattr as usize), (470, 471)];

/// Row of each number, for the dispatch.
static BY_NUMBER: [Serve; NUMBERS] = {
    let mut table = [Serve::Unknown; NUMBERS];
    let mut i = 0;
    while i < KNOWN.len() {
        let mut nr = KNOWN[i].0;
        while nr <= KNOWN[i].1 {
            table[nr] = Serve::Host;
            nr += 1;
        }
        i += 1;
    }
    let mut i = 0;
    while i < ROWS.len() {
        table[ROWS[i].nr as usize] = ROWS[i].serve;
        i += 1;
    }
    table
};

/// Who serves call `nr`.
#[inline]
pub fn serve(nr: usize) -> Serve {
    match BY_NUMBER.get(nr) {
        Some(serve) => *serve,
        None => Serve::Unknown,
    }
}

/// What the call's arguments are; None: the call has no row.
pub fn arguments(nr: usize) -> Option<&'static [Arg]> {
    ROWS.iter().find(|row| row.nr as usize == nr).map(|row| row.args)
}
