// SPDX-License-Identifier: GPL-2.0-only
//! The one entry: from a stub to the host, or to the handler and back, with every register as it was.
//!
//! Rules of the place (the assembler below):
//! - At most 256 bytes of the application's stack, red zone included: 128 (red zone), the stub's two words, and two
//!   of the entry's. The rest happens on the thread's own stack (thread.rs). rsp never holds anything but a valid
//!   stack: a signal may come at any instruction.
//! - No instruction changes vector registers but the explicit saves. With [`Vectors::Sse`] the handler promises to
//!   use nothing newer than SSE: legacy SSE instructions leave the upper parts of ymm and zmm, the registers
//!   above 15 and the masks alone (Intel SDM vol. 1, 14.1.1), so saving xmm0-15 saves everything.
//! - The arithmetic flags live in ax (lahf, seto), because popfq costs more than all the rest.
#![allow(unsafe_code)]

use core::arch::global_asm;
use core::mem::offset_of;

use crate::frame::Frame;
use crate::routes::{ROUTES, STOWAWAY_CLASSES, STOWAWAY_CLASS_COUNT, STOWAWAY_ROUTES, TO_HOST};
use crate::thread::{self, ALTERNATE, ALTERNATE_LEN, AT_END, FLOOR, RED_ZONE, STACK_BYTES};
use crate::vectors::STOWAWAY_WIDE;

