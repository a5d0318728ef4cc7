// SPDX-License-Identifier: GPL-2.0-only
//! Whether a thread of the program's is the only one.

use stowaway_config::BlockEngine;

use crate::instance::keeper;
use crate::sys::proc_self;
use crate::sys::settings::settings;

/// Whether the application has no thread but the calling one.
pub fn is_last_thread() -> bool {
    keeper::reap();
    let mut ours = lkl::helper_threads();
    if settings().block_engine == BlockEngine::IoUring {
        ours += proc_self::io_workers();
    }
    proc_self::threads() == Some(1 + ours)
}
