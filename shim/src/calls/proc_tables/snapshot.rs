// SPDX-License-Identifier: GPL-2.0-only
//! A text becomes an open file of the program.

use core::ffi::CStr;

use lkl::sys::process::{file_size_limit, RaisedLimit};

use crate::fdtable::{self, stand_in};
use crate::sys::decimal::FdPath;
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, AT_FDCWD};

/// Flags of open(2) that the file keeps.
const KEPT: i32 = libc::O_NONBLOCK | libc::O_APPEND;
/// The longest name of a memory file (memfd_create(2)).
const NAME_MAX: usize = 249;

/// Puts a file with this text at the number of an open one. Nobody can write to the file. `path` is what the file is called.
/// `changes`: the open one tells those who wait of changes, and goes on to do so.
pub fn put(at: i32, path: &[u8], text: &[u8], flags: usize, changes: bool) -> Result<()> {
    let _room = fdtable::room();
    let name = CStr::from_bytes_until_nul(path).ok().filter(|name| name.count_bytes() < NAME_MAX);
    let file = fs::sealable_file(name.unwrap_or(c"proc"))?;
    {
        // The limit is one for the program's files.
        let _limit = RaisedLimit::raise(libc::RLIMIT_FSIZE);
        if file_size_limit() < text.len() as u64 {
            return Err(Errno::ENOMEM);
        }
        write(file.raw(), text)?;
    }
    fs::seal_and_forbid_writing(file.raw())?;
    let is_cloexec = flags & libc::O_CLOEXEC as usize != 0;
    let how = libc::O_RDONLY | libc::O_CLOEXEC | flags as i32 & KEPT;
    let path = FdPath::new(file.raw() as usize);
    // No /proc here: then the program's descriptor could write, if the file could be written.
    let again = fs::open_at(AT_FDCWD, path.address(), how, 0);
    let from = again.as_ref().unwrap_or(&file);
    let kept = if changes { stand_in::keep(at) } else { None };
    let done = fs::copy_onto(from.raw(), at as usize, is_cloexec);
    if let Some(kept) = kept {
        stand_in::put(at, kept);
    }
    done.map(drop)
}

fn write(to: i32, text: &[u8]) -> Result<()> {
    let mut done = 0;
    while done < text.len() {
        done += fs::write_at(to, &text[done..], done)?;
    }
    Ok(())
}
