// SPDX-License-Identifier: GPL-2.0-only
//! The thread that waits until a back end has a frame, or room for one, and raises the driver's interrupt then. Mostly the same
//! thread runs the interrupt, and with it the driver, which reads the frames. While there is no back end, the thread tries to have
//! one again.
//!
//! One process has the thread of a link ([`Link::home`]). When that process leaves, is killed, stopped or becomes another
//! program, another process starts one. Two threads at a time would do no harm: both only look.
//!
//! # Safety
//! A slot of `THREADS` is touched by the thread that has set `IS_BUSY`, by one that ends the kernel, or by all that a fork left.
#![allow(unsafe_code)]

use super::descriptors;
use super::events::{report, LinkEvent};
use super::link::{self, Link, ARMED, ASLEEP, LINKS, OFF};
use crate::cpu::{members, watch};
use crate::dev::irq;
use crate::sys::futex::{self, Scope};
use crate::sys::helper_thread::HelperThread;
use crate::sys::time::monotonic_ns;
use crate::sys::{file, poll, process, OwnedFd};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::OnceLock;

struct Slot(UnsafeCell<Option<HelperThread>>);
// SAFETY: see the head of the file.
unsafe impl Sync for Slot {}
static THREADS: [Slot; LINKS] = [const { Slot(UnsafeCell::new(None)) }; LINKS];

/// A thread of this process looks after the links.
static IS_BUSY: AtomicBool = AtomicBool::new(false);
/// This process could not get a descriptor.
static IS_UNABLE: AtomicBool = AtomicBool::new(false);
/// The threads of this process end.
static STOP: AtomicBool = AtomicBool::new(false);

/// Whether this process is to have the link's thread.
fn is_home(link: &Link) -> bool {
    link.home.load(Ordering::SeqCst) == members::me()
}

fn take(number: usize) -> Option<HelperThread> {
    // SAFETY: see the head of the file.
    unsafe { (*THREADS[number].0.get()).take() }
}

/// This process may have threads of links from here on, and looks after the links of others.
pub(crate) fn begin() {
    STOP.store(false, Ordering::SeqCst);
    watch::watch_links_by(look_after);
}

/// Starts the thread of each link whose thread is nowhere.
pub(crate) fn follow() {
    look_after(true);
}

/// The same; `thoroughly`: other processes are asked whether they live, which takes time.
fn look_after(thoroughly: bool) {
    let may_not = STOP.load(Ordering::SeqCst) || IS_UNABLE.load(Ordering::SeqCst);
    if may_not || IS_BUSY.swap(true, Ordering::SeqCst) {
        return;
    }
    for link in link::all().filter(|link| !link.is_over()) {
        let home = link.home.load(Ordering::SeqCst);
        let is_lost = home == 0 || (thoroughly && home != members::me() && watch::is_away(home));
        if is_lost {
            let _ = link.home.compare_exchange(home, members::me(), Ordering::SeqCst, Ordering::Relaxed);
        }
        if is_home(link) && !has_thread(link.index()) {
            start(link);
        }
    }
    IS_BUSY.store(false, Ordering::SeqCst);
}

/// Whether a thread waits for the link. One that saw another process as the home has ended, or looks again.
fn has_thread(number: usize) -> bool {
    // SAFETY: see the head of the file.
    let thread = unsafe { &*THREADS[number].0.get() };
    thread.as_ref().is_some_and(|thread| !thread.has_ended())
}

fn start(link: &'static Link) {
    let number = link.index();
    take(number).into_iter().for_each(HelperThread::join);
    match HelperThread::spawn(c"stowaway-net", run, std::ptr::from_ref(link) as usize) {
        // SAFETY: see the head of the file.
        Ok(thread) => unsafe { *THREADS[number].0.get() = Some(thread) },
        Err(_) => link.home.store(0, Ordering::SeqCst),
    }
}

/// Ends the threads of this process until [`begin`]: the kernel ends, or others go on with it, or this process becomes another
/// program.
pub(crate) fn leave() {
    STOP.store(true, Ordering::SeqCst);
    while IS_BUSY.load(Ordering::SeqCst) {
        process::yield_now();
    }
    for link in link::all() {
        if let Some(thread) = take(link.index()) {
            // It may have looked just before, and sleep after.
            while !thread.has_ended() {
                descriptors::ring(link);
                futex::wake_all(&raw const link.armed, Scope::Shared);
                process::sleep_ns(100_000);
            }
            thread.join();
        }
        let _ = link.home.compare_exchange(members::me(), 0, Ordering::SeqCst, Ordering::Relaxed);
    }
}

/// The kernel has ended: nothing of it is here any more.
pub(crate) fn stop() {
    leave();
    let waits = |link: &&Link| link.state.load(Ordering::SeqCst) == link::LISTENING;
    if let Some(renewal) = RENEWAL.get() {
        link::all().filter(waits).for_each(|link| (renewal.give_up)(link.index()));
    }
    descriptors::close_all();
}

/// In the child of a fork: the threads are the parent's.
pub(crate) fn reset_in_child() {
    IS_BUSY.store(false, Ordering::SeqCst);
    (0..LINKS).filter_map(take).for_each(HelperThread::forget);
}

