// SPDX-License-Identifier: GPL-2.0-only
//! Finds what an exec comes to: scripts lead to their interpreters, up to a program (fs/exec.c, exec_binprm).

use crate::exec::elf::{self, Elf};
use crate::exec::open::{self, Opened};
use crate::exec::request::{Names, Request};
use crate::exec::script::{self, HEAD};
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::{self, OwnedFd, AT_FDCWD};
use crate::sys::mem::Pages;
use crate::sys::user;

/// The kernel follows no more interpreters of interpreters.
const DEPTH: usize = 5;
/// Words that scripts push before the arguments: the script's name, and an interpreter and its argument each.
const PUSHED_MAX: usize = 2 * DEPTH + 3;
const WORD: usize = size_of::<usize>();

/// A file that is executed in the end.
pub struct Program {
    /// The file, open.
    pub file: OwnedFd,
    /// Its status.
    pub status: libc::stat,
    /// What is in it.
    pub content: Content,
    /// The arguments, behind those of scripts; None: those of the request.
    pub arguments: Option<Pages>,
    /// Some file on the way lies in a mount, where the host cannot find it.
    pub is_in_mount: bool,
    /// The first script, if it lies in a mount.
    pub script_in_mount: Option<OwnedFd>,
}

/// What is in a program's file.
pub enum Content {
    /// A program that our loader can map.
    Elf(Elf),
    /// A program for another machine.
    Foreign,
    /// No ELF file: the host may know it (binfmt_misc), or says what is to be said.
    Other,
}

/// What a request comes to.
#[allow(clippy::large_enum_variant)] // In place: nothing may be allocated.
pub enum Found {
    /// A program.
    Program(Program),
    /// A file, or an interpreter of a script, that may be executed and not read.
    Unreadable,
}

/// Finds out what `request` executes.
pub fn find(request: &Request, names: &mut Names) -> Result<Found> {
    let mut way = Way { pushed: [0; PUSHED_MAX], count: 0, is_in_mount: false, script_in_mount: None };
    let mut next = *request;
    for _ in 0..=DEPTH {
        let opened = names.set_exe(|exe| open::open_request(&next, exe))?;
        let Opened::File(file) = opened else { return Ok(Found::Unreadable) };
        let is_in_mount = !names.exe().is_empty();
        way.is_in_mount |= is_in_mount;
        let status = elf::may_execute(file.raw())?;
        let mut head = [0u8; HEAD];
        fs::read_at(file.raw(), &mut head, 0)?;
        if !script::is_script(&head) {
            let content = content(file.raw(), &head)?;
            return way.finish(request, file, status, content).map(Found::Program);
        }
        let line = script::parse(&head).ok_or(Errno::ENOEXEC)?;
        if way.count == 0 {
            if is_out_of_reach(request) {
                return Err(Errno::ENOENT);
            }
            way.push(names.execfn_address());
            way.script_in_mount = is_in_mount.then_some(file);
        }
        for range in line.argument.into_iter().chain([line.interpreter]) {
            way.push(names.keep(&head[range]));
        }
        next = Request { dirfd: AT_FDCWD, path: way.last(), flags: 0, ..next };
    }
    Err(Errno::ELOOP)
}

/// What was met on the way to the program.
struct Way {
    pushed: [usize; PUSHED_MAX],
    count: usize,
    is_in_mount: bool,
    script_in_mount: Option<OwnedFd>,
}

impl Way {
    fn push(&mut self, word: usize) {
        self.pushed[self.count] = word;
        self.count += 1;
    }

    fn last(&self) -> usize {
        self.pushed[self.count - 1]
    }

    fn finish(
        self,
        request: &Request,
        file: OwnedFd,
        status: libc::stat,
        content: Content,
    ) -> Result<Program> {
        let arguments = match &self.pushed[..self.count] {
            [] => None,
            pushed => Some(arguments(request.argv, pushed)?),
        };
        let Way { is_in_mount, script_in_mount, .. } = self;
        Ok(Program { file, status, content, arguments, is_in_mount, script_in_mount })
    }
}

/// A script's name would lead through a descriptor that the exec closes (BINPRM_FLAGS_PATH_INACCESSIBLE).
fn is_out_of_reach(request: &Request) -> bool {
    let is_absolute = user::read::<u8>(request.path) == Ok(b'/');
    request.dirfd != AT_FDCWD && !is_absolute && fs::is_cloexec(request.dirfd) == Ok(true)
}

fn content(fd: i32, head: &[u8; HEAD]) -> Result<Content> {
    if !elf::is_elf(head) {
        return Ok(Content::Other);
    }
    if !elf::is_for_us(head) {
        return if elf::may_be_run(head) { Ok(Content::Foreign) } else { Ok(Content::Other) };
    }
    Elf::read(fd).map(Content::Elf)
}

/// The arguments behind a script: `pushed` from the last to the first, then the application's without its first.
fn arguments(argv: usize, pushed: &[usize]) -> Result<Pages> {
    let mut count = 0;
    while argv != 0 && user::read::<usize>(argv + count * WORD)? != 0 {
        count += 1;
    }
    let rest = count.saturating_sub(1);
    let mut block = Pages::new((pushed.len() + rest + 1) * WORD)?;
    let bytes = block.bytes();
    for (to, word) in bytes.chunks_exact_mut(WORD).zip(pushed.iter().rev()) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    if rest != 0 {
        let at = pushed.len() * WORD;
        user::read_bytes(&mut bytes[at..at + rest * WORD], argv + WORD)?;
    }
    Ok(block)
}
