// SPDX-License-Identifier: GPL-2.0-only
//! An exec that keeps the kernel: the new program goes on with the kernel of the program before, as the same member of the
//! instance. What was open stays open, with its offset and its locks; the current directory stays; close-on-exec is the
//! host's to do, and the kernel follows.
//!
//! STOWAWAY_MEMBER tells the new program where the kernel is. The descriptors in it stay open over the exec.

use core::sync::atomic::Ordering;

use lkl::{Handover, Store};
use once_cell::sync::OnceCell;

use crate::fdtable::{self, sets::Set};
use crate::instance::enter::{enter_kernel, KernelContext};
use crate::instance::{boot, keeper, mounts, watches};
use crate::lookup::cwd;
use crate::process::share;
use crate::signals::deliver::deliver_noted;
use crate::sys::call::args;
use crate::sys::errno::Result;
use crate::sys::kernel::{self, running};
use crate::sys::numbers;
use crate::sys::report;
use crate::sys::scratch::PATH_MAX;
use crate::sys::signal_lock::SignalsWait;
use crate::sys::{fs, sigcalls, thread};

/// The variable by which one program's library tells the next one's where the kernel is.
pub const MEMBER: &[u8] = b"STOWAWAY_MEMBER=";

/// Numbers in the variable: descriptors of the memory file and of the store, base, RAM, member, task, current directory, descriptor for
/// messages, signal mask.
const NUMBERS: usize = 10;

/// What the environment said.
static SAID: OnceCell<[usize; NUMBERS]> = OnceCell::new();

// ---------------------------------------------------------------- before the exec

/// What the new program is told; `None`: it cannot go on with this kernel. `text` gets the variable.
pub fn describe(text: &mut [u8; PATH_MAX]) -> Option<Handover> {
    if !share::can_share() {
        return None;
    }
    // What was left for a fork, or is to be opened again, is the kernel's again after this.
    enter_kernel(|_: &mut KernelContext| Ok(0)).ok()?;
    let task = thread::current()?.task();
    let handover = running()?.handover(task)?;
    let Handover { memory, store, base, ram_bytes, member, .. } = handover;
    let numbers = [
        memory as usize,
        store.read as usize,
        store.write as usize,
        base,
        ram_bytes,
        member as usize,
        task as usize,
        usize::from(cwd::class() == fdtable::KERNEL),
        messages(),
        sigcalls::mask() as usize,
    ];
    numbers::write(MEMBER, &numbers, text);
    Some(handover)
}

/// Where messages go, if the new program does not have that: its stderr is a file of a mount. 0: it has.
fn messages() -> usize {
    match report::stderr_fd() {
        fd @ 3.. if !report::is_two_the_hosts() => fd as usize,
        _ => 0,
    }
}

/// Makes the exec `execute`, with the kernel handed over. Returns only if the exec failed; then nothing has changed.
pub fn hand_over(handover: &Handover, execute: impl FnOnce() -> Result) -> Result {
    kernel::park_forever_if_ending();
    let Some(kernel) = running() else { return execute() };
    // A signal of this program's is the next one's, and waits for it: here a handler would take the signal, and be gone.
    let _signals = SignalsWait::begin();
    keeper::settle(true);
    let keep = |keep: bool| {
        let messages = Some(messages() as i32).filter(|&fd| fd != 0);
        for fd in [handover.memory, handover.store.read, handover.store.write].into_iter().chain(messages) {
            fs::set_cloexec(fd, !keep);
        }
    };
    keep(true);
    let r = hold_off_during(kernel, execute);
    keep(false);
    r
}

/// Makes an exec that will hardly come to anything, of something that would not go on with the kernel. If it does, what was
/// written is on the images, and they are as after a crash: a journal is replayed.
pub fn try_with_kernel(execute: impl FnOnce() -> Result) -> Result {
    kernel::park_forever_if_ending();
    let Some(kernel) = running() else { return execute() };
    let _ = enter_kernel(|context| context.call(libc::SYS_sync, &args([])));
    hold_off_during(kernel, execute)
}

/// No thread of this process is in the kernel while `execute` runs, so that the exec may take the threads away.
fn hold_off_during(kernel: &lkl::Kernel, execute: impl FnOnce() -> Result) -> Result {
    // A handler of the program must not call the kernel from here on.
    let thread = thread::current();
    let set_inside =
        |inside: u32| thread.iter().for_each(|thread| thread.inside.store(inside, Ordering::Relaxed));
    set_inside(1);
    kernel.hold_off();
    let r = execute();
    kernel.go_on();
    set_inside(0);
    if let Some(thread) = thread {
        deliver_noted(thread);
    }
    r
}

// ---------------------------------------------------------------- in the new program

/// Takes what the program before the exec said. In the constructor.
pub fn accept(text: &[u8]) {
    if let Some(numbers) = numbers::read(text) {
        let _ = SAID.set(numbers);
    }
}

/// As [`accept`], of an instance that the program has just been let into.
pub fn accept_numbers([memory, read, write]: [i32; 3], [base, ram_bytes, member, task]: [usize; 4]) {
    let fds = [memory, read, write].map(|fd| fd as usize);
    let mask = sigcalls::mask() as usize;
    let _ = SAID.set([fds[0], fds[1], fds[2], base, ram_bytes, member, task, 0, 0, mask]);
}

/// The program has the signal mask that the program before had: signals were blocked over the exec. At the end of the
/// constructor.
pub fn restore_mask() {
    if let Some(&[.., mask]) = SAID.get() {
        sigcalls::set_mask(mask as u64);
    }
}

/// Goes on with the kernel of the program before. At the end of the constructor, in the only thread.
pub fn take_over() {
    let Some(&[memory, read, write, base, ram_bytes, member, task, in_mount, messages, _]) = SAID.get()
    else {
        return;
    };
    if messages != 0 {
        fdtable::take_over_stderr(messages as i32);
    }
    let store = Store { read: read as i32, write: write as i32 };
    let from = Handover { memory: memory as i32, store, base, ram_bytes, member: member as u32, task };
    let Ok(thread) = thread::current_or_new() else { return };
    // A signal that ends the process waits until the locks of this are free.
    thread.inside.store(1, Ordering::Relaxed);
    let attached = boot::attach(&from, thread);
    thread.inside.store(0, Ordering::Relaxed);
    deliver_noted(thread);
    if attached.is_err() {
        return;
    }
    if in_mount != 0 {
        cwd::changed(fdtable::KERNEL);
    }
    settle_tables();
    if let Some(kernel) = running() {
        mounts::keep(kernel);
    }
}

/// What is open in the kernel is open here if the host has its placeholder, the other half of its epoll set, or the
/// inotify descriptor. Otherwise the exec has closed the placeholder.
fn settle_tables() {
    let _ = enter_kernel(|context| {
        share::each_open(context, fdtable::LIMIT, |context, number| {
            if fdtable::is_placeholder(number) {
                fdtable::set(number, fdtable::KERNEL);
            } else if fs::is_epoll_set(number as i32) {
                fdtable::set(number, fdtable::KERNEL);
                fdtable::sets::note_set(number, Set::Both);
                fdtable::sets::note_nested();
            } else if !watches::resume(context, number) {
                let _ = context.call(libc::SYS_close, &args([number]));
            }
        })
    });
}
