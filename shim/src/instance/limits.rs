// SPDX-License-Identifier: GPL-2.0-only
//! The program's file size limit (RLIMIT_FSIZE), as the kernel keeps it for files on mounts. The host keeps it for the
//! host's files. What this library itself writes to an image is under no limit (`lkl`'s `past_limit`).
//!
//! The soft limit of address space (RLIMIT_AS) is the program's too: while there is a kernel, the host's is higher by what the
//! kernel takes, as far as the hard limit lets it.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::sys::call::args;
use crate::sys::errno::Result;
use crate::sys::{host, kernel, sigcalls};

/// The limit of the process, in bytes.
pub fn soft() -> u64 {
    host::soft_limit(libc::RLIMIT_FSIZE).unwrap_or(libc::RLIM_INFINITY)
}

/// Tells the kernel the limit of the process if there is one; at boot.
pub fn tell(call: impl FnOnce(i64, &host::Args) -> Result) {
    if soft() != libc::RLIM_INFINITY {
        follow(call);
    }
}

/// Tells the kernel the limit of the process.
pub fn follow(call: impl FnOnce(i64, &host::Args) -> Result) {
    // The hard limit is the host's to keep: the kernel is told the soft one only.
    let limit = [soft(), libc::RLIM_INFINITY];
    let new = limit.as_ptr() as usize;
    if let Err(e) = call(libc::SYS_prlimit64, &args([0, libc::RLIMIT_FSIZE as usize, new, 0])) {
        log::warn!("the file size limit: the kernel does not follow: {e:?}");
    }
}

/// Sends SIGXFSZ where the host would: a call of the kernel ended with EFBIG. (The kernel's own signal ends at its task.)
pub fn signal_excess() {
    if soft() != libc::RLIM_INFINITY {
        sigcalls::raise(libc::SIGXFSZ);
    }
}

/// The soft limit of address space as the program knows it; 0: as the host does.
static ADDRESS_SPACE: AtomicU64 = AtomicU64::new(0);

/// The limits of address space that the host is to have, for those that the program asks for.
pub fn with_room_for_kernel([soft, hard]: [u64; 2]) -> [u64; 2] {
    let taken = kernel::running().map_or(0, |kernel| kernel.region().len() as u64);
    match soft {
        libc::RLIM_INFINITY => [soft, hard],
        _ if soft > hard => [soft, hard],
        _ => [soft.saturating_add(taken).min(hard), hard],
    }
}

/// The process has a kernel now.
pub fn make_room_for_kernel() {
    let Ok(own) = host::limits(libc::RLIMIT_AS) else { return };
    let all = with_room_for_kernel(own);
    if all != own && host::set_limits(libc::RLIMIT_AS, all).is_ok() {
        program_has(own[0]);
    }
}

/// The program has asked for this soft limit of address space.
pub fn program_has(soft: u64) {
    ADDRESS_SPACE.store(soft, Ordering::Relaxed);
}

/// The soft limit of address space as the program knows it, where the host has another one.
pub fn address_space() -> Option<u64> {
    Some(ADDRESS_SPACE.load(Ordering::Relaxed)).filter(|&soft| soft != 0)
}

/// Makes an exec with the program's own limit of address space, which the new program inherits.
pub fn with_the_programs(execute: impl FnOnce() -> Result) -> Result {
    let (Some(soft), Ok(all)) = (address_space(), host::limits(libc::RLIMIT_AS)) else { return execute() };
    let _ = host::set_limits(libc::RLIMIT_AS, [soft, all[1]]);
    let failed = execute();
    let _ = host::set_limits(libc::RLIMIT_AS, all);
    failed
}
