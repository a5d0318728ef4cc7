// SPDX-License-Identifier: GPL-2.0-only
//! Thread cancellation, and what else unwinds a thread's stack (pthread_exit in a handler): never off a frame
//! of ours that is in the middle of something.
//!
//! libc ends a cancelled thread by unwinding its stack from the handler of a signal (glibc's SIGCANCEL), which
//! it sends only to a thread that allows it at any moment; its own functions do so around their system calls.
//! That takes two things of us, and both are the same: end the wait, return through our frames, and act in a
//! clean one.
//!
//! - *The signal arrives during a dispatched call*: it is put off ([`put_off`]). The wait ends, and libc's
//!   handler runs when nothing of ours is on the stack but the entry's assembler or the hook. If it does not
//!   unwind, a call that we stopped starts again, as SA_RESTART would have it. The entry's last look
//!   (`entry::at_end`) closes the way out: a libc wrapper may wait for the handler to have run. A thread that is
//!   diverted from its own code (`trampoline::divert`) looks in the same way, for it may make no call ever again.
//! - *A hook that is a cancellation point* ([`point`]) does not allow the signal (that would cost two locked
//!   instructions a call). Instead [`poke::pthread_cancel`] sees from the target's thread-local state that it is in
//!   one and pokes it with the same signal, marked as ours; the hook then asks libc (pthread_testcancel).
//!   (Not with SIGSYS: one that is pending makes the host drop that of a dispatched call, and the call with it.)
//!
//! A wait is ended without a gap: [`CallState::stop`] is looked at by the gate, and a thread that stands between
//! that look and its call is moved by the handler (`gate_unless`); the kernel library keeps an interruption
//! until the call that it was meant for returns.
//!
//! A handler of the application that runs on top of a host wait sees fresh state ([`suspend`]), and may leave
//! by siglongjmp or by unwinding: the functions on that way have the C-unwind ABI and own nothing then.
#![allow(unsafe_code)]

use core::arch::global_asm;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{compiler_fence, AtomicBool, AtomicU8, Ordering};

use poke::{on_poke, Info};
use trampoline::gate::{stop_if_waiting, STOPPED};
use trampoline::{divert, entry, Frame};

use crate::signals::actions;
use crate::sys::host::{self, Ret};
use crate::sys::kernel;
use crate::sys::sigcalls::{self, bit};
use crate::sys::sleep;
use crate::sys::thread::{self, CallState};

mod poke;

/// glibc's SIGCANCEL (nptl, `internal-signals.h`).
pub const SIGNAL: c_int = 32;

/// pthread_cancel was called in this process: cancellation points ask before they begin.
static IN_USE: AtomicBool = AtomicBool::new(false);

/// EINTR in kernel ABI.
const EINTR: Ret = -(libc::EINTR as Ret);

extern "C-unwind" {
    fn pthread_testcancel();
}

#[inline]
fn state() -> &'static CallState {
    &thread::words().call
}

fn is_on(byte: &AtomicU8) -> bool {
    byte.load(Ordering::Relaxed) != 0
}

fn take(byte: &AtomicU8) -> bool {
    let was = is_on(byte);
    byte.store(0, Ordering::Relaxed);
    was
}

