// SPDX-License-Identifier: GPL-2.0-only
//! Calls made visible: counted (`stats.rs`) and printed (`trace.rs`).
//!
//! Rules of the place: those of the way of a call, at its busiest: any thread, in handlers, after a fork. No
//! allocation, no lock; a line is built on the stack and leaves with one write(2). Where nobody watches, all of this
//! costs one test of one byte ([`is_on`]).
//!
//! A call is seen when it returns, so that its result and who served it are known. Not seen are those that a handler
//! of the application leaves by siglongjmp, and rt_sigreturn.

mod arguments;
mod errnos;
mod filter;
mod names;
mod stats;
mod structures;
mod text;
mod trace;

use core::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use stowaway_config::{ConfigError, Key, Sink};
use trampoline::gate::STOPPED;
use trampoline::Frame;

use crate::calls::Call;
use crate::fdtable;
use crate::process::fork;
use crate::signals::actions;
use crate::sys::host::{self, Args, Ret};
use crate::sys::settings::Settings;
use crate::sys::{report, thread};
use crate::syscalls::dispatch;

/// How a call came to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// A name of libc's that is ours.
    Hook,
    /// A rewritten site.
    Patched,
    /// A trap.
    Sigsys,
    /// The 32-bit gate, which goes to the host.
    Int80,
}

/// Who served it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The host's kernel.
    Host,
    /// Ours.
    Kernel,
    /// The call was carried out by other calls of our own, or answered by us.
    Own,
}

const STATS: u8 = 1;
const TRACE: u8 = 2;
static ON: AtomicU8 = AtomicU8::new(0);

/// Where each goes: a descriptor of ours; -1: nowhere.
static SINKS: [AtomicI32; 2] = [const { AtomicI32::new(-1) }; 2];

/// Whether somebody watches: then every call has to come to the dispatch.
#[inline]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed) != 0
}

fn is(what: u8) -> bool {
    ON.load(Ordering::Relaxed) & what != 0
}

/// Whether a descriptor of ours is needed in a child of fork.
pub fn keeps(fd: i32) -> bool {
    SINKS.iter().any(|sink| sink.load(Ordering::Relaxed) == fd)
}

/// In the constructor, before the first call is caught.
pub fn start(settings: &Settings) -> Result<(), ConfigError> {
    let mut on = 0;
    let trace = &settings.trace;
    for (at, (key, bit, sink)) in
        [(Key::Stats, STATS, &settings.stats), (Key::Trace, TRACE, &trace.to)].into_iter().enumerate()
    {
        let fd = match sink {
            Sink::Off => continue,
            Sink::Stderr => {
                report::keep_stderr();
                report::stderr_fd()
            }
            Sink::File(path) => open(path.as_os_str().as_bytes()).ok_or_else(|| {
                ConfigError::new(key.env(), format!("{}: cannot be opened", path.display()))
            })?,
        };
        SINKS[at].store(fd, Ordering::Relaxed);
        on |= bit;
    }
    filter::set(&trace.only)?;
    if on & STATS != 0 {
        // A deadly signal is an end that we have to see.
        actions::catch_fatal();
    }
    ON.store(on, Ordering::Relaxed);
    Ok(())
}

/// Opens a file to append to, at a number of ours.
fn open(path: &[u8]) -> Option<i32> {
    let path = CString::new(path).ok()?;
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC | libc::O_NOCTTY;
    let args = [libc::AT_FDCWD as usize, path.as_ptr() as usize, flags as usize, 0o666];
    let fd = host::call(libc::SYS_openat, &args);
    if fd < 0 {
        return None;
    }
    let ours = fdtable::reserve_copy(fd as i32);
    if ours < 0 {
        return Some(fd as i32);
    }
    host::close(fd as i32);
    Some(ours)
}

fn door(frame: Option<&Frame>) -> Door {
    match frame {
        None => Door::Hook,
        Some(frame) => match frame.door() {
            trampoline::frame::Door::Patched => Door::Patched,
            trampoline::frame::Door::Signal => Door::Sigsys,
        },
    }
}

/// Serves a call while somebody watches.
#[cold]
pub fn watch(nr: usize, args: &Args, frame: Option<&Frame>) -> Ret {
    let call = Call { nr, args: *args, frame };
    let is_last = matches!(nr as i64, libc::SYS_exit | libc::SYS_exit_group);
    if is_last {
        leave(&call);
    }
    let outer = mark(None);
    let r = dispatch::serve(nr, args, frame);
    let route = mark(outer);
    let in_child =
        r == 0 && matches!(nr as i64, libc::SYS_fork | libc::SYS_vfork | libc::SYS_clone | libc::SYS_clone3);
    // A stopped call is made again.
    if !in_child && r != STOPPED {
        seen(&call, Some(r), route.unwrap_or(Route::Own));
    }
    r
}

fn seen(call: &Call<'_>, result: Option<Ret>, route: Route) {
    let door = door(call.frame);
    if is(STATS) {
        stats::count(call.nr, door, route);
    }
    if is(TRACE) {
        trace::print(call, result, door, route);
    }
}

/// Before a call that does not come back if all goes well: exec, exit.
pub fn leave(call: &Call<'_>) {
    if !is_on() {
        return;
    }
    seen(call, None, Route::Own);
    if call.nr != libc::SYS_exit as usize || fork::is_last_thread() {
        end();
    }
}

/// The process ends, by whatever, or becomes another program.
pub fn end() {
    if is(STATS) {
        stats::print(SINKS[0].load(Ordering::Relaxed));
    }
}

/// In the child of a fork: what was counted is the parent's.
pub fn in_child() {
    if is(STATS) {
        stats::forget();
    }
}

/// Notes who serves the calling thread's call. The last one counts: a look at one world may end in the other.
pub fn went_to(route: Route) {
    if let Some(thread) = thread::current() {
        thread.served = Some(route);
    }
}

/// Sets the note, and gives what it was.
fn mark(route: Option<Route>) -> Option<Route> {
    let thread = thread::current_or_new()?;
    core::mem::replace(&mut thread.served, route)
}
