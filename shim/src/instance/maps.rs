// SPDX-License-Identifier: GPL-2.0-only
//! Mappings of the kernel's files in the program's memory (docs/design/maps.md): faults in them, and what a fork has to
//! wait for. The kernel knows which there are (`overlay/arch/lkl/mm/areas.h`).
//!
//! Rules of the place: [`on_fault`] runs in a signal handler, on top of the program.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use lkl::{Access, AreaOp, Private, AREA_NOT_OURS, AREA_NO_HELPER};
use trampoline::routes;

use crate::instance::enter::{enter_kernel, KernelContext};
use crate::signals::deliver::{self, Fault};
use crate::sys::call::args;
use crate::sys::errno::{Errno, Result};
use crate::sys::report::say_once;
use crate::sys::settings::settings;
use crate::sys::{host, kernel, mapped, thread};

pub use crate::sys::mapped::{any, concerns};

/// Threads that are about to fork, and threads that change mappings or take up a fault. Never both.
static FORKS: AtomicU32 = AtomicU32::new(0);
static BUSY: AtomicU32 = AtomicU32::new(0);
/// The thread that forks, and whether a handler of the program took up a fault on that thread meanwhile.
static FORKER: AtomicUsize = AtomicUsize::new(0);
static IS_STALE: AtomicBool = AtomicBool::new(false);
/// Where a copy from or to the program met memory without access; 0: nowhere since it was asked last.
static MISSED: AtomicUsize = AtomicUsize::new(0);

/// Such a mapping may lie there from now on. From the first one on every call comes to the dispatch: its pointers may lead
/// to what has not been touched yet, where the host would say EFAULT.
fn will_be(address: usize, len: usize) {
    if mapped::will_be(address, len) {
        deliver::faults_by(on_fault, note_missed);
        routes::all_to_handler();
    }
}

/// Held by who changes mappings or takes up a fault. Inside a kernel section, where no handler of the program runs.
struct Busy;

impl Busy {
    fn begin() -> Busy {
        loop {
            BUSY.fetch_add(1, Ordering::SeqCst);
            if FORKS.load(Ordering::SeqCst) == 0 {
                return Busy;
            }
            if FORKER.load(Ordering::SeqCst) == host::ids().1 {
                // A handler of the program runs amid the fork.
                IS_STALE.store(true, Ordering::SeqCst);
                return Busy;
            }
            drop(Busy);
            host::sleep_ns(20_000);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Before a fork, outside of the kernel: nobody changes mappings or takes up a fault until [`end_fork`]. `shares`: the child
/// goes on with the kernel, and its mappings are made ready with its task. Otherwise the child must not reach them.
pub fn begin_fork(shares: bool) {
    if !any() {
        return;
    }
    FORKS.fetch_add(1, Ordering::SeqCst);
    while BUSY.load(Ordering::SeqCst) != 0 {
        host::sleep_ns(20_000);
    }
    FORKER.store(host::ids().1, Ordering::SeqCst);
    if !shares && kernel::is_up() {
        end_all(HIDDEN);
    }
}

/// In the parent, after the fork.
pub fn end_fork() {
    // The first mapping may have been made meanwhile.
    let _ = FORKS.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    if FORKS.load(Ordering::SeqCst) == 0 {
        FORKER.store(0, Ordering::SeqCst);
        IS_STALE.store(false, Ordering::SeqCst);
    }
}

/// In the child of a fork. `shares`: it goes on with the kernel.
pub fn forget_in_child(shares: bool) {
    [&FORKS, &BUSY].into_iter().for_each(|count| count.store(0, Ordering::SeqCst));
    FORKER.store(0, Ordering::SeqCst);
    if IS_STALE.swap(false, Ordering::SeqCst) && shares {
        end_all(ANEW);
    }
}

/// What [`Private::AreasEnd`] does with shared mappings: nothing is mapped any more; the same, whatever the kernel knows.
const HIDDEN: usize = 0;
const ANEW: usize = 2;

fn end_all(how: usize) {
    let _ = enter_kernel(|context| context.call(Private::AreasEnd as i64, &args([how])));
}

/// Makes a mapping: mmap(2) with the arguments in the order of the call.
pub fn new(given: &[usize; 6]) -> Result {
    enter_kernel(|context| {
        let _busy = Busy::begin();
        let at = context.call(Private::AreaNew as i64, given)?;
        will_be(at, given[1]);
        let is_private = given[3] & 0x0f == libc::MAP_PRIVATE as usize;
        if settings().share && !is_private {
            // Another process may come to use the kernel while nothing is touched here.
            let _ = context.kernel().start_area_helper();
        }
        Ok(at)
    })
}

/// What a system call does to mappings of the kernel's files. `None`: there are none there, and the call is the host's.
pub fn change(what: AreaOp, address: usize, len: usize, more: [usize; 3]) -> Option<Result> {
    if !concerns(address, len.max(1)) || !kernel::is_up() {
        return None;
    }
    let given = [what as usize, address, len, more[0], more[1], more[2]];
    let result = enter_kernel(|context| {
        let _busy = Busy::begin();
        let to = context.call(Private::AreaOp as i64, &given)?;
        if let AreaOp::Move = what {
            will_be(to, more[0]);
        }
        Ok(to)
    });
    (result != Err(AREA_NOT_OURS)).then_some(result)
}

/// Puts the pages of such mappings in place; how many were not. A `len` of 0: the program has faulted there.
fn fault(address: usize, len: usize, access: Access) -> Result {
    let given = args([address, len, access as usize]);
    let one = |context: &mut KernelContext| {
        let _busy = Busy::begin();
        context.call(Private::AreaFault as i64, &given)
    };
    enter_kernel(|context| match one(context) {
        Err(AREA_NO_HELPER) => {
            context.kernel().start_area_helper()?;
            one(context)
        }
        result => result,
    })
}

/// Before a call with a pointer there. Ok: there was something of ours, and it is in place: how many pages were not.
pub fn touch(address: usize, len: usize, access: Access) -> Result {
    match len != 0 && concerns(address, len) && kernel::is_up() {
        true => fault(address, len, access),
        false => Err(AREA_NOT_OURS),
    }
}

/// Where a copy met memory without access since this was asked last.
pub fn missed() -> Option<(usize, Access)> {
    match MISSED.swap(0, Ordering::Relaxed) {
        0 => None,
        at if at & 1 != 0 => Some((at & !1, Access::Write)),
        at => Some((at, Access::Read)),
    }
}

fn note_missed(address: usize, writes: bool) {
    if concerns(address, 1) {
        MISSED.store(address & !1 | usize::from(writes), Ordering::Relaxed);
    }
}

/// The program has touched `address`, where there is no access.
fn on_fault(address: usize, writes: bool, executes: bool) -> Fault {
    if !concerns(address, 1) || thread::current().is_some_and(thread::Thread::is_inside) {
        return Fault::NotOurs;
    }
    if kernel::is_lost() {
        say_once!("a child of fork cannot reach its parent's mappings of files in mounts (SIGBUS)");
        return Fault::Bus;
    }
    kernel::park_forever_if_ending();
    let access = match (writes, executes) {
        (_, true) => Access::Exec,
        (true, _) => Access::Write,
        _ => Access::Read,
    };
    match fault(address, 0, access) {
        Ok(_) => Fault::Done,
        Err(AREA_NOT_OURS | Errno::EFAULT) => Fault::NotOurs,
        Err(e) => {
            if e != Errno::EIO {
                say_once!("no memory for a page of a mapped file: {e} (SIGBUS)");
            }
            Fault::Bus
        }
    }
}
