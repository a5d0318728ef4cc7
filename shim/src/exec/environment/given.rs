// SPDX-License-Identifier: GPL-2.0-only
//! The environment that the caller of an exec gave: its variables are only alleged.

use stowaway_config::{is_setting, EXEC, EXEC_PATH};

use crate::exec::kept::Setting;
use crate::observe::FAMILY;
use crate::process::handoff::{CWD, FDS};
use crate::process::member::MEMBER;
use crate::sys::errno::{Errno, Result};
use crate::sys::root::ROOT;
use crate::sys::told::ID;
use crate::sys::user;

/// What the dynamic loader of glibc preloads (ld.so(8)).
pub const PRELOAD: &[u8] = b"LD_PRELOAD=";
/// What one program's library tells the next one's is told anew.
const HANDED_ON: [&[u8]; 8] = [EXEC, EXEC_PATH, CWD, FDS, MEMBER, ID, FAMILY, ROOT];
/// Longer than any name that is looked for.
const HEAD: usize = 32;
/// The kernel takes no longer string (include/uapi/linux/binfmts.h, MAX_ARG_STRLEN).
const TEXT_MAX: usize = 128 << 10;
const WORD: usize = size_of::<usize>();

/// What an entry is to us.
pub enum Entry {
    /// LD_PRELOAD.
    Preload,
    /// The settings' number in what was kept.
    Setting(usize),
    /// What one program's library tells the next one's.
    HandedOn,
    /// Another setting, which this process was not started with.
    OtherSetting,
    /// The application's.
    Other,
}

/// The first bytes of a string; NUL behind a short one.
fn head(entry: usize) -> Result<[u8; HEAD]> {
    let mut head = [0; HEAD];
    match user::read_string(&mut head, entry) {
        Ok(_) | Err(Errno::ENAMETOOLONG) => Ok(head),
        Err(e) => Err(e),
    }
}

impl Entry {
    /// What the variable at an address is.
    pub fn of(entry: usize, settings: &[Setting]) -> Result<Entry> {
        let head = head(entry)?;
        if head.starts_with(PRELOAD) {
            return Ok(Entry::Preload);
        }
        if HANDED_ON.iter().any(|name| head.starts_with(name)) {
            return Ok(Entry::HandedOn);
        }
        if let Some(at) = settings.iter().position(|s| head.starts_with(&s.found[..s.name])) {
            return Ok(Entry::Setting(at));
        }
        let end = head.iter().position(|&byte| matches!(byte, b'=' | 0)).unwrap_or(HEAD);
        Ok(if is_setting(&head[..end]) { Entry::OtherSetting } else { Entry::Other })
    }
}

impl Setting {
    /// What stands for the application's entry of this name: the entry, unless it is the one that this process was
    /// started with. That one is meant from the directory where this process was started.
    pub fn replacement(&self, entry: usize) -> Result {
        if self.text.as_bytes() != self.found && is_text(entry, &self.found)? {
            return Ok(self.text.as_ptr() as usize);
        }
        Ok(entry)
    }
}

/// Whether the string at `address` is `text`.
pub fn is_text(mut address: usize, text: &[u8]) -> Result<bool> {
    let mut piece = [0u8; HEAD];
    for chunk in text.chunks(HEAD) {
        let piece = &mut piece[..chunk.len()];
        match user::read_string(piece, address) {
            Err(Errno::ENAMETOOLONG) if piece == chunk => address += chunk.len(),
            Err(Errno::ENAMETOOLONG) | Ok(_) => return Ok(false),
            Err(e) => return Err(e),
        }
    }
    Ok(user::read::<u8>(address)? == 0)
}

/// Whether the environment at `given` has a variable whose `NAME=` this is, of at most 32 bytes.
pub fn has(given: usize, name: &[u8]) -> Result<bool> {
    for at in (0..).take_while(|_| given != 0) {
        match user::read(given + at * WORD)? {
            0 => break,
            entry if head(entry)?.starts_with(name) => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}

/// The length of a string. E2BIG: longer than any that the kernel takes.
pub fn length(address: usize) -> Result {
    let mut piece = [0u8; 256];
    let mut n = 0;
    while n < TEXT_MAX {
        match user::read_string(&mut piece, address + n) {
            Ok(last) => return Ok(n + last),
            Err(Errno::ENAMETOOLONG) => n += piece.len(),
            Err(e) => return Err(e),
        }
    }
    Err(Errno::E2BIG)
}

/// The given environment at a first look.
pub struct Seen {
    /// How many variables there are.
    pub count: usize,
    /// The LD_PRELOAD that counts for ld.so, the last one (elf/rtld.c, process_envvars); 0: there is none.
    pub preload: usize,
    /// Its length.
    pub preload_length: usize,
}

impl Seen {
    /// Looks at the environment at `given` (0: an empty one).
    pub fn look(given: usize) -> Result<Seen> {
        let mut seen = Seen { count: 0, preload: 0, preload_length: 0 };
        if given == 0 {
            return Ok(seen);
        }
        loop {
            let entry: usize = user::read(given + seen.count * WORD)?;
            if entry == 0 {
                break;
            }
            if head(entry)?.starts_with(PRELOAD) {
                seen.preload = entry;
            }
            seen.count += 1;
        }
        if seen.preload != 0 {
            seen.preload_length = length(seen.preload)?;
        }
        Ok(seen)
    }
}
