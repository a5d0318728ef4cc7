// SPDX-License-Identifier: GPL-2.0-only
//! How a program gets into an instance with a name (STOWAWAY_INSTANCE): the first one starts the kernel and the keeper, whose
//! door the later ones come to (`instance::porter`).
//!
//! Whoever looks whether the instance is there holds the lock of its name: two programs that start at the same moment are one
//! that starts the instance, and one that comes later.
//!
//! Rules of the place: runs in the constructor, alone, and may allocate.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use lkl::sys::{file, socket};
use stowaway_config::{instance, Config, ConfigError, Key};

use crate::fdtable;
use crate::instance::enter::enter_kernel;
use crate::instance::keeper;
use crate::process::member::{self, MEMBER};
use crate::sys::errno::{Errno, Explained, Result};
use crate::sys::fs::{self, OwnedFd};
use crate::sys::kernel::running;
use crate::sys::settings::settings;
use crate::sys::sockaddr::UnixAddress;
use crate::sys::{host, numbers};

/// Connections that wait for the keeper.
const BACKLOG: usize = 128;
/// How long the keeper may take to answer.
const PATIENCE_MS: u32 = 10_000;
/// An instance that is about to end is not waited for longer: tries, and the pause between two.
const TRIES: u32 = 200;
const PAUSE_NS: i64 = 10_000_000;
/// How often the lock of a name is tried: for ten seconds.
const LOCK_TRIES: u32 = 1_000;
/// The longest answer.
const ANSWER_BYTES: usize = 256 << 10;
/// Descriptors that come with it: of the memory file and of the store.
const FDS: usize = 3;

/// What the program does when it has settings.
enum Way {
    /// Goes on with the kernel that the answer describes.
    Joins(Let),
    /// Starts the instance, with this socket.
    Starts(OwnedFd),
}

/// An answer that lets the program in.
struct Let {
    variables: Vec<(OsString, OsString)>,
    fds: Vec<OwnedFd>,
}

static WAY: Mutex<Option<Way>> = Mutex::new(None);

fn go(way: Way) {
    *WAY.lock().unwrap_or_else(PoisonError::into_inner) = Some(way);
}

fn way(is_wanted: impl Fn(&Way) -> bool) -> Option<Way> {
    WAY.lock().unwrap_or_else(PoisonError::into_inner).take_if(|way| is_wanted(way))
}

