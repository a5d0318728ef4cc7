// SPDX-License-Identifier: GPL-2.0-only
//! The one fork protocol: an ordered table of stages ([`STAGES`]).
//!
//! A child of fork goes on with its parent's kernel, as a member of the instance: it has the parent's open files, locks,
//! current directory and credentials, as Linux has it. The kernel makes the child's task before the fork (`share.rs`).
//!
//! A kernel that cannot be shared ([`lkl::Kernel::can_be_shared`]) is its parent's alone. Images that the parent has no open
//! file in are unmounted and unlocked before the fork, and a current directory in a mount is left by name. If nothing of
//! the kernel is in use then, the kernel is *idle*, and the child boots a kernel of its own when the child needs one.
//! Otherwise the child gets EIO for what was open.

use core::cell::Cell;
use core::sync::atomic::Ordering;

use crate::fdtable;
use crate::instance::enter::{enter_kernel_without_cwd, set_due, KernelContext, DUE_ROOT};
use crate::instance::{keeper, kick, maps, watches};
use crate::lookup::cwd;
use crate::observe;
use crate::process::{handoff, last_thread, share, stores};
use crate::signals::{app_sud, cancel};
use crate::sys::errno::{from_raw, to_raw, Result};
use crate::sys::host::Ret;
use crate::sys::{host, kernel, memory, rings, root, sigcalls, thread};

/// What a child of a fork does with the kernel that its parent has.
#[derive(Clone, Copy)]
pub enum Fate {
    /// Nothing of the kernel was in use, or there is none: the child boots its own.
    Idle,
    /// The kernel is the parent's alone.
    Lost,
    /// The child goes on with the kernel.
    Shared(lkl::NewMember),
}

/// What is done with one thing around a fork.
struct Stage {
    /// The thing, in words for a person.
    name: &'static str,
    /// Before the fork, inside a kernel section, in the table's reverse order. False: it is in use, so the kernel is not
    /// idle, and the stages that are left are not run.
    before: Option<fn(&mut KernelContext) -> bool>,
    /// In the child's only thread, in the table's order.
    in_child: Option<fn(Fate)>,
}

/// In the child's order: what a stage needs stands above it. The parent needs nothing: an image that was unmounted, and
/// a directory that was left, come back with the next call that needs them.
static STAGES: [Stage; 14] = [
    Stage { name: "stores that the parent gets", before: None, in_child: Some(|_| stores::begin_in_child()) },
    Stage { name: "allocator", before: None, in_child: Some(|_| memory::reset_in_child()) },
    Stage { name: "keeper's start", before: None, in_child: Some(|_| keeper::forget_in_child()) },
    Stage { name: "last thread", before: None, in_child: Some(|_| last_thread::forget_in_child()) },
    Stage { name: "doorbell", before: None, in_child: Some(|_| kick::forget_in_child()) },
    Stage { name: "rings of the application", before: None, in_child: Some(|_| rings::reset_in_child()) },
    Stage {
        name: "Syscall User Dispatch of the application",
        before: None,
        in_child: Some(|_| app_sud::reset_in_child()),
    },
    Stage { name: "thread", before: None, in_child: Some(keep_or_discard_thread) },
    Stage { name: "statistics", before: None, in_child: Some(|_| observe::join_in_child()) },
    Stage {
        name: "kernel",
        before: Some(KernelContext::unmount_idle),
        in_child: Some(go_on_or_leave_parents_kernel),
    },
    Stage { name: "root directory", before: None, in_child: Some(keep_root) },
    Stage {
        name: "files handed over",
        before: None,
        in_child: Some(|fate| {
            if let Fate::Lost = fate {
                handoff::forget_in_child()
            }
        }),
    },
    Stage {
        name: "mappings of files",
        before: None,
        in_child: Some(|fate| maps::forget_in_child(matches!(fate, Fate::Shared(_)))),
    },
    Stage { name: "current directory", before: Some(cwd::leave), in_child: Some(|_| cwd::forget_in_child()) },
];

/// The child has one thread. If nothing of the thread's state is of use, the state goes.
fn keep_or_discard_thread(fate: Fate) {
    let Some(thread) = thread::current() else { return };
    let task = match fate {
        Fate::Idle => core::ptr::null_mut(),
        Fate::Shared(member) => member.task,
        Fate::Lost => return discard_thread(thread),
    };
    thread.task.store(task, Ordering::Relaxed);
    thread.waker.store(0, Ordering::Relaxed);
    thread.tid.store(host::ids().1, Ordering::Relaxed);
}

