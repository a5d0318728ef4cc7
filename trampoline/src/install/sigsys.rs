// SPDX-License-Identifier: GPL-2.0-only
//! The SIGSYS handler: redirects a dispatched call to the entry, and hands everything else on.
//!
//! Rules of the place: `on_sigsys` runs in signal context on the caller's stack. It edits the interrupted
//! context and returns; it never works or locks. The one call that it makes is a 32-bit call of the application's.
//!
//! # Safety
//! The kernel hands the handler a siginfo and a context that live until the handler returns.
#![allow(unsafe_code)]

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::abi::signal_bit;
use crate::frame::Frame;
use crate::host::{self, KernelSigaction};
use crate::{entry, gate, thread};

/// `si_code` of a dispatched call (include/uapi/asm-generic/siginfo.h).
const SYS_USER_DISPATCH: c_int = 2;
/// include/uapi/linux/audit.h.
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
/// SA_RESTORER (arch/x86/include/uapi/asm/signal.h).
const SA_RESTORER: c_int = 0x0400_0000;
const RFLAGS_TF: i64 = 0x100;

/// The signal of pthread_cancel (glibc's SIGCANCEL): its handler may unwind the stack, which must not begin on
/// top of ours.
const LIBC_CANCEL: u64 = signal_bit(32);

/// 32-bit calls (`int 0x80`) that went to the host. Their numbers are another table's.
pub static INT80_CALLS: AtomicUsize = AtomicUsize::new(0);

static FOREIGN: AtomicUsize = AtomicUsize::new(0);

/// Gets a SIGSYS that is not ours (seccomp, kill): signal, siginfo, ucontext.
pub type Foreign = unsafe extern "C-unwind" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// Installs the handler, and unblocks the signal for the calling thread.
pub(super) fn take_signal(foreign: Foreign) {
    FOREIGN.store(foreign as usize, Ordering::Release);
    let action = KernelSigaction {
        handler: on_sigsys as *const () as usize,
        // NODEFER: the mask stays as it was for a SIGSYS that is handed on. ONSTACK: the frame is up to 11 KiB, and
        // programs with small stacks (Go) have an alternate one.
        flags: (libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK | SA_RESTORER) as usize,
        restorer: gate::restorer_address(),
        mask: LIBC_CANCEL,
    };
    // SAFETY: on_sigsys may run at any instruction.
    unsafe { host::set_action(libc::SIGSYS, &action) };
    host::unblock_signals(signal_bit(libc::SIGSYS));
}

/// What [`take_signal`] was given.
fn foreign() -> Foreign {
    // SAFETY: take_signal() stored a Foreign before it installed the handler, from which alone this is called.
    unsafe { core::mem::transmute(FOREIGN.load(Ordering::Relaxed)) }
}

/// The words of `siginfo_t` for SIGSYS (include/uapi/asm-generic/siginfo.h): call address, number, arch.
#[repr(C)]
struct SigsysInfo {
    _head: [i32; 4],
    call_addr: usize,
    _syscall: i32,
    arch: u32,
}

/// Redirects a dispatched call to the entry; forwards everything else.
unsafe extern "C-unwind" fn on_sigsys(sig: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel hands valid pointers.
    unsafe {
        if (*info).si_code != SYS_USER_DISPATCH {
            return foreign()(sig, info, context);
        }
        let uc = context.cast::<libc::ucontext_t>();
        if entry::is_bounced((*uc).uc_mcontext.gregs[libc::REG_RIP as usize] as usize) {
            return hand_over(sig, info, uc);
        }
        let arch = (*info.cast::<SigsysInfo>()).arch;
        redirect(&mut *uc, arch);
    }
}

/// A call that [`Frame::dispatch_again`] sent here: gives it to the application, with its own address.
///
/// # Safety
/// The arguments of the handler.
unsafe fn hand_over(sig: c_int, info: *mut libc::siginfo_t, uc: *mut libc::ucontext_t) {
    let [after, resume] = thread::bounce();
    // SAFETY: valid for the handler's time; the references end before the application's handler is called.
    unsafe {
        (*info.cast::<SigsysInfo>()).call_addr = after;
        let regs = &mut (*uc).uc_mcontext.gregs;
        regs[libc::REG_RIP as usize] = after as i64;
        regs[libc::REG_RCX as usize] = after as i64;
        foreign()(sig, info, uc.cast());
        let regs = &mut (*uc).uc_mcontext.gregs;
        if regs[libc::REG_RIP as usize] == after as i64 {
            regs[libc::REG_RIP as usize] = resume as i64;
        }
    }
}

/// Edits `uc` so that the thread goes on in our code instead of behind its call.
///
/// # Safety
/// `uc` is the context of a thread stopped right behind a dispatched call instruction.
unsafe fn redirect(uc: &mut libc::ucontext_t, arch: u32) {
    let regs = &mut uc.uc_mcontext.gregs;
    if arch != AUDIT_ARCH_X86_64 {
        // int 0x80 from 64-bit code. All its registers are in use, so it cannot be redirected; it is
        // carried out here and goes to the host untouched.
        let order = [
            libc::REG_RAX,
            libc::REG_RBX,
            libc::REG_RCX,
            libc::REG_RDX,
            libc::REG_RSI,
            libc::REG_RDI,
            libc::REG_RBP,
        ];
        let call = order.map(|register| regs[register as usize] as u32);
        // SAFETY: seven registers, as the gate reads them; the call is the application's own.
        let r = unsafe { gate::stowaway_gate_int80(call.as_ptr()) };
        INT80_CALLS.fetch_add(1, Ordering::Relaxed);
        regs[libc::REG_RAX as usize] = i64::from(r as u32);
        return;
    }
    regs[libc::REG_RCX as usize] = regs[libc::REG_RIP as usize];
    regs[libc::REG_EFL as usize] &= !RFLAGS_TF;
    regs[libc::REG_RIP as usize] = entry::redirected_address() as i64;
}

impl Frame {
    /// The call is not made: the application's own handler of SIGSYS gets it, as from a Syscall User Dispatch of its
    /// own. To be called last.
    pub fn dispatch_again(&mut self) {
        thread::set_bounce(self.rip, self.resume());
        self.rax = self.nr;
        // SAFETY: the entry's words on the caller's stack; the entry returns there.
        unsafe { self.stub_return().write(entry::bounce_address()) };
    }
}
