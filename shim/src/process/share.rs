// SPDX-License-Identifier: GPL-2.0-only
//! A child of fork that goes on with its parent's kernel.
//!
//! The kernel makes a member for the child before the fork, with a copy of the calling thread's table of open files. The
//! host copies its own table at the fork. Another thread may open or close a file between the two: then the child
//! settles the difference ([`settle_tables`]).

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use lkl::NewMember;

use crate::fdtable;
use crate::instance::enter::{enter_kernel, KernelContext};
use crate::instance::{images, kick};
use crate::process::fork::Fate;
use crate::sys::call::args;
use crate::sys::errno::{to_raw, Errno, Explained, Result};
use crate::sys::fs;
use crate::sys::host::Ret;
use crate::sys::kernel::{self, running};
use crate::sys::report::say_once;
use crate::sys::settings::settings;
use crate::sys::{sigcalls, thread};
use lkl::sys::futex::{Lock, LockGuard};

/// Before the first child: the kernel that the process and its children are to share. Each of them would boot its own
/// otherwise, and only one of them would get an image.
pub fn boot_for_children() {
    if kernel::state() == kernel::State::None && settings().is_active() && settings().follow && is_wanted() {
        let _ = enter_kernel(|_| Ok(0));
    }
}

/// Whether the user wants a shared kernel, and what is to be mounted allows it.
fn is_wanted() -> bool {
    settings().share && images::can_be_shared(&settings().mounts)
}

/// Whether a child could go on with this process's kernel.
pub fn can_share() -> bool {
    is_wanted() && running().is_some_and(lkl::Kernel::can_be_shared)
}

/// Makes a member, and the child by `make`. The host's answer, and what the child does with the kernel.
pub fn fork(make: impl Fn() -> Result) -> (Ret, Fate) {
    let mut fate = Fate::Lost;
    let mut r = 0;
    let mut tries = 0;
    loop {
        let made = try_to_fork(&make, &mut fate, &mut r);
        match made {
            Ok(_) => return (r, fate),
            // fork(2) is not interrupted.
            Err(Errno::EINTR) if tries < TRIES => tries += 1,
            Err(e) => {
                kernel::park_forever_if_ending();
                return (to_raw(Err(e)), fate);
            }
        }
    }
}

/// How often an interrupted fork begins anew.
const TRIES: u32 = 1_000;

/// Err: there is no child.
fn try_to_fork(make: &impl Fn() -> Result, fate: &mut Fate, r: &mut Ret) -> Result {
    enter_kernel(|context| {
        let _change = kernel::change();
        let member = context.new_member().map_err(no_member)?;
        *fate = Fate::Shared(member);
        *r = to_raw(make());
        match *r {
            0 => forget_noted(),
            answer => is_made(context, member, answer),
        }
        Ok(0)
    })
}

/// Why there is no child: as fork(2) has it where there are too many processes.
fn no_member(e: Errno) -> Errno {
    if !matches!(e, Errno::ENOMEM | Errno::EAGAIN) {
        return e;
    }
    say_once!("fork: the kernel has no room for another process: {}", Explained(e));
    Errno::EAGAIN
}

/// In the child: a signal that came to the parent meanwhile is the parent's.
fn forget_noted() {
    let Some(thread) = thread::current() else { return };
    if thread.noted.sig.swap(0, Ordering::Relaxed) != 0 {
        sigcalls::set_mask(thread.noted.mask.load(Ordering::Relaxed));
    }
}

/// In the parent, after the host's answer.
fn is_made(context: &mut KernelContext, member: NewMember, answer: Ret) {
    match u32::try_from(answer) {
        Ok(pid) => context.kernel().member_is(member, pid),
        Err(_) => context.kernel().abandon(member),
    }
}

/// In the child: goes on with the parent's kernel.
pub fn in_child(member: NewMember) {
    let had_threads = kernel::tasks() > 1;
    kernel::share_parents();
    let Some(kernel) = running() else { return };
    become_member(kernel, member);
    fdtable::close_those_of_threads();
    if let Some(thread) = thread::current() {
        kick::enroll(thread);
    }
    if had_threads {
        settle_tables();
    }
}

