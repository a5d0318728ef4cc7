// SPDX-License-Identifier: GPL-2.0-only
//! Syscall User Dispatch: arming threads, and the SIGSYS handler that redirects.
//!
//! Rules of the place: `on_sigsys` runs in signal context on the caller's stack. It edits the interrupted
//! context and returns; it never works, calls or locks.
#![allow(unsafe_code)]

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use crate::entry;
use crate::frame::{Door, Frame};
use crate::gate::{self, gate};
use crate::rewrite;
use crate::thread::{self, Block};
use crate::vectors::{self, Vectors};

/// `prctl` numbers (include/uapi/linux/prctl.h).
const PR_SET_SYSCALL_USER_DISPATCH: usize = 59;
const PR_SYS_DISPATCH_ON: usize = 1;
/// `si_code` of a dispatched call (include/uapi/asm-generic/siginfo.h).
const SYS_USER_DISPATCH: c_int = 2;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
const RFLAGS_TF: i64 = 0x100;

/// The selector is always BLOCK: the gate's address range is what lets our own calls through, so there
/// is nothing per thread to switch and one byte serves all.
static SELECTOR: u8 = 1;

/// The signal of pthread_cancel (glibc's SIGCANCEL): its handler may unwind the stack, which must not begin on
/// top of ours.
const LIBC_CANCEL: u64 = 1 << (32 - 1);

/// What [`install`] was given.
static HANDLER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static FOREIGN: AtomicUsize = AtomicUsize::new(0);
static CHILD: AtomicUsize = AtomicUsize::new(0);
/// Sites are rewritten when they are met.
static REWRITES: AtomicBool = AtomicBool::new(false);

/// Handles one call: reads the frame, writes `frame.rax`. May ask for something at its end ([`entry::at_end`]).
pub type Handler = unsafe extern "C-unwind" fn(&mut Frame);
/// Runs first in every thread (true) or process (false) cloned onto a new stack, armed, with all signals blocked.
pub type Child = extern "C" fn(bool);
/// Gets a SIGSYS that is not ours (seccomp, kill): signal, siginfo, ucontext.
pub type Foreign = unsafe extern "C-unwind" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// The host kernel refuses Syscall User Dispatch (before 5.11, or built without it). Holds the errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsupported(pub i32);

/// Layout of the kernel's `struct sigaction` on x86-64 (arch/x86/include/uapi/asm/signal.h).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct KernelSigaction {
    pub handler: usize,
    pub flags: usize,
    pub restorer: usize,
    pub mask: u64,
}

/// Installs `handler` for every call that is caught, and arms the calling thread. `foreign` gets any other
/// SIGSYS. Threads made from now on have to call [`arm_thread`] (those cloned through
/// [`Frame::clone_onto`] are armed before they run). `vectors`: what the handler keeps its hands off.
pub fn install(
    handler: Handler,
    foreign: Foreign,
    child: Child,
    vectors: Vectors,
) -> Result<(), Unsupported> {
    vectors::prepare(vectors);
    HANDLER.store(handler as *mut (), Ordering::Release);
    FOREIGN.store(foreign as usize, Ordering::Release);
    CHILD.store(child as usize, Ordering::Release);
    let action = KernelSigaction {
        handler: on_sigsys as *const () as usize,
        // NODEFER: the mask stays as it was for a SIGSYS that is handed on. ONSTACK: the frame is up to 11 KiB, and
        // programs with small stacks (Go) have an alternate one.
        flags: (libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK | 0x0400_0000) as usize,
        restorer: gate::restorer_address(),
        mask: LIBC_CANCEL,
    };
    let unblock: u64 = 1 << (libc::SIGSYS - 1);
    // SAFETY: valid structures of the sizes that the kernel expects.
    unsafe {
        gate(libc::SYS_rt_sigaction, &[libc::SIGSYS as usize, &raw const action as usize, 0, 8, 0, 0]);
        gate(
            libc::SYS_rt_sigprocmask,
            &[libc::SIG_UNBLOCK as usize, &raw const unblock as usize, 0, 8, 0, 0],
        );
    }
    arm_thread()
}

