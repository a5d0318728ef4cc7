// SPDX-License-Identifier: GPL-2.0-only
//! Mappings of kernel files: a private mapping is a copy, made at once. A shared one would have to stay
//! coherent with the page cache and is refused.

use trampoline::rewrite;
use trampoline::sud::aside;

use crate::calls::Call;
use crate::fdtable;
use crate::instance::enter::section;
use crate::sys::errno::{EACCES, EINVAL, ENODEV};
use crate::sys::host::{self, Ret};
use crate::sys::report::say_once;

const MAP_TYPE: usize = 0x0f;
const PAGE: usize = 4096;

/// mmap(2)
pub fn mmap(c: &Call<'_>) -> Ret {
    let flags = c.args[3];
    if flags & libc::MAP_ANONYMOUS as usize != 0 {
        return map_on_host(c);
    }
    match fdtable::class(c.args[4]) {
        fdtable::HOST | fdtable::EPOLL_EMPTY => map_on_host(c),
        fdtable::KERNEL if flags & MAP_TYPE == libc::MAP_PRIVATE as usize => copy(c),
        fdtable::KERNEL => {
            say_once!("mmap: MAP_SHARED of a file in a mount is not supported (ENODEV)");
            ENODEV
        }
        other => fdtable::refuse(other),
    }
}

/// The rewriter has to know where code comes and goes.
fn map_on_host(c: &Call<'_>) -> Ret {
    let [address, len, prot, flags, ..] = c.args;
    let executable = prot & libc::PROT_EXEC as usize != 0;
    let replaces = flags & libc::MAP_FIXED as usize != 0 && rewrite::concerns(address, len);
    let r = c.to_host();
    if (executable || replaces) && r >= 0 {
        let start = r as usize;
        aside(|| match executable && flags & libc::MAP_ANONYMOUS as usize == 0 {
            true => rewrite::mapped(start, len),
            false => rewrite::unmapped(start, len),
        });
    }
    r
}

/// munmap(2), mremap(2): the first two arguments say what goes away.
pub fn munmap(c: &Call<'_>) -> Ret {
    forget_code(c.args[0], c.args[1]);
    c.to_host()
}

/// mprotect(2), pkey_mprotect(2)
pub fn mprotect(c: &Call<'_>) -> Ret {
    let [address, len, prot, ..] = c.args;
    forget_code(address, len);
    let r = c.to_host();
    if prot & libc::PROT_EXEC as usize != 0 {
        aside(|| rewrite::unmapped(address, len));
    }
    r
}

/// Before it may become something else: nothing may be rewritten there for what it was.
fn forget_code(address: usize, len: usize) {
    if rewrite::concerns(address, len) {
        aside(|| rewrite::unmapped(address, len));
    }
}

fn copy(c: &Call<'_>) -> Ret {
    let [address, len, prot, flags, file, offset] = c.args;
    if len == 0 || offset % PAGE != 0 {
        return EINVAL;
    }
    let mode = section(|door| door.call(libc::SYS_fcntl, &[file, libc::F_GETFL as usize, 0, 0, 0, 0]));
    if mode < 0 {
        return mode;
    }
    if mode as usize & libc::O_ACCMODE as usize == libc::O_WRONLY as usize {
        return EACCES;
    }
    let writable = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    let anonymous = flags | libc::MAP_ANONYMOUS as usize;
    let base = host::call(libc::SYS_mmap, &[address, len, writable, anonymous, usize::MAX, 0]);
    if base < 0 {
        return base;
    }
    let r = fill(base as usize, len, file, offset);
    if r < 0 {
        host::unmap(base as usize, len);
        return r;
    }
    if prot != writable {
        let r = host::call(libc::SYS_mprotect, &[base as usize, len, prot]);
        if r < 0 {
            host::unmap(base as usize, len);
            return r;
        }
    }
    base
}

/// Reads the file into the mapping; what lies behind its end stays zero (pages wholly behind it should give
/// SIGBUS and give zeroes).
fn fill(base: usize, len: usize, file: usize, offset: usize) -> Ret {
    let mut done = 0;
    while done < len {
        let args = [file, base + done, len - done, offset + done, 0, 0];
        match section(|door| door.call(libc::SYS_pread64, &args)) {
            n if n > 0 => done += n as usize,
            n => return n,
        }
    }
    0
}
