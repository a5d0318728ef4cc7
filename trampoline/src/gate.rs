// SPDX-License-Identifier: GPL-2.0-only
//! The gate: the one page whose `syscall` instructions are never dispatched back to us.
//!
//! Its address range is what Syscall User Dispatch is armed with, so that a real call needs no change of
//! the selector. Nothing else may stand in this page: what can jump here can bypass the dispatch.
#![allow(unsafe_code)]

use core::arch::global_asm;

global_asm!(
    ".pushsection .text.stowaway_gate,\"ax\",@progbits",
    ".p2align 12",
    ".hidden stowaway_gate_start",
    ".globl stowaway_gate_start",
    "stowaway_gate_start:",
    // isize gate(i64 nr, usize a..f): C ABI in, kernel ABI out; all but rax, rcx, r11 and the argument
    // registers preserved; the stack is only read, before the call, so that a clone onto a new stack
    // returns to whatever address lies on top of that stack.
    ".hidden stowaway_gate",
    ".globl stowaway_gate",
    ".type stowaway_gate,@function",
    "stowaway_gate:",
    ".cfi_startproc",
    "mov rax, rdi",
    "mov rdi, rsi",
    "mov rsi, rdx",
    "mov rdx, rcx",
    "mov r10, r8",
    "mov r8, r9",
    "mov r9, [rsp + 8]",
    "syscall",
    "ret",
    ".cfi_endproc",
    // isize gate_unless(const u8 *stop /*rdi*/, i64 nr /*rsi*/, const usize args[6] /*rdx*/): the same, but
    // with *stop not 0 the call is not made and STOPPED returned. A signal handler that sets *stop while
    // the thread stands between the look and the call, or at a call that is about to be restarted, moves it
    // to `stopped` (see `stop_if_waiting`), so that no wait begins after *stop was set.
    ".hidden stowaway_gate_unless",
    ".globl stowaway_gate_unless",
    ".type stowaway_gate_unless,@function",
    "stowaway_gate_unless:",
    ".cfi_startproc",
    "mov r11, rdi",
    "mov rax, rsi",
    "mov rdi, [rdx]",
    "mov rsi, [rdx + 8]",
    "mov r10, [rdx + 24]",
    "mov r8, [rdx + 32]",
    "mov r9, [rdx + 40]",
    "mov rdx, [rdx + 16]",
    ".hidden stowaway_gate_unless_look",
    ".globl stowaway_gate_unless_look",
    "stowaway_gate_unless_look:",
    "cmp byte ptr [r11], 0",
    "jne stowaway_gate_unless_stopped",
    ".hidden stowaway_gate_unless_call",
    ".globl stowaway_gate_unless_call",
    "stowaway_gate_unless_call:",
    "syscall",
    "ret",
    ".hidden stowaway_gate_unless_stopped",
    ".globl stowaway_gate_unless_stopped",
    "stowaway_gate_unless_stopped:",
    "mov rax, {stopped}",
    "ret",
    ".cfi_endproc",
    // The restorer of the handlers that we install: rsp points at the ucontext. These
    // very bytes (a 64-bit mov) are how unwinders and debuggers know a signal frame (libgcc's
    // x86_64_fallback_frame_state). They look one byte before for unwinding tables, where must be none.
    "nop",
    ".hidden stowaway_gate_restorer",
    ".globl stowaway_gate_restorer",
    "stowaway_gate_restorer:",
    "mov rax, 15",
    "syscall",
    "ud2",
    // isize int80(const u32 regs[7]): eax, ebx, ecx, edx, esi, edi, ebp. A 32-bit call forwarded.
    ".hidden stowaway_gate_int80",
    ".globl stowaway_gate_int80",
    "stowaway_gate_int80:",
    "push rbx",
    "push rbp",
    "mov r8, rdi",
    "mov eax, [r8]",
    "mov ebx, [r8 + 4]",
    "mov ecx, [r8 + 8]",
    "mov edx, [r8 + 12]",
    "mov esi, [r8 + 16]",
    "mov edi, [r8 + 20]",
    "mov ebp, [r8 + 24]",
    "int 0x80",
    "pop rbp",
    "pop rbx",
    "cdqe",
    "ret",
    // The entry's way to the host: all registers are the caller's, on its stack; returns to its stub.
    ".hidden stowaway_gate_forward",
    ".globl stowaway_gate_forward",
    ".type stowaway_gate_forward,@function",
    "stowaway_gate_forward:",
    ".cfi_startproc",
    // As in the entry: past the stub.
    ".cfi_def_cfa rsp, 16 + {red_zone}",
    ".cfi_offset rip, -8 - {red_zone}",
    "syscall",
    ".hidden stowaway_gate_forwarded",
    ".globl stowaway_gate_forwarded",
    "stowaway_gate_forwarded:",
    "ret",
    ".cfi_endproc",
    // isize clone(i64 nr /*rdi*/, const usize args[6] /*rsi*/, Frame *child /*rdx*/, Block *block /*rcx*/)
    // clone or clone3 onto a new stack. The parent returns here, to Rust. The child goes on behind the
    // application's call with the registers of `child`, which lies on a stack of ours that is its own: that of
    // `block`, or, null, its copy of the parent's.
    ".hidden stowaway_gate_clone",
    ".globl stowaway_gate_clone",
    ".type stowaway_gate_clone,@function",
    "stowaway_gate_clone:",
    ".cfi_startproc",
    "push rbx",
    ".cfi_adjust_cfa_offset 8",
    "push r12",
    ".cfi_adjust_cfa_offset 8",
    "mov rax, rdi",
    "mov rbx, rdx",
    "mov r12, rcx",
    "mov rdi, [rsi]",
    "mov rdx, [rsi + 16]",
    "mov r10, [rsi + 24]",
    "mov r8, [rsi + 32]",
    "mov r9, [rsi + 40]",
    "mov rsi, [rsi + 8]",
    "syscall",
    "test rax, rax",
    "jz 2f",
    "pop r12",
    ".cfi_adjust_cfa_offset -8",
    "pop rbx",
    ".cfi_adjust_cfa_offset -8",
    "ret",
    // The child has no caller.
    "2:",
    ".cfi_undefined rip",
    "mov rsp, rbx",
    "test r12, r12",
    "jz 3f",
    "mov eax, 158", // arch_prctl(ARCH_SET_GS, block)
    "mov edi, 0x1001",
    "mov rsi, r12",
    "syscall",
    "3:",
    "mov rdi, r12",
    "mov rsi, rbx",
    "call {child}",
    "mov rdi, rbx",
    "jmp {resume}",
    ".cfi_endproc",
    // noreturn exit(usize base /*rdi*/, usize len /*rsi*/, usize status /*rdx*/): unmaps the stack that it was
    // called on and ends the thread, with all signals blocked.
    ".hidden stowaway_gate_exit",
    ".globl stowaway_gate_exit",
    "stowaway_gate_exit:",
    "mov ebx, edx",
    "mov eax, 11",
    "syscall",
    "mov edi, ebx",
    "mov eax, 60",
    "syscall",
    "ud2",
    ".p2align 12",
    ".hidden stowaway_gate_end",
    ".globl stowaway_gate_end",
    "stowaway_gate_end:",
    ".popsection",
    red_zone = const crate::thread::RED_ZONE,
    child = sym crate::sud::thread_started,
    resume = sym crate::entry::stowaway_resume,
    stopped = const STOPPED,
);

