// SPDX-License-Identifier: GPL-2.0-only
//! The application's actions for signals, and what stands for them on the host.
//!
//! Rule of the place: [`action`] is called in signal handlers. No locks, no allocation.
#![allow(unsafe_code)]

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use trampoline::gate::restorer_address;
use trampoline::KernelSigaction;

use crate::signals::claimed::{claimed, never_blocked};
use crate::sys::errno::Result;
use crate::sys::sigcalls::{self, bit};
use crate::sys::signal_lock::SignalsWait;

/// One above the highest signal.
pub const SIGNALS: usize = 65;
const SA_RESTORER: usize = 0x0400_0000;
const SA_RESETHAND: usize = libc::SA_RESETHAND as usize;

/// Faults whose handler is ours from the start.
const FAULTS_OF_COPIES: u64 = bit(libc::SIGSEGV) | bit(libc::SIGBUS);
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
/// The handler that the host calls for every signal that is caught.
static OUR_HANDLER: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);
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
        let _signals = SignalsWait::begin();
        while self.sequence.fetch_or(1, Ordering::AcqRel) & 1 != 0 {
            core::hint::spin_loop();
        }
        self.handler.store(action.handler, Ordering::Relaxed);
        self.flags.store(action.flags, Ordering::Relaxed);
        self.restorer.store(action.restorer, Ordering::Relaxed);
        self.mask.store(action.mask, Ordering::Relaxed);
        self.sequence.fetch_add(1, Ordering::Release);
    }
}

/// Whether the handler is an address of code.
pub fn is_function(handler: usize) -> bool {
    !matches!(handler, libc::SIG_DFL | libc::SIG_IGN)
}

/// The application's action for a signal.
pub fn action(sig: c_int) -> KernelSigaction {
    ACTIONS[sig as usize].get()
}

/// Remembers the application's action for a signal, and tells the host what stands for it.
pub fn set_action(sig: c_int, action: &KernelSigaction) -> Result<()> {
    let before = ACTIONS[sig as usize].get();
    ACTIONS[sig as usize].set(action);
    if sig == libc::SIGSYS {
        // The trampoline's on the host.
        return Ok(());
    }
    install(sig, action).inspect_err(|_| ACTIONS[sig as usize].set(&before))
}

/// The application's action for a signal, as rt_sigaction(2) shows the action.
pub fn shown(sig: c_int) -> KernelSigaction {
    learn_inherited(sig);
    action(sig)
}

/// A process inherits that a signal is ignored (signal(7), "Execution of signal handlers"). Only the host knows, until our
/// handler takes the place of that.
fn learn_inherited(sig: c_int) {
    if action(sig).handler == libc::SIG_DFL {
        let inherited = sigcalls::action(sig);
        if inherited.handler == libc::SIG_IGN {
            ACTIONS[sig as usize].set(&inherited);
        }
    }
}

/// From now on `handler` is what the host calls. The faults of copies are caught at once. Called by the constructor, before
/// the trampoline takes SIGSYS.
pub fn set_our_handler(handler: usize) {
    learn_inherited(libc::SIGSYS);
    OUR_HANDLER.store(handler, Ordering::Relaxed);
    install_all(FAULTS_OF_COPIES);
}

/// Installs the actions of signals that were claimed.
pub fn install_claimed() {
    install_all(claimed());
}

fn install_all(signals: u64) {
    for sig in (1..SIGNALS as c_int).filter(|&sig| signals & bit(sig) != 0) {
        learn_inherited(sig);
        let _ = install(sig, &action(sig));
    }
}

/// Somebody has to know of a deadly signal: fatal signals are ours from now on, where the application left them at
/// their default.
pub fn catch_fatal() {
    CATCH_FATAL.store(true, Ordering::Release);
    for sig in 1..SIGNALS as c_int {
        let is_fatal = NOT_FATAL & bit(sig) == 0 && sig != libc::SIGSYS;
        if is_fatal && sigcalls::action(sig).handler == libc::SIG_DFL {
            let _ = install(sig, &action(sig));
        }
    }
    // Ours from the start, and now on our signal stack.
    install_all(FAULTS_OF_COPIES);
}

/// What a signal does to a wait of the kernel: one that ends the process ends waits that no other signal ends (signal(7)'s D state
/// "killable").
pub fn interruption(sig: c_int) -> lkl::Interruption {
    let is_deadly = NOT_FATAL & bit(sig) == 0 && action(sig).handler == libc::SIG_DFL;
    match is_deadly {
        true => lkl::Interruption::ByDeadlySignal,
        false => lkl::Interruption::BySignal,
    }
}

