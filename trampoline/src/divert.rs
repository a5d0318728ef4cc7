// SPDX-License-Identifier: GPL-2.0-only
//! Diverts a thread that is in the application's own code: it runs one function of ours on our stack, with every register,
//! the flags, the red zone and xmm0-15 as they were, and goes on where it was.
//!
//! It is interrupted by a user interrupt (Intel UINTR; [`user_interrupt_handler`] is what the host is told) or by a signal,
//! whose handler calls [`redirect`]. Both look at the same things, and do the same: note where the thread was, and send
//! it to the landing.
//!
//! A thread is diverted if it is enrolled, its guard is 0, nothing of ours is on its stacks, and neither its code nor its
//! stack pointer is in a place that was named to [`prepare`]. Else the interrupt has no effect: whoever sent it must not
//! rely on it.
//!
//! Rules of the place (the assembler): the handler runs on the alternate UINTR stack with whatever flags and
//! vectors the application has. It uses rax, rcx, GS and statics behind rip; no call, no vector. UIRET sets UIF again.
//! The landing promises what [`crate::entry`] does with [`crate::Vectors::Sse`].
//!
//! A signal makes the host abort a restartable sequence (rseq(2)) that it interrupts; a user interrupt does not. Only
//! whoever has such sequences of its own (not glibc) may be diverted inside of one.
#![allow(unsafe_code)]

use core::arch::global_asm;
use core::mem::offset_of;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::thread::{self, Block, FLOOR, STACK_BYTES};

/// Where a thread was. The landing copies it to its stack at once, and is not diverted before it has.
#[repr(C)]
pub(crate) struct Place {
    /// Diverted only while this is 0; null: not enrolled.
    guard: *const AtomicU32,
    rip: usize,
    rflags: usize,
    rsp: usize,
}

/// What is run, with the rules of a [`crate::sud::Handler`].
pub type Work = extern "C" fn();

/// See [`user_interrupt_handler`].
pub const INTERRUPT_STACK_BYTES: usize = STACK_BYTES;

static WORK: AtomicUsize = AtomicUsize::new(0);
/// Start and length, twice.
static OURS: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];
static DIVERTED: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Direction, alignment check, trap, nested task: clear in the landing.
const UNUSUAL: u32 = 0x400 | 0x4_0000 | 0x100 | 0x4000;
/// Selectors of 64-bit user code and data (arch/x86/include/asm/segment.h).
const USER_CS: u32 = 0x33;
const USER_SS: u32 = 0x2b;

global_asm!(
    ".pushsection .text.stowaway_divert,\"ax\",@progbits",
    // ---- The handler of user interrupts. In: [rsp] vector, rip, rflags, rsp; UIF 0; all else the application's.
    ".hidden stowaway_user_interrupt",
    ".globl stowaway_user_interrupt",
    ".type stowaway_user_interrupt,@function",
    "stowaway_user_interrupt:",
    ".cfi_startproc simple",
    ".cfi_signal_frame",
    ".cfi_def_cfa rsp, 32",
    ".cfi_offset rip, -24",
    "endbr64",
    "push rax",
    ".cfi_adjust_cfa_offset 8",
    "push rcx",
    ".cfi_adjust_cfa_offset 8",
    "mov rax, gs:[0]",
    "mov rcx, [rax + {guard}]",
    "test rcx, rcx",
    "jz 8f",
    "cmp dword ptr [rcx], 0",
    "jne 8f",
    "cmp [rax + {floor}], rax",
    "jne 8f",
    "mov rcx, rax",
    "sub rcx, [rsp + 40]",
    "cmp rcx, {stack_bytes}",
    "jb 8f",
    ".irp i,0,16",
    "mov rcx, [rsp + 24]",
    "sub rcx, [rip + {ours} + \\i]",
    "cmp rcx, [rip + {ours} + \\i + 8]",
    "jb 8f",
    "mov rcx, [rsp + 40]",
    "sub rcx, [rip + {ours} + \\i]",
    "cmp rcx, [rip + {ours} + \\i + 8]",
    "jb 8f",
    ".endr",
    "mov rcx, [rsp + 24]",
    "mov [rax + {rip}], rcx",
    "mov rcx, [rsp + 32]",
    "mov [rax + {rflags}], rcx",
    "mov rcx, [rsp + 40]",
    "mov [rax + {rsp}], rcx",
    "lea rcx, [rip + stowaway_diverted]",
    "mov [rsp + 24], rcx",
    "and qword ptr [rsp + 32], {usual}",
    "mov [rsp + 40], rax",
    "lock inc qword ptr [rip + {diverted}]",
    "jmp 9f",
    "8:",
    "lock inc qword ptr [rip + {refused}]",
    "9:",
    "pop rcx",
    ".cfi_adjust_cfa_offset -8",
    "pop rax",
    ".cfi_adjust_cfa_offset -8",
    "add rsp, 8",
    ".cfi_def_cfa rsp, 24",
    "uiret",
    ".cfi_endproc",
    // ---- The landing. In: rsp the top of our stack, the rest but the flags as it was, the place in the block.
    ".hidden stowaway_diverted",
    ".globl stowaway_diverted",
    ".type stowaway_diverted,@function",
    "stowaway_diverted:",
    ".cfi_startproc simple",
    ".cfi_signal_frame",
    ".cfi_undefined rip", // until its copy is on the stack
    "push {ss}",
    "push qword ptr gs:[{rsp}]",
    "push qword ptr gs:[{rflags}]",
    "push {cs}",
    "push qword ptr gs:[{rip}]",
    ".cfi_def_cfa rsp, 40",
    ".cfi_offset rip, -40",
    ".cfi_offset rsp, -16",
    ".irp r,rax,rcx,rdx,rbx,rbp,rsi,rdi,r8,r9,r10,r11,r12,r13,r14,r15",
    "push \\r",
    ".cfi_adjust_cfa_offset 8",
    ".endr",
    ".cfi_offset rbx, -72",
    ".cfi_offset rbp, -80",
    ".cfi_offset r12, -136",
    ".cfi_offset r13, -144",
    ".cfi_offset r14, -152",
    ".cfi_offset r15, -160",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "sub rsp, 256",
    "and rsp, -64",
    ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "movaps [rsp + 16*\\i], xmm\\i",
    ".endr",
    "call qword ptr [rip + {work}]",
    ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "movaps xmm\\i, [rsp + 16*\\i]",
    ".endr",
    "mov rsp, rbp",
    ".cfi_def_cfa_register rsp",
    ".irp r,r15,r14,r13,r12,r11,r10,r9,r8,rdi,rsi,rbp,rbx,rdx,rcx,rax",
    "pop \\r",
    ".cfi_adjust_cfa_offset -8",
    ".endr",
    // rip, flags and rsp in one instruction, without a word written to the application's stack.
    "iretq",
    ".cfi_endproc",
    ".popsection",
    guard = const offset_of!(Block, place) + offset_of!(Place, guard),
    rip = const offset_of!(Block, place) + offset_of!(Place, rip),
    rflags = const offset_of!(Block, place) + offset_of!(Place, rflags),
    rsp = const offset_of!(Block, place) + offset_of!(Place, rsp),
    floor = const FLOOR,
    stack_bytes = const STACK_BYTES,
    ours = sym OURS,
    work = sym WORK,
    diverted = sym DIVERTED,
    refused = sym REFUSED,
    usual = const !(UNUSUAL as i32),
    cs = const USER_CS,
    ss = const USER_SS,
);

