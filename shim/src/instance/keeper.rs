// SPDX-License-Identifier: GPL-2.0-only
//! Starts the keeper: a small process of ours that looks after the instance when the program's processes are killed (see
//! [`lkl::Kernel::keep`]). It is this library, executed by itself. It has nothing of the program's: no terminal, no
//! directory, no descriptor; and nobody of the program's family waits for it.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use lkl::sys::helper_thread::HelperThread;
use lkl::sys::spawn::{self, Descriptors};
use lkl::{Handover, Kernel, Store};
use once_cell::sync::OnceCell;
use stowaway_config::{instance, is_setting};
use trampoline::KernelSigaction;

use crate::instance::porter::Porter;
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, OwnedFd};
use crate::sys::host;
use crate::sys::numbers;
use crate::sys::settings::{environment, settings};
use crate::sys::sigcalls;
use crate::sys::signal_lock::SignalLock;

/// The variable that tells the library that it is a keeper's.
pub const KEEPER: &[u8] = b"STOWAWAY_KEPT_BY=";
/// The process's name, and its name when nobody else is left.
const NAME: &CStr = c"stowaway-keeper";
const NAME_OF_UNMOUNTING: &CStr = c"stowaway-umount";
/// TASK_COMM_LEN
const NAME_BYTES: usize = 16;
/// A program that ends sooner needs no keeper, ns.
const PATIENCE_NS: u64 = 10_000_000;
/// Numbers in the variable: descriptors of the memory file and of the store, base, RAM, member, task, and the door's descriptor.
const NUMBERS: usize = 8;
/// In the place of a door's descriptor: there is no door.
const NO_DOOR: usize = usize::MAX;
const TEXT: usize = KEEPER.len() + numbers::EACH * NUMBERS;

/// How the library's own file is opened.
static LIBRARY: OnceCell<fn() -> Option<OwnedFd>> = OnceCell::new();

/// The door of an instance with a name: its descriptor while the keeper is started. And the settings, as
/// variables of the keeper's environment.
static DOOR: AtomicI32 = AtomicI32::new(-1);
static SETTINGS: OnceCell<Vec<CString>> = OnceCell::new();

fn door() -> Option<i32> {
    Some(DOOR.load(Ordering::Relaxed)).filter(|&fd| fd >= 0)
}

/// Says how the library's own file is opened. In the constructor.
pub fn library_by(open: fn() -> Option<OwnedFd>) {
    let _ = LIBRARY.set(open);
}

/// The thread that starts the keeper, until it is waited for.
struct Starter {
    lock: SignalLock,
    thread: UnsafeCell<Option<HelperThread>>,
}

// SAFETY: `thread` is touched with the lock held, or by the only thread of a child.
unsafe impl Sync for Starter {}

static STARTER: Starter = Starter { lock: SignalLock::new(), thread: UnsafeCell::new(None) };

/// The instance has a name: the keeper has the door `listener` from the start. False: the keeper does not start.
pub fn start_with_door(kernel: &'static Kernel, listener: i32) -> bool {
    DOOR.store(listener, Ordering::Relaxed);
    start(kernel);
    ensure(kernel);
    DOOR.store(-1, Ordering::Relaxed);
    kernel.keeper_pid().is_some()
}

/// A writable image is mounted: somebody is to look after it. Returns at once.
pub fn start(kernel: &'static Kernel) {
    if !settings().keeper || !kernel.can_be_shared() || !kernel.claim_keeper() {
        return;
    }
    let _guard = STARTER.lock.hold();
    SETTINGS.get_or_init(|| {
        let text = instance::write(&instance::settings(settings()));
        text.split(|&byte| byte == 0).filter_map(|variable| CString::new(variable).ok()).collect()
    });
    // SAFETY: the lock is held.
    let before = unsafe { (*STARTER.thread.get()).take() };
    before.into_iter().for_each(HelperThread::join);
    match HelperThread::spawn(c"stowaway-start", run, core::ptr::from_ref(kernel) as usize) {
        // SAFETY: as above.
        Ok(thread) => unsafe { *STARTER.thread.get() = Some(thread) },
        Err(_) => kernel.cancel_keeper(),
    }
}

/// In a helper thread, now and then: the keeper, or the process that was to start the keeper, may have been killed.
pub fn start_anew_if_lost() {
    if let Some(kernel) = Kernel::get().filter(|kernel| kernel.has_lost_keeper()) {
        start(kernel);
    }
}

