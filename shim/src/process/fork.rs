// SPDX-License-Identifier: GPL-2.0-only
//! The one fork protocol: an ordered table of stages ([`STAGES`]).
//!
//! A child of fork does not have its parent's kernel (its memory is MADV_DONTFORK). So images that the process has no
//! open file in are unmounted and unlocked before the fork, and a current directory in a mount is left by name. If
//! nothing at all of the kernel is in use then, the kernel is *idle*: the child loses nothing and boots a kernel of its
//! own when the child needs one. Otherwise the child gets EIO for what was its parent's.

use core::sync::atomic::Ordering;

use crate::fdtable;
use crate::instance::enter::{enter_kernel_without_cwd, KernelContext};
use crate::instance::kick;
use crate::lookup::cwd;
use crate::observe;
use crate::process::handoff;
use crate::signals::{app_sud, cancel};
use crate::sys::errno::{from_raw, to_raw, Result};
use crate::sys::host::Ret;
use crate::sys::{host, kernel, memory, sigcalls, thread};

/// What is done with one thing around a fork.
struct Stage {
    /// The thing, in words for a person.
    name: &'static str,
    /// Before the fork, inside a kernel section, in the table's reverse order. False: it is in use, so the kernel is not
    /// idle, and the stages that are left are not run.
    before: Option<fn(&mut KernelContext) -> bool>,
    /// In the parent, after the fork or its failure, in the table's order.
    in_parent: Option<fn()>,
    /// In the child's only thread, in the table's order. True: the kernel was idle.
    in_child: Option<fn(bool)>,
}

/// In the child's order: what a stage needs stands above it. The parent needs nothing: an image that was unmounted, and
/// a directory that was left, come back with the next call that needs them.
static STAGES: [Stage; 8] = [
    Stage { name: "allocator", before: None, in_parent: None, in_child: Some(|_| memory::reset_in_child()) },
    Stage { name: "doorbell", before: None, in_parent: None, in_child: Some(|_| kick::forget_in_child()) },
    Stage {
        name: "Syscall User Dispatch of the application",
        before: None,
        in_parent: None,
        in_child: Some(|_| app_sud::reset_in_child()),
    },
    Stage { name: "thread", before: None, in_parent: None, in_child: Some(keep_or_discard_thread) },
    Stage {
        name: "statistics",
        before: None,
        in_parent: None,
        in_child: Some(|_| observe::forget_in_child()),
    },
    Stage {
        name: "kernel",
        before: Some(KernelContext::unmount_idle),
        in_parent: None,
        in_child: Some(leave_parents_kernel),
    },
    Stage {
        name: "files handed over",
        before: None,
        in_parent: None,
        in_child: Some(|idle| {
            if !idle {
                handoff::forget_in_child()
            }
        }),
    },
    Stage {
        name: "current directory",
        before: Some(cwd::leave),
        in_parent: None,
        in_child: Some(|_| cwd::forget_in_child()),
    },
];

/// The child has one thread. With an idle kernel the thread keeps its page, without a task; else nothing of it is of use.
fn keep_or_discard_thread(idle: bool) {
    let Some(thread) = thread::current() else { return };
    if idle {
        thread.task.store(core::ptr::null_mut(), Ordering::Relaxed);
        thread.tid.store(host::ids().1, Ordering::Relaxed);
        return;
    }
    let mask = thread.noted.mask.load(Ordering::Relaxed);
    let was_noted = thread.noted.sig.load(Ordering::Relaxed) != 0;
    thread::discard();
    if was_noted {
        sigcalls::set_mask(mask);
    }
}

fn leave_parents_kernel(idle: bool) {
    lkl::reset_in_child();
    if kernel::leave_parents(idle) || idle {
        fdtable::forget_kernel();
    }
}

/// Runs the stages before a fork. True: the kernel is idle. Inside a section, with `kernel::change` held.
fn run_before(context: &mut KernelContext) -> bool {
    // The calling thread has a task by now; another thread's would be at work in what is taken away.
    let alone = !fdtable::any_kernel() && kernel::tasks() == 1;
    alone && STAGES.iter().rev().filter_map(|stage| stage.before).all(|before| before(context))
}

fn run_in_parent() {
    STAGES.iter().filter_map(|stage| stage.in_parent).for_each(|in_parent| in_parent());
}

/// In the child of a fork, its only thread.
fn after_fork(idle: bool) {
    for stage in &STAGES {
        if let Some(in_child) = stage.in_child {
            in_child(idle);
            log::trace!("fork: {} is the child's", stage.name);
        }
    }
}

/// Whether it is worth a look if the kernel is idle.
fn may_be_idle() -> bool {
    if !kernel::is_up() {
        return false;
    }
    cwd::remember();
    let own = u32::from(thread::current().is_some_and(|thread| !thread.task().is_null()));
    !fdtable::any_kernel() && kernel::tasks() == own
}

/// Makes a child that goes on right here, in a copy of this memory but for the kernel's. `make` is the host's call.
pub fn fork_here(make: impl Fn() -> Result) -> Result {
    /// No result of clone(2).
    const NOT_IDLE: Ret = Ret::MIN;
    if may_be_idle() {
        let forked_idle = || {
            let mut r = NOT_IDLE;
            let _ = enter_kernel_without_cwd(|context| {
                let _change = kernel::change();
                if run_before(context) {
                    r = to_raw(make());
                }
                Ok(0)
            });
            r
        };
        let r = trampoline::fork(forked_idle);
        if r != NOT_IDLE {
            return finish(r, true);
        }
    }
    finish(trampoline::fork(|| to_raw(make())), false)
}

fn finish(r: Ret, idle: bool) -> Result {
    match r {
        0 => after_fork(idle),
        _ => run_in_parent(),
    }
    from_raw(r)
}

/// For a child that goes on elsewhere and only executes something: the images are given back.
pub fn give_back_for_spawn() {
    if may_be_idle() {
        let _ = enter_kernel_without_cwd(|context| {
            let _change = kernel::change();
            run_before(context);
            Ok(0)
        });
    }
}

/// A new thread or process, cloned in the middle of a call that the clone does not return from (the trampoline calls this).
pub extern "C" fn child_started(is_thread: bool) {
    cancel::forget_call();
    if !is_thread {
        after_fork(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_does_something_and_has_a_name_of_its_own() {
        for (i, stage) in STAGES.iter().enumerate() {
            let works = stage.before.is_some() || stage.in_parent.is_some() || stage.in_child.is_some();
            assert!(works, "{}", stage.name);
            assert!(!STAGES[..i].iter().any(|other| other.name == stage.name), "{}", stage.name);
        }
    }

    #[test]
    fn the_directory_is_left_before_its_image_is_unmounted() {
        let at = |name: &str| STAGES.iter().position(|stage| stage.name == name).unwrap();
        assert!(at("current directory") > at("kernel"));
    }
}
