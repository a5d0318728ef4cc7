// SPDX-License-Identifier: GPL-2.0-only
//! Signals, as a kernel delivers them: never on top of kernel code.
//!
//! Every handler of the application is installed as [`on_signal`], with the application's action kept in a
//! table. Outside the kernel it runs the handler at once. Inside, it notes the signal, blocks everything in
//! the context that it returns to (so that further signals stay queued in the host), interrupts the kernel
//! call and returns; the door (`section.rs`) sends the signal again and restores the mask, and the host
//! delivers it as ever.
//!
//! Once a kernel runs, signals whose default action ends the process come here too, so that the images are
//! unmounted before it dies. SIGSEGV and SIGBUS are ours from the start: faults in copies from alleged
//! pointers. SIGSYS belongs to the trampoline; no mask of the application may block it.
//!
//! Rules of the place: `on_signal` runs in signal context. No locks, no allocation.
#![allow(unsafe_code)]

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use trampoline::gate::restorer_address;
use trampoline::sud::KernelSigaction;

use crate::instance::{boot, kick};
use crate::process::fork;
use crate::signals::{cancel, mask};
use crate::sys::errno::EINVAL;
use crate::sys::host::{self, Args, Ret};
use crate::sys::report::say;
use crate::sys::thread::{self, Thread};
use crate::sys::user;

const SIGNALS: usize = 65;
const SA_RESTORER: usize = 0x0400_0000;
const SA_RESETHAND: usize = libc::SA_RESETHAND as usize;

pub const fn bit(sig: c_int) -> u64 {
    1 << (sig - 1)
}

/// Signals that no mask may block: ours, and the faults that we have to see.
pub fn never_blocked() -> u64 {
    NEVER_BLOCKED | kick::signals()
}
const NEVER_BLOCKED: u64 = bit(libc::SIGSYS) | bit(libc::SIGSEGV) | bit(libc::SIGBUS);
/// While a noted signal waits, these are let through all the same.
const FAULTS: u64 = NEVER_BLOCKED | bit(libc::SIGILL) | bit(libc::SIGFPE) | bit(libc::SIGTRAP);
/// Signals whose default action does not end the process (signal(7)), and the two that cannot be caught.
const NOT_FATAL: u64 = bit(libc::SIGCHLD)
    | bit(libc::SIGCONT)
    | bit(libc::SIGSTOP)
    | bit(libc::SIGTSTP)
    | bit(libc::SIGTTIN)
    | bit(libc::SIGTTOU)
    | bit(libc::SIGURG)
    | bit(libc::SIGWINCH)
    | bit(libc::SIGKILL);

/// The application's action for a signal. Written by sigaction, read by the handler: a sequence number makes
/// a torn read visible.
struct Action {
    sequence: AtomicUsize,
    handler: AtomicUsize,
    flags: AtomicUsize,
    restorer: AtomicUsize,
    mask: AtomicU64,
}

static ACTIONS: [Action; SIGNALS] = [const {
    Action {
        sequence: AtomicUsize::new(0),
        handler: AtomicUsize::new(libc::SIG_DFL),
        flags: AtomicUsize::new(0),
        restorer: AtomicUsize::new(0),
        mask: AtomicU64::new(0),
    }
}; SIGNALS];
/// Set when a kernel starts, or calls are counted: fatal defaults come to us.
static CATCH_FATAL: AtomicBool = AtomicBool::new(false);

impl Action {
    fn get(&self) -> KernelSigaction {
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            let action = KernelSigaction {
                handler: self.handler.load(Ordering::Relaxed),
                flags: self.flags.load(Ordering::Relaxed),
                restorer: self.restorer.load(Ordering::Relaxed),
                mask: self.mask.load(Ordering::Relaxed),
            };
            core::sync::atomic::fence(Ordering::Acquire);
            if before & 1 == 0 && self.sequence.load(Ordering::Relaxed) == before {
                return action;
            }
            core::hint::spin_loop();
        }
    }

    /// With all signals blocked: a handler on this thread must not find the sequence odd.
    fn set(&self, action: &KernelSigaction) {
        let mask = host::set_sigmask(!FAULTS);
        while self.sequence.fetch_or(1, Ordering::AcqRel) & 1 != 0 {
            core::hint::spin_loop();
        }
        self.handler.store(action.handler, Ordering::Relaxed);
        self.flags.store(action.flags, Ordering::Relaxed);
        self.restorer.store(action.restorer, Ordering::Relaxed);
        self.mask.store(action.mask, Ordering::Relaxed);
        self.sequence.fetch_add(1, Ordering::Release);
        host::set_sigmask(mask);
    }
}

/// What the handlers that ran at the door ask of the interrupted call.
pub struct Ran {
    /// A handler ran.
    pub any: bool,
    /// One without SA_RESTART ran.
    pub without_restart: bool,
}

