// SPDX-License-Identifier: GPL-2.0-only
//! What the shim keeps per thread: a few words, and a page behind the first.
//!
//! The words are read with two or three instructions in any context, signal handlers included: initial-exec TLS of
//! our own, because `thread_local!` may allocate. A program that our own loader started has no TLS of ours. Its FS base
//! belongs to a C library that does not know us, or to none. There the words are the trampoline's, behind the GS base.
//! A thread gets its page when the thread first needs the kernel.
//!
//! # Safety
//! `unsafe` stands where an address becomes the words or the page of the calling thread. Everything in both is an atomic
//! or a cell: the thread's own signal handlers look at them at any moment.
#![allow(unsafe_code)]

use core::arch::{asm, global_asm};
use core::cell::Cell;
use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicU8, AtomicUsize, Ordering,
};

use crate::sys::errno::Result;
use crate::sys::host;
use crate::sys::mem::{self, PAGE};

global_asm!(include_str!("asm/thread_words.S"));

/// The words of a thread, the whole content of the TLS block. Valid as zeroes.
#[repr(C)]
pub struct ThreadWords {
    page: AtomicPtr<Thread>,
    /// How far the thread is in a call (`signals::cancel`).
    pub call: CallState,
    /// Signals that the application blocked and the host does not (`signals::mask`).
    pub hidden_mask: AtomicU64,
    /// Syscall User Dispatch as the application set it (`signals::app_sud`): mode, start, length, selector.
    pub app_sud: [AtomicUsize; 4],
}

const _: () = assert!(size_of::<ThreadWords>() <= size_of::<usize>() * trampoline::thread::USER_WORDS);

/// A thread's way through a call, in bytes: signal handlers save and restore all of them as one word. Only the thread
/// itself writes them; `point` is read by other threads.
#[repr(C, align(8))]
pub struct CallState {
    /// No wait of the host begins, and none goes on.
    pub stop: AtomicU8,
    /// In a dispatched call: code of ours is on the stack.
    pub busy: AtomicU8,
    /// In a hook that is a cancellation point.
    pub point: AtomicU8,
    /// The handler of libc was put off.
    pub put_off: AtomicU8,
    /// A poke came, which may have ended a host call with EINTR.
    pub poked: AtomicU8,
    /// A handler of the application ran.
    pub handled: AtomicU8,
    _pad: [u8; 2],
}

const _: () = assert!(size_of::<CallState>() == size_of::<u64>());

impl CallState {
    /// All bytes as one word.
    pub fn word(&self) -> &AtomicU64 {
        // SAFETY: eight bytes aligned as a word, all of them interior-mutable or padding.
        unsafe { AtomicU64::from_ptr(core::ptr::from_ref(self).cast_mut().cast()) }
    }
}

/// Who served a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ServedBy {
    /// The host's kernel.
    Host = 1,
    /// The kernel library.
    Kernel = 2,
    /// The shim: by other calls of its own, or by none.
    Own = 3,
}

/// A host signal that arrived while its thread was inside the kernel library.
pub struct Noted {
    /// 0: none. Written last, with release order.
    pub sig: AtomicU32,
    /// As the handler got it; sent again on the way out.
    pub info: Cell<libc::siginfo_t>,
    /// The mask to restore on the way out. All signals are blocked meanwhile, so that further ones stay queued in the host.
    pub mask: AtomicU64,
}

/// The state of a thread that uses the kernel. Only the thread itself touches its state, from ordinary code and from its
/// signal handlers. Valid as zeroes.
pub struct Thread {
    /// The kernel task, null before the first kernel call.
    pub task: AtomicPtr<lkl::Task>,
    /// Not 0: in a kernel section. Handlers of the application must not run now.
    pub inside: AtomicU32,
    /// 1 around the kernel call itself, where a signal has to interrupt a wait.
    pub in_call: AtomicU32,
    /// The signal that waits for the end of the section.
    pub noted: Noted,
    /// Handlers of the application that ran since the section ended.
    pub handlers_ran: AtomicU32,
    /// Those of them without SA_RESTART.
    pub handlers_norestart: AtomicU32,
    /// 1: in a sleep of `sys::sleep`.
    pub sleeps: AtomicU8,
    /// 1: no such sleep begins.
    pub sleep_is_over: AtomicU8,
    /// Which kernel has been first in a wait for both: 0 or 1.
    pub turn: AtomicU8,
    /// The descriptor by which the kernel library wakes the thread from such a sleep (`wait::waker`); 0: none.
    pub waker: AtomicI32,
    /// Who served the call that is under way, as far as is known: a [`ServedBy`], or 0.
    served: AtomicU8,
    /// How the doorbell knows the thread (`instance::kick`): number + 1, or 0.
    pub kick_number: AtomicU64,
    /// Where the doorbell finds the thread; null: nowhere.
    pub kick_target: AtomicPtr<lkl::doorbell::KickTarget>,
    /// While the thread makes a child as by vfork(2): where that child leaves what it stores (`process::stores`); else 0.
    pub lent: AtomicUsize,
    /// The stack that user interrupts arrive on; 0: none.
    pub interrupt_stack: AtomicUsize,
    /// The tid this page was made for: a child of fork inherits the page but is another thread.
    pub tid: AtomicUsize,
}

