// SPDX-License-Identifier: GPL-2.0-only
//! Application memory, as alleged by a pointer: read and written with a way out of the fault.
//!
//! The two copy loops in `asm/user_copy.S` are the only places where the shim touches memory that the application only
//! claims to have. The signal handler finds a fault inside them through [`fixup`], and the fault becomes EFAULT.
//!
//! # Safety
//! `unsafe` stands at the calls of the loops. Our side of each copy is a reference or a slice.
#![allow(unsafe_code)]

use core::arch::global_asm;
use core::mem::MaybeUninit;

use trampoline::KernelSigaction;

use crate::sys::errno::{Errno, Result};

global_asm!(include_str!("asm/user_copy.S"));

extern "C" {
    fn stowaway_user_copy(to: *mut u8, from: *const u8, n: usize) -> usize;
    fn stowaway_user_string(to: *mut u8, from: *const u8, max: usize) -> isize;
    static stowaway_user_copy_at: u8;
    static stowaway_user_copy_out: u8;
    static stowaway_user_string_at: u8;
    static stowaway_user_string_out: u8;
}

/// Plain data: every row of bytes is a value. (bytemuck's trait of that name cannot be given to structures of libc.)
///
/// # Safety
/// Any bytes are a valid value.
pub unsafe trait Pod: Copy + 'static {}

macro_rules! pods {
    ($($t:ty)*) => { $(
        // SAFETY: integers, and structures of integers and addresses.
        unsafe impl Pod for $t {}
    )* };
}
pods!(u8 u16 u32 u64 usize i32 i64 isize
      libc::pollfd libc::stat libc::msghdr libc::cmsghdr libc::timespec KernelSigaction);

// SAFETY: a row of values each of which may have any bytes.
unsafe impl<T: Pod, const N: usize> Pod for [T; N] {}

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

/// What a copy of which `left` bytes were not made gives.
fn all_copied(left: usize) -> Result<()> {
    match left {
        0 => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

/// Reads a `T` at the application's address.
pub fn read<T: Pod>(address: usize) -> Result<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the destination is ours; a fault on the source ends in the fixup.
    let left = unsafe { stowaway_user_copy(value.as_mut_ptr().cast(), address as *const u8, size_of::<T>()) };
    all_copied(left)?;
    // SAFETY: all bytes were copied, and any bytes are a `T: Pod`.
    Ok(unsafe { value.assume_init() })
}

/// Writes a `T` at the application's address.
pub fn write<T: Pod>(address: usize, value: &T) -> Result<()> {
    // SAFETY: the source is ours; a fault on the destination ends in the fixup.
    let left = unsafe { stowaway_user_copy(address as *mut u8, (value as *const T).cast(), size_of::<T>()) };
    all_copied(left)
}

/// Reads `into.len()` bytes at the application's address.
pub fn read_bytes(into: &mut [u8], address: usize) -> Result<()> {
    // SAFETY: as in `read`.
    let left = unsafe { stowaway_user_copy(into.as_mut_ptr(), address as *const u8, into.len()) };
    all_copied(left)
}

/// Writes bytes at the application's address.
pub fn write_bytes(address: usize, from: &[u8]) -> Result<()> {
    // SAFETY: as in `write`.
    let left = unsafe { stowaway_user_copy(address as *mut u8, from.as_ptr(), from.len()) };
    all_copied(left)
}

/// Copies a NUL-terminated string into `into` (with its NUL) and returns its length.
/// ENAMETOOLONG if it does not fit, as getname() says for paths beyond PATH_MAX.
pub fn read_string(into: &mut [u8], address: usize) -> Result {
    // SAFETY: as in `read`.
    match unsafe { stowaway_user_string(into.as_mut_ptr(), address as *const u8, into.len()) } {
        -1 => Err(Errno::ENAMETOOLONG),
        -2 => Err(Errno::EFAULT),
        n => Ok(n as usize),
    }
}

/// Whether the NUL-terminated string at the application's address, if there is one, has this byte.
pub fn string_contains(address: usize, byte: u8) -> Result<bool> {
    for at in (0..).take_while(|_| address != 0) {
        match read::<u8>(address.wrapping_add(at))? {
            0 => break,
            b if b == byte => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}