/// In the child of a fork that does not go on with its parent's kernel.
pub(crate) fn forget() {
    reset_in_child();
    descriptors::close_all();
}

extern "C" fn run(link: usize) {
    // SAFETY: start()'s: links are there as long as the kernel, and leave() waits for this thread.
    let link = unsafe { &*(link as *const Link) };
    let (Some(fd), Some(bell)) = (descriptors::back_end(link), descriptors::bell(link)) else {
        // Another process is to try.
        IS_UNABLE.store(true, Ordering::SeqCst);
        link.home.store(0, Ordering::SeqCst);
        return;
    };
    // The thread before may have gone amid this.
    raise(link);
    let mut pause = Pause::default();
    while !STOP.load(Ordering::SeqCst) && is_home(link) && !link.is_over() {
        if !link.is_up() {
            come_back(link, fd, bell, &mut pause);
        } else if is_armed(link) {
            wait(link, fd, bell);
        }
    }
}

/// What there is in place of a back end that has ended.
#[derive(Debug)]
pub enum Renewed {
    /// A new one.
    Connected(OwnedFd),
    /// A socket that waits for one.
    Listening(OwnedFd),
    /// Nothing, or what there was.
    NotYet,
}

/// How back ends come back.
#[derive(Debug, Clone, Copy)]
pub struct Renewal {
    /// Looks for the back end of an interface, of which there may be the socket that waits for it. It may not wait, and runs on a small
    /// stack.
    pub renew: fn(usize, Option<i32>) -> Renewed,
    /// Nobody waits for the back end any more.
    pub give_up: fn(usize),
}

static RENEWAL: OnceLock<Renewal> = OnceLock::new();

/// Says how back ends come back.
pub fn renew_by(renewal: Renewal) {
    let _ = RENEWAL.set(renewal);
}

/// How long the next try waits: longer and longer, unless the link was up for a while.
struct Pause {
    ms: u32,
    since_ns: u64,
}

/// The shortest and the longest pause, ms.
const PAUSES_MS: (u32, u32) = (50, 1_000);
/// A link that was up for so long begins anew.
const STEADY_NS: u64 = 2_000_000_000;

impl Default for Pause {
    fn default() -> Pause {
        Pause { ms: PAUSES_MS.0, since_ns: 0 }
    }
}

/// Waits a moment, then tries to have a back end again.
fn come_back(link: &Link, fd: i32, bell: i32, pause: &mut Pause) {
    if monotonic_ns().saturating_sub(pause.since_ns) > STEADY_NS {
        pause.ms = PAUSES_MS.0;
    }
    let listener = Some(fd).filter(|_| link.state.load(Ordering::SeqCst) == link::LISTENING);
    let [_, rung] = poll::wait_for([(listener.unwrap_or(-1), poll::IN), (bell, poll::IN)], pause.ms);
    if rung != 0 {
        let _ = file::read(bell, &mut [0; 8]);
        // Rung when the link went down, and at this thread's end.
        return;
    }
    pause.ms = (2 * pause.ms).min(PAUSES_MS.1);
    pause.since_ns = monotonic_ns();
    let Some(renewal) = RENEWAL.get() else { return };
    // Whoever is waited for since the start does not come *back*.
    let is_first = listener.is_some() && link.generation.load(Ordering::Relaxed) == 0;
    match (renewal.renew)(link.index(), listener) {
        Renewed::Connected(new) if has_replaced(link, &new) => {
            link.is_back();
            if !is_first {
                report(link, LinkEvent::Up);
            }
            raise(link);
        }
        Renewed::Listening(new) if has_replaced(link, &new) => {
            link.state.store(link::LISTENING, Ordering::SeqCst);
        }
        _ => {}
    }
}

fn has_replaced(link: &Link, new: &OwnedFd) -> bool {
    descriptors::replace(link, new, || is_home(link)) == Ok(true)
}

fn raise(link: &Link) {
    let _ = link.armed.compare_exchange(ARMED, OFF, Ordering::SeqCst, Ordering::Relaxed);
    irq::raise_irq(irq::NET);
}

/// Whether this thread is to wait for frames. If the driver reads, sleeps until it does not.
fn is_armed(link: &Link) -> bool {
    let _ = link.armed.compare_exchange(OFF, ASLEEP, Ordering::SeqCst, Ordering::Relaxed);
    if link.armed.load(Ordering::SeqCst) == ARMED {
        return true;
    }
    if !STOP.load(Ordering::SeqCst) {
        futex::wait(&link.armed, ASLEEP, Scope::Shared);
    }
    link.armed.load(Ordering::SeqCst) == ARMED
}

fn wait(link: &Link, fd: i32, bell: i32) {
    let room = if link.wants_room.load(Ordering::SeqCst) != 0 { poll::OUT } else { 0 };
    let [frames, rung] = poll::wait([(fd, poll::IN | room), (bell, poll::IN)]);
    if rung != 0 {
        let _ = file::read(bell, &mut [0; 8]);
    }
    if frames & poll::OUT != 0 {
        link.wants_room.store(0, Ordering::SeqCst);
    }
    // An error and the end are for the driver to read.
    if frames != 0 {
        raise(link);
    }
}