/// No thread is about to start the keeper when this returns. `cancel`: a thread that still waits starts none.
pub fn settle(cancel: bool) {
    let _guard = STARTER.lock.hold();
    // SAFETY: the lock is held.
    let Some(thread) = (unsafe { (*STARTER.thread.get()).take() }) else { return };
    if let (Some(kernel), true) = (Kernel::get(), cancel) {
        kernel.cancel_keeper();
    }
    thread.join();
}

/// In the child of a fork: the thread is the parent's.
pub fn forget_in_child() {
    STARTER.lock.reset();
    // SAFETY: the only thread.
    if let Some(thread) = unsafe { (*STARTER.thread.get()).take() } {
        thread.forget();
    }
}

/// Before the last process may be killed: if there is to be a keeper, it is there when this returns.
pub fn ensure(kernel: &'static Kernel) {
    kernel.hurry_keeper();
    settle(false);
    kernel.wait_for_keeper();
}

/// Whether a process is a keeper that is about to leave the images: its name says so.
pub fn is_unmounting(pid: u32) -> bool {
    let Ok(path) = CString::new(format!("/proc/{pid}/comm")) else { return false };
    let mut name = [0; NAME_BYTES];
    let len = fs::read_start(&path, &mut name).unwrap_or(0);
    name[..len].strip_suffix(b"\n") == Some(NAME_OF_UNMOUNTING.to_bytes())
}

fn be_named(name: &CStr) {
    let mut bytes = [0; NAME_BYTES];
    bytes[..name.count_bytes()].copy_from_slice(name.to_bytes());
    host::set_thread_name(&bytes);
}

/// The thread is waited for if it has ended.
pub fn reap() {
    let _guard = STARTER.lock.hold();
    // SAFETY: the lock is held.
    let slot = unsafe { &mut *STARTER.thread.get() };
    if let Some(thread) = slot.take_if(|thread| thread.has_ended()) {
        thread.join();
    }
}

/// What the thread runs.
extern "C" fn run(kernel: usize) {
    // SAFETY: start()'s kernel, which stays as long as the process.
    let kernel = unsafe { &*(kernel as *const Kernel) };
    if !kernel.wait_before_keeper(PATIENCE_NS) {
        return;
    }
    let made = kernel.new_keeper().ok();
    if !made.is_some_and(|from| execute(kernel, from)) {
        kernel.keeper_failed(made.as_ref());
    }
}

/// What the new process needs, made before it is: it shares this process's memory.
struct Plan {
    kernel: &'static Kernel,
    from: Handover,
    text: [u8; TEXT],
    is_executed: AtomicBool,
}

/// Makes the keeper's process. Whether it has executed the library.
fn execute(kernel: &'static Kernel, from: Handover) -> bool {
    let plan = Plan { kernel, from, text: describe(&from), is_executed: AtomicBool::new(true) };
    // SAFETY: the functions make host calls only, and end in an exec or an exit. The plan outlives them.
    let made = unsafe { spawn::spawn(leave_family, &raw const plan as usize, Descriptors::Shared) };
    made.is_ok_and(|pid| {
        spawn::wait_for(pid);
        plan.is_executed.load(Ordering::Relaxed)
    })
}

fn describe(from: &Handover) -> [u8; TEXT] {
    let Handover { memory, store: Store { read, write }, base, ram_bytes, member, task } = *from;
    let [memory, read, write] = [memory, read, write].map(|fd| fd as usize);
    let door = door().map_or(NO_DOOR, |fd| fd as usize);
    let numbers: [usize; NUMBERS] = [memory, read, write, base, ram_bytes, member as usize, task, door];
    let mut text = [0; TEXT];
    numbers::write(KEEPER, &numbers, &mut text);
    text
}

/// The first of two processes: it ends at once, so that the second is nobody's child.
extern "C" fn leave_family(plan: usize) -> ! {
    // SAFETY: execute()'s, whose thread waits.
    let is_executed = unsafe { &(*(plan as *const Plan)).is_executed };
    // SAFETY: as above.
    if close_all_but(unsafe { &(*(plan as *const Plan)).from }).is_err() {
        is_executed.store(false, Ordering::Relaxed);
        host::exit_group(1);
    }
    // SAFETY: makes a session for this process.
    let _ = unsafe { host::call(libc::SYS_setsid, &[]) };
    // SAFETY: as in execute().
    if unsafe { spawn::spawn(become_keeper, plan, Descriptors::Copied) }.is_err() {
        is_executed.store(false, Ordering::Relaxed);
    }
    host::exit_group(0)
}

