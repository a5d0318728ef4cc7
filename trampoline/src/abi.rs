// SPDX-License-Identifier: GPL-2.0-only
//! Numbers of the x86-64 ABI of Linux that several rooms need.

/// Bytes below the stack pointer that belong to the interrupted code (System V ABI, x86-64, 3.2.2).
pub(crate) const RED_ZONE: usize = 128;

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;

/// `arch_prctl` codes (arch/x86/include/uapi/asm/prctl.h).
pub(crate) const ARCH_SET_GS: usize = 0x1001;
pub(crate) const ARCH_GET_GS: usize = 0x1004;

/// Offset of `uc_sigmask` in the kernel's `struct ucontext`: flags, link, stack (24), mcontext (256).
pub(crate) const SIGMASK_OFFSET: usize = 8 + 8 + 24 + 256;

/// The bit of `signal` in a mask of the kernel's.
pub(crate) const fn signal_bit(signal: i32) -> u64 {
    1 << (signal - 1)
}
