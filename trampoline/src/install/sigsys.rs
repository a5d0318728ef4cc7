// SPDX-License-Identifier: GPL-2.0-only
//! The SIGSYS handler: redirects a dispatched call to the entry, and hands everything else on.
//!
//! Rules of the place: `on_sigsys` runs in signal context on our signal stack (`alternate.rs`). It edits the interrupted
//! context and returns; it never works or locks. The one call that it makes is one of the application's 32-bit code.
//!
//! # Safety
//! The kernel hands the handler a siginfo and a context that live until the handler returns.
#![allow(unsafe_code)]

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::abi::{signal_bit, RED_ZONE};
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
/// Selector of 64-bit user code (arch/x86/include/asm/segment.h).
const USER_CS: i64 = 0x33;

/// Faults that copies to and from the application's memory may end in.
const FAULTS_OF_COPIES: u64 = signal_bit(libc::SIGSEGV) | signal_bit(libc::SIGBUS);

/// 32-bit calls of 32-bit code that went to the host. Their numbers are another table's.
pub static INT80_CALLS: AtomicUsize = AtomicUsize::new(0);

static FOREIGN: AtomicUsize = AtomicUsize::new(0);

/// Gets a SIGSYS that is not ours (seccomp, kill): signal, siginfo, ucontext. All signals are blocked. The fourth is where
/// the thread goes on if a handler of the application leaves the context's rip as it is; 0: there.
pub type Foreign = unsafe extern "C-unwind" fn(c_int, *mut libc::siginfo_t, *mut c_void, usize);

/// Installs the handler, and unblocks the signal for the calling thread.
pub(super) fn take_signal(foreign: Foreign) {
    FOREIGN.store(foreign as usize, Ordering::Release);
    let action = KernelSigaction {
        handler: on_sigsys as *const () as usize,
        // ONSTACK: the frame is up to 12 KiB, and comes on a stack of ours (`alternate.rs`), where nothing may come on top.
        flags: (libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK | SA_RESTORER) as usize,
        restorer: gate::restorer_address(),
        mask: !FAULTS_OF_COPIES & !signal_bit(libc::SIGSYS),
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
            return foreign()(sig, info, context, 0);
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
        foreign()(sig, info, uc.cast(), resume);
    }
}

/// Edits `uc` so that the thread goes on in our code instead of behind its call.
///
/// # Safety
/// `uc` is the context of a thread stopped right behind a dispatched call instruction.
unsafe fn redirect(uc: &mut libc::ucontext_t, arch: u32) {
    let regs = &mut uc.uc_mcontext.gregs;
    if arch != AUDIT_ARCH_X86_64 {
        return redirect32(regs);
    }
    regs[libc::REG_RCX as usize] = regs[libc::REG_RIP as usize];
    regs[libc::REG_EFL as usize] &= !RFLAGS_TF;
    regs[libc::REG_RIP as usize] = entry::redirected_address() as i64;
}

/// As [`redirect`], for a 32-bit call. From 64-bit code (`int 0x80`) the thread goes on in a stub that has three words on its
/// stack. Code in a 32-bit segment cannot come to the entry: its call is the host's.
fn redirect32(regs: &mut [i64; 23]) {
    let is_64_bit = regs[libc::REG_CSGSFS as usize] & 0xffff == USER_CS;
    if !is_64_bit {
        regs[libc::REG_RAX as usize] = call_in_32_bit_code(regs) as i64;
        return;
    }
    let words = [libc::REG_RCX, libc::REG_R11, libc::REG_RIP].map(|name| regs[name as usize]);
    let at = regs[libc::REG_RSP as usize] - (RED_ZONE + size_of_val(&words)) as i64;
    // SAFETY: below the red zone of the thread that made the call; where that is no memory, the thread would fault at its
    // next push.
    unsafe { (at as *mut [i64; 3]).write(words) };
    regs[libc::REG_RSP as usize] = at;
    regs[libc::REG_EFL as usize] &= !RFLAGS_TF;
    regs[libc::REG_RIP as usize] = entry::redirected32_address() as i64;
}

fn call_in_32_bit_code(regs: &[i64; 23]) -> u32 {
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
    INT80_CALLS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: seven registers, as the gate reads them; the call is the application's own.
    unsafe { gate::stowaway_gate_int80(call.as_ptr()) as u32 }
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
