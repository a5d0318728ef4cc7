// SPDX-License-Identifier: GPL-2.0-only
//! Calls made visible: counted (`stats.rs`) and printed (`trace.rs`).
//!
//! Rules of the place: those of the way of a call, at its busiest: any thread, in handlers, after a fork. No
//! allocation, no lock; a line is built on the stack and leaves with one write(2). Where nobody watches, all of this
//! costs one test of one byte ([`is_on`]).
//!
//! A call is seen when it returns, so that its result and who served it are known. Not seen are calls that a handler
//! of the application leaves by siglongjmp, and rt_sigreturn.

mod arguments;
mod family;
mod filter;
mod kinds;
mod names;
mod stats;
mod structures;
mod text;
mod trace;

use core::sync::atomic::{AtomicU8, Ordering};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use stowaway_config::{ConfigError, Key, Sink};
use trampoline::gate::STOPPED;
use trampoline::Frame;

pub use family::FAMILY;
pub use kinds::{describe_by, name, Arg, Describe};

use crate::fdtable::{self, Keep};
use crate::instance::keeper;
use crate::signals::actions;
use crate::sys::call::Call;
use crate::sys::errno::{self, Errno, Explained};
use crate::sys::forward;
use crate::sys::fs;
use crate::sys::host::Ret;
use crate::sys::kernel;
use crate::sys::report;
use crate::sys::settings::Asked;
use crate::sys::thread::{self, ServedBy};

/// How a call came to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A name of libc's that is ours.
    Hook,
    /// A rewritten site.
    Patched,
    /// A trap.
    Sigsys,
    /// The 32-bit gate, which goes to the host.
    Int80,
}

const STATS: u8 = 1;
const TRACE: u8 = 2;
static ON: AtomicU8 = AtomicU8::new(0);

/// Whether somebody watches: then every call has to come to the dispatch.
#[inline]
pub fn is_on() -> bool {
    forward::is_observed()
}

fn is(what: u8) -> bool {
    ON.load(Ordering::Relaxed) & what != 0
}

/// In the constructor, before the first call is caught. `said`: what the library of the program before an exec said of the family.
/// `describe`: the kinds of a call's arguments.
pub fn start(asked: &Asked, said: Option<&[u8]>, describe: Describe) -> Result<(), ConfigError> {
    describe_by(describe);
    let (stats, trace) = (&asked.config.stats, &asked.config.trace);
    let sinks = [stats, &trace.to];
    let [stats_bit, trace_bit] =
        [(stats, STATS), (&trace.to, TRACE)]
            .map(|(sink, bit)| if matches!(sink, Sink::Off) { 0 } else { bit });
    let on = stats_bit | trace_bit;
    let goes_on = said.is_some_and(|text| family::go_on(text, sinks));
    if on != 0 && !goes_on {
        let to = [open_sink(Key::Stats, stats)?, open_sink(Key::Trace, &trace.to)?];
        family::begin(sinks, to.map(|fd| fd.unwrap_or(-1))).map_err(no_memory)?;
    }
    filter::set(&trace.only)?;
    if on & STATS != 0 {
        // A deadly signal is an end that we have to see.
        actions::catch_fatal();
    }
    ON.store(on, Ordering::Relaxed);
    if on != 0 {
        forward::set_observed();
    }
    Ok(())
}

fn no_memory(e: Errno) -> ConfigError {
    ConfigError::new(Key::Stats.env(), format!("the host gives no memory for it: {}", Explained(e)))
}

/// Where lines go. None: nowhere.
fn open_sink(key: Key, sink: &Sink) -> Result<Option<i32>, ConfigError> {
    match sink {
        Sink::Off => Ok(None),
        Sink::Stderr => {
            fdtable::keep_stderr();
            Ok(Some(report::stderr_fd()))
        }
        Sink::File(path) => open(path.as_os_str().as_bytes())
            .map(Some)
            .ok_or_else(|| ConfigError::new(key.env(), format!("{}: cannot be opened", path.display()))),
    }
}

/// Opens a file to append to, at a number of ours.
fn open(path: &[u8]) -> Option<i32> {
    let path = CString::new(path).ok()?;
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_NOCTTY;
    let file = fs::open(&path, flags, 0o666).ok()?;
    Some(fdtable::reserve(file.raw(), Keep::OverFork).unwrap_or_else(|_| file.into_raw()))
}

fn entry_kind(frame: Option<&Frame>) -> EntryKind {
    match frame {
        None => EntryKind::Hook,
        Some(frame) => match frame.entry_kind() {
            trampoline::frame::EntryKind::Patched => EntryKind::Patched,
            trampoline::frame::EntryKind::Signal => EntryKind::Sigsys,
            trampoline::frame::EntryKind::Int80 => EntryKind::Int80,
        },
    }
}

/// Serves a call by `serve` while somebody watches.
#[cold]
pub fn observed(call: &Call<'_>, serve: impl FnOnce() -> Ret) -> Ret {
    if matches!(call.nr as i64, libc::SYS_exit | libc::SYS_exit_group) {
        leave(call);
    }
    let outer = mark(None);
    let r = serve();
    let by = mark(outer);
    let in_child = r == 0
        && matches!(call.nr as i64, libc::SYS_fork | libc::SYS_vfork | libc::SYS_clone | libc::SYS_clone3);
    // A stopped call is made again.
    if !in_child && r != STOPPED {
        seen(call, Some(r), by.unwrap_or(ServedBy::Own));
    }
    r
}

fn seen(call: &Call<'_>, result: Option<Ret>, by: ServedBy) {
    let kind = entry_kind(call.frame);
    if is(STATS) {
        stats::count(call.nr, kind, by);
    }
    if is(TRACE) {
        trace::print(family::TRACE_TO.load(Ordering::Relaxed), call, result, kind, by);
    }
}

/// Before a call that does not come back if all goes well: exec, exit.
pub fn leave(call: &Call<'_>) {
    if is_on() {
        seen(call, None, ServedBy::Own);
    }
}

/// The process ends, by whatever, or becomes a program that is not served. The last of the family prints the table.
pub fn end() {
    if !is_on() {
        return;
    }
    stats::settle();
    if let Some(kernel) = kernel::running() {
        // A keeper that is being started has copies of all descriptors for a moment, and the family would seem to go on.
        keeper::settle(!kernel.has_live_company());
    }
    if family::leave() && is(STATS) {
        stats::print(family::STATS_TO.load(Ordering::Relaxed));
    }
}

/// Room for [`describe`].
pub const TEXT: usize = family::TEXT;

/// What a served program that is executed is told of the family: `text` gets a variable. False: nothing.
pub fn describe(text: &mut [u8; TEXT]) -> bool {
    is_on() && family::describe(text)
}

/// Makes the exec `execute` of a program that goes on with the family. Returns only if the exec failed.
pub fn hand_over(execute: impl FnOnce() -> errno::Result) -> errno::Result {
    stats::settle();
    family::keep_over_exec(true);
    let r = execute();
    family::keep_over_exec(false);
    r
}

/// In the child of a fork: it is one more of the family.
pub fn join_in_child() {
    if is_on() {
        stats::forget();
        family::join_in_child();
    }
}

/// Sets the note of who serves the thread's call, and gives what it was.
fn mark(by: Option<ServedBy>) -> Option<ServedBy> {
    thread::current_or_new().ok()?.replace_served(by)
}
