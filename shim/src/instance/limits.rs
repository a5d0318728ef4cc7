// SPDX-License-Identifier: GPL-2.0-only
//! The program's file size limit (RLIMIT_FSIZE), as the kernel keeps it for files on mounts. The host keeps it for the
//! host's files. What this library itself writes to an image is under no limit (`lkl`'s `past_limit`).

use core::sync::atomic::{AtomicBool, Ordering};

use crate::sys::call::args;
use crate::sys::errno::Result;
use crate::sys::{host, sigcalls};

/// Whether the kernel has a limit to keep.
static LIMITED: AtomicBool = AtomicBool::new(false);

/// Tells the kernel the limit of the process; at boot.
pub fn tell(call: impl FnOnce(i64, &host::Args) -> Result) {
    let soft = host::soft_limit(libc::RLIMIT_FSIZE).unwrap_or(libc::RLIM_INFINITY);
    if soft == libc::RLIM_INFINITY && !LIMITED.load(Ordering::Relaxed) {
        return;
    }
    // The hard limit is the host's to keep: the kernel is told the soft one only.
    let limit = [soft, libc::RLIM_INFINITY];
    let new = limit.as_ptr() as usize;
    if let Err(e) = call(libc::SYS_prlimit64, &args([0, libc::RLIMIT_FSIZE as usize, new, 0])) {
        log::warn!("the file size limit: the kernel does not follow: {e:?}");
    }
    LIMITED.store(soft != libc::RLIM_INFINITY, Ordering::Relaxed);
}

/// Sends SIGXFSZ where the host would: a call of the kernel ended with EFBIG. (The kernel's own signal ends at its task.)
pub fn signal_excess() {
    if LIMITED.load(Ordering::Relaxed) {
        sigcalls::raise(libc::SIGXFSZ);
    }
}