const _: () = assert!(size_of::<Thread>() <= PAGE);

/// The program was started by our loader: FS is not ours to use.
static FOREIGN_TLS: AtomicBool = AtomicBool::new(false);

/// From here on FS belongs to somebody else. Called once, before there is a second thread.
pub fn leave_tls() {
    FOREIGN_TLS.store(true, Ordering::Relaxed);
}

/// The calling thread's words. The reference does not leave its thread.
#[inline]
pub fn words() -> &'static ThreadWords {
    if FOREIGN_TLS.load(Ordering::Relaxed) {
        // SAFETY: the trampoline gives each thread so many words, zeroed, for as long as the thread lives.
        return unsafe { &*trampoline::thread::user().cast() };
    }
    let address: *const ThreadWords;
    // SAFETY: reads the thread pointer and the GOT entry of our own TLS symbol.
    unsafe {
        asm!(
            "mov {a}, qword ptr fs:[0]",
            "add {a}, qword ptr [rip + stowaway_thread@GOTTPOFF]",
            a = out(reg) address,
            options(pure, readonly, nostack)
        );
        &*address
    }
}

/// A copy of the calling thread's words.
pub struct WordsCopy([usize; WORDS]);

const WORDS: usize = size_of::<ThreadWords>() / size_of::<usize>();

impl WordsCopy {
    /// Of the words as they are.
    pub fn take() -> WordsCopy {
        // SAFETY: the thread's own words, each of which may have any bits.
        WordsCopy(unsafe { core::ptr::from_ref(words()).cast::<[usize; WORDS]>().read_volatile() })
    }

    /// The words are again as they were.
    pub fn put_back(self) {
        // SAFETY: as above; everything in the words is a cell.
        unsafe { core::ptr::from_ref(words()).cast_mut().cast::<[usize; WORDS]>().write_volatile(self.0) }
    }
}

global_asm!(".weak __rseq_offset");

/// Where libc has registered the calling thread's `struct rseq` (rseq(2)), into which the host writes at any time. None: libc does
/// not say.
pub fn rseq() -> Option<usize> {
    if FOREIGN_TLS.load(Ordering::Relaxed) {
        return None;
    }
    let (offset, thread): (*const isize, usize);
    // SAFETY: reads the thread pointer, and the GOT entry of libc's variable: null, if libc has none.
    unsafe {
        asm!(
            "mov {o}, qword ptr [rip + __rseq_offset@GOTPCREL]",
            "mov {t}, qword ptr fs:[0]",
            o = out(reg) offset,
            t = out(reg) thread,
            options(pure, readonly, nostack)
        );
        offset.as_ref().map(|&offset| thread.wrapping_add_signed(offset))
    }
}

/// The calling thread's state, if it has one. The reference does not leave its thread.
#[inline]
pub fn current() -> Option<&'static Thread> {
    // SAFETY: the word is the thread's own; the page lives until `discard`, which the thread calls last.
    unsafe { words().page.load(Ordering::Relaxed).as_ref() }
}

/// The calling thread's state, made if need be. ENOMEM: the host has no memory.
pub fn current_or_new() -> Result<&'static Thread> {
    if let Some(thread) = current() {
        return Ok(thread);
    }
    let page = mem::map(PAGE)? as *mut Thread;
    words().page.store(page, Ordering::Relaxed);
    // SAFETY: a fresh zeroed page of our own, valid as zeroes.
    let thread = unsafe { &*page };
    thread.tid.store(host::ids().1, Ordering::Relaxed);
    Ok(thread)
}

/// Forgets the state: in a child of fork, or after the task was released. Nothing is to be found by the doorbell any more.
pub fn discard() {
    let page = words().page.swap(core::ptr::null_mut(), Ordering::Relaxed);
    if !page.is_null() {
        // SAFETY: the page of this thread, which makes no use of its state after this.
        unsafe { mem::unmap(page as usize, PAGE) };
    }
}

/// The byte that ends a wait of the calling thread ([`CallState::stop`]).
#[inline]
pub fn stop_flag() -> *const u8 {
    words().call.stop.as_ptr()
}

/// Notes who serves the calling thread's call. The last note counts: a look at one kernel may end in the other.
pub fn note_served(by: ServedBy) {
    if let Some(thread) = current() {
        thread.served.store(by as u8, Ordering::Relaxed);
    }
}

impl Thread {
    /// Whether the thread is in a kernel section.
    #[inline]
    pub fn is_inside(&self) -> bool {
        self.inside.load(Ordering::Relaxed) != 0
    }

    /// The kernel task; null: none.
    #[inline]
    pub fn task(&self) -> *mut lkl::Task {
        self.task.load(Ordering::Relaxed)
    }

    /// Notes who serves the call that is under way, and gives the note that was there.
    pub fn replace_served(&self, by: Option<ServedBy>) -> Option<ServedBy> {
        let by = by.map_or(0, |by| by as u8);
        let kinds = [ServedBy::Host, ServedBy::Kernel, ServedBy::Own];
        let before = self.served.swap(by, Ordering::Relaxed);
        kinds.into_iter().find(|&kind| kind as u8 == before)
    }
}