/// Takes over what the process inherited, and the faults. Called by the constructor.
pub fn install() {
    for sig in [libc::SIGSEGV, libc::SIGBUS] {
        put_host_action(sig, &ACTIONS[sig as usize].get());
    }
}

/// A signal is ours alone from now on, whatever the application does: `doorbell.rs` gets it first, with the others of
/// its kind blocked.
pub fn claim(sig: c_int) {
    put_host_action(sig, &ACTIONS[sig as usize].get());
}

/// Somebody has to know of a deadly signal: fatal signals are ours from now on, where the application left them at their default.
pub fn catch_fatal() {
    CATCH_FATAL.store(true, Ordering::Release);
    for sig in 1..SIGNALS as c_int {
        if NOT_FATAL & bit(sig) == 0 && sig != libc::SIGSYS && host_handler(sig) == libc::SIG_DFL {
            put_host_action(sig, &ACTIONS[sig as usize].get());
        }
    }
}

/// The application's action for a signal.
pub fn action(sig: c_int) -> KernelSigaction {
    ACTIONS[sig as usize].get()
}

/// The handler that the host calls for a signal.
fn host_handler(sig: c_int) -> usize {
    host_action(sig).handler
}

fn host_action(sig: c_int) -> KernelSigaction {
    let mut now = KernelSigaction::default();
    host::call(libc::SYS_rt_sigaction, &[sig as usize, 0, &raw mut now as usize, 8]);
    now
}

/// Wraps a handler that was installed past us. False: there is none.
pub fn take_over(sig: c_int) -> bool {
    let action = host_action(sig);
    if action.handler == on_signal as *const () as usize {
        return true;
    }
    if matches!(action.handler, libc::SIG_DFL | libc::SIG_IGN) {
        return false;
    }
    ACTIONS[sig as usize].set(&action);
    put_host_action(sig, &action) == 0
}

/// Whether the host has to call us for `action`.
fn is_ours(sig: c_int, action: &KernelSigaction) -> bool {
    if bit(sig) & kick::signals() != 0 {
        return true;
    }
    match action.handler {
        libc::SIG_IGN => bit(sig) & (bit(libc::SIGSEGV) | bit(libc::SIGBUS)) != 0,
        libc::SIG_DFL => {
            bit(sig) & (bit(libc::SIGSEGV) | bit(libc::SIGBUS)) != 0
                || (CATCH_FATAL.load(Ordering::Acquire) && NOT_FATAL & bit(sig) == 0)
        }
        _ => true,
    }
}

/// Installs on the host what stands for the application's `action`.
fn put_host_action(sig: c_int, action: &KernelSigaction) -> Ret {
    let mut real = *action;
    if is_ours(sig, action) {
        real.handler = on_signal as *const () as usize;
        // RESETHAND is carried out by us: a noted signal must still find its handler.
        real.flags = (action.flags | libc::SA_SIGINFO as usize | SA_RESTORER) & !SA_RESETHAND;
        // Always ours, whose call is not dispatched.
        real.restorer = restorer_address();
        if action.handler == libc::SIG_DFL {
            real.mask = 0;
            real.flags &= !(libc::SA_NODEFER as usize);
        }
    }
    real.mask &= !never_blocked();
    if bit(sig) & kick::signals() != 0 {
        real.mask |= kick::signals();
        real.flags |= (libc::SA_ONSTACK | libc::SA_RESTART) as usize;
        real.flags &= !(libc::SA_NODEFER as usize);
    }
    host::call(libc::SYS_rt_sigaction, &[sig as usize, &raw const real as usize, 0, 8])
}

/// rt_sigaction(2).
pub fn sigaction(args: &Args) -> Ret {
    let (sig, new, old, size) = (args[0] as c_int, args[1], args[2], args[3]);
    if size != 8 || !(1..SIGNALS as c_int).contains(&sig) {
        return host::forward(libc::SYS_rt_sigaction as usize, args);
    }
    let slot = &ACTIONS[sig as usize];
    let mut before = slot.get();
    let known = before.handler != libc::SIG_DFL || sig == libc::SIGSYS || is_ours(sig, &before);
    if !known {
        // What the process inherited (SIG_IGN over exec) was never told to us.
        before.handler = host_handler(sig);
    }
    if new != 0 {
        let mut action: KernelSigaction = match user::read(new) {
            Ok(action) => action,
            Err(e) => return e,
        };
        // As kernel/signal.c, do_sigaction.
        action.mask &= !(bit(libc::SIGKILL) | bit(libc::SIGSTOP));
        if bit(sig) & (bit(libc::SIGKILL) | bit(libc::SIGSTOP)) != 0 {
            return EINVAL;
        }
        slot.set(&action);
        if sig == cancel::SIGNAL && !matches!(action.handler, libc::SIG_DFL | libc::SIG_IGN) {
            cancel::handler_installed();
        }
        if sig != libc::SIGSYS {
            let r = put_host_action(sig, &action);
            if r < 0 {
                slot.set(&before);
                return r;
            }
        }
    }
    if old != 0 {
        if let Err(e) = user::write(old, &before) {
            return e;
        }
    }
    0
}

