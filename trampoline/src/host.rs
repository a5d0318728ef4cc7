// SPDX-License-Identifier: GPL-2.0-only
//! Typed host calls over the raw [`gate`], for this crate alone.
//!
//! Rules of the place: no allocation but in [`File::read_all`], no errno, no TLS. Async-signal-safe otherwise.
//!
//! # Safety
//! A function here is safe if no argument can make the call touch memory that is not the caller's.
#![allow(unsafe_code)]

use core::ffi::CStr;
use core::sync::atomic::AtomicU32;

use crate::abi::{ARCH_GET_GS, ARCH_SET_GS};
use crate::gate::gate;

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

/// Bytes of the kernel's `sigset_t`.
const SIGSET_BYTES: usize = 8;

/// rt_sigprocmask(2) of the calling thread; returns the mask before.
fn change_signal_mask(how: i32, mask: u64) -> u64 {
    let mut old = 0u64;
    let (new, old_at) = (&raw const mask as usize, &raw mut old as usize);
    // SAFETY: two words of this function.
    unsafe { gate(libc::SYS_rt_sigprocmask, &[how as usize, new, old_at, SIGSET_BYTES, 0, 0]) };
    old
}

/// Sets the signal mask of the calling thread; returns the mask before.
pub(crate) fn set_signal_mask(mask: u64) -> u64 {
    change_signal_mask(libc::SIG_SETMASK, mask)
}

/// Unblocks the signals of `mask` for the calling thread.
pub(crate) fn unblock_signals(mask: u64) {
    change_signal_mask(libc::SIG_UNBLOCK, mask);
}

/// rt_sigaction(2).
///
/// # Safety
/// `action` names a handler that may run at any instruction of any thread.
pub(crate) unsafe fn set_action(signal: i32, action: &KernelSigaction) {
    let at = core::ptr::from_ref(action) as usize;
    // SAFETY: a structure of the kernel's layout; the caller answers for the handler.
    unsafe { gate(libc::SYS_rt_sigaction, &[signal as usize, at, 0, SIGSET_BYTES, 0, 0]) };
}

/// `stack_t` of sigaltstack(2).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct AlternateStack {
    pub start: usize,
    pub flags: i32,
    pub _pad: i32,
    pub len: usize,
}

/// Sets the alternate signal stack of the calling thread; the one before, or errno.
///
/// # Safety
/// The memory is nobody else's while handlers run.
pub(crate) unsafe fn set_alternate_stack(new: &AlternateStack) -> Result<AlternateStack, i32> {
    let mut before = AlternateStack { start: 0, flags: 0, _pad: 0, len: 0 };
    let at = [core::ptr::from_ref(new) as usize, &raw mut before as usize, 0, 0, 0, 0];
    // SAFETY: two structures of the host's layout; the caller answers for the memory.
    match unsafe { gate(libc::SYS_sigaltstack, &at) } {
        0 => Ok(before),
        errno => Err(-errno as i32),
    }
}

/// The alternate signal stack that the host has for the calling thread.
pub(crate) fn alternate_stack() -> AlternateStack {
    let mut now = AlternateStack { start: 0, flags: 0, _pad: 0, len: 0 };
    // SAFETY: asks only.
    unsafe { gate(libc::SYS_sigaltstack, &[0, &raw mut now as usize, 0, 0, 0, 0]) };
    now
}

/// The GS base of the calling thread; works for a thread of any state.
pub(crate) fn gs_base() -> usize {
    let mut base = 0usize;
    // SAFETY: arch_prctl writes one word.
    unsafe { gate(libc::SYS_arch_prctl, &[ARCH_GET_GS, &raw mut base as usize, 0, 0, 0, 0]) };
    base
}

/// Sets the GS base of the calling thread; -errno as the error.
///
/// # Safety
/// The memory at `base` is a thread block, and nobody else uses GS.
pub(crate) unsafe fn set_gs_base(base: usize) -> Result<(), i32> {
    // SAFETY: the caller's word.
    let got = unsafe { gate(libc::SYS_arch_prctl, &[ARCH_SET_GS, base, 0, 0, 0, 0]) };
    if got < 0 {
        return Err(-got as i32);
    }
    Ok(())
}

/// Maps `len` bytes of private anonymous memory; errno as the error. `address` with MAP_FIXED_NOREPLACE in `flags` asks
/// for a place; no mapping is ever replaced.
pub(crate) fn map_anonymous(address: usize, len: usize, protection: i32, flags: i32) -> Result<usize, i32> {
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | (flags & !libc::MAP_FIXED)) as usize;
    // SAFETY: a new mapping where there is none.
    let got = unsafe { gate(libc::SYS_mmap, &[address, len, protection as usize, flags, usize::MAX, 0]) };
    usize::try_from(got).map_err(|_| -got as i32)
}

/// munmap(2).
///
/// # Safety
/// Nobody uses the memory.
pub(crate) unsafe fn unmap(address: usize, len: usize) {
    // SAFETY: the caller's word.
    unsafe { gate(libc::SYS_munmap, &[address, len, 0, 0, 0, 0]) };
}

/// mprotect(2); whether the protection was changed.
///
/// # Safety
/// The mapping is the caller's, and its users bear the new protection.
pub(crate) unsafe fn protect(address: usize, len: usize, protection: i32) -> bool {
    // SAFETY: the caller's word.
    unsafe { gate(libc::SYS_mprotect, &[address, len, protection as usize, 0, 0, 0]) == 0 }
}

