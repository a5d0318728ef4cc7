// SPDX-License-Identifier: GPL-2.0-only
//! The kernel of this process: booted on the first call that needs it, its mounts, its end.
//!
//! States: NONE -> UP -> ENDING -> DOWN, FAILED if it did not boot. A child of fork does not have its parent's kernel: it
//! starts at NONE again if nothing of it was in use, else in LOST. Only UP lets a call through. ENDING is the end of the process (or an exec): Linux takes its other threads away inside their
//! calls, so here they wait for ever. DOWN follows only where an exec failed.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use lkl::Kernel;
use stowaway_config::{BlockEngine, Net, Sink};

use crate::instance::enter::Door;
use crate::instance::mounts;
use crate::sys::big_stack::deep;
use crate::sys::errno::{self, EFBIG, EIO, ENOMEM};
use crate::sys::host::Ret;
use crate::sys::lock::{Guard, Lock};
use crate::sys::report::{say, say_once, Line};
use crate::sys::settings::settings;
use crate::sys::thread::Thread;
use crate::sys::{host, proc_self, report};
use crate::{fdtable, observe};

const NONE: u32 = 0;
const UP: u32 = 1;
const DOWN: u32 = 2;
const LOST: u32 = 3;
const FAILED: u32 = 4;
const ENDING: u32 = 5;

static STATE: AtomicU32 = AtomicU32::new(NONE);
static KERNEL: AtomicPtr<Kernel> = AtomicPtr::new(core::ptr::null_mut());
/// Why it did not start, -errno.
static FAILURE: AtomicI32 = AtomicI32::new(0);
/// The process that the kernel was started in.
static OWNER: AtomicU32 = AtomicU32::new(0);
/// The thread that ends it.
static ENDER: AtomicU32 = AtomicU32::new(0);
/// Threads that have a task.
static TASKS: AtomicU32 = AtomicU32::new(0);
/// Boot, mounting and shutdown, one at a time.
static CHANGE: Lock = Lock::new();

/// Holds off every change of what runs and what is mounted.
pub fn change() -> Guard<'static> {
    CHANGE.hold()
}

/// The kernel if it runs.
#[inline]
pub fn running() -> Option<&'static Kernel> {
    match STATE.load(Ordering::Acquire) {
        UP => booted(),
        _ => None,
    }
}

fn booted() -> Option<&'static Kernel> {
    // SAFETY: null, or what boot() returned, for good.
    unsafe { KERNEL.load(Ordering::Acquire).as_ref() }
}

/// The kernel, booted if it is not yet. Called inside a kernel section.
pub fn kernel(thread: &mut Thread) -> Result<&'static Kernel, Ret> {
    match STATE.load(Ordering::Acquire) {
        UP => booted().ok_or(EIO),
        NONE => deep(|| boot(thread)),
        LOST => {
            say_once!(
                "after fork, the parent process's kernel is not reachable: calls into its mounts and \
                 sockets fail with EIO; exec a program to give it a kernel of its own"
            );
            Err(EIO)
        }
        ENDING => {
            stay();
            Err(EIO)
        }
        FAILED => Err(FAILURE.load(Ordering::Relaxed) as Ret),
        _ => Err(EIO),
    }
}