/// Sets a byte that a handler on this thread has to see in program order.
#[inline]
fn set(byte: &AtomicU8, to: u8) {
    compiler_fence(Ordering::SeqCst);
    byte.store(to, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
}

impl CallState {
    /// Something happened during the call.
    #[inline]
    fn is_disturbed(&self) -> bool {
        self.stop.load(Ordering::Relaxed) | self.poked.load(Ordering::Relaxed) != 0
    }

    /// Makes the call with code of ours on the stack.
    #[inline]
    fn dispatched(&self, call: &mut impl FnMut() -> Ret) -> Ret {
        set(&self.busy, 1);
        let r = call();
        set(&self.busy, 0);
        r
    }
}

/// Whether a wait must not begin or go on now.
pub fn is_stopped() -> bool {
    is_on(&state().stop)
}

/// A call made by code of ours amid another one: not to be stopped, and without an end of its own.
#[cold]
fn nested(me: &CallState, mut call: impl FnMut() -> Ret) -> Ret {
    loop {
        let stop = take(&me.stop);
        let r = call();
        if stop {
            me.stop.store(1, Ordering::Relaxed);
        }
        if r != STOPPED {
            return r;
        }
    }
}

/// A call through a hook that is no cancellation point. `call` makes the call.
#[inline]
pub fn plain(mut call: impl FnMut() -> Ret) -> Ret {
    let me = state();
    if is_on(&me.busy) {
        return nested(me, call);
    }
    let r = me.dispatched(&mut call);
    if is_on(&me.stop) {
        return still_put_off(me, call, r);
    }
    r
}

/// redhook's frame cannot be unwound: what was put off stays so until the next point or trampolined call. (Only a
/// thread under asynchronous cancellation comes here, and POSIX knows no such call that is safe under it.)
#[cold]
fn still_put_off(me: &CallState, mut call: impl FnMut() -> Ret, mut r: Ret) -> Ret {
    while r == STOPPED {
        me.stop.store(0, Ordering::Relaxed);
        r = me.dispatched(&mut call);
    }
    me.stop.store(me.put_off.load(Ordering::Relaxed), Ordering::Relaxed);
    r
}

/// A call through a hook that is a cancellation point. May end the thread by unwinding: the hook owns nothing.
///
/// # Safety
/// Called by a C-unwind function, outside any frame that must not be unwound.
#[inline]
pub unsafe fn point(mut call: impl FnMut() -> Ret) -> Ret {
    let me = state();
    if is_on(&me.busy) {
        return nested(me, call);
    }
    me.handled.store(0, Ordering::Relaxed);
    // First to be seen, then to look: pthread_cancel does it in the other order, with a barrier for both.
    set(&me.point, 1);
    if IN_USE.load(Ordering::Relaxed) {
        // SAFETY: the caller's promise.
        unsafe { pthread_testcancel() };
    }
    let r = loop {
        let r = me.dispatched(&mut call);
        if !me.is_disturbed() {
            break r;
        }
        // SAFETY: the caller's promise.
        if unsafe { has_result(me, r) } {
            break r;
        }
    };
    set(&me.point, 0);
    r
}

/// After a disturbed call: acts on a request. False: the call has to be made again.
#[cold]
unsafe fn has_result(me: &CallState, r: Ret) -> bool {
    let stop = take(&me.stop);
    me.poked.store(0, Ordering::Relaxed);
    if take(&me.put_off) {
        // SAFETY: the caller's promise.
        unsafe { run_libc_handler() };
    }
    let undone = r == STOPPED || r == EINTR;
    if stop && undone {
        // A call that took effect is reported, and the request stays for the next point.
        // SAFETY: the caller's promise.
        unsafe { pthread_testcancel() };
    }
    // Not cancelled. An EINTR is the application's only if it had a signal.
    !(r == STOPPED || undone && !is_on(&me.handled))
}

/// A call that the trampoline caught; its result goes into the frame.
#[inline]
pub fn caught(frame: &mut Frame, call: impl Fn(&Frame) -> Ret) {
    let me = state();
    if is_on(&me.busy) {
        frame.rax = nested(me, || call(frame)) as usize;
        return;
    }
    let r = me.dispatched(&mut || call(frame));
    frame.rax = r as usize;
    if is_on(&me.stop) {
        stopped(me, frame, r);
    }
}

#[cold]
fn stopped(me: &CallState, frame: &mut Frame, r: Ret) {
    me.stop.store(0, Ordering::Relaxed);
    if r == STOPPED {
        // As the host restarts a call.
        frame.again = 1;
    }
    if is_on(&me.put_off) {
        // Asked for already, but the end of a nested call may have come first.
        entry::at_end(no_longer_put_off);
    }
}

/// At the end of a trampolined call, when nothing of ours is on the stack but what made it.
unsafe extern "C-unwind" fn no_longer_put_off() {
    let me = state();
    if is_on(&me.busy) {
        return; // a nested call's end; the outer one has its own
    }
    me.stop.store(0, Ordering::Relaxed);
    if take(&me.put_off) {
        // SAFETY: the caller's promise.
        unsafe { run_libc_handler() };
    }
}

/// What libc's handler would have got. It unwinds if the thread still allows it, and marks the request if not.
unsafe extern "C-unwind" fn run_libc_handler() {
    let action = actions::action(SIGNAL);
    if !actions::is_function(action.handler) {
        return;
    }
    let mut info = Info::to_ourselves(SIGNAL, libc::SI_TKILL);
    // SAFETY: the address was given to sigaction as a handler; glibc's does not use the context.
    unsafe {
        let handler: extern "C-unwind" fn(c_int, *mut Info, *mut c_void) =
            core::mem::transmute(action.handler);
        handler(SIGNAL, &mut info, core::ptr::null_mut());
    }
}

/// In the handler of [`SIGNAL`]. True: that was all. False: libc's handler is to run now.
pub fn on_request(info: *const libc::siginfo_t, uc: &mut libc::ucontext_t) -> bool {
    on_poke(info, uc) || put_off(info, uc)
}

/// True: the thread is in a call, which ends now, and libc's handler runs after it.
fn put_off(info: *const libc::siginfo_t, uc: &mut libc::ucontext_t) -> bool {
    let me = state();
    let ip = uc.uc_mcontext.gregs[libc::REG_RIP as usize] as usize;
    // SAFETY: the kernel hands a valid siginfo, with a sender for this code.
    let of_libc = unsafe { (*info).si_code == libc::SI_TKILL && (*info).si_pid() as usize == host::pid() };
    if !of_libc || !IN_USE.load(Ordering::Relaxed) || !(is_on(&me.busy) || is_ours(ip)) {
        return false;
    }
    me.put_off.store(1, Ordering::Relaxed);
    me.stop.store(1, Ordering::Relaxed);
    entry::at_end(no_longer_put_off);
    end_wait(uc);
    true
}

// The linker's: where the library begins and its code ends; the section of the hooks that may be unwound.
global_asm!(
    ".hidden __ehdr_start",
    ".hidden etext",
    ".hidden __start_unwindable",
    ".hidden __stop_unwindable"
);

extern "C" {
    static __ehdr_start: u8;
    static etext: u8;
    static __start_unwindable: u8;
    static __stop_unwindable: u8;
}

/// Where the library's code is.
pub fn library() -> core::ops::Range<usize> {
    &raw const __ehdr_start as usize..&raw const etext as usize
}

/// Whether a thread at `ip`, in no call, is in code of ours that must not be unwound: on its way to or from one.
fn is_ours(ip: usize) -> bool {
    if entry::is_before_look(ip) {
        return true;
    }
    let hooks = &raw const __start_unwindable as usize..&raw const __stop_unwindable as usize;
    library().contains(&ip) && !entry::contains(ip) && !hooks.contains(&ip) && !divert::is_past_look(ip)
}

/// In a signal handler, with `stop` set: ends what the interrupted thread waits for.
fn end_wait(uc: &mut libc::ucontext_t) {
    let ip = &mut uc.uc_mcontext.gregs[libc::REG_RIP as usize];
    if let Some(next) = stop_if_waiting(*ip as usize) {
        *ip = next as i64;
        return;
    }
    let Some(thread) = thread::current() else { return };
    // Beside the host's waits, whose place was looked at above.
    let _ = sleep::end(thread, *ip as usize);
    let in_call = thread.is_inside() && thread.in_call.load(Ordering::Relaxed) != 0;
    if let (true, false, Some(kernel)) = (in_call, thread.task().is_null(), kernel::running()) {
        // SAFETY: called on the task's own thread, from a signal handler.
        unsafe { kernel.interrupt(thread.task(), lkl::Interruption::BySignal) };
    }
}

/// Before a handler of the application runs on top of whatever: it starts afresh, and may not return.
pub fn suspend() -> u64 {
    state().word().swap(0, Ordering::Relaxed)
}

/// After that handler returned.
pub fn resume(before: u64, uc: &mut libc::ucontext_t) {
    let me = state();
    if IN_USE.load(Ordering::Relaxed) {
        // From the look at `stop` below to the return from the handler a request would come too late for the
        // interrupted wait. The return lifts it.
        sigcalls::block(bit(SIGNAL));
    }
    compiler_fence(Ordering::SeqCst);
    me.word().store(before, Ordering::Relaxed);
    me.handled.store(1, Ordering::Relaxed);
    if is_on(&me.put_off) {
        // A call of the handler's may have been at its end meanwhile.
        entry::at_end(no_longer_put_off);
    }
    // A request that came meanwhile was not meant for a thread in a point, as it seemed.
    if is_on(&me.point) && IN_USE.load(Ordering::Relaxed) {
        me.stop.store(1, Ordering::Relaxed);
    }
    if is_on(&me.stop) {
        end_wait(uc);
    }
}

/// In a new thread or process, cloned in the middle of a call that it does not return from.
pub fn forget_call() {
    state().word().store(0, Ordering::Relaxed);
}

/// libc installs its handler before the first request: from then on requests are put off. (A program without our
/// hooks does not come through [`poke::pthread_cancel`] below.)
pub fn handler_installed() {
    IN_USE.store(true, Ordering::SeqCst);
}
