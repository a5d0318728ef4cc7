// SPDX-License-Identifier: GPL-2.0-only
//! The handler that the host calls for every caught signal, and what it does with the signal.
//!
//! Rules of the place: [`on_signal`] runs in signal context, on any thread, on top of anything. No locks, no allocation.
//! All on the way to the application's handler has the C-unwind ABI: that handler may leave by unwinding (pthread_exit, a
//! C++ exception), which is then nobody's business here.
#![allow(unsafe_code)]

use core::ffi::{c_int, c_void};
use core::sync::atomic::Ordering;

use once_cell::sync::OnceCell;
use trampoline::alternate;

use crate::signals::actions::{self, action};
use crate::signals::{cancel, claimed, end, mask};
use crate::sys::sigcalls::{self, bit, FAULTS};
use crate::sys::sleep;
use crate::sys::thread::{self, Thread};
use crate::sys::{host, kernel, user};

/// What the handlers that ran at the end of a section ask of the interrupted call.
pub struct Ran {
    /// A handler ran.
    pub any: bool,
    /// One without SA_RESTART ran.
    pub without_restart: bool,
}

/// What has become of a fault in the program's memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The program's own.
    NotOurs,
    /// The memory is there now: the instruction is made again.
    Done,
    /// It is a SIGBUS: the file has no such page, or the page cannot be read.
    Bus,
}

/// The address, whether the program writes, whether it executes.
type OnFault = fn(usize, bool, bool) -> Fault;
/// The address, whether the copy writes there.
type OnMissed = fn(usize, bool);

/// Who takes up faults in the program's memory, and who is told of those in copies.
static FAULTS_BY: OnceCell<(OnFault, OnMissed)> = OnceCell::new();

/// Says who takes up faults in the program's memory, and who is told of faults in copies from and to it.
pub fn faults_by(work: OnFault, missed: OnMissed) {
    let _ = FAULTS_BY.set((work, missed));
}

/// Takes over the faults. Called by the constructor.
pub fn install() {
    actions::set_our_handler(on_signal as *const () as usize);
}

/// At the end of a kernel section: runs what was noted inside. Handlers may run here, and may not return (siglongjmp).
pub fn deliver_noted(thread: &Thread) -> Ran {
    let sig = thread.noted.sig.load(Ordering::Acquire);
    if sig == 0 {
        return Ran { any: false, without_restart: false };
    }
    thread.handlers_ran.store(0, Ordering::Relaxed);
    thread.handlers_norestart.store(0, Ordering::Relaxed);
    let info = thread.noted.info.get();
    let mask = thread.noted.mask.load(Ordering::Relaxed);
    thread.noted.sig.store(0, Ordering::Release);
    sigcalls::queue_to_thread(host::ids().1, sig as c_int, &raw const info as usize);
    sigcalls::set_mask(mask);
    Ran {
        any: thread.handlers_ran.load(Ordering::Relaxed) != 0,
        without_restart: thread.handlers_norestart.load(Ordering::Relaxed) != 0,
    }
}

/// Every caught signal but SIGSYS.
unsafe extern "C-unwind" fn on_signal(sig: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    if is_guest() {
        // SAFETY: the kernel's arguments.
        return unsafe { act_in_guest(sig, info, context) };
    }
    if claimed::deal_with(sig, context) {
        return;
    }
    // SAFETY: the kernel hands a valid siginfo.
    unsafe { lkl::sys::signal::unmark(info) };
    // SAFETY: the kernel hands a valid ucontext.
    let uc = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    // SAFETY: the kernel hands a valid siginfo.
    let from_fault = unsafe { (*info).si_code } > 0 && FAULTS & bit(sig) != 0;
    if from_fault && is_our_fault(sig, info, uc) {
        return;
    }
    if FAULTS & bit(sig) != 0 && !from_fault && pass_on(sig) {
        return;
    }
    if !from_fault && action(sig).handler == libc::SIG_IGN {
        return;
    }
    if sig == cancel::SIGNAL && cancel::on_request(info, uc) {
        return;
    }
    match thread::current() {
        Some(thread) if thread.is_inside() && !from_fault => note(thread, sig, info, uc),
        // SAFETY: the application's handler gets what the kernel handed us.
        _ => unsafe { act(sig, info, context, 0) },
    }
}

