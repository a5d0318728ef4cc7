// SPDX-License-Identifier: GPL-2.0-only
//! Boot and end of this process's kernel, and the tasks of its threads.
#![allow(unsafe_code)]

use core::sync::atomic::Ordering;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;

use lkl::Kernel;
use stowaway_config::{BlockEngine, Sink};

use crate::fdtable::{self, Keep};
use crate::instance::{keeper, kick, limits, mounts, network};
use crate::signals::actions;
use crate::sys::big_stack::on_big_stack;
use crate::sys::credentials::Credentials;
use crate::sys::errno::{from_raw, Errno, Explained, Result};
use crate::sys::kernel::{self, change, running, State};
use crate::sys::report::{self, say, say_once, Line};
use crate::sys::settings::settings;
use crate::sys::thread::{self, Thread};
use crate::sys::{fs, host, mapped, proc_self};

const APPEND: i32 = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND;

/// The kernel's command line: interfaces are there when somebody makes them.
const CMDLINE: &CStr = c"dummy.numdummies=0";

/// The kernel, booted if it is not yet. Called inside a kernel section.
#[inline]
pub fn kernel(thread: &'static Thread) -> Result<&'static Kernel> {
    running().map_or_else(|| not_running(thread), Ok)
}

#[cold]
fn not_running(thread: &'static Thread) -> Result<&'static Kernel> {
    match kernel::state() {
        State::Up => running().ok_or(Errno::EIO),
        State::None => on_big_stack(|| boot(thread)),
        State::Lost => {
            say_once!(
                "after fork, the parent process's kernel is not reachable: calls into its mounts and \
                 sockets fail with EIO; exec a program to give it a kernel of its own"
            );
            Err(Errno::EIO)
        }
        State::Ending => {
            kernel::park_forever_if_ending();
            Err(Errno::EIO)
        }
        State::Failed => Err(kernel::failure()),
        State::Down => Err(Errno::EIO),
    }
}

/// Before there is a kernel in this process: what this library needs of the host. Where the kernel's log goes.
fn prepare() -> Result<Option<i32>> {
    fdtable::keep_stderr();
    let log_fd = match &settings().kernel_log {
        Sink::Off => None,
        Sink::Stderr => Some(report::stderr_fd()),
        Sink::File(path) => open_log(path.as_os_str().as_bytes()),
    };
    fdtable::make_master()?;
    if settings().perf_map {
        lkl::copy_text();
    }
    Ok(log_fd)
}

/// This process has a kernel, new or not.
fn is_there(kernel: &'static Kernel) {
    lkl::set_interrupted(signal_waits);
    lkl::keep_descriptors_by(|fd| {
        let kept = fdtable::reserve(fd, Keep::InProcess).unwrap_or(fd);
        if kept != fd {
            fs::close(fd);
        }
        kept
    });
    kick::kernel_is_up(kernel);
    if settings().perf_map {
        write_perf_map(kernel);
    }
    mounts::init();
    actions::catch_fatal();
}

/// Goes on with the kernel that this process had before it executed this program. In the constructor's thread, which is the
/// process's only one.
pub fn attach(from: &lkl::Handover, thread: &'static Thread) -> Result<()> {
    let _change = change();
    let _room = fdtable::room();
    prepare()?;
    // SAFETY: the program before the exec wrote it for this process; no thread is there yet but this one.
    let kernel = unsafe { lkl::attach(from) }.map_err(attach_failed)?;
    for fd in [from.memory, from.store.read, from.store.write] {
        fs::set_cloexec(fd, true);
        fdtable::set(fd as usize, fdtable::RESERVED);
    }
    is_there(kernel);
    network::is_attached();
    thread.task.store(from.task as *mut lkl::Task, Ordering::Relaxed);
    kernel::task_made();
    kick::enroll(thread);
    kernel::set_up(kernel);
    limits::make_room_for_kernel();
    // SAFETY: the task is this thread's: the one that executed this program has gone on as this thread.
    unsafe { kernel.end_other_threads(thread.task()) }?;
    tell_limits(kernel, thread);
    tell_credentials(kernel, thread)
}

fn attach_failed(error: lkl::BootError) -> Errno {
    let errno = match error {
        lkl::BootError::Host(e) => e,
        _ => Errno::EIO,
    };
    let why = match errno {
        Errno::EEXIST => "the address is taken in this program",
        Errno::ENOEXEC => "another build of the library made it",
        _ => "the host refuses",
    };
    say!("the kernel that other programs use cannot be used: {why}: {}", Explained(errno));
    kernel::set_failed(Errno::EIO);
    errno
}

fn boot(thread: &'static Thread) -> Result<&'static Kernel> {
    let _change = change();
    if kernel::state() != State::None {
        return running().ok_or(Errno::EIO);
    }
    let _room = fdtable::room();
    let log_fd = prepare()?;
    let network = network::open();
    let config =
        lkl::BootConfig { mem_bytes: settings().mem as usize, kernel_log_fd: log_fd, cmdline: CMDLINE };
    let kernel = lkl::boot(&config).map_err(boot_failed)?;
    kernel.move_memory_fd(|fd| fdtable::reserve(fd, Keep::InProcess).unwrap_or(-1));
    if settings().share {
        prepare_to_share(kernel);
    }
    start_engine(kernel);
    is_there(kernel);
    adopt_locked(kernel, thread)?;
    tell_limits(kernel, thread);
    network::set_up(kernel, thread, network);
    kernel::set_up(kernel);
    limits::make_room_for_kernel();
    Ok(kernel)
}

fn tell_limits(kernel: &'static Kernel, thread: &'static Thread) {
    // SAFETY: the thread has a task; the limit is a live structure.
    limits::tell(|nr, args| from_raw(unsafe { kernel.call(thread.task(), nr, args, -1) }));
}

/// Without what is made here, the kernel is this process's alone.
fn prepare_to_share(kernel: &Kernel) {
    match kernel.prepare_to_share(fdtable::reserved_range_start()) {
        Ok(store) => {
            [store.read, store.write].into_iter().for_each(|fd| fdtable::set(fd as usize, fdtable::RESERVED))
        }
        // Under a file size limit there is no memory file, say.
        Err(e) => log::debug!("the kernel cannot be shared: {e}"),
    }
}

/// Whether a signal that came inside the section waits for the end of the section.
fn signal_waits() -> bool {
    thread::current().is_some_and(|thread| thread.noted.sig.load(Ordering::Relaxed) != 0)
}

fn boot_failed(error: lkl::BootError) -> Errno {
    let errno = match error {
        lkl::BootError::Host(e) => e,
        _ => Errno::EIO,
    };
    match host::hard_limit(libc::RLIMIT_AS) {
        Ok(limit) if errno == Errno::ENOMEM && limit != libc::RLIM_INFINITY => say!(
            "the kernel does not start: the limit of address space (RLIMIT_AS, ulimit -v) is {} MiB, and the kernel takes \
             {} MiB and some more (ENOMEM): raise it, or see --mem",
            limit >> 20,
            settings().mem >> 20
        ),
        _ => say!("the kernel does not start: {error}: {}; try `stowaway doctor`", Explained(errno)),
    }
    kernel::set_failed(errno);
    errno
}

/// Starts the engine of the settings; the descriptors of the engine are out of the program's reach.
fn start_engine(kernel: &Kernel) {
    let engine = match settings().block_engine {
        BlockEngine::Auto => lkl::Engine::Auto,
        BlockEngine::Inline => lkl::Engine::Inline,
        BlockEngine::Threads => lkl::Engine::Threads,
        BlockEngine::IoUring => lkl::Engine::IoUring,
    };
    match kernel.set_block_engine(engine, fdtable::reserved_range_start()) {
        Ok(fds) => fds
            .iter()
            .filter_map(|&fd| usize::try_from(fd).ok())
            .for_each(|n| fdtable::set(n, fdtable::RESERVED)),
        Err(e) => {
            say!("block_engine=io_uring: the host refuses it: {}; threads do its work", Explained(e))
        }
    }
}

fn open_log(path: &[u8]) -> Option<i32> {
    let path = CString::new(path).ok()?;
    match fs::open(&path, APPEND, 0o644) {
        Ok(file) => fdtable::reserve(file.raw(), Keep::InProcess).ok(),
        Err(_) => {
            Line::new().text(format_args!("kernel_log: cannot open ")).bytes(path.as_bytes()).print();
            None
        }
    }
}

/// For perf, which reads /tmp/perf-PID.map; the program may have written to it before us (a JIT compiler does).
fn write_perf_map(kernel: &Kernel) {
    let path = format!("/tmp/perf-{}.map", host::pid());
    let Ok(name) = CString::new(path.as_bytes()) else { return };
    match fs::open(&name, APPEND | libc::O_NOFOLLOW, 0o644) {
        Ok(file) => kernel.write_perf_map(file.raw()),
        Err(e) => say!("perf_map: cannot open {path}: {}", Explained(e)),
    }
}

/// Gives the thread a task of the kernel, with the credentials of the process. Not while a fork looks whether
/// any other thread has a task.
#[inline]
pub fn adopt(kernel: &'static Kernel, thread: &'static Thread) -> Result<()> {
    if !thread.task().is_null() {
        return Ok(());
    }
    let _change = change();
    adopt_locked(kernel, thread)
}

fn adopt_locked(kernel: &'static Kernel, thread: &'static Thread) -> Result<()> {
    if !thread.task().is_null() {
        return Ok(());
    }
    let task =
        lkl::Task::new(kernel).inspect_err(|_| say_once!("no memory for the kernel stack of a thread"))?;
    thread.task.store(task.as_ptr(), Ordering::Relaxed);
    kernel::task_made();
    kick::enroll(thread);
    tell_credentials(kernel, thread)
}

/// Tells the kernel who the thread is.
fn tell_credentials(kernel: &'static Kernel, thread: &'static Thread) -> Result<()> {
    let umask = proc_self::umask().unwrap_or(0o022);
    let who = Credentials::now().map_err(|_| Errno::ENOMEM)?;
    // SAFETY: the task was just made for this thread; umask takes an integer.
    unsafe {
        kernel.call(thread.task(), libc::SYS_umask, &[umask as usize, 0, 0, 0, 0, 0], -1);
        kernel.set_credentials(thread.task(), &who.for_kernel())
    }
}

/// The calling thread ends: its task goes with it. Inside a final entry.
pub fn release_task(thread: &'static Thread) {
    if let waker @ 1.. = thread.waker.swap(0, Ordering::Relaxed) {
        fdtable::release(waker as usize);
    }
    if let (Some(kernel), false) = (running(), thread.task().is_null()) {
        let task = thread.task.swap(core::ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: the task is this thread's, which makes no call after this.
        unsafe { kernel.release(task) };
        kernel::task_released();
    }
}

/// Ends the kernel: files closed, images synced and unmounted. Returns when that is done, whoever does it.
/// Inside a final entry.
pub fn shut_down(thread: &'static Thread) {
    let _change = change();
    let Some(kernel) = running() else { return };
    kernel::set_ending();
    if mapped::any() && adopt_locked(kernel, thread).is_ok() {
        // SAFETY: the task is this thread's.
        unsafe { kernel.end_areas(thread.task()) };
    }
    keeper::settle(!kernel.has_live_company());
    if kernel.leave() {
        // Others go on with the kernel. The last one unmounts.
        return mounts::report_write_error(kernel);
    }
    if adopt_locked(kernel, thread).is_ok() {
        // SAFETY: the task is this thread's.
        if let Err(e) = unsafe { kernel.shutdown(thread.task()) } {
            match e {
                Errno::ETIMEDOUT => {
                    say!("a server does not answer: what it has not got yet is lost (ETIMEDOUT)")
                }
                _ => say!("unmounting failed: {}; the image may need fsck", Explained(e)),
            }
        }
        mounts::report_write_error(kernel);
    }
}
