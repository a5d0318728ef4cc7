// SPDX-License-Identifier: GPL-2.0-only
//! What is asked of the host, and std has no name for.
//!
//! # Safety
//! With `serve/sys.rs` the only file of this program with unsafe code: one libc call per function, with owned, NUL-ended strings.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

/// prctl(2), include/uapi/linux/prctl.h: newer than some libc headers.
const PR_SET_SYSCALL_USER_DISPATCH: libc::c_int = 59;
const PR_SYS_DISPATCH_ON: libc::c_ulong = 1;

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Who we are, for permissions: effective user and group.
pub fn effective_ids() -> (u32, u32) {
    // SAFETY: neither call takes anything or can fail.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// Whether the file may be executed by us.
pub fn is_executable(path: &Path) -> bool {
    let Ok(path) = c_string(path.as_os_str()) else { return false };
    // SAFETY: the string lives through the call.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::X_OK, libc::AT_EACCESS) == 0 }
}

/// Whether the file carries capabilities.
pub fn has_capabilities(path: &Path) -> bool {
    let Ok(path) = c_string(path.as_os_str()) else { return false };
    // SAFETY: both strings live through the call; size 0 asks for the length only.
    unsafe { libc::getxattr(path.as_ptr(), c"security.capability".as_ptr(), ptr::null_mut(), 0) > 0 }
}

/// Becomes the program. Returns only to say why not. Not std's `exec`: that one changes signal settings.
pub fn execve(program: &Path, args: &[OsString], env: &[(OsString, OsString)]) -> io::Error {
    let become_it = || -> io::Result<io::Error> {
        let program = c_string(program.as_os_str())?;
        let args = args.iter().map(|arg| c_string(arg)).collect::<io::Result<Vec<_>>>()?;
        let env: Vec<CString> = env
            .iter()
            .map(|(name, value)| {
                c_string(&OsString::from_vec([name.as_bytes(), b"=", value.as_bytes()].concat()))
            })
            .collect::<io::Result<_>>()?;
        let (argv, envp) = (pointers(&args), pointers(&env));
        // SAFETY: both arrays end with a null pointer and point to strings that live through the call.
        unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        Ok(io::Error::last_os_error())
    };
    become_it().unwrap_or_else(|error| error)
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// Renames; fails with EEXIST where the new name is taken.
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (c_string(from.as_os_str())?, c_string(to.as_os_str())?);
    let at = libc::AT_FDCWD;
    // SAFETY: both strings live through the call.
    let done = unsafe { libc::renameat2(at, from.as_ptr(), at, to.as_ptr(), libc::RENAME_NOREPLACE) };
    if done == 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        // Some file systems cannot; a hard link does not replace either.
        error if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
            // SAFETY: as above.
            if unsafe { libc::link(from.as_ptr(), to.as_ptr()) } != 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: as above.
            unsafe { libc::unlink(from.as_ptr()) };
            Ok(())
        }
        error => Err(error),
    }
}

/// Whether Syscall User Dispatch can be asked for at all: switching it off is allowed where it exists.
pub fn knows_user_dispatch() -> bool {
    let off: libc::c_ulong = 0;
    // SAFETY: takes numbers only; nothing is switched on in this process.
    unsafe { libc::prctl(PR_SET_SYSCALL_USER_DISPATCH, off, off, off, off) == 0 }
}

/// Whether the kernel has Syscall User Dispatch: a child tries to switch it on, so that we need not live with it.
pub fn has_user_dispatch() -> io::Result<bool> {
    // SAFETY: this process has one thread; the child makes two plain system calls and ends.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // 0 is SYSCALL_DISPATCH_FILTER_ALLOW: every call of the child goes through.
            let selector = 0u8;
            let range: libc::c_ulong = 0;
            // SAFETY: the selector outlives the child's last system call.
            unsafe {
                let on = PR_SYS_DISPATCH_ON;
                let done = libc::prctl(PR_SET_SYSCALL_USER_DISPATCH, on, range, range, &raw const selector);
                libc::_exit(i32::from(done != 0));
            }
        }
        child => {
            let mut status = 0;
            // SAFETY: the child is ours, the place for its status is a local.
            while unsafe { libc::waitpid(child, &mut status, 0) } < 0 {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
            Ok(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0)
        }
    }
}

/// The least signal stack that this processor needs, in bytes; 0 if the kernel does not say.
pub fn signal_frame_bytes() -> u64 {
    // SAFETY: takes a number, gives a number. AT_MINSIGSTKSZ is 51 (asm/auxvec.h).
    unsafe { libc::getauxval(51) }
}

/// Makes an io_uring and throws it away.
pub fn try_io_uring() -> io::Result<()> {
    const PARAMS_BYTES: usize = 120;
    let mut params = [0u8; PARAMS_BYTES];
    // SAFETY: the kernel fills the parameters, which are as long as its structure.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, params.as_mut_ptr()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is ours.
    unsafe { libc::close(fd as i32) };
    Ok(())
}

/// The kernel's release, as `uname -r` says it.
pub fn kernel_release() -> String {
    // SAFETY: all bytes zero is a valid value of this struct of byte arrays.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the struct is a local; the kernel ends each name with NUL.
    unsafe {
        libc::uname(&mut names);
        CStr::from_ptr(names.release.as_ptr()).to_string_lossy().into_owned()
    }
}

/// EDX of CPUID leaf 7, subleaf 0.
#[allow(unused_unsafe)] // older compilers call the instruction unsafe
pub fn cpuid_7_edx() -> u32 {
    // SAFETY: every x86-64 processor has the instruction; the leaf is read only where leaf 0 says it exists.
    unsafe {
        match std::arch::x86_64::__cpuid(0).eax {
            0..=6 => 0,
            _ => std::arch::x86_64::__cpuid_count(7, 0).edx,
        }
    }
}

/// The last signal of [`catch_signals`] that arrived; 0: none.
static CAUGHT: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(signal: libc::c_int) {
    CAUGHT.store(signal, Ordering::Relaxed);
}

/// From now on SIGINT, SIGTERM and SIGHUP are noted, not deadly, so that what is half made can be removed.
pub fn catch_signals() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler stores to an atomic and nothing else.
        unsafe { libc::signal(signal, note as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    }
}

/// The signal that asked us to end, if one did.
pub fn caught_signal() -> Option<i32> {
    Some(CAUGHT.load(Ordering::Relaxed)).filter(|&signal| signal != 0)
}

/// Sends a signal to a child that has not been waited for.
pub fn kill(child: u32, signal: i32) {
    // SAFETY: takes numbers only.
    unsafe { libc::kill(child as libc::pid_t, signal) };
}
