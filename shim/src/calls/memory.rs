// SPDX-License-Identifier: GPL-2.0-only
//! Mappings of kernel files: a private mapping is a copy, made at once. A shared one would have to stay
//! coherent with the page cache and is refused.
#![allow(unsafe_code)]

use trampoline::rewrite;
use trampoline::uninterrupted;

use crate::fdtable::{self, Owner};
use crate::instance::enter::{self, enter_kernel};
use crate::sys::call::{args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::mem::{unmap, PAGE};
use crate::sys::report::say_once;
use crate::sys::{fs, host};

const MAP_TYPE: usize = 0x0f;

/// mmap(2)
pub fn mmap(c: &Call<'_>) -> Result {
    let flags = c.args[3];
    if flags & libc::MAP_ANONYMOUS as usize != 0 {
        return map_on_host(c);
    }
    match fdtable::owner(c.args[4])? {
        Owner::Host => map_on_host(c),
        Owner::Kernel => {
            check(c)?;
            map_kernel_file(c, flags)
        }
    }
}

/// What is wrong with a mapping of a kernel file, in the order of mm/mmap.c (`ksys_mmap_pgoff`, `do_mmap`).
fn check(c: &Call<'_>) -> Result<()> {
    let [_, len, _, _, file, offset] = c.args;
    let whole = len.wrapping_add(PAGE - 1) & !(PAGE - 1);
    if offset % PAGE != 0 {
        return Err(Errno::EINVAL);
    }
    let mode = enter::open_flags(file)?;
    if len == 0 {
        return Err(Errno::EINVAL);
    }
    if whole == 0 {
        return Err(Errno::ENOMEM);
    }
    let status =
        fs::filled_stat(|to| enter_kernel(|context| context.call(libc::SYS_fstat, &args([file, to]))))?;
    let is_regular = status.st_mode & libc::S_IFMT == libc::S_IFREG;
    if is_regular && offset.checked_add(whole).is_none_or(|end| end > isize::MAX as usize) {
        return Err(Errno::EOVERFLOW);
    }
    if mode & libc::O_ACCMODE == libc::O_WRONLY {
        return Err(Errno::EACCES);
    }
    match is_regular {
        true => Ok(()),
        false => Err(Errno::ENODEV),
    }
}

fn map_kernel_file(c: &Call<'_>, flags: usize) -> Result {
    const PRIVATE: usize = libc::MAP_PRIVATE as usize;
    match flags & MAP_TYPE {
        PRIVATE => copy(c),
        _ => {
            say_once!("mmap: MAP_SHARED of a file in a mount is not supported (ENODEV)");
            Err(Errno::ENODEV)
        }
    }
}

/// The rewriter has to know where code comes and goes.
fn map_on_host(c: &Call<'_>) -> Result {
    let [address, len, prot, flags, ..] = c.args;
    let executable = prot & libc::PROT_EXEC as usize != 0;
    let replaces = flags & libc::MAP_FIXED as usize != 0 && rewrite::concerns(address, len);
    let start = c.to_host()?;
    if (executable || replaces) && !rewrite::is_frozen() {
        uninterrupted(|| match executable && flags & libc::MAP_ANONYMOUS as usize == 0 {
            true => rewrite::mapped(start, len),
            false => rewrite::unmapped(start, len),
        });
    }
    Ok(start)
}

/// munmap(2), mremap(2): the first two arguments say what goes away.
pub fn munmap(c: &Call<'_>) -> Result {
    forget_code(c.args[0], c.args[1]);
    c.to_host()
}

/// mprotect(2), pkey_mprotect(2)
pub fn mprotect(c: &Call<'_>) -> Result {
    let [address, len, prot, ..] = c.args;
    forget_code(address, len);
    let r = c.to_host();
    if prot & libc::PROT_EXEC as usize != 0 && !rewrite::is_frozen() {
        uninterrupted(|| rewrite::unmapped(address, len));
    }
    r
}

/// Before it may become something else: nothing may be rewritten there for what it was.
fn forget_code(address: usize, len: usize) {
    if rewrite::concerns(address, len) {
        uninterrupted(|| rewrite::unmapped(address, len));
    }
}

fn copy(c: &Call<'_>) -> Result {
    let [address, len, prot, flags, file, offset] = c.args;
    let writable = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    let anonymous = flags | libc::MAP_ANONYMOUS as usize;
    // SAFETY: what the application asked for, but for the file.
    let base = unsafe { host::call(libc::SYS_mmap, &[address, len, writable, anonymous, usize::MAX, 0]) }?;
    let done = fill(base, len, file, offset).and_then(|()| match prot == writable {
        true => Ok(0),
        // SAFETY: the mapping just made, which nobody knows yet.
        false => unsafe { host::call(libc::SYS_mprotect, &[base, len, prot]) },
    });
    if done.is_err() {
        // SAFETY: as above.
        unsafe { unmap(base, len) };
    }
    done.map(|_| base)
}

/// Reads the file into the mapping; what lies behind its end stays zero (pages wholly behind it should give
/// SIGBUS and give zeroes).
fn fill(base: usize, len: usize, file: usize, offset: usize) -> Result<()> {
    let mut done = 0;
    while done < len {
        let args = args([file, base + done, len - done, offset + done]);
        match enter_kernel(|context| context.call(libc::SYS_pread64, &args))? {
            0 => return Ok(()),
            n => done += n,
        }
    }
    Ok(())
}