/// Whether the calling thread is a guest: not one of our own threads, whose GS base may be gone.
fn is_guest() -> bool {
    trampoline::thread::has_guests()
        && !lkl::is_helper_thread(host::ids().1)
        && trampoline::thread::is_guest()
}

/// A signal of a process that shares this memory, and has nothing else of ours: the state of threads is not its own.
///
/// # Safety
/// The arguments are those that the kernel handed to a handler.
#[cold]
unsafe extern "C-unwind" fn act_in_guest(sig: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel hands a valid ucontext.
    let uc = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let ip = &mut uc.uc_mcontext.gregs[libc::REG_RIP as usize];
    if let Some(next) = user::fixup(*ip as usize) {
        *ip = next as i64;
        return;
    }
    match action(sig).handler {
        libc::SIG_IGN => {}
        libc::SIG_DFL => end::die_alone(sig),
        // SAFETY: the address was given to sigaction as a handler, and the arguments are the kernel's.
        handler => unsafe {
            let handler: extern "C-unwind" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                core::mem::transmute(handler);
            handler(sig, info, context)
        },
    }
}

/// A fault. True: it was ours, and the thread goes on where the context says. False: it is the application's.
fn is_our_fault(sig: c_int, info: *const libc::siginfo_t, uc: &mut libc::ucontext_t) -> bool {
    if sig == libc::SIGSEGV && trampoline::on_fault(uc) {
        return true;
    }
    let kernel = kernel::running();
    let ip = uc.uc_mcontext.gregs[libc::REG_RIP as usize] as usize;
    if let Some(next) = user::fixup(ip).or_else(|| kernel.and_then(|k| k.fault_fixup(ip))) {
        uc.uc_mcontext.gregs[libc::REG_RIP as usize] = next as i64;
        if let Some((_, missed)) = FAULTS_BY.get() {
            // SAFETY: a fault's siginfo has an address.
            missed(unsafe { (*info).si_addr() } as usize, writes(uc));
        }
        return true;
    }
    if sig == libc::SIGSEGV && is_taken_up(info, uc) {
        return true;
    }
    // A helper thread has the TLS of another thread, but runs nothing of the application's.
    let is_helper = lkl::is_helper_thread(host::ids().1);
    let Some(kernel) = kernel else {
        if is_helper {
            end::die_alone(sig);
        }
        return false;
    };
    // SAFETY: a fault's siginfo has an address.
    let address = unsafe { (*info).si_addr() } as usize;
    if kernel.stop_at_fault(sig, address, uc) {
        return true;
    }
    // In our own code around the kernel library: never the application's to handle.
    if is_helper || thread::current().is_some_and(Thread::is_inside) {
        end::die_of_our_fault(kernel, sig, uc);
    }
    false
}

/// Bits of the processor's error code of a page fault.
const WRITES: i64 = 2;
const EXECUTES: i64 = 16;

fn writes(uc: &libc::ucontext_t) -> bool {
    uc.uc_mcontext.gregs[libc::REG_ERR as usize] & WRITES != 0
}

/// A fault in a mapping of a file, taken up in the handler: other signals wait for its end.
fn is_taken_up(info: *const libc::siginfo_t, uc: &libc::ucontext_t) -> bool {
    let Some((work, _)) = FAULTS_BY.get() else { return false };
    // SAFETY: a fault's siginfo has an address.
    let address = unsafe { (*info).si_addr() } as usize;
    let executes = uc.uc_mcontext.gregs[libc::REG_ERR as usize] & EXECUTES != 0;
    let mask = sigcalls::set_mask(!FAULTS);
    match work(address, writes(uc), executes) {
        Fault::Done => {}
        Fault::Bus => send_bus_error(info),
        Fault::NotOurs => {
            sigcalls::set_mask(mask);
            return false;
        }
    }
    true
}

/// The program gets SIGBUS for the instruction that it is at: when the handler has returned, which sets the mask back.
fn send_bus_error(info: *const libc::siginfo_t) {
    sigcalls::set_mask(!0);
    // SAFETY: the kernel hands a valid siginfo.
    let mut bus = unsafe { *info };
    bus.si_signo = libc::SIGBUS;
    bus.si_code = libc::BUS_ADRERR;
    sigcalls::queue_to_thread(host::ids().1, libc::SIGBUS, &raw const bus as usize);
}

