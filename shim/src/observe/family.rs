// SPDX-License-Identifier: GPL-2.0-only
//! What the processes of a family that is watched have in common: where lines go, and the table of counts. The family is the first
//! process that is watched, its children, and what they execute, as far as they are served and ask for the same.
//!
//! The counts lie in a memory file that all of them have mapped: a child counts into its parent's table, and what a process
//! counted stays when SIGKILL ends the process. Who is the last is asked of a pipe: each process has both ends, and the one that closes
//! its writing end and finds no other open is the last.
//!
//! A child of fork has all of this already. A program that is executed is told in STOWAWAY_FAMILY, and believes only what looks
//! as the memory says.
#![allow(unsafe_code)]

use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use lkl::sys::{file, memory, process};
use stowaway_config::Sink;

use super::stats::Counts;
use crate::fdtable::{self, Keep};
use crate::sys::errno::Result;
use crate::sys::{fs, hash, host, numbers};

/// The variable that tells the next program's library.
pub const FAMILY: &[u8] = b"STOWAWAY_FAMILY=";
/// Numbers in the variable: descriptors of the memory file, of the pipe's ends, of the sinks.
const NUMBERS: usize = 5;
/// Room for the variable.
pub const TEXT: usize = FAMILY.len() + NUMBERS * numbers::EACH;
/// In the place of a descriptor: there is none.
const NONE: i32 = -1;
/// TASK_COMM_LEN
pub const NAME_BYTES: usize = 16;

/// A sink, as another process recognises it.
struct Place {
    /// The setting.
    asked: AtomicU64,
    /// The file.
    dev: AtomicU64,
    ino: AtomicU64,
}

/// What lies in the memory file.
#[repr(C)]
pub struct Common {
    /// Which form this has: another build of the library has other tables.
    form: AtomicU64,
    pipe: AtomicU64,
    stats: Place,
    trace: Place,
    /// How many processes there were so far.
    pub processes: AtomicU32,
    /// The first one, and its name.
    pub first: AtomicU32,
    /// Not 0: a process prints the table.
    pub is_printing: AtomicU32,
    name: [AtomicU64; NAME_BYTES / 8],
    pub counts: Counts,
}

const BYTES: usize = size_of::<Common>();

static COMMON: AtomicPtr<Common> = AtomicPtr::new(ptr::null_mut());
/// The memory file; none: the host lets us have no such file, and what is executed is a family of its own.
static MEMORY: AtomicI32 = AtomicI32::new(NONE);
static READ: AtomicI32 = AtomicI32::new(NONE);
static WRITE: AtomicI32 = AtomicI32::new(NONE);

/// Where each goes: a descriptor of ours; -1: nowhere.
pub static STATS_TO: AtomicI32 = AtomicI32::new(NONE);
pub static TRACE_TO: AtomicI32 = AtomicI32::new(NONE);

fn all() -> [&'static AtomicI32; NUMBERS] {
    [&MEMORY, &READ, &WRITE, &STATS_TO, &TRACE_TO]
}

/// What the family has in common; None: nothing is watched.
#[inline]
pub fn common() -> Option<&'static Common> {
    // SAFETY: null, or the mapping made below, which stays.
    unsafe { COMMON.load(Ordering::Acquire).as_ref() }
}

/// A word for a setting.
fn asked(sink: &Sink) -> u64 {
    use std::os::unix::ffi::OsStrExt;
    match sink {
        Sink::Off => 0,
        Sink::Stderr => 1,
        Sink::File(path) => hash::fnv1a(hash::EMPTY, path.as_os_str().as_bytes()) | 2,
    }
}

fn form() -> u64 {
    hash::fnv1a(hash::EMPTY, env!("CARGO_PKG_VERSION").as_bytes()) ^ BYTES as u64
}

impl Place {
    fn set(&self, sink: &Sink, fd: i32) {
        let Ok(about) = fs::stat(fd) else { return };
        self.asked.store(asked(sink), Ordering::Relaxed);
        self.dev.store(about.st_dev, Ordering::Relaxed);
        self.ino.store(about.st_ino, Ordering::Relaxed);
    }