/// futex(2) on a word of this process, without a timeout: FUTEX_WAIT while it is `value`, or FUTEX_WAKE of `value` threads.
pub(crate) fn futex(word: &AtomicU32, operation: i32, value: u32) {
    let operation = (operation | libc::FUTEX_PRIVATE_FLAG) as usize;
    let args = [word.as_ptr() as usize, operation, value as usize, 0, 0, 0];
    // SAFETY: the word lives during the call.
    unsafe { gate(libc::SYS_futex, &args) };
}

/// membarrier(2); whether the kernel did it.
pub(crate) fn membarrier(command: usize) -> bool {
    // SAFETY: takes no pointers.
    unsafe { gate(libc::SYS_membarrier, &[command, 0, 0, 0, 0, 0]) == 0 }
}

/// The process's number.
pub(crate) fn process_id() -> isize {
    // SAFETY: takes nothing.
    unsafe { gate(libc::SYS_getpid, &[0; 6]) }
}

/// The process's effective user.
pub(crate) fn effective_user() -> u32 {
    // SAFETY: takes nothing.
    unsafe { gate(libc::SYS_geteuid, &[0; 6]) as u32 }
}

/// rename(2); whether it was done.
pub(crate) fn rename(from: &CStr, to: &CStr) -> bool {
    // SAFETY: two paths that end in NUL.
    unsafe { gate(libc::SYS_rename, &[from.as_ptr() as usize, to.as_ptr() as usize, 0, 0, 0, 0]) == 0 }
}

/// unlink(2). Failure has no effect.
pub(crate) fn unlink(path: &CStr) {
    // SAFETY: a path that ends in NUL.
    unsafe { gate(libc::SYS_unlink, &[path.as_ptr() as usize, 0, 0, 0, 0, 0]) };
}

/// mkdir(2). Failure has no effect.
pub(crate) fn make_directory(path: &CStr, mode: u32) {
    // SAFETY: a path that ends in NUL.
    unsafe { gate(libc::SYS_mkdir, &[path.as_ptr() as usize, mode as usize, 0, 0, 0, 0]) };
}

/// An open file of the host's; closed when dropped.
#[derive(Debug)]
pub(crate) struct File(usize);

impl File {
    /// openat(2) relative to the working directory. O_CLOEXEC is added.
    pub(crate) fn open(path: &CStr, flags: i32, mode: u32) -> Option<File> {
        let flags = (flags | libc::O_CLOEXEC) as usize;
        let args = [libc::AT_FDCWD as usize, path.as_ptr() as usize, flags, mode as usize, 0, 0];
        // SAFETY: a path that ends in NUL.
        let got = unsafe { gate(libc::SYS_openat, &args) };
        usize::try_from(got).ok().map(File)
    }

    /// What is left to read.
    pub(crate) fn read_all(&self) -> Option<Vec<u8>> {
        let mut text = Vec::with_capacity(32 << 10);
        loop {
            // /proc gives at most a page at a time, cut at a line's end.
            text.reserve(8 << 10);
            let (free, room) =
                (text.spare_capacity_mut().as_mut_ptr() as usize, text.capacity() - text.len());
            // SAFETY: the buffer has `room` bytes behind its length.
            let got = unsafe { gate(libc::SYS_read, &[self.0, free, room, 0, 0, 0]) };
            match got {
                0 => return Some(text),
                // SAFETY: the kernel wrote that many.
                1.. => unsafe { text.set_len(text.len() + got as usize) },
                _ => return None,
            }
        }
    }

    /// Writes at the file's position; whether all bytes were written.
    pub(crate) fn write_all(&self, bytes: &[u8]) -> bool {
        // SAFETY: the buffer is valid.
        let got = unsafe { gate(libc::SYS_write, &[self.0, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]) };
        got == bytes.len() as isize
    }

    /// pwrite64(2); whether all bytes were written.
    ///
    /// # Safety
    /// What is written to may be memory (/proc/self/mem): it is the caller's to write.
    pub(crate) unsafe fn write_at(&self, bytes: &[u8], offset: u64) -> bool {
        let args = [self.0, bytes.as_ptr() as usize, bytes.len(), offset as usize, 0, 0];
        // SAFETY: the buffer is valid; the caller answers for the target.
        unsafe { gate(libc::SYS_pwrite64, &args) == bytes.len() as isize }
    }

    /// fstat(2).
    pub(crate) fn status(&self) -> Option<libc::stat> {
        // SAFETY: all zeroes are a valid stat, and a buffer of the size that the kernel fills.
        unsafe {
            let mut status: libc::stat = core::mem::zeroed();
            let got = gate(libc::SYS_fstat, &[self.0, &raw mut status as usize, 0, 0, 0, 0]);
            (got == 0).then_some(status)
        }
    }

    /// Maps the first `len` bytes for reading; the address.
    pub(crate) fn map(&self, len: usize) -> Option<usize> {
        let (protection, flags) = (libc::PROT_READ as usize, libc::MAP_PRIVATE as usize);
        // SAFETY: a mapping wherever there is room.
        let start = unsafe { gate(libc::SYS_mmap, &[0, len, protection, flags, self.0, 0]) };
        usize::try_from(start).ok()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: opened by this type, and used no more.
        unsafe { gate(libc::SYS_close, &[self.0, 0, 0, 0, 0, 0]) };
    }
}
