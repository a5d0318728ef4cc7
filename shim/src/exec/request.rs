// SPDX-License-Identifier: GPL-2.0-only
//! What the application asks an exec for, and the names that the exec gives to things.

use crate::sys::decimal::Decimal;
use crate::sys::errno::Result;
use crate::sys::fs::AT_FDCWD;
use crate::sys::mem::Pages;
use crate::sys::scratch::{Scratch, PATH_MAX};
use crate::sys::user;

/// execveat(2), as the application asked for it. The words are addresses in the application's memory.
#[derive(Clone, Copy)]
pub struct Request {
    /// The directory, or AT_FDCWD.
    pub dirfd: i32,
    /// The path.
    pub path: usize,
    /// The arguments.
    pub argv: usize,
    /// The environment.
    pub envp: usize,
    /// AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW.
    pub flags: i32,
}

/// The names of what is executed, in one block of memory: that of the request, that of the file in the end, and the
/// interpreters on the way.
pub struct Names {
    block: Pages,
    execfn: usize,
    used: usize,
    exe: usize,
}

/// Where the name of the file in a mount stands in the block.
const EXE: usize = 3 * PATH_MAX;

impl Names {
    /// Reads the request's name. ENAMETOOLONG, EFAULT: as execve(2).
    pub fn new(request: &Request) -> Result<Names> {
        let mut scratch = Scratch::take()?;
        let len = user::read_string(scratch.path(), request.path)?;
        let text = &scratch.path()[..len];
        let mut names = Names { block: Pages::new(EXE + PATH_MAX)?, execfn: 0, used: 0, exe: 0 };
        // AT_EXECFN of a name below a descriptor (fs/exec.c, alloc_bprm).
        if request.dirfd != AT_FDCWD && text.first() != Some(&b'/') {
            names.append(b"/dev/fd/");
            names.append(Decimal::new(request.dirfd as usize).as_bytes());
            names.append(if text.is_empty() { b"" } else { b"/" });
        }
        names.append(text);
        names.execfn = names.used;
        names.append(b"\0");
        Ok(names)
    }

    fn append(&mut self, text: &[u8]) {
        let to = self.used;
        self.block.bytes()[to..to + text.len()].copy_from_slice(text);
        self.used += text.len();
    }

    /// Keeps a word of a script's first line; its address.
    pub fn keep(&mut self, text: &[u8]) -> usize {
        let at = self.block.address() + self.used;
        self.append(text);
        self.append(b"\0");
        at
    }

    /// Address of the request's name, which the program gets as AT_EXECFN.
    pub fn execfn_address(&self) -> usize {
        self.block.address()
    }

    /// The request's name.
    pub fn execfn(&self) -> &[u8] {
        self.text(0, self.execfn)
    }

    /// Where the file lies in a mount; empty: the file lies on the host.
    pub fn exe(&self) -> &[u8] {
        self.text(EXE, self.exe)
    }

    /// Lets `write` write where the file lies in a mount, and say the length of that.
    pub fn set_exe<T>(&mut self, write: impl FnOnce(&mut [u8]) -> Result<(T, usize)>) -> Result<T> {
        let (value, len) = write(&mut self.block.bytes()[EXE..])?;
        self.exe = len;
        Ok(value)
    }

    fn text(&self, start: usize, len: usize) -> &[u8] {
        &self.block.as_bytes()[start..start + len]
    }
}
