// SPDX-License-Identifier: GPL-2.0-only
//! A program of the host's that this library starts for itself: outside of the instance, with nothing of the application's but
//! the descriptors that are given to it.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;

use lkl::sys::spawn::{self, Descriptors};
use lkl::sys::{call, file, signal, OwnedFd};

use crate::sys::errno::Result;
use crate::sys::fs;

/// Where programs are looked for without PATH.
const PLACES: &str = "/usr/bin:/usr/local/bin:/bin";

/// What the new process needs: all is made before.
struct Plan<'a> {
    program: &'a CStr,
    argv: Vec<usize>,
    envp: [usize; 2],
    /// Which descriptor each number leads to, from 0 on.
    numbers: Vec<OwnedFd>,
}

/// The program of that name in PATH.
pub fn find(name: &str) -> Option<CString> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| PLACES.into());
    let places = std::env::split_paths(&path).filter(|place| place.is_absolute());
    places
        .map(|place| place.join(name))
        .filter_map(|path| CString::new(path.as_os_str().as_bytes()).ok())
        .find(|path| fs::access_at(fs::AT_FDCWD, fs::address(path), libc::X_OK).is_ok())
}

/// Starts a program. `arguments` begin with its name; `given` are its descriptors from 0 on, where `None` is /dev/null. The
/// process's number, for [`spawn::wait_for`].
pub fn start(program: &CStr, arguments: &[String], given: &[Option<&OwnedFd>]) -> Result<u32> {
    let words: Vec<CString> = arguments.iter().filter_map(|word| CString::new(word.as_str()).ok()).collect();
    let mut argv: Vec<usize> = words.iter().map(|word| word.as_ptr() as usize).collect();
    argv.push(0);
    // Above the numbers that the new process gives them.
    let above = given.len() as i32;
    let numbers = given.iter().map(|fd| match fd {
        Some(fd) => file::dup(fd.raw(), above),
        None => fs::open(c"/dev/null", libc::O_RDWR | libc::O_CLOEXEC, 0)?.move_up(above),
    });
    let envp = [c"PATH=/usr/bin:/bin".as_ptr() as usize, 0];
    let plan = Plan { program, argv, envp, numbers: numbers.collect::<Result<_>>()? };
    // SAFETY: run() makes host calls only; the plan is there until the process has executed its program.
    unsafe { spawn::spawn(run, &raw const plan as usize, Descriptors::Copied) }
}

extern "C" fn run(plan: usize) -> ! {
    // SAFETY: start()'s, which waits until this process has another memory.
    let plan = unsafe { &*(plan as *const Plan<'_>) };
    for (number, fd) in plan.numbers.iter().enumerate() {
        let _ = fs::copy_onto(fd.raw(), number, false);
    }
    let _ = fs::close_range(plan.numbers.len(), u32::MAX as usize, 0);
    let program = plan.program.as_ptr() as usize;
    // SAFETY: live strings; the host replaces this process's memory, which was never its own.
    unsafe {
        // No signal of the terminal's is for it.
        call(libc::SYS_setsid, [0; 6]);
        signal::set_mask(0);
        call(libc::SYS_execve, [program, plan.argv.as_ptr() as usize, plan.envp.as_ptr() as usize, 0, 0, 0]);
        loop {
            call(libc::SYS_exit_group, [127, 0, 0, 0, 0, 0]);
        }
    }
}
