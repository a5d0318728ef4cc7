// SPDX-License-Identifier: GPL-2.0-only
//! Where files of the kernel are mapped (`instance::maps`), in a low room: whether there are such mappings is asked everywhere.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Whether there are any, or were.
static ANY: AtomicBool = AtomicBool::new(false);
/// All of them lie between these addresses.
static LOW: AtomicUsize = AtomicUsize::new(usize::MAX);
static HIGH: AtomicUsize = AtomicUsize::new(0);

/// Whether this process has mappings of the kernel's files, or had.
#[inline]
pub fn any() -> bool {
    ANY.load(Ordering::Relaxed)
}

/// Whether mappings of the kernel's files may lie there.
#[inline]
pub fn concerns(address: usize, len: usize) -> bool {
    any()
        && address < HIGH.load(Ordering::Relaxed)
        && address.saturating_add(len) > LOW.load(Ordering::Relaxed)
}

/// Such a mapping may lie there from now on. Whether this is the first one.
pub fn will_be(address: usize, len: usize) -> bool {
    LOW.fetch_min(address, Ordering::Relaxed);
    HIGH.fetch_max(address.saturating_add(len), Ordering::Relaxed);
    !ANY.swap(true, Ordering::Relaxed)
}
