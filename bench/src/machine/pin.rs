// SPDX-License-Identifier: GPL-2.0-only
//! Which CPU a thread runs on.
//!
//! # Safety
//! A cpu_set_t is valid as zeroes, and the calls are told its size.
#![allow(unsafe_code)]

use std::sync::OnceLock;

use anyhow::{bail, Result};

/// Those that the process could use when it was first asked.
fn allowed() -> &'static [usize] {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    ALLOWED.get_or_init(|| {
        // SAFETY: all-zero is a set; the call fills it; bits are read within it.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
            (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &set)).collect()
        }
    })
}

/// How many there are.
pub fn cpus() -> usize {
    allowed().len()
}

/// The calling thread runs on the `n`th of them alone.
pub fn pin(n: usize) -> Result<()> {
    let Some(&cpu) = allowed().get(n) else { bail!("there are {} CPUs only", cpus()) };
    // SAFETY: a set of our own, of the length that is said.
    let failed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) != 0
    };
    if failed {
        bail!("sched_setaffinity: {}", std::io::Error::last_os_error());
    }
    Ok(())
}