/// Wraps a handler that was installed past us. False: there is none.
pub fn take_over(sig: c_int) -> bool {
    let action = sigcalls::action(sig);
    if action.handler == OUR_HANDLER.load(Ordering::Relaxed) {
        return true;
    }
    if !is_function(action.handler) {
        return false;
    }
    ACTIONS[sig as usize].set(&action);
    install(sig, &action).is_ok()
}

/// Makes an exec with the signals ignored on the host whose place our handlers have: a program inherits what is ignored.
/// Returns only if the exec failed.
pub fn with_ignored_handed_on(execute: impl FnOnce() -> Result) -> Result {
    let mut handed_on = FAULTS_OF_COPIES;
    // The call of another thread could be dispatched in between.
    if !trampoline::rewrite::has_threads() {
        handed_on |= bit(libc::SIGSYS);
    }
    let ignored = move |sig: &c_int| handed_on & bit(*sig) != 0 && action(*sig).handler == libc::SIG_IGN;
    let signals = [libc::SIGSEGV, libc::SIGBUS, libc::SIGSYS];
    let before = signals.map(sigcalls::action);
    for sig in signals.into_iter().filter(ignored) {
        // SAFETY: no code runs for an ignored signal.
        let _ = unsafe { sigcalls::set_action(sig, &action(sig)) };
    }
    let r = execute();
    for (sig, before) in signals.into_iter().zip(before).filter(|(sig, _)| ignored(sig)) {
        // SAFETY: what the host had before.
        let _ = unsafe { sigcalls::set_action(sig, &before) };
    }
    r
}

/// The action was for one signal only (SA_RESETHAND), which came.
pub fn reset_after_one(sig: c_int, action: &KernelSigaction) {
    if action.flags & SA_RESETHAND != 0 {
        // The flags and the mask stay what they were (kernel/signal.c, get_signal).
        let _ = set_action(sig, &KernelSigaction { handler: libc::SIG_DFL, ..*action });
    }
}

/// Whether the host has to call us for `action`.
fn is_ours(sig: c_int, action: &KernelSigaction) -> bool {
    let is_fault_of_copies = bit(sig) & FAULTS_OF_COPIES != 0;
    let is_caught_default = CATCH_FATAL.load(Ordering::Acquire) && NOT_FATAL & bit(sig) == 0;
    bit(sig) & claimed() != 0
        || match action.handler {
            libc::SIG_IGN => is_fault_of_copies,
            libc::SIG_DFL => is_fault_of_copies || is_caught_default,
            _ => true,
        }
}

/// Whether the host calls us with all signals blocked, on our signal stack: from there a handler that the application wants
/// on its alternate stack is handed on (`trampoline::alternate`).
pub fn blocks_all(sig: c_int, action: &KernelSigaction) -> bool {
    let is_handed_on = sig == libc::SIGSYS || action.flags & libc::SA_ONSTACK as usize != 0;
    trampoline::is_installed() && is_handed_on && is_function(action.handler)
}

/// Installs on the host what stands for the application's `action`.
fn install(sig: c_int, action: &KernelSigaction) -> Result<()> {
    let mut real = *action;
    if is_ours(sig, action) {
        real.handler = OUR_HANDLER.load(Ordering::Relaxed);
        // RESETHAND is carried out by us: a noted signal must still find its handler.
        real.flags = (action.flags | libc::SA_SIGINFO as usize | SA_RESTORER) & !SA_RESETHAND;
        // Always ours, whose call is not dispatched.
        real.restorer = restorer_address();
        if action.handler == libc::SIG_DFL {
            real.mask = 0;
            real.flags &= !((libc::SA_NODEFER | libc::SA_ONSTACK) as usize);
            // Natively nothing of a deadly signal comes on the application's stack, which may be used up.
            if trampoline::is_installed() {
                real.flags |= libc::SA_ONSTACK as usize;
            }
        }
    }
    if blocks_all(sig, action) {
        real.mask = !0;
    }
    real.mask &= !never_blocked();
    if bit(sig) & claimed() != 0 {
        real.mask |= claimed();
        real.flags |= (libc::SA_ONSTACK | libc::SA_RESTART) as usize;
        real.flags &= !(libc::SA_NODEFER as usize);
    }
    // SAFETY: the application's own handler, or ours, which keeps to the rules of `deliver.rs`.
    unsafe { sigcalls::set_action(sig, &real) }
}
