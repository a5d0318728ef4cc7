// SPDX-License-Identifier: GPL-2.0-only
//! Life and death of threads and processes: what has to happen around fork, exec and exit.
#![allow(unsafe_code)]

use core::ffi::c_int;
use core::sync::atomic::Ordering;

use stowaway_config::BlockEngine;
use trampoline::Frame;

use crate::instance::enter::{last_section, section_away};
use crate::instance::{boot, kick};
use crate::lookup::cwd;
use crate::observe;
use crate::process::handoff;
use crate::signals::{actions, app_sud};
use crate::sys::errno::{EFAULT, EINVAL};
use crate::sys::host::{self, Args, Ret};
use crate::sys::report::{self, say};
use crate::sys::settings::settings;
use crate::sys::{memory, proc_self, thread, user};

const CLONE_VM: usize = libc::CLONE_VM as usize;
const CLONE_THREAD: usize = libc::CLONE_THREAD as usize;
const CLONE_VFORK: usize = libc::CLONE_VFORK as usize;

/// exit_group(2): the images are unmounted first.
pub fn exit_group(nr: usize, args: &Args) -> Ret {
    unmount_all();
    host::forward(nr, args)
}

/// Whether the application has no thread but the calling one.
pub fn is_last_thread() -> bool {
    let mut ours = lkl::helper_threads();
    if settings().block_engine == BlockEngine::IoUring {
        ours += proc_self::io_workers();
    }
    proc_self::threads() == Some(1 + ours)
}

/// exit(2) of one thread: its task goes with it.
pub fn exit_thread(nr: usize, args: &Args) -> Ret {
    last_section(|thread| {
        if let (Some(kernel), false) = (boot::running(), thread.task.is_null()) {
            let task = core::mem::replace(&mut thread.task, core::ptr::null_mut());
            // SAFETY: the task is this thread's, which makes no call after this.
            unsafe { kernel.release(task) };
            boot::task_released();
        }
    });
    // From here on no handler of the application may run: its state is gone.
    host::set_sigmask(!0);
    thread::discard();
    if trampoline::is_installed() {
        trampoline::thread::exit(args[0]);
    }
    host::forward(nr, args)
}

/// Ends the kernel if one runs. The calling thread makes no kernel call after this.
pub fn unmount_all() {
    boot::stay_if_ending();
    if boot::is_up() {
        last_section(boot::shut_down);
    }
}

/// The same before an exec, which may fail: then the thread goes on, without a kernel.
pub fn unmount_for_exec() {
    boot::stay_if_ending();
    if !boot::is_up() {
        return;
    }
    last_section(boot::shut_down);
    if let Some(thread) = thread::current() {
        thread.inside.store(0, Ordering::Relaxed);
        actions::deliver_noted(thread);
    }
}

/// A signal whose default action ends the process: unmount, then let it.
pub fn die_of(sig: c_int, info: *mut libc::siginfo_t) {
    observe::end();
    unmount_all();
    actions::reset_to_default(sig);
    let (pid, tid) = host::ids();
    host::call(libc::SYS_rt_tgsigqueueinfo, &[pid, tid, sig as usize, info as usize]);
    let only_it: u64 = 1 << (sig - 1);
    host::call(libc::SYS_rt_sigprocmask, &[libc::SIG_UNBLOCK as usize, &raw const only_it as usize, 0, 8]);
    // Not reached for a fatal signal; a debugger may swallow it.
    host::call(libc::SYS_exit_group, &[128 + sig as usize]);
}

/// A fault in our own code while the kernel is in use: a bug of ours, and the kernel may be half through something. Nothing
/// may be written to the images any more; their journals hold.
pub fn kernel_fault(kernel: &lkl::Kernel, sig: c_int, ip: usize, uc: &libc::ucontext_t) -> ! {
    let sp = uc.uc_mcontext.gregs[libc::REG_RSP as usize];
    say!(
        "the library crashed (signal {sig} at {ip:#x}, stack {sp:#x}); the kernel's log follows; the images \
          are as after a power cut"
    );
    kernel.dump_log(report::stderr_fd());
    actions::reset_to_default(libc::SIGABRT);
    actions::raise(libc::SIGABRT);
    host::call(libc::SYS_exit_group, &[134]);
    unreachable!()
}

/// fork(2) and vfork(2). A vfork's child gets a copy of the memory: it would otherwise change the parent's
/// descriptor table here while it shares it. The parent waits as it should.
pub fn fork(vfork: bool) -> Ret {
    let flags = libc::SIGCHLD as usize | if vfork { CLONE_VFORK } else { 0 };
    clone_without_stack(&[flags, 0, 0, 0, 0, 0])
}