fn discard_thread(thread: &thread::Thread) {
    let mask = thread.noted.mask.load(Ordering::Relaxed);
    let was_noted = thread.noted.sig.load(Ordering::Relaxed) != 0;
    thread::discard();
    if was_noted {
        sigcalls::set_mask(mask);
    }
}

/// The host hands it on, and so does a kernel that is shared. A new kernel is to be told.
fn keep_root(fate: Fate) {
    root::reset_in_child();
    if root::is_changed() && !matches!(fate, Fate::Shared(_)) {
        set_due(DUE_ROOT);
    }
}

fn go_on_or_leave_parents_kernel(fate: Fate) {
    let idle = match fate {
        Fate::Shared(member) => return share::in_child(member),
        Fate::Idle => true,
        Fate::Lost => false,
    };
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

/// In the child of a fork, its only thread.
fn after_fork(fate: Fate) {
    let has_begun = |member| lkl::Kernel::get().is_some_and(|kernel| kernel.begins(member));
    let fate = match fate {
        Fate::Shared(member) if !has_begun(member) => Fate::Lost,
        fate => fate,
    };
    for stage in &STAGES {
        if let Some(in_child) = stage.in_child {
            in_child(fate);
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

/// Makes a child that goes on right here, in a copy of this memory. `make` is the host's call.
pub fn fork_here(make: impl Fn() -> Result) -> Result {
    /// No result of clone(2).
    const NOT_IDLE: Ret = Ret::MIN;
    kernel::park_forever_if_ending();
    fdtable::sets::generalise_all();
    share::boot_for_children();
    if share::can_share() {
        watches::begin_all();
        let fate = Cell::new(Fate::Lost);
        return from_raw(fork_with_maps(true, &fate, || {
            let (r, what) = share::fork(&make);
            fate.set(what);
            r
        }));
    }
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
        let r = fork_with_maps(false, &Cell::new(Fate::Idle), forked_idle);
        if r != NOT_IDLE {
            return from_raw(r);
        }
    }
    // The kernel may be out of reach because another thread has just begun to end the process.
    kernel::park_forever_if_ending();
    from_raw(fork_with_maps(false, &Cell::new(Fate::Lost), || to_raw(make())))
}

/// Forks while nobody changes mappings of files, or takes up a fault in one. `fate` is looked at when `make` has returned.
fn fork_with_maps(shares: bool, fate: &Cell<Fate>, mut make: impl FnMut() -> Ret) -> Ret {
    let in_parent = || {
        maps::begin_fork(shares);
        let r = make();
        if r != 0 {
            maps::end_fork();
        }
        r
    };
    trampoline::fork(in_parent, || after_fork(fate.get()))
}

/// Before a child that goes on elsewhere is made. Then follow [`begin_spawn`], the clone, and [`end_spawn`].
pub fn prepare_spawn() {
    kernel::park_forever_if_ending();
    fdtable::sets::generalise_all();
    share::boot_for_children();
    if share::can_share() {
        watches::begin_all();
    }
}

/// With all signals blocked: what the child will do with the kernel.
pub fn begin_spawn() {
    let shares = share::can_share();
    maps::begin_fork(shares);
    if shares {
        share::begin_spawn();
    } else if may_be_idle() {
        let _ = enter_kernel_without_cwd(|context| {
            let _change = kernel::change();
            run_before(context);
            Ok(0)
        });
    }
}

/// In the parent, after the clone: its answer. Signals are blocked since before [`begin_spawn`].
pub fn end_spawn(answer: Ret) {
    share::end_spawn(answer);
    maps::end_fork();
}

/// A new thread or process, cloned in the middle of a call that the clone does not return from (the trampoline calls this).
pub extern "C" fn child_started(is_thread: bool) {
    cancel::forget_call();
    if !is_thread {
        after_fork(share::take_spawned().map_or(Fate::Lost, Fate::Shared));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_does_something_and_has_a_name_of_its_own() {
        for (i, stage) in STAGES.iter().enumerate() {
            assert!(stage.before.is_some() || stage.in_child.is_some(), "{}", stage.name);
            assert!(!STAGES[..i].iter().any(|other| other.name == stage.name), "{}", stage.name);
        }
    }

    #[test]
    fn the_directory_is_left_before_its_image_is_unmounted() {
        let at = |name: &str| STAGES.iter().position(|stage| stage.name == name).unwrap();
        assert!(at("current directory") > at("kernel"));
    }
}
