// SPDX-License-Identifier: GPL-2.0-only
//! What happens without the handler, counted for who wants to know.

use core::sync::atomic::AtomicUsize;

/// 32-bit calls (`int 0x80`) that went to the host. Their numbers are another table's.
pub static INT80: AtomicUsize = AtomicUsize::new(0);