/// Whether [`install`] was called: SIGSYS is ours.
pub fn is_installed() -> bool {
    !HANDLER.load(Ordering::Acquire).is_null()
}

/// Arms the calling thread, with a block if it has none. The kernel disarms a child of fork or clone
/// (kernel/fork.c), so it is called in each.
pub fn arm_thread() -> Result<(), Unsupported> {
    thread::adopt().map_err(Unsupported)?;
    let (start, len) = gate::range();
    // SAFETY: prctl reads five integers.
    let r = unsafe {
        gate(
            libc::SYS_prctl,
            &[PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, start, len, &raw const SELECTOR as usize, 0],
        )
    };
    if r < 0 {
        return Err(Unsupported(-r as i32));
    }
    Ok(())
}

/// First code of a thread or process cloned through the gate, on its own stack of ours; the frame lies above.
pub(crate) unsafe extern "C" fn thread_started(block: *mut Block, frame: *const Frame) {
    // It worked for the parent with the same arguments.
    let _ = arm_thread();
    if block.is_null() {
        rewrite::after_fork();
    }
    // SAFETY: install() stored a Child before any call was dispatched; the frame is `clone_onto`'s.
    unsafe {
        let child: Child = core::mem::transmute(CHILD.load(Ordering::Relaxed));
        child(!block.is_null());
        set_signals((*frame).again as u64);
    }
}

/// From now on a site that is met through SIGSYS is rewritten, if it can be. `eager`: all are, now and whenever code
/// is mapped. `cache`: the directory in which lists of sites are kept between runs. After [`install`].
pub fn rewrite_sites(eager: bool, cache: Option<Vec<u8>>) {
    // The entry's own tables lead unwinders past the stub: no need to register any.
    let settings = rewrite::Settings { entry: entry::entry_address(), eager, register_frame: None, cache };
    aside(|| {
        rewrite::start(settings.clone());
        if eager {
            // The caller's own site is none: it calls us.
            rewrite::all();
        }
    });
    REWRITES.store(true, Ordering::Release);
}

/// Makes a child by `make`, a fork that returns twice on the same stack: result 0 in the child, which is armed.
pub fn fork(make: impl FnOnce() -> isize) -> isize {
    // A handler on this thread could come to a site that is to be rewritten.
    let mask = block_signals();
    let held = rewrite::hold();
    let r = make();
    if r == 0 {
        core::mem::forget(held);
        rewrite::after_fork();
        // It worked in the parent.
        let _ = arm_thread();
    } else {
        drop(held);
    }
    set_signals(mask);
    r
}

/// Before a thread is made by a call that goes on at `after`: what can be rewritten only as long as there is none.
pub(crate) fn before_thread(after: usize) {
    if REWRITES.load(Ordering::Relaxed) && !rewrite::has_threads() {
        aside(|| rewrite::before_first_thread(after));
    }
}

/// Rewrites the site that a call came from through SIGSYS.
fn learn(frame: &Frame) {
    let (after, nr) = (frame.rip, frame.nr);
    // Those do not come back: a program that does little else must not pay for a look at all of libc.
    let is_last = matches!(nr as i64, libc::SYS_exit_group | libc::SYS_execve | libc::SYS_execveat);
    if is_last || rewrite::is_left(after) {
        return;
    }
    let in_handler = thread::is_in_handler(frame.rsp);
    aside(|| {
        match in_handler {
            true => rewrite::first_hit_in_handler(after, nr),
            false => rewrite::first_hit(after, nr),
        };
    });
}

/// Runs heavy work of ours in the middle of a call: no handler of the application runs meanwhile, and it may use any
/// vector register.
pub fn aside(mut work: impl FnMut()) {
    extern "C" fn run<F: FnMut()>(work: usize) {
        // SAFETY: the address of the closure below, which outlives the call.
        unsafe { (*(work as *mut F))() }
    }
    fn address<F: FnMut()>(work: &mut F) -> (extern "C" fn(usize), usize) {
        (run::<F>, work as *mut F as usize)
    }
    let (run, at) = address(&mut work);
    let mask = block_signals();
    vectors::with_all_vectors(run, at);
    set_signals(mask);
}

