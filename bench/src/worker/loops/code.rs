// SPDX-License-Identifier: GPL-2.0-only
//! Call sites of our own, as compilers and C libraries make them: `mov eax, NUMBER; syscall`, in functions with unwind
//! tables.
//!
//! # Safety
//! The assembler is a function of the C ABI for each site, which makes one system call.
#![allow(unsafe_code)]

use std::arch::global_asm;

use anyhow::{bail, Result};

/// Sites that are run once each.
pub const SITES: u64 = 2048;
/// Bytes from one to the next.
const STRIDE: usize = 16;

global_asm!(
    ".pushsection .text.bench_sites,\"ax\",@progbits",
    ".p2align 4",
    ".globl bench_null",
    ".hidden bench_null",
    ".type bench_null,@function",
    "bench_null:",
    ".cfi_startproc",
    "mov eax, {getppid}",
    "syscall",
    "ret",
    ".cfi_endproc",
    ".size bench_null,.-bench_null",
    ".p2align 4",
    ".globl bench_pread",
    ".hidden bench_pread",
    ".type bench_pread,@function",
    "bench_pread:",
    ".cfi_startproc",
    "mov r10, rcx",
    "mov eax, {pread64}",
    "syscall",
    "ret",
    ".cfi_endproc",
    ".size bench_pread,.-bench_pread",
    ".p2align 4",
    ".globl bench_sites",
    ".hidden bench_sites",
    "bench_sites:",
    ".rept {sites}",
    ".cfi_startproc",
    "mov eax, {getppid}",
    "syscall",
    "ret",
    ".cfi_endproc",
    ".p2align 4",
    ".endr",
    ".popsection",
    getppid = const libc::SYS_getppid,
    pread64 = const libc::SYS_pread64,
    sites = const SITES,
);

extern "C" {
    fn bench_null() -> isize;
    fn bench_pread(fd: libc::c_int, to: *mut u8, length: usize, offset: usize) -> isize;
    static bench_sites: u8;
}

/// getppid(2); the kernel's own result.
#[inline]
pub fn null() -> isize {
    // SAFETY: the call takes nothing; what the instruction clobbers, a call may.
    unsafe { bench_null() }
}

/// The call that does nothing, from libc's site: a program that catches calls itself does not rewrite its own code.
#[inline]
pub fn null_of_libc() -> isize {
    // SAFETY: the call takes nothing.
    unsafe { libc::getppid() as isize }
}

/// pread64(2) of the whole buffer; the kernel's own result.
#[inline]
pub fn pread(fd: libc::c_int, to: &mut [u8], offset: usize) -> isize {
    // SAFETY: the buffer is as long as we say.
    unsafe { bench_pread(fd, to.as_mut_ptr(), to.len(), offset) }
}

/// Runs the first so many of the sites, each once.
pub fn first_calls(count: u64) -> Result<()> {
    let start = &raw const bench_sites;
    let expected = std::os::unix::process::parent_id() as isize;
    for at in 0..count.min(SITES) as usize {
        // SAFETY: a function without arguments stands at each stride.
        let got = unsafe {
            let site: extern "C" fn() -> isize = std::mem::transmute(start.add(at * STRIDE));
            site()
        };
        if got != expected {
            bail!("site {at}: getppid returned {got}");
        }
    }
    Ok(())
}

/// Has all of their pages mapped, so that what is timed is the calls.
pub fn touch() {
    let start = &raw const bench_sites;
    for page in (0..SITES as usize * STRIDE).step_by(4096) {
        // SAFETY: within the code above.
        unsafe { start.add(page).read_volatile() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_site_is_one() {
        touch();
        first_calls(SITES).unwrap();
        assert_eq!(null(), std::os::unix::process::parent_id() as isize);
        assert_eq!(pread(-1, &mut [0; 4], 0), -(libc::EBADF as isize));
    }
}
