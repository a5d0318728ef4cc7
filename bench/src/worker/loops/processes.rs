// SPDX-License-Identifier: GPL-2.0-only
//! The worker's loops about processes.
//!
//! # Safety
//! Between fork and exec a child makes system calls only. Calls get strings that live during the call.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr::null;

use anyhow::{bail, Result};

/// A child that ends at once.
pub fn fork_and_exit() -> Result<()> {
    wait_for(fork(|| 0)?)
}

/// A child that executes `/bin/true`.
pub fn fork_and_true() -> Result<()> {
    execute(c"/bin/true", None)
}

/// A child that executes `/bin/cat` with this file. What is printed goes nowhere.
pub fn fork_and_cat(path: &CStr) -> Result<()> {
    execute(c"/bin/cat", Some(path))
}

fn execute(program: &CStr, argument: Option<&CStr>) -> Result<()> {
    wait_for(fork(|| {
        let argv = [program.as_ptr(), argument.map_or(null(), CStr::as_ptr), null()];
        // SAFETY: the strings and the array live until the exec.
        unsafe {
            let nowhere = libc::open(c"/dev/null".as_ptr(), libc::O_WRONLY);
            libc::dup2(nowhere, 1);
            libc::execv(program.as_ptr(), argv.as_ptr());
        }
        127
    })?)
}

/// The child's id. The child ends with what `work` returns.
fn fork(work: impl FnOnce() -> i32) -> Result<libc::pid_t> {
    // SAFETY: the child makes system calls only.
    match unsafe { libc::fork() } {
        -1 => bail!("fork: {}", std::io::Error::last_os_error()),
        // SAFETY: ends the child.
        0 => unsafe { libc::_exit(work()) },
        pid => Ok(pid),
    }
}

fn wait_for(pid: libc::pid_t) -> Result<()> {
    let mut status = 0;
    // SAFETY: a live integer.
    if unsafe { libc::waitpid(pid, &raw mut status, 0) } != pid || status != 0 {
        bail!("a child ended with {status:#x}");
    }
    Ok(())
}
