// SPDX-License-Identifier: GPL-2.0-only
//! The constructor: settings, then interception. A program that asks for nothing pays for a look at its
//! environment.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicBool, Ordering};
use std::os::unix::ffi::OsStringExt;

use stowaway_config::Level;
use trampoline::Vectors;

use crate::instance::{kick, server_keepalive};
use crate::lookup::cwd;
use crate::process::fork;
use crate::signals::{actions, cancel};
use crate::sys::report::{say, Logger};
use crate::sys::settings::{self, settings};
use crate::sys::{host, thread};
use crate::syscalls::dispatch;
use crate::{loader, observe};

/// Runs before main, after libc's own constructors (ld.so orders by dependency).
#[used]
#[link_section = ".init_array"]
static CONSTRUCTOR: extern "C" fn() = construct;

/// Without Syscall User Dispatch nobody sees libc's exit_group: then this is the last that we hear.
#[used]
#[link_section = ".fini_array"]
static DESTRUCTOR: extern "C" fn() = destruct;

const NOT_AVAILABLE: &str = "Syscall User Dispatch is not available here";

static SEES_EXIT: AtomicBool = AtomicBool::new(false);

extern "C" fn destruct() {
    if !SEES_EXIT.load(Ordering::Relaxed) {
        observe::end();
        fork::unmount_all();
    }
}

extern "C" fn construct() {
    if !read_settings() {
        return;
    }
    install();
}

/// The same for a program that the loader is about to start, whatever it asks for: `stowaway run` shows every call.
pub fn under_loader() {
    read_settings();
    if install() {
        thread::leave_tls();
    }
}

/// Whether there is anything to do.
fn read_settings() -> bool {
    match settings::read() {
        Ok(active) => active,
        Err(error) => {
            say!("{error}");
            if is_under_run() {
                host::call(libc::SYS_exit_group, &[125]);
            }
            false
        }
    }
}

/// Installs interception; false: the host does not let us.
fn install() -> bool {
    let _ = log::set_logger(&Logger);
    log::set_max_level(match settings().log {
        Level::Off => log::LevelFilter::Off,
        Level::Error => log::LevelFilter::Error,
        Level::Warn => log::LevelFilter::Warn,
        Level::Info => log::LevelFilter::Info,
        Level::Debug => log::LevelFilter::Debug,
        Level::Trace => log::LevelFilter::Trace,
    });
    server_keepalive::hold();
    kick::find();
    actions::install();
    cwd::hand_over();
    let child = cancel::child_started;
    match trampoline::install(cancel::on_call, actions::foreign_sigsys, child, Vectors::Sse) {
        Ok(()) => {
            SEES_EXIT.store(true, Ordering::Relaxed);
            kick::start();
            if !observe::is_on() {
                dispatch::shorten();
            }
            trampoline::sud::rewrite_sites(false, cache_directory());
            return true;
        }
        Err(why) if loader::is_loader() => {
            say!("{NOT_AVAILABLE} (errno {}): the program runs without what is mounted", why.0)
        }
        Err(why) => say!(
            "{NOT_AVAILABLE} (errno {}): only calls through libc's names are caught; stdio, opendir and whatever else \
             libc does inside itself will miss the mounts",
            why.0
        ),
    }
    false
}

fn cache_directory() -> Option<Vec<u8>> {
    let var = |name| std::env::var_os(name).map(|value| value.into_vec());
    trampoline::rewrite::cache::directory(var("XDG_CACHE_HOME").as_deref(), var("HOME").as_deref())
}

/// A bad setting ends a program that `stowaway run` started.
fn is_under_run() -> bool {
    std::env::var_os("STOWAWAY_RUN").is_some()
}