extern "C" fn become_keeper(plan: usize) -> ! {
    // SAFETY: execute()'s, whose thread waits.
    let plan = unsafe { &*(plan as *const Plan) };
    if plan.kernel.keeper_is_this_process(&plan.from) {
        let _ = execute_library(plan);
    }
    plan.is_executed.store(false, Ordering::Relaxed);
    host::exit_group(1)
}

/// Leaves the program's table of descriptors, and closes all but the instance's. What the program has is copied and closed in
/// one call: a socket that the program closes meanwhile does not stay open here.
fn close_all_but(kept: &Handover) -> Result<()> {
    let mut kept = [kept.memory, kept.store.read, kept.store.write, door().unwrap_or(-1)];
    kept.sort_unstable();
    let (mut first, mut flags) = (0, libc::CLOSE_RANGE_UNSHARE as usize);
    for fd in kept.into_iter().filter(|&fd| fd >= 0).map(|fd| fd as usize) {
        if fd > first {
            fs::close_range(first, fd - 1, flags)?;
            flags = 0;
        }
        first = fd + 1;
    }
    fs::close_range(first, u32::MAX as usize, flags).map(drop)
}

/// Executes the library with the instance's descriptors, and no other.
fn execute_library(plan: &Plan) -> Result {
    let nothing = fs::open(c"/dev/null", libc::O_RDWR, 0)?;
    for number in (0..3).filter(|&number| number != nothing.raw() as usize) {
        fs::copy_onto(nothing.raw(), number, false)?;
    }
    fs::set_cloexec(nothing.raw(), false);
    core::mem::forget(nothing);
    let library = LIBRARY.get().and_then(|open| open()).ok_or(Errno::ENOENT)?;
    let Handover { memory, store, .. } = plan.from;
    let kept = [memory, store.read, store.write].into_iter().chain(door());
    kept.for_each(|fd| fs::set_cloexec(fd, false));
    let _ = fs::change_directory(c"/");
    let argv = [NAME.as_ptr() as usize, 0];
    // One more stays 0.
    let mut envp = [0; instance::SETTINGS + 2];
    envp[0] = plan.text.as_ptr() as usize;
    for (variable, text) in envp[1..=instance::SETTINGS].iter_mut().zip(SETTINGS.get().into_iter().flatten())
    {
        *variable = text.as_ptr() as usize;
    }
    let flags = libc::AT_EMPTY_PATH as usize;
    let (argv, envp) = (argv.as_ptr() as usize, envp.as_ptr() as usize);
    // SAFETY: live strings; the host replaces this process's memory, which was never its own.
    unsafe { host::call(libc::SYS_execveat, &[library.raw() as usize, fs::address(c""), argv, envp, flags]) }
}

/// Nobody's signal is to end the keeper, but for SIGKILL. (A fault of its own ends a process whatever it ignores.)
fn ignore_signals() {
    let ignored = KernelSigaction { handler: libc::SIG_IGN, ..KernelSigaction::default() };
    for sig in 1..=libc::SIGRTMAX() {
        // SAFETY: no code of ours runs for it.
        let _ = unsafe { sigcalls::set_action(sig, &ignored) };
    }
}

/// What the keeper's process does. `text`: the variable's value. `member`: the name of the variable that tells a program where
/// the kernel is.
pub fn be_keeper(text: &[u8], member_is: &'static [u8]) -> ! {
    let Some(numbers) = numbers::read::<NUMBERS>(text) else { host::exit_group(1) };
    ignore_signals();
    be_named(NAME);
    let [memory, read, write, base, ram_bytes, member, task, door] = numbers;
    let store = Store { read: read as i32, write: write as i32 };
    let from = Handover { memory: memory as i32, store, base, ram_bytes, member: member as u32, task };
    // SAFETY: the program's process wrote it for this one, whose only thread this is.
    let kept = unsafe { lkl::attach(&from) }.map(|kernel| {
        kernel.leave_alerts_to_others();
        let door = (door != NO_DOOR).then_some(door as i32);
        let mut settings = environment();
        settings.retain(|(name, _)| is_setting(name.as_bytes()));
        let settings = instance::write(&settings);
        let mut porter = Porter::new(door, settings, member_is, || be_named(NAME_OF_UNMOUNTING));
        // SAFETY: as above.
        unsafe { kernel.keep(task as *mut lkl::Task, &mut porter) }
    });
    host::exit_group(usize::from(!matches!(kept, Ok(Ok(())))))
}
