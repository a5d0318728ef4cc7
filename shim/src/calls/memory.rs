// SPDX-License-Identifier: GPL-2.0-only
//! Calls on the program's memory. Mappings of kernel files are the kernel's to make and to change (`instance::maps`); small
//! private ones, and code, are copies that are made at once.
#![allow(unsafe_code)]

use lkl::{Access, AreaOp};
use trampoline::rewrite;
use trampoline::uninterrupted;

use crate::fdtable::{self, Owner};
use crate::instance::enter::{self, enter_kernel};
use crate::instance::maps;
use crate::sys::call::{args, Call};
use crate::sys::errno::{Errno, Result};
use crate::sys::mem::{unmap, PAGE};
use crate::sys::report::say_once;
use crate::sys::{fs, host, rings};

const MAP_TYPE: usize = 0x0f;
/// A private mapping of so little is read at once: that costs less than its faults.
const SMALL: usize = 64 << 10;

/// mmap(2)
pub fn mmap(c: &Call<'_>) -> Result {
    let [address, len, _, flags, file, _] = c.args;
    let is_host = flags & libc::MAP_ANONYMOUS as usize != 0 || fdtable::owner(file)? == Owner::Host;
    if !is_host {
        let size = check(c)?;
        return map_kernel_file(c, size);
    }
    if flags & libc::MAP_FIXED as usize != 0 {
        maps::change(AreaOp::Replace, address, len, [0; 3]).transpose()?;
    }
    map_on_host(c)
}

/// What is wrong with a mapping of a kernel file, in the order of mm/mmap.c (`ksys_mmap_pgoff`, `do_mmap`). The file's size.
fn check(c: &Call<'_>) -> Result<usize> {
    let [address, len, _, flags, file, offset] = c.args;
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
    if flags & libc::MAP_FIXED as usize != 0 && address % PAGE != 0 {
        return Err(Errno::EINVAL);
    }
    let status =
        fs::filled_stat(|to| enter_kernel(|context| context.call(libc::SYS_fstat, &args([file, to]))))?;
    let is_regular = status.st_mode & libc::S_IFMT == libc::S_IFREG;
    if is_regular && offset.checked_add(whole).is_none_or(|end| end > isize::MAX as usize) {
        return Err(Errno::EOVERFLOW);
    }
    if !matches!(
        flags as i32 & MAP_TYPE as i32,
        libc::MAP_SHARED | libc::MAP_PRIVATE | libc::MAP_SHARED_VALIDATE
    ) {
        return Err(Errno::EINVAL);
    }
    if mode & libc::O_ACCMODE == libc::O_WRONLY {
        return Err(Errno::EACCES);
    }
    match is_regular {
        true => Ok(status.st_size as usize),
        false => Err(Errno::ENODEV),
    }
}

fn map_kernel_file(c: &Call<'_>, size: usize) -> Result {
    let [address, len, prot, flags, ..] = c.args;
    let is_private = flags & MAP_TYPE == libc::MAP_PRIVATE as usize;
    let is_fixed = flags & libc::MAP_FIXED as usize != 0;
    if is_fixed {
        forget_code(address, len);
    }
    if is_private && is_better_copied(c, size) {
        if is_fixed {
            maps::change(AreaOp::Replace, address, len, [0; 3]).transpose()?;
        }
        return copy(c);
    }
    let is_checked = flags & MAP_TYPE == libc::MAP_SHARED_VALIDATE as usize;
    let start = maps::new(&c.args).inspect_err(|&e| {
        if e == Errno::EOPNOTSUPP && !is_checked {
            say_once!("mmap: no shared mapping that can be written of a file on NTFS (EOPNOTSUPP)");
        }
    })?;
    if flags & (libc::MAP_POPULATE | libc::MAP_LOCKED) as usize != 0 {
        let writes = !is_private && prot & libc::PROT_WRITE as usize != 0;
        // As much as there is: mmap(2) does not fail for the rest.
        let _ = maps::touch(start, len, if writes { Access::Write } else { Access::Read });
    }
    Ok(start)
}

/// Code is read by the rewriter, which must meet no fault; and what is small. What lies behind the end of the file is SIGBUS
/// in a mapping, and zeroes in a copy.
fn is_better_copied(c: &Call<'_>, size: usize) -> bool {
    let [_, len, prot, flags, _, offset] = c.args;
    let is_code = prot & libc::PROT_EXEC as usize != 0 || flags & libc::MAP_DENYWRITE as usize != 0;
    let is_within = offset + len <= size.next_multiple_of(PAGE);
    is_code || (is_within && len <= SMALL) || (offset == 0 && is_elf(c.args[4]))
}

fn is_elf(file: usize) -> bool {
    let mut head = [0u8; 4];
    let args = args([file, head.as_mut_ptr() as usize, head.len(), 0]);
    enter_kernel(|context| context.call(libc::SYS_pread64, &args)) == Ok(head.len()) && head == *b"\x7fELF"
}