fn boot(thread: &mut Thread) -> Result<&'static Kernel, Ret> {
    let _change = CHANGE.hold();
    if STATE.load(Ordering::Acquire) != NONE {
        return running().ok_or(EIO);
    }
    report::keep_stderr();
    let settings = settings();
    let log_fd = match &settings.kernel_log {
        Sink::Off => None,
        Sink::Stderr => Some(report::stderr_fd()),
        Sink::File(path) => open_log(path.as_os_str().as_bytes()),
    };
    fdtable::make_master()?;
    if settings.perf_map {
        lkl::copy_text();
    }
    let config = lkl::BootConfig {
        mem_bytes: settings.mem as usize,
        kernel_log_fd: log_fd,
        syscall: trampoline::gate::RAW,
        cmdline: c"",
    };
    let kernel = match lkl::boot(&config) {
        Ok(kernel) => kernel,
        Err(error) => {
            let errno = match error {
                lkl::BootError::Host(e) => -(e.0 as isize),
                lkl::BootError::FileSizeLimit => EFBIG,
                _ => EIO,
            };
            say!("the kernel does not start: {error}: {}; try `stowaway doctor`", errno::name(errno));
            FAILURE.store(errno as i32, Ordering::Relaxed);
            STATE.store(FAILED, Ordering::Release);
            return Err(errno);
        }
    };
    kernel.move_memory_fd(fdtable::reserve_copy);
    crate::instance::kick::kernel_is_up(kernel);
    start_engine(kernel);
    if settings.perf_map {
        write_perf_map(kernel);
    }
    mounts::init();
    KERNEL.store(core::ptr::from_ref(kernel).cast_mut(), Ordering::Release);
    adopt_locked(kernel, thread)?;
    if settings.net == Net::Lo {
        // SAFETY: adopt() gave this thread its task.
        if let Err(e) = unsafe { kernel.loopback_up(thread.task) } {
            say!("net=lo: the loopback device does not come up: {}", errno::name(-(e.0 as isize)));
        }
    }
    crate::signals::actions::catch_fatal();
    OWNER.store(host::ids().0 as u32, Ordering::Relaxed);
    STATE.store(UP, Ordering::Release);
    crate::lookup::cwd::boot();
    Ok(kernel)
}

/// The engine of the settings; its descriptors are out of the program's reach.
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
        Err(e) => say!(
            "block_engine=io_uring: the host refuses it: {}; threads do its work",
            errno::name(-(e.0 as isize))
        ),
    }
}

fn open_log(path: &[u8]) -> Option<i32> {
    let path = CString::new(path).ok()?;
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
    let r = host::call(
        libc::SYS_openat,
        &[libc::AT_FDCWD as usize, path.as_ptr() as usize, flags as usize, 0o644],
    );
    if r < 0 {
        Line::new().text(format_args!("kernel_log: cannot open ")).bytes(path.as_bytes()).print();
        return None;
    }
    let kept = fdtable::reserve_copy(r as i32);
    host::close(r as i32);
    (kept >= 0).then_some(kept)
}

/// For perf, which reads /tmp/perf-PID.map; the program may have written to it before us (a JIT compiler does).
fn write_perf_map(kernel: &Kernel) {
    let path = format!("/tmp/perf-{}.map\0", host::ids().0);
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    let args = [libc::AT_FDCWD as usize, path.as_ptr() as usize, flags as usize, 0o644];
    let r = host::call(libc::SYS_openat, &args);
    if r < 0 {
        say!("perf_map: cannot open {}: {}", path.trim_end_matches('\0'), errno::name(r));
        return;
    }
    kernel.write_perf_map(r as i32);
    host::close(r as i32);
}

/// Gives the thread a task of the kernel, with the credentials of the process. Not while a fork looks whether
/// anybody but its own thread has one.
#[inline]
pub fn adopt(kernel: &'static Kernel, thread: &mut Thread) -> Result<(), Ret> {
    if !thread.task.is_null() {
        return Ok(());
    }
    let _change = CHANGE.hold();
    adopt_locked(kernel, thread)
}

fn adopt_locked(kernel: &'static Kernel, thread: &mut Thread) -> Result<(), Ret> {
    if !thread.task.is_null() {
        return Ok(());
    }
    let task = lkl::Task::new(kernel).map_err(|e| {
        say_once!("no memory for the kernel stack of a thread");
        -(e.0 as isize)
    })?;
    thread.task = task.as_ptr();
    TASKS.fetch_add(1, Ordering::Relaxed);
    crate::instance::kick::enroll(thread);
    let who = proc_self::credentials().ok_or(ENOMEM)?;
    // SAFETY: the task was just made for this thread; umask takes an integer.
    unsafe {
        kernel.call(thread.task, libc::SYS_umask, &[who.umask as usize, 0, 0, 0, 0, 0], -1);
        kernel.set_credentials(thread.task, who.uid, who.gid, who.groups()).map_err(|e| -(e.0 as isize))
    }
}

