// SPDX-License-Identifier: GPL-2.0-only
//! What a signal handler may ask: whether a fault is the kernel's, and where its thread goes on.
//!
//! # Safety
//! Entry points are addresses of the running image, of the types that the overlay's `asm/host.h` declares.
#![allow(unsafe_code)]

use crate::attach::Kernel;
use std::mem::transmute;
use std::ops::Range;

impl Kernel {
    /// For a SIGSEGV or SIGBUS handler: where to go on if `ip` is an access of the kernel to the
    /// application's memory.
    pub fn fault_fixup(&self, ip: usize) -> Option<usize> {
        if !self.contains(ip) {
            return None;
        }
        // SAFETY: the entry has this type and only reads a sorted table.
        let to = unsafe {
            transmute::<usize, unsafe extern "C" fn(usize) -> usize>(self.loaded.entries.fault_fixup)(ip)
        };
        (to != 0).then_some(to)
    }

    /// For a handler of SIGSEGV, SIGBUS, SIGFPE or SIGILL, when the signal is a fault of kernel code without a fixup. The context
    /// is changed so that the thread goes on in the kernel's `lkl_oops()`. The kernel says what happened, and stops. All calls
    /// end with EIO from then on, the one under way too. False: the fault is not in kernel code.
    pub fn stop_at_fault(&self, sig: i32, address: usize, context: &mut libc::ucontext_t) -> bool {
        let registers = &mut context.uc_mcontext.gregs;
        let ip = registers[libc::REG_RIP as usize];
        if !self.contains(ip as usize) {
            return false;
        }
        let e = &self.loaded.entries;
        // SAFETY: the entry has this type and returns an address.
        let stack = unsafe { transmute::<usize, unsafe extern "C" fn() -> usize>(e.oops_stack)() };
        // lkl_oops(signal, ip, address, bp), at the alignment of a function's entry
        let frame = registers[libc::REG_RBP as usize];
        for (register, value) in [
            (libc::REG_RDI, i64::from(sig)),
            (libc::REG_RSI, ip),
            (libc::REG_RDX, address as i64),
            (libc::REG_RCX, frame),
            (libc::REG_RSP, (stack - 8) as i64),
            (libc::REG_RIP, e.oops as i64),
        ] {
            registers[register as usize] = value;
        }
        const DIRECTION: i64 = 1 << 10;
        registers[libc::REG_EFL as usize] &= !DIRECTION;
        true
    }

    /// Is this an address of kernel code?
    pub fn contains(&self, ip: usize) -> bool {
        self.text().contains(&ip)
    }

    /// The kernel's code.
    pub fn text(&self) -> Range<usize> {
        self.loaded.text.clone()
    }
}
