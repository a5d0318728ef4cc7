// SPDX-License-Identifier: GPL-2.0-only
//! User interrupts in software, for CPUs and kernels without them. Code executes the real senduipi, uiret, testui, clui
//! and stui; they raise #UD, and the SIGILL handler carries them out as the manual says (Intel SDM vol. 3, chapter 8).
//! A notification is a directed signal, whose handler writes the architectural frame into the interrupted context.
//! The calls are those of Intel's later kernels (471 to 479), as a function: [`abi::call`].
//!
//! Two ways to use it:
//! - linked into a test, which calls [`install`];
//! - preloaded beside a library that asks for it. That one finds [`Emulator`] under the name
//!   `stowaway_softuintr`, owns the signals itself, and hands their contexts on.
//!
//! Where it is unfaithful: a blocked signal delays delivery; a receiver that waits in the host is interrupted there, as with
//! the experimental flags UINTR_HANDLER_FLAG_WAITING_* (or not notified at all, see [`QUIET`]); clui and stui cost
//! some microseconds; UMWAIT, TSX and CET are not there.
//!
//! Rules of the place: everything but [`install`] runs in signal handlers of programs that it does not know. No
//! allocation, no thread-local storage, no libc calls; host calls through the function it was given.
#![allow(unsafe_code)]
#![allow(clippy::missing_safety_doc)] // one rule for all: contexts are those that the host handed to a handler

pub mod abi;
mod context;
mod cpu;
mod host;
mod thread;

pub use cpu::{on_illegal, on_notify};
pub use host::RawSyscall;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The signal of notifications: one that nobody else uses, one hopes.
pub const NOTIFY: i32 = 62;

/// A receiver that sleeps in the host is not interrupted there; the interrupt is posted, and taken with the next one.
pub const QUIET: u32 = 1;

/// What a library needs to be its own emulator's host. All pointers are functions that may run in signal handlers.
#[repr(C)]
pub struct Emulator {
    /// [`Emulator::MAGIC`]
    pub magic: u64,
    /// See [`NOTIFY`].
    pub notify: i32,
    /// Called first: how to call the host, and flags ([`QUIET`]).
    pub start: unsafe extern "C" fn(RawSyscall, u32),
    /// In the child of a fork: nothing is inherited.
    pub forget: unsafe extern "C" fn(),
    /// [`abi::call`]
    pub call: unsafe extern "C" fn(i64, usize, usize, usize) -> isize,
    /// [`on_illegal`]
    pub on_illegal: unsafe extern "C" fn(*mut libc::ucontext_t) -> bool,
    /// [`on_notify`]
    pub on_notify: unsafe extern "C" fn(*mut libc::ucontext_t),
    /// [`host::memory`]
    pub memory: unsafe extern "C" fn() -> Memory,
}

/// From one address to another.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// The first byte.
    pub start: usize,
    /// The first byte after.
    pub end: usize,
}

impl Emulator {
    /// Changes with the structure.
    pub const MAGIC: u64 = u64::from_le_bytes(*b"softuin2");
}

/// Where a preloading library finds it.
#[no_mangle]
#[allow(non_upper_case_globals)]
pub static stowaway_softuintr: Emulator = Emulator {
    magic: Emulator::MAGIC,
    notify: NOTIFY,
    start: host::start,
    forget: thread::forget_all,
    call: abi::call,
    on_illegal,
    on_notify,
    memory: host::memory,
};

/// What happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Instructions carried out.
    pub instructions: u64,
    /// Notifications sent: signals.
    pub notified: u64,
    /// Sends that needed none: one was under way, or the receiver is suppressed.
    pub coalesced: u64,
    /// Interrupts delivered.
    pub delivered: u64,
    /// Deliveries that had to wait, because the frame would have hit the signal's own.
    pub deferred: u64,
}

pub(crate) static INSTRUCTIONS: AtomicU64 = AtomicU64::new(0);
pub(crate) static NOTIFIED: AtomicU64 = AtomicU64::new(0);
pub(crate) static COALESCED: AtomicU64 = AtomicU64::new(0);
pub(crate) static DELIVERED: AtomicU64 = AtomicU64::new(0);
pub(crate) static DEFERRED: AtomicU64 = AtomicU64::new(0);

/// See [`Stats`].
pub fn stats() -> Stats {
    Stats {
        instructions: INSTRUCTIONS.load(Relaxed),
        notified: NOTIFIED.load(Relaxed),
        coalesced: COALESCED.load(Relaxed),
        delivered: DELIVERED.load(Relaxed),
        deferred: DEFERRED.load(Relaxed),
    }
}

/// Takes the two signals of this process, once. A receiver without an alternate UINTR stack gets an alternate signal
/// stack from us then, because the frame lies where the signal's would.
pub fn install() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        host::give_signal_stacks();
        cpu::take_signals();
        // SAFETY: the function takes nothing and is async-signal-safe.
        unsafe { libc::pthread_atfork(None, None, Some(thread::forget_all)) };
    });
}

/// The model of CPUs with flexible UIRET (CPUID.(7,1):EDX\[17\]): bit 1 of the popped flags becomes UIF.
pub fn set_flexible_uiret(is_on: bool) {
    cpu::FLEXIBLE_UIRET.store(is_on, Relaxed);
}