/// Somebody sent the signal of a fault. Threads of ours cannot block it, and the application's handlers must not run
/// there: the first thread of the process gets the signal.
fn pass_on(sig: c_int) -> bool {
    let (pid, tid) = host::ids();
    let is_ours = lkl::is_helper_thread(tid);
    if is_ours {
        sigcalls::send_to_thread(pid, sig);
    }
    is_ours
}

/// Inside the kernel: the signal waits for the end of the section.
fn note(thread: &Thread, sig: c_int, info: *const libc::siginfo_t, uc: &mut libc::ucontext_t) {
    let mask = (&raw mut uc.uc_sigmask).cast::<u64>();
    let noted = &thread.noted;
    // All is blocked until then. But several signals that came at once have a frame each, and the last of them is handled
    // first: what is noted already came later, and the mask in this frame is the one that was interrupted.
    let earlier = noted.sig.load(Ordering::Acquire) as c_int;
    // SAFETY: info is the kernel's; uc_sigmask is at least the kernel's 8 bytes, restored by sigreturn.
    unsafe {
        if earlier == 0 || *mask != !FAULTS {
            noted.mask.store(*mask, Ordering::Relaxed);
        }
        *mask = !FAULTS;
        if earlier == 0 {
            noted.info.set(*info);
            noted.sig.store(sig as u32, Ordering::Release);
        } else {
            note_another(thread, earlier, sig, info);
        }
    }
    let ip = &mut uc.uc_mcontext.gregs[libc::REG_RIP as usize];
    if let Some(next) = sleep::end(thread, *ip as usize) {
        *ip = next as i64;
    }
    if thread.in_call.load(Ordering::Relaxed) != 0 && !thread.task().is_null() {
        if let Some(kernel) = kernel::running() {
            // SAFETY: called on the task's own thread, from a signal handler.
            unsafe { kernel.interrupt(thread.task(), actions::interruption(sig)) };
        }
    }
}

/// A signal beside the one that is noted: that which can be blocked stays queued in the host.
///
/// # Safety
/// The siginfo is the kernel's.
unsafe fn note_another(thread: &Thread, earlier: c_int, sig: c_int, info: *const libc::siginfo_t) {
    let tid = host::ids().1;
    if FAULTS & bit(sig) == 0 {
        sigcalls::queue_to_thread(tid, sig, info as usize);
    } else if FAULTS & bit(earlier) == 0 {
        let before = thread.noted.info.get();
        // SAFETY: the caller's promise.
        thread.noted.info.set(unsafe { *info });
        thread.noted.sig.store(sig as u32, Ordering::Release);
        sigcalls::queue_to_thread(tid, earlier, &raw const before as usize);
    }
}

/// A signal that is no fault interrupted a handler of ours on our signal stack, where nothing of the application's may run: it
/// comes again when that handler has returned. (A child's end and a timer have codes of their own, as faults have.)
fn came_on_top_of_ours(sig: c_int, info: *const libc::siginfo_t, uc: &mut libc::ucontext_t) -> bool {
    let sp = uc.uc_mcontext.gregs[libc::REG_RSP as usize] as usize;
    // SAFETY: the kernel hands a valid siginfo.
    let is_fault = unsafe { (*info).si_code } > 0 && FAULTS & bit(sig) != 0;
    if is_fault || !alternate::is_on_ours(sp) {
        return false;
    }
    // SAFETY: uc_sigmask is at least the kernel's 8 bytes, restored by sigreturn.
    unsafe { *(&raw mut uc.uc_sigmask).cast::<u64>() |= bit(sig) };
    sigcalls::queue_to_thread(host::ids().1, sig, info as usize);
    true
}