/// Makes a host call whose argument `at` points at a signal mask, with a cleaned copy of that mask.
pub fn with_mask(args: &Args, at: usize, call: impl FnOnce(&Args) -> Ret) -> Ret {
    if args[at] == 0 {
        return call(args);
    }
    let mask = match user::read::<u64>(args[at]) {
        Ok(mask) => mask & !never_blocked(),
        Err(e) => return e,
    };
    let mut cleaned = *args;
    cleaned[at] = &raw const mask as usize;
    call(&cleaned)
}

/// Runs `call` with the calling thread's signal mask set to the one at `address` (0: unchanged), as
/// ppoll, pselect6 and epoll_pwait do around a wait in the kernel library.
pub fn under_mask(address: usize, call: impl FnOnce() -> Ret) -> Ret {
    if address == 0 {
        return call();
    }
    let mask = match user::read::<u64>(address) {
        Ok(mask) => mask & !never_blocked(),
        Err(e) => return e,
    };
    let before = host::set_sigmask(mask);
    let r = call();
    host::set_sigmask(before);
    r
}

/// Sends a signal to the calling thread, as the kernel does for a write to a broken pipe.
pub fn raise(sig: c_int) {
    let (pid, tid) = host::ids();
    host::call(libc::SYS_tgkill, &[pid, tid, sig as usize]);
}

/// At the door: runs what was noted inside. Handlers may run here, and may not return (siglongjmp).
pub fn deliver_noted(thread: &mut Thread) -> Ran {
    let sig = thread.noted.sig.load(Ordering::Acquire);
    if sig == 0 {
        return Ran { any: false, without_restart: false };
    }
    thread.handlers_ran.store(0, Ordering::Relaxed);
    thread.handlers_norestart.store(0, Ordering::Relaxed);
    let info = thread.noted.info;
    let mask = thread.noted.mask;
    thread.noted.sig.store(0, Ordering::Release);
    let (pid, tid) = host::ids();
    host::call(libc::SYS_rt_tgsigqueueinfo, &[pid, tid, sig as usize, &raw const info as usize]);
    host::set_sigmask(mask);
    Ran {
        any: thread.handlers_ran.load(Ordering::Relaxed) != 0,
        without_restart: thread.handlers_norestart.load(Ordering::Relaxed) != 0,
    }
}

/// Every caught signal but SIGSYS.
///
/// C-unwind, as all on the way to the application's handler: that may leave by unwinding (pthread_exit, a C++
/// exception), which is then nobody's business here.
unsafe extern "C-unwind" fn on_signal(sig: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    if kick::on_signal(sig, context) {
        return;
    }
    // SAFETY: the kernel hands a valid ucontext.
    let uc = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let ip = uc.uc_mcontext.gregs[libc::REG_RIP as usize] as usize;
    // SAFETY: the kernel hands a valid siginfo.
    let from_fault = unsafe { (*info).si_code } > 0 && FAULTS & bit(sig) != 0;
    if from_fault {
        if sig == libc::SIGSEGV && trampoline::sud::on_fault(uc) {
            return;
        }
        if let Some(next) = user::fixup(ip).or_else(|| boot::running().and_then(|k| k.fault_fixup(ip))) {
            uc.uc_mcontext.gregs[libc::REG_RIP as usize] = next as i64;
            return;
        }
        // SAFETY: a fault's siginfo has an address.
        let address = unsafe { (*info).si_addr() } as usize;
        if boot::running().is_some_and(|kernel| kernel.stop_at_fault(sig, address, uc)) {
            return;
        }
        // In our own code around the kernel library: never the application's to handle.
        let inside = thread::current().is_some_and(|t| t.is_inside());
        if let Some(kernel) = boot::running().filter(|_| inside) {
            fork::kernel_fault(kernel, sig, ip, uc);
        }
    }
    if FAULTS & bit(sig) != 0 && !from_fault && pass_on(sig) {
        return;
    }
    if sig == cancel::SIGNAL && cancel::on_request(info, uc) {
        return;
    }
    match thread::current() {
        Some(thread) if thread.is_inside() && !from_fault => note(thread, sig, info, uc),
        // SAFETY: the application's handler gets what the kernel handed us.
        _ => unsafe { act(sig, info, context) },
    }
}

/// Somebody sent the signal of a fault. Threads of ours cannot block it, and the application's handlers must not run
/// there.
fn pass_on(sig: c_int) -> bool {
    let (pid, tid) = host::ids();
    let is_ours = lkl::is_helper_thread(tid);
    if is_ours {
        host::call(libc::SYS_tgkill, &[pid, pid, sig as usize]);
    }
    is_ours
}

