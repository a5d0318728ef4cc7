// SPDX-License-Identifier: GPL-2.0-only
//! Start and end of the library: the constructor, the entry of the loader, the destructor. A program that asks for nothing
//! pays for a look at its environment.
//!
//! This is the only place that knows all rooms: here they are told of each other.
#![allow(unsafe_code)]

use core::arch::global_asm;
use core::sync::atomic::{AtomicBool, Ordering};
use std::ffi::CString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use stowaway_config::{ConfigError, Level, Sink};
use trampoline::Vectors;

use crate::calls::requests;
use crate::exec::{kept, library};
use crate::instance::enter::{set_due, DUE_ROOT};
use crate::instance::{enter, keeper, kick, network, server_keepalive};
use crate::loader;
use crate::lookup::mount_lookup::visible;
use crate::lookup::{covered_dirs, cwd, mount_points};
use crate::observe;
use crate::process::{door, exit, fork, handoff, member};
use crate::signals::{deliver, end};
use crate::sys::errno::{Errno, Explained};
use crate::sys::host;
use crate::sys::report::{say, set_log_file, Logger};
use crate::sys::settings::{self, is_loader, settings, Asked};
use crate::sys::{kernel, root, thread, told, tracer, valgrind};
use crate::syscalls::{dispatch, entry, table};

/// Runs before main, after libc's own constructors (ld.so orders by dependency).
#[used]
#[link_section = ".init_array"]
static CONSTRUCTOR: extern "C" fn() = construct;

/// Without Syscall User Dispatch nobody sees libc's exit_group: then this is the last that we hear.
#[used]
#[link_section = ".fini_array"]
static DESTRUCTOR: extern "C" fn() = destruct;

global_asm!(include_str!("loader/asm/entry.S"), relocate = sym loader::relocate_itself, begin = sym begin);

const NOT_AVAILABLE: &str = "Syscall User Dispatch is not available here";

static SEES_EXIT: AtomicBool = AtomicBool::new(false);

extern "C" fn destruct() {
    if !SEES_EXIT.load(Ordering::Relaxed) {
        exit::before_end();
    }
}

extern "C" fn construct() {
    if read_settings() {
        let installed = install();
        go_in();
        if installed && told::is_told() {
            loader::tell_ids();
        }
    }
}

/// The entry of the loader (`loader/asm/entry.S`) calls this with the initial stack pointer. A program that the loader
/// starts has interception whatever it asks for: `stowaway run` shows every call.
unsafe extern "C" fn begin(sp: *mut usize) -> ! {
    // SAFETY: our dynamic loader hands on what the kernel gave it.
    if let Some(text) = unsafe { loader::variable(sp, keeper::KEEPER) } {
        keeper::be_keeper(text, member::MEMBER);
    }
    // SAFETY: as above.
    let loading = unsafe { crate::loader::read_order(sp) };
    settings::set_is_loader();
    read_settings();
    if install() {
        thread::leave_tls();
        go_in();
    } else {
        member::restore_mask();
    }
    loading.run()
}

/// Goes on with a kernel that is there, or starts one that others will use.
fn go_in() {
    door::take_in();
    member::take_over();
    member::restore_mask();
    let is_open = door::open_for_others().inspect_err(|why| say!("{why}")).is_ok();
    // What is wrong with the network was said.
    if !(is_open && has_network()) && settings().under_run {
        host::exit_group(125);
    }
}

/// A network to the outside, and one that more is asked of, is there when the program starts, or the program does not start. False: it is not there.
fn has_network() -> bool {
    if settings().interfaces().is_empty() && !settings().has_personality() {
        return true;
    }
    if kernel::state() != kernel::State::None {
        return network::is_there() && kernel::running().is_some();
    }
    let _ = enter::enter_kernel(|_| Ok(0));
    network::is_there() && kernel::running().is_some() && has_servers()
}

/// What servers have is mounted by the first process when the program starts: a server that does not answer is seen then. Others find
/// the mounts when they look into them. False: one is not mounted, which was said.
fn has_servers() -> bool {
    let is_remote = |index: &usize| settings().mounts[*index].is_remote();
    (0..settings().mounts.len())
        .filter(is_remote)
        .all(|index| enter::enter_kernel(|context| context.mount_root(index)).is_ok())
}