extern "C" {
    static stowaway_gate_unless_look: u8;
    static stowaway_gate_unless_call: u8;
    static stowaway_gate_unless_stopped: u8;
    static stowaway_gate_start: u8;
    static stowaway_gate_end: u8;
    pub(crate) static stowaway_gate_forward: u8;
    static stowaway_gate_forwarded: u8;
    static stowaway_gate_restorer: u8;
    pub(crate) fn stowaway_gate_int80(regs: *const u32) -> isize;
    pub(crate) fn stowaway_gate_clone(
        nr: i64,
        args: *const usize,
        child: *mut crate::Frame,
        block: *mut crate::thread::Block,
    ) -> isize;
    pub(crate) fn stowaway_gate_exit(base: usize, len: usize, status: usize) -> !;
}

// A handler of the application may run on top of a host call and leave it by unwinding (pthread_exit, a C++
// exception); what is above it are plain frames.
extern "C-unwind" {
    fn stowaway_gate_unless(stop: *const u8, nr: i64, args: *const usize) -> isize;
}

extern "C" {
    fn stowaway_gate(nr: i64, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize;
}

/// What [`gate_unless`] returns for a call that was not made: ERESTARTNOINTR (include/linux/errno.h), which the
/// host never returns.
pub const STOPPED: isize = -513;

/// The gate as a function pointer, for code that is handed its way to the host.
pub const RAW: unsafe extern "C" fn(i64, usize, usize, usize, usize, usize, usize) -> isize = stowaway_gate;

/// A real call of the host kernel: `nr` and `args` as in syscall(2), the result in kernel ABI (-errno).
///
/// # Safety
/// That of the system call itself.
#[inline]
pub unsafe fn gate(nr: i64, args: &[usize; 6]) -> isize {
    // SAFETY: the caller answers for the call; the asm has the C ABI.
    unsafe { stowaway_gate(nr, args[0], args[1], args[2], args[3], args[4], args[5]) }
}

/// The same, unless `*stop` is or becomes not 0 before the call takes effect: then [`STOPPED`], and a call that
/// a signal interrupts is not restarted. Whoever sets it, in a signal handler of this thread, then calls
/// [`stop_if_waiting`].
///
/// # Safety
/// That of the system call itself; `stop` is readable.
#[inline]
pub unsafe fn gate_unless(stop: *const u8, nr: i64, args: &[usize; 6]) -> isize {
    // SAFETY: the caller answers for the call; the asm has the C ABI.
    unsafe { stowaway_gate_unless(stop, nr, args.as_ptr()) }
}

/// Where a thread that was interrupted at `ip` has to go on, if it stands between [`gate_unless`]'s look at its
/// flag and the effect of the call.
pub fn stop_if_waiting(ip: usize) -> Option<usize> {
    let (look, call) = (&raw const stowaway_gate_unless_look, &raw const stowaway_gate_unless_call);
    let waits = (look as usize..=call as usize).contains(&ip);
    waits.then_some(&raw const stowaway_gate_unless_stopped as usize)
}

/// Start and length in bytes of the gate's pages.
pub fn range() -> (usize, usize) {
    let start = &raw const stowaway_gate_start as usize;
    let end = &raw const stowaway_gate_end as usize;
    (start, end - start)
}

/// Whether `ip` is in the forwarding of a call, with nothing of ours on the caller's stack but its stub's words.
pub fn is_forward(ip: usize) -> bool {
    (&raw const stowaway_gate_forward as usize..=&raw const stowaway_gate_forwarded as usize).contains(&ip)
}

/// Address for `sa_restorer` of handlers installed past libc.
pub fn restorer_address() -> usize {
    &raw const stowaway_gate_restorer as usize
}