/// A thread's task is gone.
pub fn task_released() {
    TASKS.fetch_sub(1, Ordering::Relaxed);
}

/// Before a fork: whether it is worth a look if anything of the kernel is in use ([`rest`]).
pub fn may_rest() -> bool {
    if !is_up() {
        return false;
    }
    crate::lookup::cwd::remember();
    let own = u32::from(crate::sys::thread::current().is_some_and(|t| !t.task.is_null()));
    !fdtable::any_kernel() && TASKS.load(Ordering::Relaxed) == own
}

/// Gives the images back that nothing of this process uses, so that a child, and what it executes, can have
/// them. They come back with the next call that needs them. True: nothing at all is in use, so that a child loses
/// nothing with this kernel. Inside a section, with [`change`] held.
pub fn rest(door: &mut Door<'_>) -> bool {
    // The caller has a task by now; another thread's would be at work in what is taken away.
    let alone = !fdtable::any_kernel() && TASKS.load(Ordering::Relaxed) == 1;
    alone && crate::lookup::cwd::park(door) && door.unmount_idle()
}

/// Ends the kernel: files closed, images synced and unmounted. Returns when that is done, whoever does it.
/// Inside a section.
pub fn shut_down(thread: &mut Thread) {
    let _change = CHANGE.hold();
    let Some(kernel) = running() else { return };
    ENDER.store(host::ids().1 as u32, Ordering::Relaxed);
    STATE.store(ENDING, Ordering::Release);
    if adopt_locked(kernel, thread).is_ok() {
        // SAFETY: the task is this thread's.
        if let Err(e) = unsafe { kernel.shutdown(thread.task) } {
            say!("unmounting failed: {}; the image may need fsck", errno::name(-(e.0 as isize)));
        }
        mounts::report_write_error(kernel);
    }
}

/// The process goes on after all: the exec failed. Its threads get EIO from now on.
pub fn end_failed() {
    if STATE.compare_exchange(ENDING, DOWN, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
        let op = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        host::call(libc::SYS_futex, &[STATE.as_ptr() as usize, op as usize, i32::MAX as usize]);
    }
}

/// Where a thread stays whose process is being ended by another: it must not return to the program, which
/// would see its calls fail, nor end the process with a status of its own.
#[inline]
pub fn stay_if_ending() {
    if STATE.load(Ordering::Acquire) == ENDING {
        stay();
    }
}

#[cold]
fn stay() {
    if ENDER.load(Ordering::Relaxed) == host::ids().1 as u32 {
        return;
    }
    let mask = host::set_sigmask(!0);
    while STATE.load(Ordering::Acquire) == ENDING {
        let op = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
        host::call(libc::SYS_futex, &[STATE.as_ptr() as usize, op as usize, ENDING as usize, 0]);
    }
    host::set_sigmask(mask);
}

/// In the child of a fork of a kernel at rest: it boots its own when it needs one, which most children, that only
/// execute something, do not.
pub fn after_fork_at_rest() {
    leave_parent();
    fdtable::forget_kernel();
    STATE.store(NONE, Ordering::Release);
}

/// The parent's kernel is not in this process's memory.
fn leave_parent() {
    observe::in_child();
    CHANGE.reset();
    lkl::after_fork();
    KERNEL.store(core::ptr::null_mut(), Ordering::Relaxed);
    TASKS.store(0, Ordering::Relaxed);
}

/// In the child of a fork: the kernel belongs to the parent.
pub fn after_fork() {
    leave_parent();
    if STATE.load(Ordering::Relaxed) == UP {
        STATE.store(LOST, Ordering::Release);
        fdtable::forget_kernel();
    }
}

/// Whether a kernel runs in this process, and is this process's.
pub fn is_up() -> bool {
    STATE.load(Ordering::Acquire) == UP
}

/// Whether what this process had of a kernel is out of its reach.
pub fn is_lost() -> bool {
    STATE.load(Ordering::Acquire) == LOST
}