global_asm!(
    ".pushsection .text.stowaway_entry,\"ax\",@progbits",
    // ---- The stub of a call that came by SIGSYS. In: the caller's registers, but rcx the rip to go on at.
    ".hidden stowaway_redirected",
    ".globl stowaway_redirected",
    ".type stowaway_redirected,@function",
    "stowaway_redirected:",
    ".cfi_startproc simple",
    // The caller's rip is where it goes on, not behind a call: unwinders must not look one byte before it.
    ".cfi_signal_frame",
    ".cfi_def_cfa rsp, 0",
    ".cfi_register rip, rcx",
    "lea rsp, [rsp - {red_zone}]",
    ".cfi_def_cfa rsp, {red_zone}",
    "push rcx",
    ".cfi_def_cfa rsp, {red_zone} + 8",
    ".cfi_offset rip, -{red_zone} - 8",
    "call stowaway_entry_redirected",
    ".hidden stowaway_redirected_back",
    ".globl stowaway_redirected_back",
    "stowaway_redirected_back:",
    "pop rcx",
    ".cfi_def_cfa rsp, {red_zone}",
    ".cfi_register rip, rcx",
    "lea rsp, [rsp + {red_zone_wide}]", // 8 bytes, as in every stub (Frame::resume)
    ".cfi_def_cfa rsp, 0",
    "jmp rcx",
    ".cfi_endproc",
    // ---- Where a call goes on that is to be dispatched after all, by a handler of the application: in place of
    // the stub (Frame::dispatch_again). The SIGSYS handler puts its address right.
    ".hidden stowaway_bounce",
    ".globl stowaway_bounce",
    "stowaway_bounce:",
    "lea rsp, [rsp + 8 + {red_zone}]",
    "syscall",
    ".hidden stowaway_bounced",
    ".globl stowaway_bounced",
    "stowaway_bounced:",
    "ud2",
    // ---- From there. In: as stowaway_entry.
    ".type stowaway_entry_redirected,@function",
    "stowaway_entry_redirected:",
    ".cfi_startproc",
    // As in the entry.
    ".cfi_def_cfa rsp, 16 + {red_zone}",
    ".cfi_offset rip, -8 - {red_zone}",
    "mov r11, rax",
    "lahf",
    "seto al",
    "cmp r11, {sigreturn}",
    "je 13f",
    "push r11",
    ".cfi_adjust_cfa_offset 8",
    "movzx eax, ax",
    "or eax, 0x10000", // the door
    "jmp stowaway_entry_common",
    ".cfi_endproc",
    // ---- The entry. In: [rsp] the return into the stub, [rsp + 8] the address behind the syscall instruction,
    // the rest as at that instruction. Out: rax the result, r11 the flags, rcx anything; all else as it was.
    ".hidden stowaway_entry",
    ".globl stowaway_entry",
    ".type stowaway_entry,@function",
    "stowaway_entry:",
    ".cfi_startproc",
    // For unwinders the caller is the code behind the syscall instruction: past the stub, which has no tables that
    // they could find.
    ".cfi_def_cfa rsp, 16 + {red_zone}",
    ".cfi_offset rip, -8 - {red_zone}",
    "mov r11, rax",
    "lahf",
    "seto al",
    "cmp r11, {routes_len}",
    "jae 4f",
    "lea rcx, [rip + {routes}]",
    "movzx ecx, byte ptr [rcx + r11]",
    "test ecx, ecx",
    "jz 4f",
    "cmp ecx, {to_host}",
    "je 3f",
    "mov ecx, edi",
    "cmp rcx, [rip + {class_count}]",
    "jae 3f",
    "add rcx, [rip + {classes}]",
    "cmp byte ptr [rcx], 0",
    "jne 4f",
    // Straight to the host, which returns to the stub.
    "3:",
    "add al, 127",
    "sahf",
    "mov rax, r11",
    "jmp {forward}",
    "4:",
    "cmp r11, {sigreturn}",
    "je 13f",
    "push r11",
    ".cfi_adjust_cfa_offset 8",
    "movzx eax, ax",
    "stowaway_entry_common:",
    "push rax",
    ".cfi_adjust_cfa_offset 8",
    // A thread that nobody gave a block faults here, at address 0: see sud::on_fault.
    ".hidden stowaway_entry_block",
    ".globl stowaway_entry_block",
    "stowaway_entry_block:",
    "mov rax, gs:[0]",
    "mov rcx, rsp",
    "mov r11, rax",
    "sub r11, rcx",
    "cmp r11, {stack_bytes}",
    "jb 20f",
    "mov r11, gs:[{floor}]",
    "cmp r11, rax",
    "jne 21f",
    "5:",
    "sub r11, {frame_bytes}",
    "mov [r11 + {rbp}], rbp",
    "mov [r11 + {inner}], rcx",
    "mov rbp, r11",
    // From here on the unwinding goes by rbp. rbp itself: [rbp]; the CFA: [rbp + 152] + 160.
    ".cfi_escape 0x10, 6, 2, 0x76, 0x00",
    ".cfi_escape 0x0f, 7, 0x76, 0x98, 0x01, 0x06, 0x23, 0xa0, 0x01",
    "mov rsp, rbp",
    "mov [rbp + {rbx}], rbx",
    ".cfi_escape 0x10, 3, 2, 0x76, 0x30",
    "mov [rbp + {r12}], r12",
    ".cfi_escape 0x10, 12, 2, 0x76, 0x28",
    "mov [rbp + {r13}], r13",
    ".cfi_escape 0x10, 13, 2, 0x76, 0x20",
    "mov [rbp + {r14}], r14",
    ".cfi_escape 0x10, 14, 2, 0x76, 0x18",
    "mov [rbp + {r15}], r15",
    ".cfi_escape 0x10, 15, 2, 0x76, 0x10",
    "mov [rbp + {r8}], r8",
    "mov [rbp + {r9}], r9",
    "mov [rbp + {r10}], r10",
    "mov [rbp + {rdx}], rdx",
    "mov [rbp + {rsi}], rsi",
    "mov [rbp + {rdi}], rdi",
    "mov rax, [rcx + 8]",
    "mov [rbp + {nr}], rax",
    "mov [rbp + {rax}], rax",
    "mov rdx, [rcx + 24]",
    "mov [rbp + {rip}], rdx",
    "mov [rbp + {rcx}], rdx",
    "lea rdx, [rcx + 32 + {red_zone}]",
    "mov [rbp + {rsp}], rdx",
    "mov eax, [rcx]",
    "mov edx, eax",
    "shr edx, 16",
    "mov [rbp + {door}], rdx",
    // The flags: the arithmetic ones from ax, the others as they are.
    "pushfq",
    "pop rdx",
    "and rdx, -0x8d6",
    "movzx ecx, ah",
    "and ecx, 0xd5",
    "or rdx, rcx",
    "movzx ecx, al",
    "shl ecx, 11",
    "or rdx, rcx",
    "mov [rbp + {rflags}], rdx",
    "mov [rbp + {r11}], rdx",
    "test edx, {unusual}",
    "jnz 22f",
    "6:",
    ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "movaps [rbp + {xmm} + 16*\\i], xmm\\i",
    ".endr",
    "cmp dword ptr [rip + {wide}], 0",
    "jne 23f",
    "7:",
    "mov qword ptr [rbp + {again}], 0",
    "mov rdi, rbp",
    "call {handle}",
    "8:",
    "cmp qword ptr gs:[{at_end}], 0",
    // What a signal handler sets (`at_end`) up to here is seen; from here on it need not set anything.
    ".hidden stowaway_entry_looked",
    ".globl stowaway_entry_looked",
    "stowaway_entry_looked:",
    "jne 24f",
    "cmp qword ptr [rbp + {again}], 0",
    "jne 7b",
    "cmp dword ptr [rip + {wide}], 0",
    "jne 25f",
    "9:",
    ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "movaps xmm\\i, [rbp + {xmm} + 16*\\i]",
    ".endr",
    "mov rcx, [rbp + {inner}]",
    "mov rdx, [rbp + {rdx}]",
    "mov rsi, [rbp + {rsi}]",
    "mov rdi, [rbp + {rdi}]",
    "mov r8, [rbp + {r8}]",
    "mov r9, [rbp + {r9}]",
    "mov r10, [rbp + {r10}]",
    "mov r11, [rbp + {rflags}]",
    "test r11d, {unusual}",
    "jnz 26f",
    "mov eax, [rcx]",
    "add al, 127",
    "sahf",
    "12:",
    "mov rax, [rbp + {rax}]",
    "lea rsp, [rcx + 16]",
    ".cfi_def_cfa rsp, 16 + {red_zone}",
    "mov rbp, [rbp + {rbp}]",
    ".cfi_same_value rbp",
    ".cfi_same_value rbx",
    ".cfi_same_value r12",
    ".cfi_same_value r13",
    ".cfi_same_value r14",
    ".cfi_same_value r15",
    "ret",
    // ---- Rare: the caller is on our stack already: go on below it.
    ".cfi_def_cfa rsp, 32 + {red_zone}",
    "20:",
    "mov r11, rcx",
    "and r11, -64",
    "jmp 5b",
    // The floor is held. It counts if the caller runs on the alternate stack; else whoever held it is gone.
    "21:",
    "push rdx",
    ".cfi_adjust_cfa_offset 8",
    "mov rdx, rcx",
    "sub rdx, gs:[{alternate}]",
    "cmp rdx, gs:[{alternate_len}]",
    "pop rdx",
    ".cfi_adjust_cfa_offset -8",
    "jb 5b",
    "mov gs:[{floor}], rax",
    "mov r11, rax",
    "jmp 5b",
    // Direction or alignment check set: compiled code expects neither.
    ".cfi_escape 0x10, 6, 2, 0x76, 0x00",
    ".cfi_escape 0x10, 3, 2, 0x76, 0x30",
    ".cfi_escape 0x10, 12, 2, 0x76, 0x28",
    ".cfi_escape 0x10, 13, 2, 0x76, 0x20",
    ".cfi_escape 0x10, 14, 2, 0x76, 0x18",
    ".cfi_escape 0x10, 15, 2, 0x76, 0x10",
    ".cfi_escape 0x0f, 7, 0x76, 0x98, 0x01, 0x06, 0x23, 0xa0, 0x01",
    "22:",
    "push 0x202",
    "popfq",
    "jmp 6b",
    // Wide vectors.
    "23:",
    "sub rsp, {wide_bytes}",
    "and rsp, -64",
    "cmp dword ptr [rip + {wide}], 1",
    "jne 30f",
    ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "vmovdqu [rsp + 32*\\i], ymm\\i",
    ".endr",
    "jmp 7b",
    "30:",
    ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    "vmovdqu64 [rsp + 64*\\i], zmm\\i",
    ".endr",
    ".irp i,0,1,2,3,4,5,6,7",
    "kmovq [rsp + 2048 + 8*\\i], k\\i",
    ".endr",
    "jmp 7b",
    "24:",
    "xor eax, eax",
    "xchg rax, gs:[{at_end}]",
    "call rax",
    "jmp 8b",
    "25:",
    "cmp dword ptr [rip + {wide}], 1",
    "jne 31f",
    ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "vmovdqu ymm\\i, [rsp + 32*\\i]",
    ".endr",
    "jmp 32f",
    "31:",
    ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    "vmovdqu64 zmm\\i, [rsp + 64*\\i]",
    ".endr",
    ".irp i,0,1,2,3,4,5,6,7",
    "kmovq k\\i, [rsp + 2048 + 8*\\i]",
    ".endr",
    "32:",
    "mov rsp, rbp",
    "jmp 9b",
    "26:",
    "push qword ptr [rbp + {rflags}]",
    "popfq",
    "jmp 12b",
    // rt_sigreturn, on the stack that it was called on: frames of ours may be alive on the other one. The mask that
    // it restores must not block SIGSYS.
    ".cfi_undefined rip",
    "13:",
    "lea rsp, [rsp + 16 + {red_zone}]",
    "and qword ptr [rsp + {sigmask}], {not_sigsys}",
    "mov eax, {sigreturn}",
    "jmp {forward}",
    ".hidden stowaway_entry_end",
    ".globl stowaway_entry_end",
    "stowaway_entry_end:",
    ".cfi_endproc",
    // ---- noreturn resume(Frame * /*rdi*/): goes on with all registers of a frame on the current stack.
    ".hidden stowaway_resume",
    ".globl stowaway_resume",
    "stowaway_resume:",
    ".cfi_startproc",
    ".cfi_undefined rip",
    ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "movaps xmm\\i, [rdi + {xmm} + 16*\\i]",
    ".endr",
    "push qword ptr [rdi + {rflags}]",
    "popfq",
    "mov r15, [rdi + {r15}]",
    "mov r14, [rdi + {r14}]",
    "mov r13, [rdi + {r13}]",
    "mov r12, [rdi + {r12}]",
    "mov rbp, [rdi + {rbp}]",
    "mov rbx, [rdi + {rbx}]",
    "mov r10, [rdi + {r10}]",
    "mov r9, [rdi + {r9}]",
    "mov r8, [rdi + {r8}]",
    "mov rax, [rdi + {rax}]",
    "mov rcx, [rdi + {rcx}]",
    "mov rdx, [rdi + {rdx}]",
    "mov rsi, [rdi + {rsi}]",
    // No register is left for the address.
    "mov r11, [rdi + {rip}]",
    "mov rsp, [rdi + {rsp}]",
    "mov rdi, [rdi + {rdi}]",
    "jmp r11",
    ".cfi_endproc",
    ".popsection",
    wide = sym STOWAWAY_WIDE,
    wide_bytes = const 32 * 64 + 8 * 8,
    routes = sym STOWAWAY_ROUTES,
    routes_len = const ROUTES,
    to_host = const TO_HOST,
    classes = sym STOWAWAY_CLASSES,
    class_count = sym STOWAWAY_CLASS_COUNT,
    forward = sym crate::gate::stowaway_gate_forward,
    handle = sym crate::sud::handle,
    red_zone = const RED_ZONE,
    red_zone_wide = const RED_ZONE,
    sigreturn = const libc::SYS_rt_sigreturn,
    sigmask = const SIGMASK_OFFSET,
    not_sigsys = const !(1i64 << (libc::SIGSYS - 1)),
    stack_bytes = const STACK_BYTES,
    frame_bytes = const size_of::<Frame>().next_multiple_of(64),
    unusual = const UNUSUAL_FLAGS,
    floor = const FLOOR,
    at_end = const AT_END,
    alternate = const ALTERNATE,
    alternate_len = const ALTERNATE_LEN,
    r15 = const offset_of!(Frame, r15),
    r14 = const offset_of!(Frame, r14),
    r13 = const offset_of!(Frame, r13),
    r12 = const offset_of!(Frame, r12),
    rbp = const offset_of!(Frame, rbp),
    rbx = const offset_of!(Frame, rbx),
    r11 = const offset_of!(Frame, r11),
    r10 = const offset_of!(Frame, r10),
    r9 = const offset_of!(Frame, r9),
    r8 = const offset_of!(Frame, r8),
    rax = const offset_of!(Frame, rax),
    rcx = const offset_of!(Frame, rcx),
    rdx = const offset_of!(Frame, rdx),
    rsi = const offset_of!(Frame, rsi),
    rdi = const offset_of!(Frame, rdi),
    nr = const offset_of!(Frame, nr),
    rsp = const offset_of!(Frame, rsp),
    rip = const offset_of!(Frame, rip),
    rflags = const offset_of!(Frame, rflags),
    inner = const offset_of!(Frame, inner),
    door = const offset_of!(Frame, door),
    again = const offset_of!(Frame, again),
    xmm = const offset_of!(Frame, xmm),
);

