// SPDX-License-Identifier: GPL-2.0-only
//! The instructions, and delivery.

use crate::context::{Context, ARITHMETIC, BY_UIRET, RF, TF};
use crate::thread::{self, Thread};
use crate::{host, DEFERRED, DELIVERED, INSTRUCTIONS, NOTIFY};
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Relaxed, SeqCst},
};

pub(crate) static FLEXIBLE_UIRET: AtomicBool = AtomicBool::new(false);

/// An instruction of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Instruction {
    Uiret,
    Testui,
    Clui,
    Stui,
    /// Of the register with this number.
    Senduipi(u8),
}

/// What stands at `at`, and its length. `byte` reads the program's text, which is executable there.
fn decode(byte: impl Fn(usize) -> u8) -> Option<(Instruction, usize)> {
    let (mut at, mut has_f3, mut rex) = (0, false, 0);
    while at < 12 && matches!(byte(at), 0xf3 | 0x66 | 0x2e | 0x36 | 0x3e | 0x26 | 0x64 | 0x65) {
        has_f3 |= byte(at) == 0xf3;
        at += 1;
    }
    if byte(at) & 0xf0 == 0x40 {
        rex = byte(at);
        at += 1;
    }
    if !has_f3 || byte(at) != 0x0f {
        return None;
    }
    let found = match (byte(at + 1), byte(at + 2)) {
        (0x01, 0xec) => Instruction::Uiret,
        (0x01, 0xed) => Instruction::Testui,
        (0x01, 0xee) => Instruction::Clui,
        (0x01, 0xef) => Instruction::Stui,
        (0xc7, modrm) if modrm & 0xf8 == 0xf0 => Instruction::Senduipi(modrm & 7 | (rex & 1) << 3),
        _ => return None,
    };
    Some((found, at + 3))
}

fn is_canonical(address: u64) -> bool {
    ((address as i64) << 16) >> 16 == address as i64
}

/// #GP: a SIGSEGV at this instruction.
fn general_protection() -> bool {
    host::send_signal(host::tid(), libc::SIGSEGV);
    true
}

/// UIRET; false: #GP.
fn uiret(thread: &Thread, context: &mut Context<'_>) -> bool {
    let frame = context.rsp() as *const u64;
    // SAFETY: the instruction reads the three words itself; a bad stack faults here as there.
    let (rip, flags, rsp) = unsafe { (frame.read(), frame.add(1).read(), frame.add(2).read()) };
    if !is_canonical(rip) {
        return false;
    }
    context.set_flags(context.flags() & !BY_UIRET & !RF | flags & BY_UIRET);
    context.go(rip, rsp);
    let uif = !FLEXIBLE_UIRET.load(Relaxed) || flags & 2 != 0;
    thread.uif.store(uif, SeqCst);
    true
}

fn carry_out(instruction: Instruction, len: usize, thread: &Thread, context: &mut Context<'_>) -> bool {
    match instruction {
        Instruction::Uiret if !uiret(thread, context) => return general_protection(),
        Instruction::Uiret => {}
        Instruction::Senduipi(_) if !thread::has_targets() => return false,
        Instruction::Senduipi(register) => {
            if !thread::send(context.register(register)) {
                return general_protection();
            }
            context.done(len);
        }
        Instruction::Testui => {
            let uif = u64::from(thread.uif.load(SeqCst));
            context.set_flags(context.flags() & !ARITHMETIC | uif);
            context.done(len);
        }
        Instruction::Clui | Instruction::Stui => {
            thread.uif.store(instruction == Instruction::Stui, SeqCst);
            context.done(len);
        }
    }
    INSTRUCTIONS.fetch_add(1, Relaxed);
    if thread.uif.load(SeqCst) {
        thread.notice();
        deliver(thread, context);
    }
    true
}

/// User-interrupt delivery (SDM vol. 3, 8.4.2): the frame, highest vector first.
fn deliver(thread: &Thread, context: &mut Context<'_>) {
    if !thread.receives.load(SeqCst) || !thread.uif.load(SeqCst) || thread.uirr.load(SeqCst) == 0 {
        return;
    }
    let adjust = thread.adjust.load(SeqCst);
    let is_alternate = adjust & 1 != 0;
    // On a signal stack, the frame goes below what is there: the SIGILL of a later UIRET would have the host begin at the top of
    // that stack, over the frame of the handler that was interrupted. (A processor raises none.) Our own frames are there as well.
    const OURS: u64 = 8192;
    let top = match is_alternate {
        true if context.is_on_signal_stack() => &raw const adjust as u64 - OURS,
        true => adjust,
        false => context.rsp() - adjust,
    } & !15;
    // Our own frame, and the signal's, are live: the new one must not lie on them.
    let here = &raw const top as u64;
    let is_elsewhere = thread.is_on_signal_stack(here);
    if !is_alternate && (!is_elsewhere || thread.is_on_signal_stack(top)) {
        DEFERRED.fetch_add(1, Relaxed);
        return;
    }
    let vector = 63 - thread.uirr.load(SeqCst).leading_zeros();
    let frame = [u64::from(vector), context.rip(), context.flags(), context.rsp()];
    // SAFETY: the receiver's stack, or the alternate one that it named; a bad one faults here as it would there.
    unsafe { ((top - 32) as *mut [u64; 4]).write(frame) };
    context.go(thread.handler.load(SeqCst), top - 32);
    context.set_flags(context.flags() & !(TF | RF));
    thread.uirr.fetch_and(!(1 << vector), SeqCst);
    thread.uif.store(false, SeqCst);
    DELIVERED.fetch_add(1, Relaxed);
}