/// The rewriter has to know where code comes and goes.
fn map_on_host(c: &Call<'_>) -> Result {
    let [address, len, prot, flags, ..] = c.args;
    let executable = prot & libc::PROT_EXEC as usize != 0;
    let replaces = flags & libc::MAP_FIXED as usize != 0 && rewrite::concerns(address, len);
    let start = c.to_host()?;
    if flags & libc::MAP_ANONYMOUS as usize == 0 {
        rings::is_mapped(c.args[4] as u32 as usize, c.args[5], start);
    }
    if (executable || replaces) && !rewrite::is_frozen() {
        uninterrupted(|| match executable && flags & libc::MAP_ANONYMOUS as usize == 0 {
            true => rewrite::mapped(start, len),
            false => rewrite::unmapped(start, len),
        });
    }
    Ok(start)
}

/// munmap(2)
pub fn munmap(c: &Call<'_>) -> Result {
    let [address, len, ..] = c.args;
    forget_code(address, len);
    maps::change(AreaOp::Unmap, address, len, [0; 3]).unwrap_or_else(|| c.to_host())
}

/// mremap(2)
pub fn mremap(c: &Call<'_>) -> Result {
    let [address, len, new_len, flags, to, _] = c.args;
    forget_code(address, len);
    if let Some(result) = maps::change(AreaOp::Move, address, len, [new_len, flags, to]) {
        return result;
    }
    if flags & libc::MREMAP_FIXED as usize != 0 {
        maps::change(AreaOp::Replace, to, new_len, [0; 3]).transpose()?;
    }
    c.to_host()
}

/// mprotect(2), pkey_mprotect(2)
pub fn mprotect(c: &Call<'_>) -> Result {
    let [address, len, prot, key, ..] = c.args;
    forget_code(address, len);
    let has_key = c.nr as i64 == libc::SYS_pkey_mprotect && key as u32 != u32::MAX;
    let r = match maps::change(AreaOp::Protect, address, len, [prot, 0, 0]) {
        Some(_) if has_key => {
            say_once!("pkey_mprotect: no protection keys on mapped files of a mount (EINVAL)");
            Err(Errno::EINVAL)
        }
        Some(result) => result,
        None => c.to_host(),
    };
    if prot & libc::PROT_EXEC as usize != 0 && !rewrite::is_frozen() {
        uninterrupted(|| rewrite::unmapped(address, len));
    }
    r
}

/// madvise(2)
pub fn madvise(c: &Call<'_>) -> Result {
    let [address, len, advice, ..] = c.args;
    let populates = match advice as i32 {
        libc::MADV_POPULATE_READ => Some(Access::Read),
        libc::MADV_POPULATE_WRITE => Some(Access::Write),
        _ => None,
    };
    if let Some(access) = populates.filter(|_| address % PAGE == 0) {
        match maps::touch(address, len, access) {
            Ok(_) => return Ok(0),
            Err(Errno::EIO) => return Err(Errno::EFAULT),
            Err(Errno::EFAULT) => return Err(Errno::EINVAL),
            Err(_) => {}
        }
    }
    let result = maps::change(AreaOp::Advise, address, len, [advice, 0, 0]);
    if result == Some(Err(Errno::EINVAL))
        && matches!(advice as i32, libc::MADV_DONTFORK | libc::MADV_WIPEONFORK)
    {
        say_once!("madvise: every child of fork has the mappings of files in mounts (EINVAL)");
    }
    result.unwrap_or_else(|| c.to_host())
}

/// msync(2)
pub fn msync(c: &Call<'_>) -> Result {
    let [address, len, flags, ..] = c.args;
    maps::change(AreaOp::Sync, address, len, [flags, 0, 0]).unwrap_or_else(|| c.to_host())
}

/// mincore(2)
pub fn mincore(c: &Call<'_>) -> Result {
    let [address, len, to, ..] = c.args;
    maps::change(AreaOp::Core, address, len, [to, 0, 0]).unwrap_or_else(|| c.to_host())
}

/// mlock(2), mlock2(2): what is there stays there as long as the kernel inside has memory.
pub fn mlock(c: &Call<'_>) -> Result {
    let [address, len, ..] = c.args;
    let start = address & !(PAGE - 1);
    let len = (address - start + len).next_multiple_of(PAGE);
    if maps::touch(start, len, Access::Read) == Err(Errno::EIO) {
        return Err(Errno::ENOMEM);
    }
    maps::change(AreaOp::Lock, start, len, [0; 3]).unwrap_or_else(|| c.to_host())
}

/// remap_file_pages(2): the host would map other pages of the kernel's memory.
pub fn remap_file_pages(c: &Call<'_>) -> Result {
    if !maps::concerns(c.args[0], c.args[1].max(1)) {
        return c.to_host();
    }
    say_once!("remap_file_pages: not supported where files of a mount are mapped (EINVAL)");
    Err(Errno::EINVAL)
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