/// Offset of `uc_sigmask` in the kernel's `struct ucontext`: flags, link, stack (24), mcontext (256).
const SIGMASK_OFFSET: usize = 8 + 8 + 24 + 256;

/// Flags that compiled code expects clear, and that the arithmetic flags' way does not keep: direction and
/// alignment check.
const UNUSUAL_FLAGS: usize = 0x400 | 0x40000;

extern "C" {
    static stowaway_entry: u8;
    static stowaway_entry_block: u8;
    static stowaway_entry_looked: u8;
    static stowaway_entry_end: u8;
    static stowaway_bounce: u8;
    static stowaway_bounced: u8;
    static stowaway_redirected: u8;
    static stowaway_redirected_back: u8;
    pub(crate) fn stowaway_resume(frame: *mut Frame) -> !;
}

/// Address of the entry that stubs call.
pub fn entry_address() -> usize {
    &raw const stowaway_entry as usize
}

/// Address that a redirected caller goes on at.
pub(crate) fn redirected_address() -> usize {
    &raw const stowaway_redirected as usize
}

/// Address that takes a stub's place for a call that is dispatched again.
pub(crate) fn bounce_address() -> usize {
    &raw const stowaway_bounce as usize
}

/// Whether a dispatched call came from there.
pub(crate) fn is_bounced(ip: usize) -> bool {
    ip == &raw const stowaway_bounced as usize
}

/// Whether a fault at `ip` is that of a thread without a block.
pub(crate) fn is_block_load(ip: usize) -> bool {
    ip == &raw const stowaway_entry_block as usize
}

/// Whether a thread interrupted at `ip` is on its way from its call to the handler, or back and has not yet looked
/// for what [`at_end`] set: it will, and must not be unwound before.
pub fn is_before_look(ip: usize) -> bool {
    (&raw const stowaway_entry_block as usize..&raw const stowaway_entry_looked as usize).contains(&ip)
        || (redirected_address()..&raw const stowaway_redirected_back as usize).contains(&ip)
}

/// `then` is called once, at the end of the call that the installed function has got, with nothing but the entry's
/// assembler between it and the caller: it may leave by unwinding. To be called by the installed function, or by a signal
/// handler that interrupted it or the entry, but not behind the look ([`is_before_look`]): then it is the next call's end.
pub fn at_end(then: unsafe extern "C-unwind" fn()) {
    thread::set_at_end(then as usize);
}

/// Whether `ip` is in the entry's assembler.
pub fn contains(ip: usize) -> bool {
    (redirected_address()..&raw const stowaway_entry_end as usize).contains(&ip)
        || crate::gate::is_forward(ip)
}