#[allow(unsafe_code)]
fn become_member(kernel: &lkl::Kernel, member: NewMember) {
    // SAFETY: the parent made the member for this process, and the caller's thread is its only thread.
    unsafe { kernel.become_member(member) }
}

/// Another thread of the parent may have opened or closed a file between the copy of the kernel's table and the copy of the
/// host's. In the child the file is not open then: neither half of it stays.
fn settle_tables() {
    let _ = enter_kernel(|context| {
        let end = fdtable::end();
        for number in fdtable::numbers_of_kernel(0, end) {
            if context.call(libc::SYS_fcntl, &args([number, libc::F_GETFD as usize])).is_err() {
                fdtable::set(number, fdtable::HOST);
                fs::close(number as i32);
            }
        }
        each_open(context, end, |context, number| {
            let class = fdtable::class(number);
            if !fdtable::has_kernels(class) && class != fdtable::RESERVED {
                let _ = context.call(libc::SYS_close, &args([number]));
            }
        })
    });
}

/// Does `what` to each descriptor below `end` that is open in the kernel.
pub fn each_open(
    context: &mut KernelContext,
    end: usize,
    mut what: impl FnMut(&mut KernelContext, usize),
) -> Result {
    const WORDS: usize = 256;
    for first in (0..end).step_by(WORDS * 64) {
        let mut bits = [0u64; WORDS];
        let args = args([bits.as_mut_ptr() as usize, WORDS, first]);
        if context.call(lkl::Private::OpenFds as i64, &args)? == 0 {
            break;
        }
        for (word, mut left) in bits.into_iter().enumerate() {
            while left != 0 {
                what(context, first + word * 64 + left.trailing_zeros() as usize);
                left &= left - 1;
            }
        }
    }
    Ok(0)
}

/// The member for a child that goes on at another place, from before the clone until after it. The lock is held meanwhile,
/// and all signals are blocked.
struct Spawned {
    lock: Lock,
    is_there: AtomicBool,
    member: UnsafeCell<Option<(NewMember, LockGuard<'static>)>>,
}

// SAFETY: `member` is touched with the lock held, or by the only thread of the child.
#[allow(unsafe_code)]
unsafe impl Sync for Spawned {}

static SPAWNED: Spawned =
    Spawned { lock: Lock::new(), is_there: AtomicBool::new(false), member: UnsafeCell::new(None) };

/// Makes the member for a child. Then follow the clone and [`end_spawn`].
#[allow(unsafe_code)]
pub fn begin_spawn() {
    let guard = SPAWNED.lock.hold();
    let mut made = None;
    let _ = enter_kernel(|context| {
        let _change = kernel::change();
        made = Some(context.new_member().map_err(no_member)?);
        Ok(0)
    });
    let Some(member) = made else { return kernel::park_forever_if_ending() };
    // SAFETY: the lock is held.
    unsafe { *SPAWNED.member.get() = Some((member, guard)) };
    SPAWNED.is_there.store(true, Ordering::Release);
}

/// In the child: the member that was made for it.
#[allow(unsafe_code)]
pub fn take_spawned() -> Option<NewMember> {
    if !SPAWNED.is_there.swap(false, Ordering::Acquire) {
        return None;
    }
    // SAFETY: the only thread.
    unsafe { (*SPAWNED.member.get()).take() }.map(|(member, _guard)| member)
}

/// In the parent, after the clone: its answer.
#[allow(unsafe_code)]
pub fn end_spawn(answer: Ret) {
    if !SPAWNED.is_there.swap(false, Ordering::Acquire) {
        return;
    }
    // SAFETY: the lock is held since begin_spawn().
    if let Some((member, _guard)) = unsafe { (*SPAWNED.member.get()).take() } {
        let _ = enter_kernel(|context| {
            is_made(context, member, answer);
            Ok(0)
        });
    }
}