    /// Whether the sink is what is asked for, and `fd` is open there.
    fn is(&self, sink: &Sink, fd: i32) -> bool {
        let is_asked = self.asked.load(Ordering::Relaxed) == asked(sink);
        is_asked
            && match sink {
                Sink::Off => fd == NONE,
                _ => fs::stat(fd).is_ok_and(|about| {
                    about.st_dev == self.dev.load(Ordering::Relaxed)
                        && about.st_ino == self.ino.load(Ordering::Relaxed)
                }),
            }
    }
}

// ---------------------------------------------------------------- the first process

/// Begins a family. In the constructor; `stats` and `trace` go to `to`.
pub fn begin([stats, trace]: [&Sink; 2], to: [i32; 2]) -> Result<()> {
    let common = make_memory()?;
    let pipe = make_pipe();
    common.form.store(form(), Ordering::Relaxed);
    common.pipe.store(pipe, Ordering::Relaxed);
    common.stats.set(stats, to[0]);
    common.trace.set(trace, to[1]);
    common.first.store(host::pid() as u32, Ordering::Relaxed);
    common.processes.store(1, Ordering::Relaxed);
    STATS_TO.store(to[0], Ordering::Relaxed);
    TRACE_TO.store(to[1], Ordering::Relaxed);
    Ok(())
}

fn make_memory() -> Result<&'static Common> {
    // The program's file size limit holds for a memory file, too.
    let made = (process::file_size_limit() >= BYTES as u64)
        .then(|| file::memory_file(c"watched-by-stowaway", BYTES).ok())
        .flatten();
    let at = map(made.as_ref().map_or(NONE, file::OwnedFd::raw))?;
    if let Some(fd) = made {
        MEMORY.store(keep(fd), Ordering::Relaxed);
    }
    COMMON.store(at as *mut Common, Ordering::Release);
    // SAFETY: just mapped, and stays; zeroes are numbers.
    Ok(unsafe { &*(at as *const Common) })
}

fn map(fd: i32) -> Result {
    let anonymous = if fd < 0 { libc::MAP_ANONYMOUS } else { 0 };
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, where there is none.
    unsafe { memory::map(0, BYTES, prot, libc::MAP_SHARED | anonymous, fd, 0) }
}

/// The inode number of the pipe; 0: the host makes none, and each process believes to be the last.
fn make_pipe() -> u64 {
    let Ok(ends) = fs::pipe(0) else { return 0 };
    let [read, write] = ends.map(keep);
    READ.store(read, Ordering::Relaxed);
    WRITE.store(write, Ordering::Relaxed);
    fs::stat(read).map_or(0, |about| about.st_ino)
}

/// At a number that the program does not see.
fn keep(fd: fs::OwnedFd) -> i32 {
    fdtable::reserve(fd.raw(), Keep::OverFork).unwrap_or_else(|_| fd.into_raw())
}

// ---------------------------------------------------------------- those that come later

/// In the child of a fork.
pub fn join_in_child() {
    let Some(common) = common() else { return };
    common.processes.fetch_add(1, Ordering::Relaxed);
    // The child has its parent's name until it takes another one.
    common.name_first(host::parent() as u32);
}

impl Common {
    /// Notes the name of this thread, if `pid` is the first process.
    fn name_first(&self, pid: u32) {
        if self.first.load(Ordering::Relaxed) != pid {
            return;
        }
        let mut name = [0; NAME_BYTES];
        host::thread_name(&mut name);
        for (word, bytes) in self.name.iter().zip(name.chunks_exact(8)) {
            word.store(bytes.try_into().map_or(0, u64::from_ne_bytes), Ordering::Relaxed);
        }
    }

