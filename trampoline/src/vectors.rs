// SPDX-License-Identifier: GPL-2.0-only
//! Vector registers: what the CPU has, and what has to be saved around the handler.
//!
//! # Safety
//! xgetbv runs only where CPUID allows it. The assembler (`asm/vectors.S`) has the C ABI.
#![allow(unsafe_code)]

use core::arch::{global_asm, x86_64::__cpuid_count};
use core::sync::atomic::{AtomicU32, Ordering};

/// What the handler may do to the vector registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vectors {
    /// It uses xmm0-15 with legacy SSE instructions only.
    Sse,
    /// Anything that the CPU has and the host enables, up to AVX-512.
    All,
}

/// Vector state for [`with_all_vectors`]: SSE, AVX, and the three AVX-512 components (Intel SDM vol. 1,
/// 13.1). x87 and AMX are left out: nobody here touches them.
const XSAVE_WANTED: u32 = 0b1110_0110;
/// Bytes of the XSAVE area, 0 where the CPU has none (then FXSAVE serves); and the components.
static STOWAWAY_XSAVE: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
/// What the entry saves beside xmm: 0 nothing, 1 ymm, 2 zmm and masks.
pub(crate) static STOWAWAY_WIDE: AtomicU32 = AtomicU32::new(0);

/// Reads CPUID once. Must run before the first call is caught.
pub(crate) fn prepare(vectors: Vectors) {
    let features = __cpuid_count(1, 0);
    if features.ecx & (1 << 27) == 0 {
        return; // no OSXSAVE: SSE only
    }
    let enabled: u32;
    // SAFETY: OSXSAVE is set, so xgetbv(0) is allowed.
    unsafe {
        core::arch::asm!("xgetbv", in("ecx") 0, out("eax") enabled, out("edx") _, options(nomem, nostack));
    }
    let wanted = enabled & XSAVE_WANTED;
    let mut size = 576; // legacy region and header
    for component in 2..8 {
        if wanted & (1 << component) != 0 {
            let leaf = __cpuid_count(0xd, component);
            size = size.max(leaf.ebx + leaf.eax);
        }
    }
    let wide = match vectors {
        Vectors::Sse => 0,
        Vectors::All if wanted & 0xe0 == 0xe0 => 2,
        Vectors::All => u32::from(wanted & 4 != 0),
    };
    // No thread can come through the entry yet.
    STOWAWAY_XSAVE[0].store(size, Ordering::Relaxed);
    STOWAWAY_XSAVE[1].store(wanted, Ordering::Relaxed);
    STOWAWAY_WIDE.store(wide, Ordering::Relaxed);
}

/// Runs `work(argument)`, which may use any vector instruction, for a handler that promised [`Vectors::Sse`].
pub fn with_all_vectors(work: extern "C" fn(usize), argument: usize) {
    // SAFETY: the assembler has the C ABI and calls `work` once.
    unsafe { stowaway_with_vectors(work, argument) }
}

global_asm!(
    include_str!("asm/vectors.S"),
    xsave = sym STOWAWAY_XSAVE,
);

extern "C" {
    fn stowaway_with_vectors(work: extern "C" fn(usize), argument: usize);
}