/// Whether there is anything to do. A bad setting ends a program that `stowaway run` started.
fn read_settings() -> bool {
    if valgrind::is_running() {
        if settings::is_any_set() {
            say!("valgrind runs this program itself, and nothing of it can be served: it runs without what is mounted here");
        }
        return false;
    }
    match settings::read(door::enter).and_then(|asked| asked.map_or(Ok(false), distribute)) {
        Ok(wanted) => wanted,
        Err(error) => {
            say!("{error}");
            if std::env::var_os("STOWAWAY_RUN").is_some() {
                host::exit_group(125);
            }
            false
        }
    }
}

/// Takes the settings to the rooms that need a part of them. Whether there is anything to do.
fn distribute(asked: Asked) -> Result<bool, ConfigError> {
    if let Some((_, text)) = asked.variables.iter().find(|(name, _)| name.as_bytes() == b"STOWAWAY_FDS") {
        handoff::accept(text.as_bytes());
    }
    let said = |name: &[u8]| {
        let variable = asked.variables.iter().find(|(variable, _)| variable.as_bytes() == name);
        variable.map(|(_, text)| text.as_bytes())
    };
    if let Some(text) = said(b"STOWAWAY_MEMBER") {
        member::accept(text);
    }
    if let Some(who) = asked.config.run_as {
        told::begin(who.uid, who.gid, said(b"STOWAWAY_ID"));
    }
    let wanted = asked.wants_anything();
    if wanted {
        kept::remember(&asked.variables, &asked.config, asked.cwd.as_deref());
    }
    if let Some(text) = said(b"STOWAWAY_ROOT") {
        library::take_over(root::accept(text));
        set_due(DUE_ROOT);
    }
    mount_points::find(asked.config.mounts.iter().filter_map(visible));
    let covered = covered_dirs::find(asked.config.mounts.iter().filter_map(visible));
    observe::start(&asked, said(b"STOWAWAY_FAMILY"), table::arguments)?;
    asked.put_in_force(covered);
    Ok(wanted)
}

/// Installs interception; false: the host does not let us.
fn install() -> bool {
    lkl::sys::set_gate(trampoline::gate::RAW);
    start_log();
    enter::resume_by(handoff::resume);
    keeper::library_by(library::open);
    lkl::watch_keeper_by(keeper::start_anew_if_lost);
    end::before_end(exit::before_end);
    requests::serve_by(|nr, args| dispatch::dispatch(nr, args, None));
    server_keepalive::connect_all();
    kick::find();
    deliver::install();
    cwd::take_over();
    let child = fork::child_started;
    match trampoline::install(entry::on_call, deliver::foreign_sigsys, child, Vectors::Sse) {
        Ok(()) => {
            SEES_EXIT.store(true, Ordering::Relaxed);
            kick::start();
            if !observe::is_on() {
                dispatch::shorten();
            }
            // A debugger stops at each signal: it is to see none of ours.
            trampoline::rewrite_sites(tracer::is_attached(), cache_directory());
            return true;
        }
        Err(why) if is_loader() => {
            say!("{NOT_AVAILABLE}: {}: the program runs without what is mounted", Explained(Errno::new(why.0)))
        }
        Err(why) => say!(
            "{NOT_AVAILABLE}: {}: only calls through libc's names are caught; stdio, opendir and whatever else \
             libc does inside itself will miss the mounts",
            Explained(Errno::new(why.0))
        ),
    }
    if told::at_start().is_some() {
        say!("as: not in force without it: the program works with its own rights");
    }
    false
}

fn start_log() {
    if let Sink::File(path) = &settings().kernel_log {
        CString::new(path.as_os_str().as_bytes()).into_iter().for_each(set_log_file);
    }
    let _ = log::set_logger(&Logger);
    log::set_max_level(match settings().log {
        Level::Off => log::LevelFilter::Off,
        Level::Error => log::LevelFilter::Error,
        Level::Warn => log::LevelFilter::Warn,
        Level::Info => log::LevelFilter::Info,
        Level::Debug => log::LevelFilter::Debug,
        Level::Trace => log::LevelFilter::Trace,
    });
}

fn cache_directory() -> Option<Vec<u8>> {
    let var = |name| std::env::var_os(name).map(|value| value.into_vec());
    trampoline::rewrite::cache::directory(var("XDG_CACHE_HOME").as_deref(), var("HOME").as_deref())
}