/// Finds the instance that `config` names, and takes its settings into `variables`; or is the first.
pub fn enter(
    config: &Config,
    variables: &mut Vec<(OsString, OsString)>,
) -> core::result::Result<(), ConfigError> {
    let name = config.instance.as_deref().unwrap_or_default();
    let wrong = |why: String| ConfigError::new(Key::Instance.env(), why);
    let directory =
        instance::directory(std::env::var_os("XDG_RUNTIME_DIR").as_deref(), host::effective_user());
    make_own(&directory).map_err(|why| wrong(format!("{}: {why}", directory.display())))?;
    let here = |e: Errno| wrong(format!("{}: {}", directory.display(), Explained(e)));
    for _ in 0..TRIES {
        let lock = take_lock(&instance::lock(&directory, name)).map_err(|e| match e {
            Errno::EAGAIN => {
                wrong(format!("{name}.lock in {} stays locked by another program", directory.display()))
            }
            e => here(e),
        })?;
        let path = instance::socket(&directory, name);
        let Some(keeper) = find_keeper(&path).map_err(here)? else {
            if config.mounts.is_empty() && config.net == stowaway_config::Net::None {
                return Err(wrong(format!("no instance {name} is running"))
                    .advise("the first program that uses an instance has --mount or --net"));
            }
            go(Way::Starts(listen(&path).map_err(here)?));
            return Ok(());
        };
        drop(lock);
        match ask(&keeper, instance::JOIN) {
            Ok(answer) => return take_answer(answer, config, variables),
            // The keeper has just left.
            Err(Errno::ECONNRESET | Errno::EPIPE) => host::sleep_ns(PAUSE_NS),
            Err(e) => return Err(wrong(format!("the instance {name} does not answer: {}", Explained(e)))),
        }
    }
    Err(wrong(format!("the instance {name} is ending, and does not end")))
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

/// The directory is there, and this user's alone.
fn make_own(directory: &Path) -> core::result::Result<(), String> {
    match fs::make_private_directory(&c_path(directory), host::effective_user()) {
        Ok(true) => Ok(()),
        Ok(false) => Err("is no directory of this user's alone (mode 0700)".into()),
        Err(e) => Err(format!("cannot be made: {}", Explained(e))),
    }
}

/// EAGAIN: somebody has the lock, and keeps it.
fn take_lock(path: &Path) -> Result<OwnedFd> {
    let file = fs::open(&c_path(path), libc::O_RDWR | libc::O_CREAT | libc::O_NOFOLLOW, 0o600)?;
    let mut tries = 0;
    loop {
        match file::flock(file.raw(), libc::LOCK_EX | libc::LOCK_NB) {
            Ok(()) => return Ok(file),
            Err(Errno::EAGAIN) if tries < LOCK_TRIES => {
                host::sleep_ns(PAUSE_NS);
                tries += 1;
            }
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// A connection to the keeper, or none if there is no instance. The lock is held.
fn find_keeper(path: &Path) -> Result<Option<OwnedFd>> {
    let connection = fs::unix_socket(libc::SOCK_STREAM)?;
    socket::set_timeouts(connection.raw(), PATIENCE_MS);
    let address = UnixAddress::of_path(path.as_os_str().as_bytes())?;
    match fs::connect(connection.raw(), address.bytes()) {
        Ok(()) => Ok(Some(connection)),
        Err(Errno::ENOENT) => Ok(None),
        // Of an instance that has ended.
        Err(Errno::ECONNREFUSED) => fs::remove(&c_path(path)).map(|()| None),
        Err(e) => Err(e),
    }
}

fn listen(path: &Path) -> Result<OwnedFd> {
    let listener = fs::unix_socket(libc::SOCK_STREAM)?;
    let address = UnixAddress::of_path(path.as_os_str().as_bytes())?;
    fs::listen(listener.raw(), address.bytes(), BACKLOG)?;
    Ok(listener)
}

/// What the keeper says, and the descriptors. ECONNRESET: it has left.
fn ask(keeper: &OwnedFd, what: u8) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
    socket::send_with_fds(keeper.raw(), &[what], &[])?;
    let mut text = vec![0; ANSWER_BYTES];
    let mut fds = [-1; FDS];
    let (mut len, count) = socket::receive_with_fds(keeper.raw(), &mut text, &mut fds, 0)?;
    let fds = fds[..count].iter().map(|&fd| fs::owned(fd)).collect();
    if len == 0 {
        return Err(Errno::ECONNRESET);
    }
    while len < text.len() {
        match fs::read(keeper.raw(), &mut text[len..])? {
            0 => break,
            more => len += more,
        }
    }
    text.truncate(len);
    Ok((text, fds))
}

fn take_answer(
    (text, fds): (Vec<u8>, Vec<OwnedFd>),
    config: &Config,
    variables: &mut Vec<(OsString, OsString)>,
) -> core::result::Result<(), ConfigError> {
    if let Some(reason) = instance::is_refused(&text) {
        return Err(ConfigError::new(Key::Instance.env(), reason));
    }
    let said = instance::read(&text);
    instance::join(variables, config, &said)?;
    go(Way::Joins(Let { variables: said, fds }));
    Ok(())
}

/// In the constructor, before the kernel that the program was let into is attached.
pub fn take_in() {
    let Some(Way::Joins(Let { variables, fds })) = way(|way| matches!(way, Way::Joins(_))) else { return };
    let name = OsStr::from_bytes(&MEMBER[..MEMBER.len() - 1]);
    let text = variables.iter().find(|(variable, _)| variable == name).map(|(_, value)| value.as_bytes());
    let Some(numbers) = text.and_then(numbers::read::<4>) else { return };
    // At numbers that the program does not see.
    let moved = fds.into_iter().filter_map(|fd| fd.move_up(fdtable::reserved_range_start()).ok());
    let moved: Vec<i32> = moved.map(OwnedFd::into_raw).collect();
    if let [memory, read, write] = moved[..] {
        member::accept_numbers([memory, read, write], numbers);
    }
}

/// In the first program of an instance, when its calls are served: the kernel, and the keeper at the door.
pub fn open_for_others() -> core::result::Result<(), String> {
    let Some(Way::Starts(listener)) = way(|way| matches!(way, Way::Starts(_))) else { return Ok(()) };
    let name = settings().instance.as_deref().unwrap_or_default();
    let _ = enter_kernel(|_| Ok(0));
    let started = match running() {
        None => Err(format!("the instance {name} is not started: its kernel does not boot")),
        Some(kernel) if !kernel.can_be_shared() => {
            Err(format!("the instance {name} is not started: a kernel with io_uring is one process's"))
        }
        Some(kernel) => {
            if keeper::start_with_door(kernel, listener.raw()) {
                Ok(())
            } else {
                Err(format!("the instance {name} is not started: its keeper does not start"))
            }
        }
    };
    // The door is the keeper's alone: when the keeper is no more, nobody waits at it.
    drop(listener);
    started
}