extern "C" {
    static stowaway_user_interrupt: u8;
    static stowaway_diverted: u8;
}

/// `work` is what diverted threads run. `ours`: none is diverted whose code or stack pointer is in one of these.
pub fn prepare(work: Work, ours: [Range<usize>; 2]) {
    for (range, words) in ours.into_iter().zip(OURS.chunks_exact(2)) {
        words[1].store(0, Relaxed);
        words[0].store(range.start, Relaxed);
        words[1].store(range.len(), Relaxed);
    }
    WORK.store(work as usize, Relaxed);
}

/// The calling thread, which has a block, may be diverted from now on while `*guard` is 0. Null: no more.
///
/// # Safety
/// `*guard` lives until the thread ends or calls this again.
pub unsafe fn enroll(guard: *const AtomicU32) {
    // SAFETY: the calling thread's own block.
    unsafe { (&raw mut (*thread::block()).place.guard).write_volatile(guard) };
}

/// What the host is to call for a user interrupt of an enrolled thread, on a stack of its own: [`INTERRUPT_STACK_BYTES`], for
/// signals come meanwhile, and handlers of the application run on top.
pub fn user_interrupt_handler() -> usize {
    &raw const stowaway_user_interrupt as usize
}

/// How many threads were diverted, and how many were not although they were interrupted for it.
pub fn counts() -> (u64, u64) {
    (DIVERTED.load(Relaxed), REFUSED.load(Relaxed))
}

fn is_ours(address: usize) -> bool {
    OURS.chunks_exact(2).any(|words| address.wrapping_sub(words[0].load(Relaxed)) < words[1].load(Relaxed))
}

/// For a signal handler on a thread with a block: makes the interrupted context go on in the landing, if the thread can be
/// diverted. Async-signal-safe.
pub fn redirect(uc: &mut libc::ucontext_t) -> bool {
    let regs = &mut uc.uc_mcontext.gregs;
    let [rip, rsp, rflags] =
        [libc::REG_RIP, libc::REG_RSP, libc::REG_EFL].map(|name| regs[name as usize] as usize);
    let block = thread::block();
    // SAFETY: the calling thread's own block; an enrolled guard is alive.
    let can = unsafe {
        let guard = (*block).place.guard;
        !guard.is_null()
            && (*guard).load(Relaxed) == 0
            && (*block).floor == block as usize
            && !thread::is_on_own_stack(rsp)
    };
    if !can || is_ours(rip) || is_ours(rsp) {
        REFUSED.fetch_add(1, Relaxed);
        return false;
    }
    // SAFETY: as above.
    unsafe {
        let place = &mut (*block).place;
        (place.rip, place.rflags, place.rsp) = (rip, rflags, rsp);
    }
    regs[libc::REG_RIP as usize] = &raw const stowaway_diverted as i64;
    regs[libc::REG_RSP as usize] = block as i64;
    regs[libc::REG_EFL as usize] &= !i64::from(UNUSUAL);
    DIVERTED.fetch_add(1, Relaxed);
    true
}
