// SPDX-License-Identifier: GPL-2.0-only
//! What an exec comes to: the program, started by our loader, or the host's own exec where that cannot be.
//!
//! Everything that the kernel would find wrong is found here, while the old program still stands: after the host
//! executed the library there is no way back. No allocation: exec is called between fork and exec, too.

use crate::exec::elf::{self, Elf};
use crate::exec::loader_env::{Environment, Own};
use crate::exec::pages::Block;
use crate::exec::script::{self, HEAD};
use crate::exec::{library, open, privileged};
use crate::lookup::route::AT_FDCWD;
use crate::sys::errno::{EACCES, ELIBBAD, ELOOP, ENOENT, ENOEXEC, ENOMEM};
use crate::sys::host::{self, Ret};
use crate::sys::report::Line;
use crate::sys::scratch::{Scratch, PATH_MAX};
use crate::sys::settings::settings;
use crate::sys::user;

/// execveat(2), as the application asked for it.
#[derive(Clone, Copy)]
pub struct Request {
    pub dirfd: i32,
    pub path: usize,
    pub argv: usize,
    pub envp: usize,
    pub flags: usize,
}

/// What to execute. Gives its descriptors and memory back when dropped.
pub struct Command {
    request: Request,
    load: Option<Load>,
}

/// How the loader is started.
struct Load {
    library: File,
    program: File,
    arguments: Option<Block>,
    environment: Environment,
    /// What the arguments of a script point to.
    _names: Names,
}

/// A descriptor that is closed when dropped.
pub struct File(pub i32);

impl Drop for File {
    fn drop(&mut self) {
        host::close(self.0);
    }
}

/// A program that the kernel would map, and the arguments that it gets.
pub struct Program {
    pub file: File,
    pub elf: Elf,
    /// None: those of the request.
    pub arguments: Option<Block>,
}