/// #UD and #GP.
const ILLEGAL: u64 = 6;
const PROTECTION: u64 = 13;

/// For a SIGILL or a SIGSEGV: carries the instruction out if it is one of ours. False: the fault is another's.
///
/// A processor with protection keys that ignores the prefix takes CLUI and STUI for RDPKRU and WRPKRU, which raise #GP where
/// ecx is not zero. So programs that are to be emulated set ecx.
///
/// # Safety
/// The context is one that the host handed to a handler of the signal, in which [`NOTIFY`] is blocked.
pub unsafe extern "C" fn on_illegal(uc: *mut libc::ucontext_t) -> bool {
    // SAFETY: the caller's promise.
    let mut context = Context::new(unsafe { &mut *uc });
    if !matches!(context.trap(), ILLEGAL | PROTECTION) {
        return false;
    }
    let text = context.rip() as *const u8;
    // SAFETY: the bytes of an instruction that was fetched; an instruction is at most 15 bytes, and what is not ours
    // is found out before the end of a page that it does not cross.
    let found = decode(|at| unsafe { text.add(at).read() });
    match found {
        Some((instruction, len)) => carry_out(instruction, len, thread::current(), &mut context),
        None => false,
    }
}

/// For the signal [`NOTIFY`].
///
/// # Safety
/// The context is one that the host handed to a handler of it, in which SIGILL is blocked.
pub unsafe extern "C" fn on_notify(uc: *mut libc::ucontext_t) {
    // SAFETY: the caller's promise.
    let mut context = Context::new(unsafe { &mut *uc });
    let thread = thread::current();
    thread.notice();
    if !thread.waits.load(SeqCst) {
        deliver(thread, &mut context);
    }
}

/// The signals of those exceptions, and their actions before ours.
const SIGNALS: [i32; 2] = [libc::SIGILL, libc::SIGSEGV];
static mut BEFORE: [core::mem::MaybeUninit<libc::sigaction>; 2] = [core::mem::MaybeUninit::uninit(); 2];

unsafe extern "C" fn handle_illegal(signal: i32, _: *mut libc::siginfo_t, uc: *mut libc::c_void) {
    // SAFETY: the host's context; BEFORE was written before this handler was installed.
    unsafe {
        if !on_illegal(uc.cast()) {
            // What would have happened without us happens when it is executed again.
            let before = (&raw const BEFORE).cast::<libc::sigaction>().add(usize::from(signal != SIGNALS[0]));
            libc::sigaction(signal, before, core::ptr::null_mut());
        }
    }
}

unsafe extern "C" fn handle_notify(_: i32, _: *mut libc::siginfo_t, uc: *mut libc::c_void) {
    // SAFETY: the host's context.
    unsafe { on_notify(uc.cast()) };
}

/// Installs the handlers, each with the other's signals blocked.
pub(crate) fn take_signals() {
    // SAFETY: plain libc, once; the structures are zeroed and filled.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaddset(&mut action.sa_mask, NOTIFY);
        libc::sigaddset(&mut action.sa_mask, libc::SIGILL);
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        action.sa_sigaction = handle_illegal as *const () as usize;
        for (at, signal) in SIGNALS.into_iter().enumerate() {
            libc::sigaction(signal, &action, (&raw mut BEFORE).cast::<libc::sigaction>().add(at));
        }
        action.sa_flags |= libc::SA_RESTART;
        action.sa_sigaction = handle_notify as *const () as usize;
        libc::sigaction(NOTIFY, &action, core::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Option<(Instruction, usize)> {
        decode(|at| bytes.get(at).copied().unwrap_or(0x90))
    }

    #[test]
    fn instructions_as_assemblers_write_them() {
        assert_eq!(of(&[0xf3, 0x0f, 0x01, 0xec]), Some((Instruction::Uiret, 4)));
        assert_eq!(of(&[0xf3, 0x0f, 0x01, 0xed]), Some((Instruction::Testui, 4)));
        assert_eq!(of(&[0xf3, 0x0f, 0x01, 0xee]), Some((Instruction::Clui, 4)));
        assert_eq!(of(&[0xf3, 0x0f, 0x01, 0xef]), Some((Instruction::Stui, 4)));
        assert_eq!(of(&[0xf3, 0x0f, 0xc7, 0xf0]), Some((Instruction::Senduipi(0), 4)));
        assert_eq!(of(&[0xf3, 0x41, 0x0f, 0xc7, 0xf7]), Some((Instruction::Senduipi(15), 5)));
    }

    #[test]
    fn nothing_else_is_ours() {
        for bytes in
            [&[0x0f, 0x0b][..], &[0x0f, 0x01, 0xee], &[0xf3, 0x0f, 0x01, 0xe8], &[0xf3, 0x0f, 0xc7, 0x30]]
        {
            assert_eq!(of(bytes), None, "{bytes:x?}");
        }
    }
}
