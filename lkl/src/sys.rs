// SPDX-License-Identifier: GPL-2.0-only
//! Host calls, all through one function that is set at boot.

use crate::Errno;
use std::mem::transmute;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A host call in kernel ABI: number and six arguments in, result or -errno out.
///
/// It must shuffle registers, execute `syscall` and return, and touch no memory but its last
/// argument and its return address: a `clone` with a new stack returns in the child to the
/// address found at the top of that stack.
pub type RawSyscall =
    unsafe extern "C" fn(nr: i64, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize;

// In: rdi nr, rsi, rdx, rcx, r8, r9, [rsp+8] arguments.  Out: rax.  Clobbers what a call may and
// what `syscall` does (rcx, r11).
std::arch::global_asm!(
    ".text",
    ".p2align 4",
    ".globl stowaway_lkl_plain_syscall",
    ".hidden stowaway_lkl_plain_syscall",
    ".type stowaway_lkl_plain_syscall,@function",
    "stowaway_lkl_plain_syscall:",
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
    ".size stowaway_lkl_plain_syscall, . - stowaway_lkl_plain_syscall",
);

extern "C" {
    fn stowaway_lkl_plain_syscall(
        nr: i64,
        a: usize,
        b: usize,
        c: usize,
        d: usize,
        e: usize,
        f: usize,
    ) -> isize;
}

/// A [`RawSyscall`] of this crate, for processes in which nothing traps (tests).
///
/// # Safety
/// As the host call itself.
pub unsafe extern "C" fn plain_syscall(
    nr: i64,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> isize {
    // SAFETY: the caller answers for the call.
    unsafe { stowaway_lkl_plain_syscall(nr, a, b, c, d, e, f) }
}

static RAW: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// Sets the function all host calls of the running kernel go through.
pub(crate) fn set_raw(raw: RawSyscall) {
    // the wrapper has a frame: a clone must not return through it
    let raw = if raw as usize == plain_syscall as *const () as usize {
        stowaway_lkl_plain_syscall as *mut ()
    } else {
        raw as *mut ()
    };
    RAW.store(raw, Ordering::Release);
}

/// The function set at boot.
pub(crate) fn raw() -> RawSyscall {
    let p = RAW.load(Ordering::Relaxed);
    if p.is_null() {
        return stowaway_lkl_plain_syscall;
    }
    // SAFETY: only set_raw() stores here, and only functions of this type.
    unsafe { transmute::<*mut (), RawSyscall>(p) }
}

/// A host call by `f`.
pub(crate) fn via(f: RawSyscall, nr: i64, args: [usize; 6]) -> isize {
    let [a, b, c, d, e, g] = args;
    // SAFETY: callers of this module pass pointers that are valid for the call they name.
    unsafe { f(nr, a, b, c, d, e, g) }
}

/// A host call.
pub(crate) fn host(nr: i64, args: [usize; 6]) -> isize {
    via(raw(), nr, args)
}

/// RLIMIT_FSIZE in bytes. Who goes beyond it in a file, one of memory too, gets SIGXFSZ.
pub fn file_size_limit_by(f: RawSyscall) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    via(f, libc::SYS_prlimit64, [0, libc::RLIMIT_FSIZE as usize, 0, &raw mut limit as usize, 0, 0]);
    limit.rlim_cur
}

/// The same of a running kernel's process.
pub(crate) fn file_size_limit() -> u64 {
    file_size_limit_by(raw())
}

/// An anonymous private mapping, not counted against memory until touched.
pub(crate) fn map_anon(len: usize) -> Result<usize, Errno> {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    Errno::check(host(libc::SYS_mmap, [0, len, prot as usize, flags as usize, usize::MAX, 0]))
}

pub(crate) fn protect(addr: usize, len: usize, prot: i32) -> Result<(), Errno> {
    Errno::check(host(libc::SYS_mprotect, [addr, len, prot as usize, 0, 0, 0])).map(drop)
}

pub(crate) fn unmap(addr: usize, len: usize) {
    host(libc::SYS_munmap, [addr, len, 0, 0, 0, 0]);
}

/// A stack of `len` bytes with a guard page below; returns the mapping's start and the top.
pub(crate) fn map_stack(len: usize) -> Result<(usize, usize), Errno> {
    let base = map_anon(len + PAGE)?;
    if let Err(e) = protect(base, PAGE, libc::PROT_NONE) {
        unmap(base, len + PAGE);
        return Err(e);
    }
    Ok((base, base + PAGE + len))
}

/// Host page size.
pub(crate) const PAGE: usize = 4096;