/// Blocks all signals but faults of the calling thread; returns the mask before.
pub(crate) fn block_signals() -> u64 {
    let faults: u64 = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGSYS]
        .iter()
        .fold(0, |mask, sig| mask | 1 << (sig - 1));
    swap_signals(!faults)
}

/// Sets the mask back.
pub(crate) fn set_signals(mask: u64) {
    swap_signals(mask);
}

fn swap_signals(mask: u64) -> u64 {
    let mut old = 0u64;
    let (new, old_at) = (&raw const mask as usize, &raw mut old as usize);
    // SAFETY: two words of ours.
    unsafe { gate(libc::SYS_rt_sigprocmask, &[libc::SIG_SETMASK as usize, new, old_at, 8, 0, 0]) };
    old
}

/// Called by the entry's assembler with the saved registers.
pub(crate) unsafe extern "C-unwind" fn handle(frame: *mut Frame) {
    let handler = HANDLER.load(Ordering::Relaxed);
    // SAFETY: install() stored a Handler before any thread was armed; the frame lives on this stack.
    unsafe {
        if (*frame).door() == Door::Signal && REWRITES.load(Ordering::Relaxed) {
            learn(&*frame);
        }
        let handler: Handler = core::mem::transmute(handler);
        handler(&mut *frame);
    }
}

/// A SIGSEGV: whether it was one of ours, and is dealt with. Async-signal-safe.
pub fn on_fault(context: &libc::ucontext_t) -> bool {
    let ip = context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize;
    if rewrite::is_trap(ip) {
        return true;
    }
    // A thread made past us (its maker was not caught) came to a rewritten site.
    entry::is_block_load(ip) && thread::adopt() == Ok(()) && arm_thread().is_ok()
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
    // SAFETY: the kernel hands valid pointers; `foreign` was stored by install().
    unsafe {
        if (*info).si_code != SYS_USER_DISPATCH {
            let foreign: Foreign = core::mem::transmute(FOREIGN.load(Ordering::Relaxed));
            return foreign(sig, info, context);
        }
        let details = &mut *info.cast::<SigsysInfo>();
        let regs = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        if entry::is_bounced(regs[libc::REG_RIP as usize] as usize) {
            let [after, resume] = thread::bounce();
            details.call_addr = after;
            regs[libc::REG_RIP as usize] = after as i64;
            regs[libc::REG_RCX as usize] = after as i64;
            let foreign: Foreign = core::mem::transmute(FOREIGN.load(Ordering::Relaxed));
            foreign(sig, info, context);
            let regs = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
            if regs[libc::REG_RIP as usize] == after as i64 {
                regs[libc::REG_RIP as usize] = resume as i64;
            }
            return;
        }
        redirect(&mut *context.cast::<libc::ucontext_t>(), details.arch);
    }
}

/// Edits `uc` so that the thread goes on in our code instead of behind its call.
///
/// # Safety
/// `uc` is the context of a thread stopped right behind a dispatched call instruction.
unsafe fn redirect(uc: &mut libc::ucontext_t, arch: u32) {
    let regs = &mut uc.uc_mcontext.gregs;
    let rip = regs[libc::REG_RIP as usize] as usize;
    if arch != AUDIT_ARCH_X86_64 {
        // int 0x80 from 64-bit code. All its registers are in use, so it cannot be redirected; it is
        // carried out here and goes to the host untouched.
        let pick = |r: c_int| regs[r as usize] as u32;
        let call = [
            pick(libc::REG_RAX),
            pick(libc::REG_RBX),
            pick(libc::REG_RCX),
            pick(libc::REG_RDX),
            pick(libc::REG_RSI),
            pick(libc::REG_RDI),
            pick(libc::REG_RBP),
        ];
        // SAFETY: seven registers, as the gate reads them; the call is the application's own.
        let r = unsafe { gate::stowaway_gate_int80(call.as_ptr()) };
        crate::seen::INT80.fetch_add(1, Ordering::Relaxed);
        regs[libc::REG_RAX as usize] = i64::from(r as u32);
        return;
    }
    regs[libc::REG_RCX as usize] = rip as i64;
    regs[libc::REG_EFL as usize] &= !RFLAGS_TF;
    regs[libc::REG_RIP as usize] = entry::redirected_address() as i64;
}