/// What a path leads to.
pub enum Found {
    /// A program for the loader.
    Program(Program),
    /// Nothing for the loader; why, if the user has to know.
    Other(Option<&'static str>),
}

/// Finds out what `request` executes. `own`: our variables for the new program.
pub fn command(request: &Request, own: &Own) -> Result<Command, Ret> {
    let mut names = Names::new(request)?;
    let native = Command { request: *request, load: None };
    let program = match find(request, &mut names)? {
        Found::Program(program) => program,
        Found::Other(why) => {
            if let (Some(why), true) = (why, settings().is_active()) {
                warn(names.execfn(), why);
            }
            return Ok(native);
        }
    };
    let Some(library) = library::open().map(File) else {
        // Another root, without /proc or without the library.
        if settings().is_active() {
            warn(names.execfn(), "the library is out of reach here");
        }
        return Ok(native);
    };
    if library::is_same(library.0, program.file.0) {
        // `stowaway run` inside of a program that we serve: the settings are in its environment.
        return Ok(native);
    }
    let environment = Environment::new(request.envp, own, program.file.0, names.execfn(), names.exe())?;
    let Program { file, arguments, .. } = program;
    Ok(Command {
        load: Some(Load { library, program: file, arguments, environment, _names: names }),
        ..native
    })
}

/// Says that the program is not for us.
pub fn warn(name: &[u8], why: &str) {
    Line::new().bytes(name).text(format_args!(": {why}: it runs without what is mounted here")).print();
}

impl Command {
    /// Executes it. Returns only to say why not.
    pub fn exec(&self) -> Ret {
        let Request { dirfd, path, argv, envp, flags } = self.request;
        if let Some(load) = &self.load {
            let argv = load.arguments.as_ref().map_or(argv, Block::address);
            let r = load.exec(argv);
            // No dynamic loader of ours here (another root): then nothing of this program can be served.
            if !matches!(r, ENOENT | EACCES | ELIBBAD | ENOEXEC) {
                return r;
            }
            warn(b"exec", "the library's own loader cannot be started here");
        }
        host::call(libc::SYS_execveat, &[dirfd as usize, path, argv, envp, flags])
    }
}

impl Load {
    fn exec(&self, argv: usize) -> Ret {
        let set = |flags: i32| {
            host::call(libc::SYS_fcntl, &[self.program.0 as usize, libc::F_SETFD as usize, flags as usize])
        };
        set(0);
        let empty = c"".as_ptr() as usize;
        let envp = self.environment.address();
        let by_descriptor = libc::AT_EMPTY_PATH as usize;
        let r = host::call(libc::SYS_execveat, &[self.library.0 as usize, empty, argv, envp, by_descriptor]);
        set(libc::FD_CLOEXEC);
        r
    }
}

/// The names of what is executed, in a block: that of the request, that of the file in the end, and the
/// interpreters on the way.
pub struct Names {
    block: Block,
    execfn: usize,
    used: usize,
    exe: usize,
}

/// Room for the name of the file in a mount, at the block's end.
const EXE: usize = 3 * PATH_MAX;

impl Names {
    /// The name that the program gets as AT_EXECFN (fs/exec.c, alloc_bprm).
    pub fn new(request: &Request) -> Result<Names, Ret> {
        let mut scratch = Scratch::take()?;
        let len = user::read_string(scratch.path(), request.path)?;
        let text = &scratch.path()[..len];
        let mut names =
            Names { block: Block::new(EXE + PATH_MAX).ok_or(ENOMEM)?, execfn: 0, used: 0, exe: 0 };
        if request.dirfd != AT_FDCWD && text.first() != Some(&b'/') {
            let mut digits = [0u8; 24];
            crate::fdtable::put_number(&mut digits, request.dirfd as usize);
            let count = digits.iter().position(|&b| b == 0).unwrap_or(0);
            names.append(b"/dev/fd/");
            names.append(&digits[..count]);
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
    fn keep(&mut self, text: &[u8]) -> usize {
        let at = self.block.address() + self.used;
        self.append(text);
        self.append(b"\0");
        at
    }

    /// What the request called it.
    pub fn execfn(&self) -> &[u8] {
        self.text(0, self.execfn)
    }

    /// Where the file lies in a mount; empty: it does not.
    pub fn exe(&self) -> &[u8] {
        self.text(EXE, self.exe)
    }

    fn text(&self, start: usize, len: usize) -> &[u8] {
        &self.block.as_bytes()[start..start + len]
    }

    /// Opens what is to be executed.
    fn open(&mut self, dirfd: i32, path: usize, flags: usize) -> Result<open::Opened, Ret> {
        let exe = &mut self.block.bytes()[EXE..];
        let (opened, len) = open::open(dirfd, path, flags, exe)?;
        self.exe = len;
        Ok(opened)
    }
}

/// Follows scripts to their interpreters, up to a program (fs/exec.c, exec_binprm).
pub fn find(request: &Request, names: &mut Names) -> Result<Found, Ret> {
    const DEPTH: usize = 5;
    let mut pushed = [0usize; 2 * DEPTH + 3];
    let mut count = 0;
    let (mut dirfd, mut path, mut flags) = (request.dirfd, request.path, request.flags);
    for _ in 0..=DEPTH {
        let file = match names.open(dirfd, path, flags)? {
            open::Opened::File(file) => file,
            open::Opened::Unreadable => return Ok(Found::Other(Some("it cannot be read, only executed"))),
        };
        let status = elf::may_execute(file.0)?;
        let mut head = [0u8; HEAD];
        let n = elf::read_at(file.0, &mut head, 0);
        if n < 0 {
            return Err(n);
        }
        if !script::is_script(&head) {
            let found = examine(file, &head, &status)?;
            return match found {
                Found::Program(program) if count != 0 => {
                    let arguments = Some(arguments(request.argv, &pushed[..count])?);
                    Ok(Found::Program(Program { arguments, ..program }))
                }
                found => Ok(found),
            };
        }
        let line = script::parse(&head).ok_or(ENOEXEC)?;
        if count == 0 {
            if is_out_of_reach(request) {
                return Err(ENOENT);
            }
            pushed[0] = names.block.address();
            count = 1;
        }
        for range in line.argument.into_iter().chain([line.interpreter]) {
            pushed[count] = names.keep(&head[range]);
            count += 1;
        }
        (dirfd, path, flags) = (AT_FDCWD, pushed[count - 1], 0);
    }
    Err(ELOOP)
}

/// A script's name would lead through a descriptor that the exec closes (BINPRM_FLAGS_PATH_INACCESSIBLE).
fn is_out_of_reach(request: &Request) -> bool {
    let absolute = user::read::<u8>(request.path) == Ok(b'/');
    if request.dirfd == AT_FDCWD || absolute {
        return false;
    }
    let flags = host::call(libc::SYS_fcntl, &[request.dirfd as usize, libc::F_GETFD as usize]);
    flags >= 0 && flags & libc::FD_CLOEXEC as isize != 0
}

fn examine(file: File, head: &[u8; HEAD], status: &libc::stat) -> Result<Found, Ret> {
    if !elf::is_elf(head) {
        // The host may know it (binfmt_misc), or says what is to be said.
        return Ok(Found::Other(None));
    }
    if !elf::is_for_us(head) {
        return Ok(Found::Other(Some("it is for another machine")));
    }
    if let Some(why) = privileged::reason(file.0, status) {
        return Ok(Found::Other(Some(why)));
    }
    let elf = Elf::read(file.0)?;
    let mut scratch = Scratch::take()?;
    let buffers = scratch.buffers();
    if elf.interpreter(file.0, &mut buffers.path)?.is_some() {
        match open::open(AT_FDCWD, buffers.path.as_ptr() as usize, 0, &mut buffers.link)?.0 {
            open::Opened::Unreadable => {
                return Ok(Found::Other(Some("its dynamic loader cannot be read, only executed")))
            }
            open::Opened::File(interpreter) => {
                elf::may_execute(interpreter.0)?;
                Elf::read(interpreter.0).map_err(|e| if e == ENOEXEC { ELIBBAD } else { e })?;
            }
        }
    }
    Ok(Found::Program(Program { file, elf, arguments: None }))
}

/// The arguments behind a script: `pushed` from the last to the first, then the application's without its first.
fn arguments(argv: usize, pushed: &[usize]) -> Result<Block, Ret> {
    const WORD: usize = size_of::<usize>();
    let mut count = 0;
    while argv != 0 && user::read::<usize>(argv + count * WORD)? != 0 {
        count += 1;
    }
    let rest = count.saturating_sub(1);
    let mut block = Block::new((pushed.len() + rest + 1) * WORD).ok_or(ENOMEM)?;
    let bytes = block.bytes();
    let mut at = 0;
    for word in pushed.iter().rev() {
        bytes[at..at + WORD].copy_from_slice(&word.to_ne_bytes());
        at += WORD;
    }
    if rest != 0 {
        user::read_bytes(&mut bytes[at..at + rest * WORD], argv + WORD)?;
    }
    Ok(block)
}