/// Inside the kernel: later, at the door.
fn note(thread: &mut Thread, sig: c_int, info: *mut libc::siginfo_t, uc: &mut libc::ucontext_t) {
    // All is blocked until the door, so there is never a second one.
    let mask = (&raw mut uc.uc_sigmask).cast::<u64>();
    // SAFETY: info is the kernel's; uc_sigmask is at least the kernel's 8 bytes, restored by sigreturn.
    unsafe {
        thread.noted.info = *info;
        thread.noted.mask = *mask;
        *mask = !FAULTS;
    }
    thread.noted.sig.store(sig as u32, Ordering::Release);
    if thread.in_call.load(Ordering::Relaxed) != 0 && !thread.task.is_null() {
        if let Some(kernel) = boot::running() {
            // SAFETY: called on the task's own thread, from a signal handler.
            unsafe { kernel.interrupt(thread.task) };
        }
    }
}

/// Does what the application asked for.
///
/// # Safety
/// The arguments are those that the kernel handed to a handler.
unsafe fn act(sig: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let slot = &ACTIONS[sig as usize];
    let action = slot.get();
    match action.handler {
        libc::SIG_IGN if FAULTS & bit(sig) == 0 => return,
        // A fault cannot be ignored (the kernel forces its default).
        libc::SIG_DFL | libc::SIG_IGN => return fork::die_of(sig, info),
        _ => {}
    }
    if action.flags & SA_RESETHAND != 0 {
        let default = KernelSigaction::default();
        slot.set(&default);
        put_host_action(sig, &default);
    }
    if let Some(thread) = thread::current() {
        thread.handlers_ran.fetch_add(1, Ordering::Relaxed);
        if action.flags & libc::SA_RESTART as usize == 0 {
            thread.handlers_norestart.fetch_add(1, Ordering::Relaxed);
        }
    }
    // SAFETY: the kernel hands a valid ucontext.
    let sp = unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RSP as usize] };
    let interrupted = trampoline::is_installed().then(|| trampoline::thread::handler_begins(sp as usize));
    let before = cancel::suspend();
    // SAFETY: as above; the mask is the context's.
    unsafe { mask::handler_begins(action.mask, &mut *mask_of(context)) };
    // SAFETY: the address was given to sigaction as a handler; one that takes only the number ignores the
    // rest (System V ABI). The kernel's context is valid.
    unsafe {
        let handler: extern "C-unwind" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
            core::mem::transmute(action.handler);
        handler(sig, info, context);
        mask::handler_ends(&mut *mask_of(context));
        if let Some(interrupted) = interrupted {
            trampoline::thread::handler_ends(interrupted);
        }
        cancel::resume(before, &mut *context.cast::<libc::ucontext_t>());
    }
}

/// The mask that the return from a handler sets.
fn mask_of(context: *mut c_void) -> *mut u64 {
    // SAFETY: only the address is computed; uc_sigmask is at least the kernel's 8 bytes.
    unsafe { (&raw mut (*context.cast::<libc::ucontext_t>()).uc_sigmask).cast() }
}

/// Ends the process by a signal that no handler gets, as the host does for misuse.
pub fn force(sig: c_int) -> ! {
    fork::unmount_all();
    reset_to_default(sig);
    let only_it: u64 = bit(sig);
    host::call(libc::SYS_rt_sigprocmask, &[libc::SIG_UNBLOCK as usize, &raw const only_it as usize, 0, 8]);
    raise(sig);
    host::call(libc::SYS_exit_group, &[128 + sig as usize]);
    unreachable!()
}

/// A SIGSYS that is no dispatched call: the application's seccomp filter, or somebody's kill.
pub unsafe extern "C-unwind" fn foreign_sigsys(sig: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel hands a valid siginfo.
    let was_sent = unsafe { (*info).si_code } <= 0;
    if was_sent && (ACTIONS[sig as usize].get().handler == libc::SIG_IGN || mask::keeps_waiting()) {
        return;
    }
    match thread::current() {
        Some(thread) if thread.is_inside() => {
            // SAFETY: the kernel hands a valid ucontext.
            note(thread, sig, info, unsafe { &mut *context.cast::<libc::ucontext_t>() });
        }
        // SAFETY: as in on_signal.
        _ => unsafe { act(sig, info, context) },
    }
}

/// Puts the host's default action in place, for a signal that is to end the process.
pub fn reset_to_default(sig: c_int) {
    let default = KernelSigaction::default();
    let r = host::call(libc::SYS_rt_sigaction, &[sig as usize, &raw const default as usize, 0, 8]);
    if r < 0 {
        say!("signal {sig}: cannot restore its default action");
    }
}
