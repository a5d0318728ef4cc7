// SPDX-License-Identifier: GPL-2.0-only
//! What the shim keeps per thread: a few words, and a page behind the first.
//!
//! The words are read with two or three instructions in any context, signal handlers included: initial-exec TLS of
//! our own, because `thread_local!` may allocate. A program that our own loader started has no TLS of ours
//! (its FS base belongs to a C library that does not know us, or to none): there the words are the trampoline's,
//! behind the GS base. A thread gets its page when it first needs the kernel.
#![allow(unsafe_code)]

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::instance::kick;
use crate::observe::Route;
use crate::sys::host;

global_asm!(
    ".pushsection .tbss,\"awT\",@nobits",
    ".p2align 3",
    ".hidden stowaway_thread",
    ".globl stowaway_thread",
    ".type stowaway_thread,@object",
    ".size stowaway_thread,64",
    "stowaway_thread:",
    ".zero 64",
    ".popsection",
);

/// A host signal that arrived while its thread was inside the kernel library.
pub struct Noted {
    /// 0: none.
    pub sig: AtomicU32,
    /// As the handler got it; sent again at the door.
    pub info: libc::siginfo_t,
    /// The mask to restore at the door (all was blocked meanwhile, so that further signals stay queued in
    /// the host).
    pub mask: u64,
}

/// Per-thread state. Only its own thread touches it, from ordinary code and from its signal handlers.
pub struct Thread {
    /// The kernel task, null before the first kernel call.
    pub task: *mut lkl::Task,
    /// Not 0: in a kernel section. Handlers of the application must not run now.
    pub inside: AtomicU32,
    /// 1 around the kernel call itself, where a signal has to interrupt a wait.
    pub in_call: AtomicU32,
    pub noted: Noted,
    /// Handlers of the application that ran since the section ended, and those without SA_RESTART.
    pub handlers_ran: AtomicU32,
    pub handlers_norestart: AtomicU32,
    /// Who served the call that is under way, as far as is known.
    pub served: Option<Route>,
    /// How the doorbell knows it (`doorbell.rs`).
    pub number: Option<u32>,
    pub seat: Option<&'static lkl::doorbell::Seat>,
    /// Where it is interrupted.
    pub interrupt_stack: usize,
    /// The tid this page was made for: a child of fork inherits the page but is another thread.
    pub tid: usize,
}

const PAGE: usize = 4096;
const _: () = assert!(size_of::<Thread>() <= PAGE);

/// See [`words`].
pub type Words = [usize; trampoline::thread::USER_WORDS];

/// The program was started by our loader: FS is not ours to use.
static FOREIGN_TLS: AtomicBool = AtomicBool::new(false);

/// From here on FS belongs to somebody else. Called once, before there is a second thread.
#[allow(dead_code)] // the loader's
pub fn leave_tls() {
    FOREIGN_TLS.store(true, Ordering::Relaxed);
}

/// The calling thread's words: [`current`]'s pointer, `cancel.rs`'s state, `mask.rs`'s, and `own_dispatch.rs`'s four.
#[inline]
pub fn words() -> *mut Words {
    if FOREIGN_TLS.load(Ordering::Relaxed) {
        return trampoline::thread::user().cast();
    }
    let address: *mut Words;
    // SAFETY: reads the thread pointer and the GOT entry of our own TLS symbol.
    unsafe {
        asm!(
            "mov {a}, qword ptr fs:[0]",
            "add {a}, qword ptr [rip + stowaway_thread@GOTTPOFF]",
            a = out(reg) address,
            options(pure, readonly, nostack)
        );
    }
    address
}

#[inline]
fn slot() -> *mut *mut Thread {
    words().cast()
}

/// The calling thread's state, if it has one.
#[inline]
pub fn current() -> Option<&'static mut Thread> {
    // SAFETY: the slot is the thread's own; the page lives until `discard`, which the thread calls last.
    unsafe { (*slot()).as_mut() }
}

/// The calling thread's state, made if need be. None: the host has no memory.
pub fn current_or_new() -> Option<&'static mut Thread> {
    if let Some(t) = current() {
        return Some(t);
    }
    let page = host::map(PAGE);
    if page < 0 {
        return None;
    }
    let thread = page as *mut Thread;
    // SAFETY: a fresh zeroed page of our own; all other fields are valid as zeroes.
    unsafe {
        (&raw mut (*thread).served).write(None);
        (&raw mut (*thread).number).write(None);
        (&raw mut (*thread).seat).write(None);
        (*thread).tid = host::ids().1;
        *slot() = thread;
        thread.as_mut()
    }
}

/// Forgets the state without its task: in a child of fork, or after the task was released.
pub fn discard() {
    // SAFETY: the slot is the thread's own and nobody else holds the page.
    unsafe {
        let thread = *slot();
        if !thread.is_null() {
            kick::withdraw(&mut *thread);
            *slot() = core::ptr::null_mut();
            host::unmap(thread as usize, PAGE);
        }
    }
}

impl Thread {
    /// Whether the thread is in a kernel section.
    #[inline]
    pub fn is_inside(&self) -> bool {
        self.inside.load(Ordering::Relaxed) != 0
    }
}
