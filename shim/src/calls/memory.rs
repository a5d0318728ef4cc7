// SPDX-License-Identifier: GPL-2.0-only
//! Mappings of kernel files: a private mapping is a copy, made at once. A shared one would have to stay
//! coherent with the page cache and is refused.

use crate::calls::Call;
use crate::errno::{EACCES, EINVAL, ENODEV};
use crate::fd;
use crate::host::{self, Ret};
use crate::report::say_once;
use crate::section::section;

const MAP_TYPE: usize = 0x0f;
const PAGE: usize = 4096;

/// mmap(2)
pub fn mmap(c: &Call<'_>) -> Ret {
    let flags = c.args[3];
    if flags & libc::MAP_ANONYMOUS as usize != 0 {
        return c.to_host();
    }
    match fd::class(c.args[4]) {
        fd::HOST | fd::EPOLL_EMPTY => c.to_host(),
        fd::KERNEL if flags & MAP_TYPE == libc::MAP_PRIVATE as usize => copy(c),
        fd::KERNEL => {
            say_once!("mmap: MAP_SHARED of a file in a mount is not supported (ENODEV)");
            ENODEV
        }
        other => fd::refuse(other),
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