/// Does what the application asked for. `resume`: see `trampoline::Foreign`.
///
/// # Safety
/// The first three arguments are those that the kernel handed to a handler.
unsafe extern "C-unwind" fn act(sig: c_int, info: *mut libc::siginfo_t, context: *mut c_void, resume: usize) {
    let action = action(sig);
    match action.handler {
        // A fault cannot be ignored (the kernel forces its default), and nothing else that is ignored comes here.
        libc::SIG_DFL | libc::SIG_IGN => end::die_of(sig, info as usize),
        _ => {}
    }
    // SAFETY: the caller's promise.
    if trampoline::is_installed() && came_on_top_of_ours(sig, info, unsafe { &mut *context.cast() }) {
        return;
    }
    actions::reset_after_one(sig, &action);
    // SAFETY: the caller's promise.
    let mask = mask::of_handler(sig, &action, unsafe { *mask_of(context) });
    if trampoline::is_installed() && alternate::is_on_ours(context as usize) {
        let arguments = [action.handler, action.mask as usize, resume];
        let on_alternate = action.flags & libc::SA_ONSTACK as usize != 0;
        let call = alternate::Call { function: run as *const () as usize, arguments, on_alternate, mask };
        // SAFETY: the caller's promise; `run` is the handler, with its arguments.
        let handed = unsafe {
            alternate::hand_on(sig, context.cast(), &call, |at, bytes| user::write_bytes(at, bytes).is_ok())
        };
        if handed.is_err() {
            end::die_of(libc::SIGSEGV, 0);
        }
        return;
    }
    if actions::blocks_all(sig, &action) {
        sigcalls::set_mask(mask);
    }
    // SAFETY: as above.
    unsafe { run(sig, info, context, action.handler, action.mask, resume) }
}

/// Runs a handler of the application with `mask` of its action. It is called by [`act`], or stands where the kernel would
/// have called the handler: little of the stack is used.
///
/// # Safety
/// The first three arguments are those that the kernel handed to a handler, or copies of them.
unsafe extern "C-unwind" fn run(
    sig: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
    handler: usize,
    mask: u64,
    resume: usize,
) {
    if let Some(thread) = thread::current() {
        thread.handlers_ran.fetch_add(1, Ordering::Relaxed);
        if action(sig).flags & libc::SA_RESTART as usize == 0 {
            thread.handlers_norestart.fetch_add(1, Ordering::Relaxed);
        }
    }
    let uc = context.cast::<libc::ucontext_t>();
    // SAFETY: the caller's promise.
    let [sp, ip] =
        unsafe { [libc::REG_RSP, libc::REG_RIP].map(|name| (*uc).uc_mcontext.gregs[name as usize]) };
    let interrupted = trampoline::is_installed().then(|| trampoline::thread::handler_begins(sp as usize));
    let before = cancel::suspend();
    // SAFETY: the context is valid, and the address was given to sigaction as a handler; one that takes only the number
    // ignores the rest (System V ABI).
    unsafe {
        mask::handler_begins(mask, &mut *mask_of(context));
        if interrupted.is_some() {
            alternate::show_in(uc);
        }
        let handler: extern "C-unwind" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
            core::mem::transmute(handler);
        handler(sig, info, context);
        mask::handler_ends(&mut *mask_of(context));
        if let Some(interrupted) = interrupted {
            trampoline::thread::handler_ends(interrupted);
        }
        let registers = &mut (*uc).uc_mcontext.gregs;
        if resume != 0 && registers[libc::REG_RIP as usize] == ip {
            registers[libc::REG_RIP as usize] = resume as i64;
        }
        cancel::resume(before, &mut *uc);
        if trampoline::is_installed() {
            alternate::take_back(uc);
        }
    }
}

/// The mask that the return from a handler sets.
fn mask_of(context: *mut c_void) -> *mut u64 {
    // SAFETY: only the address is computed; uc_sigmask is at least the kernel's 8 bytes.
    unsafe { (&raw mut (*context.cast::<libc::ucontext_t>()).uc_sigmask).cast() }
}

/// A SIGSYS that is no dispatched call: the application's seccomp filter, or somebody's kill; or a call that the application
/// dispatches itself. All signals are blocked.
pub unsafe extern "C-unwind" fn foreign_sigsys(
    sig: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
    resume: usize,
) {
    // SAFETY: the kernel hands a valid siginfo.
    let was_sent = unsafe { (*info).si_code } <= 0;
    if was_sent && (action(sig).handler == libc::SIG_IGN || mask::keeps_waiting()) {
        return;
    }
    // SAFETY: the kernel hands a valid ucontext.
    let uc = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    match thread::current() {
        Some(thread) if thread.is_inside() => note(thread, sig, info, uc),
        // SAFETY: as in on_signal.
        _ => unsafe { act(sig, info, context, resume) },
    }
}
