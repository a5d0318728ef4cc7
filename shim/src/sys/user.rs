// SPDX-License-Identifier: GPL-2.0-only
//! Application memory, as alleged by a pointer: read and written with a way out of the fault.
//!
//! The two copy loops below are the only places where the shim touches memory that the application only
//! claims to have. A fault inside them is found by `signal.rs` through [`fixup`] and becomes EFAULT.
#![allow(unsafe_code)]

use core::arch::global_asm;

use crate::sys::errno::{EFAULT, ENAMETOOLONG};
use crate::sys::host::Ret;

global_asm!(
    ".pushsection .text,\"ax\",@progbits",
    // usize user_copy(dst rdi, src rsi, n rdx): bytes not copied.
    ".hidden stowaway_user_copy",
    ".globl stowaway_user_copy",
    "stowaway_user_copy:",
    // Leaves that keep nothing on the stack: whoever is interrupted in one can be unwound.
    ".cfi_startproc",
    "mov rcx, rdx",
    ".hidden stowaway_user_copy_at",
    ".globl stowaway_user_copy_at",
    "stowaway_user_copy_at:",
    "rep movsb",
    ".hidden stowaway_user_copy_out",
    ".globl stowaway_user_copy_out",
    "stowaway_user_copy_out:",
    "mov rax, rcx",
    "ret",
    ".cfi_endproc",
    // isize user_string(dst rdi, src rsi, max rdx): length without the NUL; -1: no NUL in max; -2: fault.
    ".hidden stowaway_user_string",
    ".globl stowaway_user_string",
    "stowaway_user_string:",
    ".cfi_startproc",
    "xor eax, eax",
    "2:",
    "cmp rax, rdx",
    "jae 3f",
    ".hidden stowaway_user_string_at",
    ".globl stowaway_user_string_at",
    "stowaway_user_string_at:",
    "mov cl, [rsi + rax]",
    "mov [rdi + rax], cl",
    "test cl, cl",
    "jz 4f",
    "inc rax",
    "jmp 2b",
    "3:",
    "mov rax, -1",
    "4:",
    "ret",
    ".hidden stowaway_user_string_out",
    ".globl stowaway_user_string_out",
    "stowaway_user_string_out:",
    "mov rax, -2",
    "ret",
    ".cfi_endproc",
    ".popsection",
);

extern "C" {
    fn stowaway_user_copy(dst: *mut u8, src: *const u8, n: usize) -> usize;
    fn stowaway_user_string(dst: *mut u8, src: *const u8, max: usize) -> isize;
    static stowaway_user_copy_at: u8;
    static stowaway_user_copy_out: u8;
    static stowaway_user_string_at: u8;
    static stowaway_user_string_out: u8;
}

/// Where to go on after a fault at `ip`, if the fault was in one of the loops here.
pub fn fixup(ip: usize) -> Option<usize> {
    if ip == &raw const stowaway_user_copy_at as usize {
        return Some(&raw const stowaway_user_copy_out as usize);
    }
    if ip == &raw const stowaway_user_string_at as usize {
        return Some(&raw const stowaway_user_string_out as usize);
    }
    None
}

/// Reads a `T` at the application's address.
pub fn read<T: Copy>(address: usize) -> Result<T, Ret> {
    let mut value = core::mem::MaybeUninit::<T>::uninit();
    // SAFETY: the destination is ours; a fault on the source ends in the fixup.
    let left = unsafe { stowaway_user_copy(value.as_mut_ptr().cast(), address as *const u8, size_of::<T>()) };
    if left != 0 {
        return Err(EFAULT);
    }
    // SAFETY: all bytes were copied; T is plain data in every use (integers and C structures).
    Ok(unsafe { value.assume_init() })
}

/// Writes a `T` at the application's address.
pub fn write<T: Copy>(address: usize, value: &T) -> Result<(), Ret> {
    // SAFETY: the source is ours; a fault on the destination ends in the fixup.
    let left = unsafe { stowaway_user_copy(address as *mut u8, (value as *const T).cast(), size_of::<T>()) };
    if left != 0 {
        Err(EFAULT)
    } else {
        Ok(())
    }
}

/// Reads `into.len()` bytes at the application's address.
pub fn read_bytes(into: &mut [u8], address: usize) -> Result<(), Ret> {
    // SAFETY: as in `read`.
    let left = unsafe { stowaway_user_copy(into.as_mut_ptr(), address as *const u8, into.len()) };
    if left != 0 {
        Err(EFAULT)
    } else {
        Ok(())
    }
}

/// Writes bytes at the application's address.
pub fn write_bytes(address: usize, from: &[u8]) -> Result<(), Ret> {
    // SAFETY: as in `write`.
    let left = unsafe { stowaway_user_copy(address as *mut u8, from.as_ptr(), from.len()) };
    if left != 0 {
        Err(EFAULT)
    } else {
        Ok(())
    }
}

/// Copies a NUL-terminated string into `into` (with its NUL) and returns its length.
/// ENAMETOOLONG if it does not fit, as getname() says for paths beyond PATH_MAX.
pub fn read_string(into: &mut [u8], address: usize) -> Result<usize, Ret> {
    // SAFETY: as in `read`.
    match unsafe { stowaway_user_string(into.as_mut_ptr(), address as *const u8, into.len()) } {
        -1 => Err(ENAMETOOLONG),
        -2 => Err(EFAULT),
        n => Ok(n as usize),
    }
}