    /// The first process's name.
    pub fn name(&self) -> [u8; NAME_BYTES] {
        let mut name = [0; NAME_BYTES];
        for (word, bytes) in self.name.iter().zip(name.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        name
    }
}

/// Goes on with the family of the program before. In the constructor; `text` is what that program's library said. False: it is no
/// family of ours, or asks for something else.
pub fn go_on(text: &[u8], sinks: [&Sink; 2]) -> bool {
    let Some(said) = numbers::read::<NUMBERS>(text) else { return false };
    let said = said.map(|fd| fd as i32);
    let [memory, read, write, ..] = said;
    let is_ours = |fd| fs::stat(fd).is_ok_and(|about| about.st_size as usize == BYTES) && is_named(fd);
    if !is_ours(memory) {
        return false;
    }
    let Ok(at) = map(memory) else { return false };
    // SAFETY: a mapping of this size, of atomics.
    let common = unsafe { &*(at as *const Common) };
    let pipe = common.pipe.load(Ordering::Relaxed);
    let is_pipe = |fd| pipe == 0 || fs::stat(fd).is_ok_and(|about| about.st_ino == pipe);
    let fits = common.form.load(Ordering::Relaxed) == form() && is_pipe(read) && is_pipe(write);
    let [_, _, _, stats, trace] = said;
    let is_asked = common.stats.is(sinks[0], stats) && common.trace.is(sinks[1], trace);
    if !fits || !is_asked {
        // SAFETY: made above, and not used any more.
        unsafe { memory::unmap(at, BYTES) };
        if fits {
            said.into_iter().filter(|&fd| is_own(fd)).for_each(fs::close);
        }
        return false;
    }
    COMMON.store(at as *mut Common, Ordering::Release);
    // Both sinks may be one descriptor.
    let kept =
        said.map(|fd| if fd == NONE { NONE } else { fdtable::reserve(fd, Keep::OverFork).unwrap_or(fd) });
    for (place, fd) in all().into_iter().zip(kept) {
        place.store(fd, Ordering::Relaxed);
    }
    for fd in said.into_iter().filter(|&fd| is_own(fd)) {
        if kept.contains(&fd) {
            fs::set_cloexec(fd, true);
        } else {
            fs::close(fd);
        }
    }
    true
}

/// Whether a descriptor is ours: where no number is free, lines go to the program's own stderr.
fn is_own(fd: i32) -> bool {
    fd > libc::STDERR_FILENO
}

/// Whether a descriptor is of a memory file of this name.
fn is_named(fd: i32) -> bool {
    const NAME: &[u8] = b"/memfd:watched-by-stowaway (deleted)";
    let mut link = [0; NAME.len() + 1];
    fs::read_fd_link(fd, &mut link) == Ok(NAME.len()) && &link[..NAME.len()] == NAME
}

// ---------------------------------------------------------------- exec and end

/// The variable for a program that is to go on with the family. False: there is nothing to tell.
pub fn describe(text: &mut [u8; TEXT]) -> bool {
    if common().is_none() || MEMORY.load(Ordering::Relaxed) == NONE {
        return false;
    }
    // As in go_on(): -1 comes back from its lower half.
    let said = all().map(|fd| fd.load(Ordering::Relaxed) as u32 as usize);
    numbers::write(FAMILY, &said, text);
    true
}

/// The descriptors stay open over an exec, or do not.
pub fn keep_over_exec(keep: bool) {
    let fds = all().map(|fd| fd.load(Ordering::Relaxed));
    fds.into_iter().filter(|&fd| is_own(fd)).for_each(|fd| fs::set_cloexec(fd, !keep));
}

/// This process leaves the family. Whether it is the last one.
pub fn leave() -> bool {
    let Some(common) = common() else { return false };
    common.name_first(host::pid() as u32);
    let write = WRITE.swap(NONE, Ordering::Relaxed);
    if write != NONE {
        fdtable::release(write as usize);
    }
    let mut pipe = libc::pollfd { fd: READ.load(Ordering::Relaxed), events: 0, revents: 0 };
    // SAFETY: one structure, which is live; does not wait.
    let polled = unsafe { host::call(libc::SYS_poll, &[&raw mut pipe as usize, 1, 0]) };
    pipe.fd == NONE || polled.is_err() || pipe.revents & libc::POLLHUP != 0
}
