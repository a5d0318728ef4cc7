// SPDX-License-Identifier: GPL-2.0-only
//! An epoll set of one kernel becomes a set of both.
//!
//! Other threads may sleep in the set meanwhile, in the kernel that had all of it so far. They are roused: a descriptor that
//! is ready goes into the half that they sleep in, with a mark in the place of the user's word. A wait that finds the mark
//! goes on in both halves.

use core::sync::atomic::{fence, AtomicU32, AtomicU64, Ordering};

use crate::fdtable::sets::{self, set_at, Set};
use crate::fdtable::{self, Keep, HOST};
use crate::instance::enter::enter_kernel;
use crate::instance::pair::add_kernel_half;
use crate::sys::call::args;
use crate::sys::errno::Result;
use crate::sys::{call, fs, host, kernel};
use crate::wait::event::Event;
use crate::wait::nest;

/// How often, and how many times, a thread looks whether the sleepers are awake. Not for ever: a handler may have left a
/// wait by siglongjmp, and is counted all the same.
const PAUSE_NS: i64 = 50_000;
const PAUSES: u32 = 2_000;

/// Whether there are marks to be looked for: so many threads have roused others.
static ROUSED: AtomicU32 = AtomicU32::new(0);
/// What marks a rouser. No program knows the word.
static MARK: AtomicU64 = AtomicU64::new(0);

/// Whether results may have marks in them.
#[inline]
pub fn may_be_marked() -> bool {
    ROUSED.load(Ordering::Relaxed) != 0
}

/// Whether the event is a mark.
pub fn is_mark(event: &Event) -> bool {
    event.data == mark()
}

fn mark() -> [u32; 2] {
    let mark = MARK.load(Ordering::Relaxed);
    [mark as u32, (mark >> 32) as u32]
}

/// The half of a set that threads sleep in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Host,
    Kernel,
}

/// The set at `number`, which is the host's, is to have a file of the kernel library: it gets its kernel half, and so do its
/// copies.
pub fn add_kernels_half(number: usize) -> Result<()> {
    let mut numbers = Vec::new();
    enter_kernel(|context| {
        let _change = kernel::change();
        if fdtable::class(number) != HOST {
            // Another thread was faster.
            return Ok(0);
        }
        let was = set_at(number);
        add_kernel_half(context, number, None)?;
        sets::note_set(number, if was == Set::Empty { Set::Kernel } else { Set::Both });
        numbers.clear();
        numbers.push(number);
        let may_be_copy = |&other: &usize| {
            fdtable::class(other) == HOST
                && set_at(other) == Set::Host
                && fs::is_epoll_set(other as i32)
                && fs::is_same_open_file(number as i32, other as i32)
        };
        for copy in sets::numbers_of_sets().filter(may_be_copy) {
            if add_kernel_half(context, copy, Some(number)).is_ok() {
                sets::note_set(copy, Set::Both);
                sets::note_set(number, Set::Both);
                numbers.push(copy);
            }
        }
        Ok(0)
    })?;
    rouse(&numbers, Half::Host);
    nest::tell_outer_sets(&numbers)
}

/// The set at `number`, whose host half was empty, has a file of the host now. So have its copies, which are not known from
/// other sets.
pub fn has_hosts_file(number: usize) {
    if set_at(number) == Set::Kernel {
        sets::note_set(number, Set::Both);
        rouse(&[number], Half::Kernel);
    }
}

/// Wakes those who sleep in the half of a set, and waits until they are awake.
fn rouse(numbers: &[usize], half: Half) {
    fence(Ordering::SeqCst);
    let any_sleeper = || numbers.iter().any(|&number| sets::any_sleeper(number));
    let Some(&set) = numbers.first().filter(|_| any_sleeper()) else { return };
    let _ = MARK.compare_exchange(0, random_mark(), Ordering::Relaxed, Ordering::Relaxed);
    ROUSED.fetch_add(1, Ordering::SeqCst);
    let Ok(rouser) = ready_descriptor() else { return };
    let event = Event { events: libc::EPOLLIN as u32, data: mark() };
    change(set, half, rouser, libc::EPOLL_CTL_ADD, &event);
    for _ in 0..PAUSES {
        if !any_sleeper() {
            break;
        }
        host::sleep_ns(PAUSE_NS);
    }
    change(set, half, rouser, libc::EPOLL_CTL_DEL, &event);
    fdtable::release(rouser as usize);
}

fn random_mark() -> u64 {
    lkl::sys::process::random_u64().unwrap_or(lkl::sys::time::monotonic_ns()) | 1
}

/// An eventfd with a count.
fn ready_descriptor() -> Result<i32> {
    let made = lkl::sys::file::eventfd()?;
    lkl::sys::file::write(made.raw(), &1u64.to_ne_bytes())?;
    fdtable::reserve(made.raw(), Keep::InThread)
}

/// Adds the rouser to the half of a set, or takes it out. In the kernel library, its twin at the same number.
fn change(set: usize, half: Half, rouser: i32, op: i32, event: &Event) {
    let rouser = rouser as usize;
    let asked = args([set, op as usize, rouser, core::ptr::from_ref(event) as usize]);
    if half == Half::Host {
        let _ = call::host(libc::SYS_epoll_ctl, &asked);
        return;
    }
    let _ = enter_kernel(|context| {
        if op == libc::EPOLL_CTL_ADD {
            context.call_at(libc::SYS_eventfd2, &args([1]), rouser as i32)?;
        }
        let r = context.call(libc::SYS_epoll_ctl, &asked);
        if op == libc::EPOLL_CTL_DEL {
            let _ = context.call(libc::SYS_close, &args([rouser]));
        }
        r
    });
}
