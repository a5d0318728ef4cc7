// SPDX-License-Identifier: GPL-2.0-only
//! Receivers of user interrupts: how a thread becomes one, and how it is sent to.
//!
//! # Safety
//! SENDUIPI faults on an entry that is not valid: [`Uintr::unregister`] waits for the senders it may have.
#![allow(unsafe_code)]

use super::emulator::Emulator;
use crate::sys::{process, signal, try_call, Errno};
use std::arch::asm;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

pub(super) const REGISTER_HANDLER: i64 = 471;
const UNREGISTER_HANDLER: i64 = 472;
const UNREGISTER_SENDER: i64 = 475;
const REGISTER_SELF: i64 = 477;
const ALT_STACK: i64 = 478;

/// Entries of a process's table of targets (UINTR_MAX_UITT_NR).
const TARGETS: usize = 256;
/// What ecx is not looked at for. Without user interrupts the same bytes may be RDPKRU and WRPKRU, which trap if ecx is not 0.
const EMULATED: u32 = 1;
/// The one vector that we use.
const VECTOR: usize = 0;

/// By entry: [`VALID`], and how many threads are sending. A send to an entry that is not valid faults: it goes only when
/// nobody is.
static STATES: [AtomicU32; TARGETS] = [const { AtomicU32::new(0) }; TARGETS];
const VALID: u32 = 1 << 31;

/// User interrupts, known to work.
#[derive(Debug, Clone, Copy)]
pub struct Uintr {
    pub(super) emulator: Option<&'static Emulator>,
}

/// A receiver, for senders of its process: an index of the table of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target(u8);

impl Target {
    /// The target as a number.
    pub fn index(self) -> u32 {
        u32::from(self.0)
    }

    /// The target of a number; None: there is no such target.
    pub fn from_index(index: u32) -> Option<Target> {
        u8::try_from(index).ok().map(Target)
    }
}

impl Uintr {
    /// Whether an emulator carries the user interrupts out.
    pub fn is_emulated(&self) -> bool {
        self.emulator.is_some()
    }

    /// The emulator that carries the user interrupts out, if any.
    pub fn emulator(&self) -> Option<&'static Emulator> {
        self.emulator
    }

    pub(super) fn call(&self, nr: i64, a: usize, b: usize) -> Result<usize, Errno> {
        match self.emulator {
            // SAFETY: our callers answer for handler and stack.
            None => unsafe { try_call(nr, [a, b, 0, 0, 0, 0]) },
            // SAFETY: the emulator's function has this type; as above.
            Some(emulator) => crate::sys::check(unsafe { (emulator.call)(nr, a, b, 0) }),
        }
    }

    /// From now on the calling thread is interrupted by sends to the result: `handler` runs on the stack below `top`, and
    /// leaves with UIRET.
    ///
    /// # Safety
    /// `handler` keeps to the architecture's rules; the stack is its alone until [`Uintr::unregister`].
    pub unsafe fn register(&self, handler: usize, top: usize, bytes: usize) -> Result<Target, Errno> {
        self.call(REGISTER_HANDLER, handler, 0)?;
        let made = self
            .call(ALT_STACK, top, bytes) // the top: the size is not looked at
            .and_then(|_| self.call(REGISTER_SELF, VECTOR, 0));
        match made {
            Ok(index) if index < TARGETS => {
                STATES[index].fetch_or(VALID, SeqCst);
                self.with_traps(|| {
                    // SAFETY: the thread has a handler.
                    unsafe { asm!("stui", in("ecx") EMULATED, options(nostack)) };
                });
                Ok(Target(index as u8))
            }
            other => {
                let _ = self.call(UNREGISTER_HANDLER, 0, 0);
                Err(other.err().unwrap_or(Errno::ENOSPC))
            }
        }
    }

    /// Ends the calling thread's time as a receiver.
    pub fn unregister(&self, target: Target) {
        self.with_traps(|| {
            // SAFETY: only delays interrupts.
            unsafe { asm!("clui", in("ecx") EMULATED, options(nostack)) };
        });
        let _ = self.call(UNREGISTER_HANDLER, 0, 0);
        let state = &STATES[usize::from(target.0)];
        state.fetch_and(!VALID, SeqCst);
        while state.load(SeqCst) != 0 {
            process::yield_now();
        }
        let _ = self.call(UNREGISTER_SENDER, usize::from(target.0), 0);
    }

    /// Interrupts the target; false: the target is gone.
    pub fn send(&self, target: Target) -> bool {
        let state = &STATES[usize::from(target.0)];
        if state.load(SeqCst) & VALID == 0 {
            // Not counted: unregister() must see the end of it.
            return false;
        }
        let is_valid = state.fetch_add(1, SeqCst) & VALID != 0;
        if is_valid {
            self.with_traps(|| {
                // SAFETY: the entry is valid, and stays so while we are counted.
                unsafe { asm!("senduipi {}", in(reg) u64::from(target.0), options(nostack)) };
            });
        }
        state.fetch_sub(1, SeqCst);
        is_valid
    }

    /// In the child of a fork: forgets all targets, which are not inherited.
    pub fn reset_in_child(&self) {
        for state in &STATES {
            state.store(0, SeqCst);
        }
        if let Some(emulator) = self.emulator {
            // SAFETY: the emulator's function has this type.
            unsafe { (emulator.forget)() };
        }
    }

    /// Executes instructions that trap if they are emulated, which a blocked SIGILL would make deadly.
    fn with_traps(&self, instructions: impl FnOnce()) {
        if self.emulator.is_none() {
            return instructions();
        }
        let was = signal::unblock(signal::bit(libc::SIGILL));
        instructions();
        signal::set_mask(was);
    }
}