fn clone_without_stack(args: &Args) -> Ret {
    fork_here(|| host::forward(libc::SYS_clone as usize, args))
}

/// A child that goes on right here, in a copy of this memory but for the kernel's. If that is at rest, the child
/// misses nothing and may have its own.
fn fork_here(make: impl Fn() -> Ret) -> Ret {
    /// No result of clone(2).
    const NOT_AT_REST: Ret = Ret::MIN;
    if boot::may_rest() {
        let at_rest = || {
            section_away(|door| {
                let _change = boot::change();
                if boot::rest(door) {
                    make()
                } else {
                    NOT_AT_REST
                }
            })
        };
        let r = trampoline::sud::fork(at_rest);
        if r == 0 {
            after_fork_at_rest();
        }
        if r != NOT_AT_REST {
            return r;
        }
    }
    let r = trampoline::sud::fork(make);
    if r == 0 {
        after_fork();
    }
    r
}

/// For a child that goes on elsewhere and only executes something: the images are given back.
fn rest_for_spawn() {
    if boot::may_rest() {
        section_away(|door| {
            let _change = boot::change();
            boot::rest(door);
            0
        });
    }
}

/// clone(2).
pub fn clone(args: &Args, frame: Option<&Frame>) -> Ret {
    let mut args = *args;
    args[0] = private_memory(args[0]);
    let stack = args[1];
    if stack == 0 && args[0] & CLONE_THREAD == 0 {
        return clone_without_stack(&args);
    }
    if args[0] & CLONE_THREAD == 0 {
        rest_for_spawn();
    }
    // A thread on its maker's stack is nothing that anybody does.
    let (Some(frame), true) = (frame, stack != 0) else { return EINVAL };
    let is_thread = args[0] & CLONE_THREAD != 0;
    // SAFETY: the application hands `stack` to its child; nothing else uses it.
    unsafe { frame.clone_onto(libc::SYS_clone, &args, stack, is_thread) }
}

/// `struct clone_args` (include/uapi/linux/sched.h), up to its current size.
const CLONE_ARGS_WORDS: usize = 11;
const CLONE_ARGS_MIN: usize = 64;

/// clone3(2).
pub fn clone3(args: &Args, frame: Option<&Frame>) -> Ret {
    let (address, size) = (args[0], args[1]);
    let mut words = [0u64; CLONE_ARGS_WORDS];
    if !(CLONE_ARGS_MIN..=size_of_val(&words)).contains(&size) || size % 8 != 0 {
        return host::forward(libc::SYS_clone3 as usize, args);
    }
    for (i, word) in words[..size / 8].iter_mut().enumerate() {
        match user::read(address + i * 8) {
            Ok(value) => *word = value,
            Err(_) => return EFAULT,
        }
    }
    let flags = private_memory(words[0] as usize);
    words[0] = flags as u64;
    let mut own = *args;
    own[0] = words.as_ptr() as usize;
    let (stack, stack_size) = (words[5] as usize, words[6] as usize);
    if stack == 0 && flags & CLONE_THREAD == 0 {
        return fork_here(|| host::forward(libc::SYS_clone3 as usize, &own));
    }
    if flags & CLONE_THREAD == 0 {
        rest_for_spawn();
    }
    let (Some(frame), true) = (frame, stack != 0) else { return EINVAL };
    let is_thread = flags & CLONE_THREAD != 0;
    // SAFETY: as in `clone`.
    unsafe { frame.clone_onto(libc::SYS_clone3, &own, stack + stack_size, is_thread) }
}

/// A process that shares memory without being a thread (posix_spawn, vfork) gets a copy instead: see `fork`.
fn private_memory(flags: usize) -> usize {
    if flags & (CLONE_VM | CLONE_THREAD) == CLONE_VM {
        flags & !CLONE_VM
    } else {
        flags
    }
}

/// In the child of a fork of a process whose kernel was at rest.
fn after_fork_at_rest() {
    memory::after_fork();
    kick::after_fork();
    app_sud::after_fork();
    if let Some(thread) = thread::current() {
        thread.task = core::ptr::null_mut();
        thread.tid = host::ids().1;
    }
    boot::after_fork_at_rest();
}

/// In the child of a fork, its only thread.
pub fn after_fork() {
    memory::after_fork();
    kick::after_fork();
    app_sud::after_fork();
    if let Some(thread) = thread::current() {
        let mask = thread.noted.mask;
        let noted = thread.noted.sig.load(Ordering::Relaxed) != 0;
        thread::discard();
        if noted {
            host::set_sigmask(mask);
        }
    }
    boot::after_fork();
    handoff::after_fork();
    cwd::after_fork();
}
