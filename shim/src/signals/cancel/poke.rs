// SPDX-License-Identifier: GPL-2.0-only
//! The poke: pthread_cancel tells a thread that waits in one of our hooks.
#![allow(unsafe_code)]

use core::arch::asm;
use core::ffi::{c_int, c_void};
use core::mem::offset_of;
use core::sync::atomic::Ordering;

use libc::pthread_t;

use super::{end_wait, is_on, state, IN_USE, SIGNAL};
use crate::signals::actions;
use crate::sys::thread::CallState;
use crate::sys::{host, sigcalls, user};

/// A siginfo that one thread makes for another (include/uapi/asm-generic/siginfo.h, `_rt`).
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Info {
    signo: c_int,
    errno: c_int,
    code: c_int,
    _pad: c_int,
    pid: i32,
    uid: u32,
    value: usize,
    _rest: [usize; 12],
}

const _: () = assert!(size_of::<Info>() == size_of::<libc::siginfo_t>());

impl Info {
    pub(super) fn to_ourselves(signo: c_int, code: c_int) -> Info {
        let pid = host::pid() as i32;
        Info { signo, errno: 0, code, _pad: 0, pid, uid: 0, value: poke_mark(), _rest: [0; 12] }
    }
}

/// What marks a poke: an address that means nothing to anybody else.
fn poke_mark() -> usize {
    &raw const IN_USE as usize
}

/// Whether that was a poke, which is then served.
pub(super) fn on_poke(info: *const libc::siginfo_t, uc: &mut libc::ucontext_t) -> bool {
    // SAFETY: the kernel hands a valid siginfo, of this size; what the fields mean depends on the code.
    let info = unsafe { *info.cast::<Info>() };
    if info.code != libc::SI_QUEUE || info.value != poke_mark() || info.pid as usize != host::pid() {
        return false;
    }
    let me = state();
    if is_on(&me.point) {
        me.poked.store(1, Ordering::Relaxed);
        if is_cancellation_enabled() {
            me.stop.store(1, Ordering::Relaxed);
            end_wait(uc);
        }
    }
    true
}

const PTHREAD_CANCEL_ENABLE: c_int = 0;
const PTHREAD_CANCEL_DISABLE: c_int = 1;

extern "C-unwind" {
    fn pthread_setcancelstate(new: c_int, old: *mut c_int) -> c_int;
    fn pthread_getcpuclockid(thread: pthread_t, clock: *mut libc::clockid_t) -> c_int;
}

/// In a handler. libc has no question for it: disabled, and put back. Enabling acts at once only for a thread
/// that is asynchronous and was asked before, and that one has had its signal.
fn is_cancellation_enabled() -> bool {
    let mut old = PTHREAD_CANCEL_DISABLE;
    // SAFETY: libc's own functions, which change one word of the calling thread.
    unsafe {
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &mut old);
        if old == PTHREAD_CANCEL_ENABLE {
            pthread_setcancelstate(old, core::ptr::null_mut());
        }
    }
    old == PTHREAD_CANCEL_ENABLE
}

/// The libc function, and then a poke for a thread that waits in one of our hooks.
///
/// # Safety
/// That of the libc function.
#[no_mangle]
pub unsafe extern "C-unwind" fn pthread_cancel(thread: pthread_t) -> c_int {
    type Real = unsafe extern "C-unwind" fn(pthread_t) -> c_int;
    IN_USE.store(true, Ordering::SeqCst);
    // SAFETY: a literal; the libc function behind it has this type. The target lives, as the caller says.
    unsafe {
        let real = libc::dlsym(libc::RTLD_NEXT, c"pthread_cancel".as_ptr());
        if real.is_null() {
            return libc::ENOSYS;
        }
        // Asked now: once the request is made the target may be gone.
        let tid = tid_of(thread);
        let r = core::mem::transmute::<*mut c_void, Real>(real)(thread);
        if let (0, Some(tid)) = (r, tid.filter(|_| thread != libc::pthread_self())) {
            poke(thread, tid);
        }
        r
    }
}

/// The thread's id, which its CPU clock's number contains (include/linux/posix-timers.h, MAKE_THREAD_CPUCLOCK).
unsafe fn tid_of(thread: pthread_t) -> Option<usize> {
    let mut clock = 0;
    // SAFETY: the caller's promise that the thread lives.
    let r = unsafe { pthread_getcpuclockid(thread, &mut clock) };
    (r == 0 && clock < 0).then_some(!(clock >> 3) as usize)
}

/// Ends the wait of `thread` if it is in a point. A thread that is not must not notice: its calls may end with
/// EINTR for any signal.
fn poke(thread: pthread_t, tid: usize) {
    // A pthread_t is the thread pointer (glibc), and static TLS lies at the same distance from it everywhere.
    let own: usize;
    // SAFETY: reads the thread pointer.
    unsafe { asm!("mov {}, qword ptr fs:[0]", out(reg) own, options(pure, readonly, nostack)) };
    let distance = (core::ptr::from_ref(state()) as usize).wrapping_sub(own);
    let its_point = (thread as usize).wrapping_add(distance) + offset_of!(CallState, point);
    // Without the barrier the question cannot be answered from here; its own handler can.
    let is_certain = barrier();
    // Its memory may be gone by now.
    if is_certain && user::read::<u8>(its_point) != Ok(1) {
        return;
    }
    // libc has installed its handler by now; where its calls are not dispatched, past us.
    if !actions::take_over(SIGNAL) {
        return;
    }
    let info = Info::to_ourselves(SIGNAL, libc::SI_QUEUE);
    sigcalls::queue_to_thread(tid, SIGNAL, &raw const info as usize);
}

/// membarrier(2): all threads of the process pass a full barrier, so that none has to pay for one at each call.
fn barrier() -> bool {
    const EXPEDITED: usize = 1 << 3;
    const REGISTER: usize = 1 << 4;
    let pass = || host::membarrier(EXPEDITED).is_ok();
    pass() || host::membarrier(REGISTER).is_ok() && pass()
}
