// SPDX-License-Identifier: GPL-2.0-only
//! The environment that the loader is started with: which program, our settings, and the application's variables,
//! of which those that would act on our own dynamic loader and libc get another name (see `stowaway_config`).

use stowaway_config::{is_for_libc, ENV_PREFIX, EXEC, EXEC_PATH, KEPT};

use crate::exec::pages::Block;
use crate::fdtable::put_number;
use crate::sys::errno::{ENAMETOOLONG, ENOMEM};
use crate::sys::host::Ret;
use crate::sys::scratch::Scratch;
use crate::sys::user;

const WORD: usize = size_of::<usize>();
/// Enough of a variable to know it by.
const HEAD: usize = 32;
/// What one program tells the next is told anew.
const HANDED_ON: [&[u8]; 4] = [EXEC, EXEC_PATH, b"STOWAWAY_CWD=", b"STOWAWAY_FDS="];

/// Our variables for the new program: addresses of `NAME=VALUE`.
#[derive(Default)]
pub struct Own {
    list: [usize; 32],
    settings: usize,
    /// Of the program before the exec; none of the application's is meant.
    handed_on: [usize; 2],
    handed: usize,
}

impl Own {
    /// Adds a setting. One that the application gives counts more.
    pub fn setting(&mut self, text: usize) {
        if let Some(slot) = self.list.get_mut(self.settings) {
            *slot = text;
            self.settings += 1;
        }
    }

    /// Adds what only we can know.
    pub fn hand_on(&mut self, text: usize) {
        if let Some(slot) = self.handed_on.get_mut(self.handed) {
            *slot = text;
            self.handed += 1;
        }
    }
}

/// A vector of strings, and the strings that are made for it.
pub struct Environment {
    vector: Block,
    /// Words in the vector.
    count: usize,
    texts: Block,
    used: usize,
}

impl Environment {
    /// Of the application's `envp`, with ours.
    pub fn new(envp: usize, own: &Own, fd: i32, execfn: &[u8], exe: &[u8]) -> Result<Environment, Ret> {
        let (count, bytes) = measure(envp)?;
        let names = EXEC.len() + 24 + execfn.len() + 1 + EXEC_PATH.len() + exe.len() + 1;
        let mut made = Environment {
            vector: Block::new((count + own.settings + own.handed + 3) * WORD).ok_or(ENOMEM)?,
            count: 0,
            texts: Block::new(bytes + names).ok_or(ENOMEM)?,
            used: 0,
        };
        let mut number = [0u8; 24];
        put_number(&mut number, fd as usize);
        let digits = number.iter().position(|&b| b == 0).unwrap_or(0);
        made.text(&[EXEC, &number[..digits], b":", execfn, b"\0"]);
        if !exe.is_empty() {
            made.text(&[EXEC_PATH, exe, b"\0"]);
        }
        let mut given = 0u32;
        for i in 0..count {
            made.variable(user::read(envp + i * WORD)?, own, &mut given)?;
        }
        for (i, &entry) in own.list[..own.settings].iter().enumerate() {
            if given & 1 << i == 0 {
                made.put(entry);
            }
        }
        for &entry in &own.handed_on[..own.handed] {
            made.put(entry);
        }
        Ok(made)
    }

    /// Address of the vector.
    pub fn address(&self) -> usize {
        self.vector.address()
    }

    fn put(&mut self, entry: usize) {
        let at = self.count * WORD;
        self.vector.bytes()[at..at + WORD].copy_from_slice(&entry.to_ne_bytes());
        self.count += 1;
    }

    /// Adds a string made of `parts`.
    fn text(&mut self, parts: &[&[u8]]) {
        let start = self.texts.address() + self.used;
        for part in parts {
            self.texts.bytes()[self.used..self.used + part.len()].copy_from_slice(part);
            self.used += part.len();
        }
        self.put(start);
    }

    /// Adds one of the application's; `given` notes which settings it is.
    fn variable(&mut self, entry: usize, own: &Own, given: &mut u32) -> Result<(), Ret> {
        let head = head(entry)?;
        if is_for_libc(&head) {
            let start = self.texts.address() + self.used;
            self.texts.bytes()[self.used..self.used + KEPT.len()].copy_from_slice(KEPT);
            self.used += KEPT.len();
            self.used += copy_string(entry, &mut self.texts.bytes()[self.used..])?;
            self.put(start);
            return Ok(());
        }
        if !head.starts_with(ENV_PREFIX) {
            self.put(entry);
            return Ok(());
        }
        if let Some(i) = same_name(&head, &own.list[..own.settings])? {
            *given |= 1 << i;
        }
        let is_ours = HANDED_ON.iter().any(|name| head.starts_with(name));
        if !is_ours {
            self.put(entry);
        }
        Ok(())
    }
}

/// Copies a string with its NUL; what was written. ENOMEM: it grew since it was measured.
fn copy_string(from: usize, to: &mut [u8]) -> Result<usize, Ret> {
    match user::read_string(to, from) {
        Ok(len) => Ok(len + 1),
        Err(ENAMETOOLONG) => Err(ENOMEM),
        Err(e) => Err(e),
    }
}

/// The first bytes of a variable; NUL behind a short one.
fn head(entry: usize) -> Result<[u8; HEAD], Ret> {
    let mut head = [0; HEAD];
    match user::read_string(&mut head, entry) {
        Ok(_) | Err(ENAMETOOLONG) => Ok(head),
        Err(e) => Err(e),
    }
}

/// Which of `texts` has the name of the variable that begins with `variable`.
fn same_name(variable: &[u8; HEAD], texts: &[usize]) -> Result<Option<usize>, Ret> {
    let Some(end) = variable.iter().position(|&b| b == b'=') else { return Ok(None) };
    for (i, &text) in texts.iter().enumerate() {
        if head(text)?[..=end] == variable[..=end] {
            return Ok(Some(i));
        }
    }
    Ok(None)
}

/// How many variables there are, and how many bytes those take that get another name.
fn measure(envp: usize) -> Result<(usize, usize), Ret> {
    let mut scratch = Scratch::take()?;
    let (mut count, mut bytes) = (0, 0);
    if envp == 0 {
        return Ok((0, 0));
    }
    loop {
        let mut entry: usize = user::read(envp + count * WORD)?;
        if entry == 0 {
            break;
        }
        count += 1;
        if !is_for_libc(&head(entry)?) {
            continue;
        }
        bytes += KEPT.len() + 1;
        loop {
            let buffer = scratch.path();
            match user::read_string(buffer, entry) {
                Ok(len) => {
                    bytes += len;
                    break;
                }
                Err(ENAMETOOLONG) => {
                    bytes += buffer.len();
                    entry += buffer.len();
                }
                Err(e) => return Err(e),
            }
        }
    }
    Ok((count, bytes))
}
