// SPDX-License-Identifier: GPL-2.0-only
//! Which file a program's name means, and whether the library can be preloaded into it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::elf::Elf;
use crate::fail::{reason, Failure, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_RUN};
use crate::host;

/// The kernel follows no more interpreters of interpreters (fs/exec.c).
const SCRIPT_DEPTH: usize = 4;
/// BINPRM_BUF_SIZE: what the kernel reads of a script's first line.
const HEAD_BYTES: usize = 256;
const S_ISUID: u32 = 0o4000;
/// Set-group-ID means something only together with the group's execute bit.
const S_ISGID_X: u32 = 0o2010;

/// What a program is.
#[derive(Debug)]
pub struct Program {
    /// The scripts on the way, each with its interpreter; empty for a binary.
    pub interpreters: Vec<PathBuf>,
    /// The binary that the kernel loads in the end.
    pub binary: Binary,
}

/// The facts of a binary.
#[derive(Debug)]
pub struct Binary {
    /// Its headers.
    pub elf: Elf,
    /// Set-user-ID or set-group-ID.
    pub setid: Option<&'static str>,
    /// Whether that changes who we are.
    pub setid_takes_effect: bool,
    /// Whether it carries file capabilities.
    pub capabilities: bool,
}

/// Finds the file that `name` means, as execvp(3) does.
pub fn resolve(name: &OsStr, path_var: Option<&OsStr>) -> Result<PathBuf, Failure> {
    let shown = name.to_string_lossy();
    if name.is_empty() {
        return Err(Failure::new(EXIT_NOT_FOUND, "PROGRAM: is empty"));
    }
    if name.as_bytes().contains(&b'/') {
        return check_file(PathBuf::from(name));
    }
    let path_var = path_var.unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
    let mut found = None;
    for dir in std::env::split_paths(path_var) {
        let dir = if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir };
        let candidate = dir.join(name);
        if candidate.is_file() {
            if host::is_executable(&candidate) {
                return Ok(candidate);
            }
            found.get_or_insert(candidate);
        }
    }
    match found {
        Some(file) => check_file(file),
        None => Err(Failure::new(EXIT_NOT_FOUND, format!("{shown}: not found in PATH"))),
    }
}

fn check_file(path: PathBuf) -> Result<PathBuf, Failure> {
    let fail = |status, why: &str| Err(Failure::new(status, format!("{}: {why}", path.display())));
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fail(EXIT_NOT_FOUND, "no such program"),
        Err(error) => fail(EXIT_NOT_EXECUTABLE, &reason(&error)),
        Ok(meta) if meta.is_dir() => fail(EXIT_NOT_EXECUTABLE, "is a directory"),
        Ok(meta) if !meta.is_file() => fail(EXIT_NOT_EXECUTABLE, "is not a regular file"),
        Ok(_) if !host::is_executable(&path) => fail(EXIT_NOT_EXECUTABLE, "is not executable"),
        Ok(_) => Ok(path),
    }
}

/// Reads what `path` is. `None` in place of the facts: it cannot be read (execute permission alone), so nothing
/// can be said.
pub fn examine(path: &Path) -> Result<Option<Program>, Failure> {
    let mut interpreters = Vec::new();
    let mut current = path.to_path_buf();
    loop {
        let file = match File::open(&current) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
            Err(error) => return Err(unusable(path, &current, &reason(&error))),
        };
        let head = read_head(&file).map_err(|error| unusable(path, &current, &reason(&error)))?;
        if head.starts_with(b"\x7fELF") {
            let elf = Elf::read(&file, &head).map_err(|error| unusable(path, &current, &reason(&error)))?;
            let binary = Binary::new(&current, elf);
            return Ok(Some(Program { interpreters, binary }));
        }
        let Some(interpreter) = script_interpreter(&head) else {
            return Err(unusable(path, &current, "is neither an ELF program nor a script with #!"));
        };
        if interpreters.len() == SCRIPT_DEPTH {
            return Err(unusable(path, &current, "has interpreters nested too deep"));
        }
        current = check_file(PathBuf::from(&interpreter)).map_err(|_| {
            let why = format!("its interpreter {} cannot be executed", interpreter.to_string_lossy());
            unusable(path, &current, &why)
        })?;
        interpreters.push(current.clone());
    }
}

fn unusable(program: &Path, file: &Path, why: &str) -> Failure {
    let text = match program == file {
        true => format!("{}: {why}", program.display()),
        false => format!("{}: its interpreter {}: {why}", program.display(), file.display()),
    };
    Failure::new(EXIT_NOT_EXECUTABLE, text)
}

fn read_head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD_BYTES];
    let mut filled = 0;
    while filled < head.len() {
        match file.read_at(&mut head[filled..], filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    head.truncate(filled);
    Ok(head)
}

/// The interpreter in a script's first line.
fn script_interpreter(head: &[u8]) -> Option<OsString> {
    let line = head.strip_prefix(b"#!")?;
    let line = line.split(|&byte| byte == b'\n').next()?.trim_ascii_start();
    let word = line.split(|&byte| matches!(byte, b' ' | b'\t')).next()?;
    (!word.is_empty()).then(|| OsStr::from_bytes(word).to_os_string())
}

impl Binary {
    fn new(path: &Path, elf: Elf) -> Binary {
        let (mode, owner, group) =
            std::fs::metadata(path).map_or((0, 0, 0), |meta| (meta.mode(), meta.uid(), meta.gid()));
        let (uid, gid) = host::effective_ids();
        let setuid = mode & S_ISUID != 0;
        let setgid = mode & S_ISGID_X == S_ISGID_X;
        Binary {
            elf,
            setid: if setuid { Some("setuid") } else { setgid.then_some("setgid") },
            setid_takes_effect: (setuid && owner != uid) || (setgid && group != gid),
            capabilities: host::has_capabilities(path),
        }
    }

    /// Why neither our loader nor LD_PRELOAD can do anything with it; `None`: the loader can.
    pub fn untouchable(&self) -> Option<String> {
        let interp = match &self.elf {
            Elf::Foreign(what) => return Some(format!("{what}: the library is for 64-bit x86 programs")),
            Elf::Broken(why) => return Some(format!("not a program: {why}")),
            Elf::X86_64 { interp, .. } => interp,
        };
        if let (Some(setid), true) = (self.setid, self.setid_takes_effect) {
            return Some(format!("{setid}: only the host can give it its rights, and LD_PRELOAD is ignored"));
        }
        if self.capabilities && host::effective_ids().0 != 0 {
            return Some("file capabilities: only the host can give them, and LD_PRELOAD is ignored".into());
        }
        let missing = interp.as_ref().filter(|interp| !Path::new(interp).exists());
        missing.map(|interp| format!("its dynamic loader {interp} is missing"))
    }

    /// Why the library cannot be preloaded; `None`: it can.
    pub fn obstacle(&self) -> Option<String> {
        if let Some(why) = self.untouchable() {
            return Some(why);
        }
        match &self.elf {
            Elf::X86_64 { interp: Some(interp), .. } if libc_of(interp) == "musl" => {
                Some("linked with musl: cannot be preloaded, for the library needs glibc".into())
            }
            Elf::X86_64 { interp: None, .. } => Some("statically linked: cannot be preloaded".into()),
            _ => None,
        }
    }
}

/// Which libc a dynamic loader belongs to.
pub fn libc_of(interp: &str) -> &'static str {
    match Path::new(interp).file_name().and_then(OsStr::to_str) {
        Some(name) if name.starts_with("ld-musl") => "musl",
        Some(name) if name.starts_with("ld-linux") => "glibc",
        _ => "unknown",
    }
}

/// Refuses what cannot take the library.
pub fn require_preloadable(path: &Path) -> Result<(), Failure> {
    let Some(program) = examine(path)? else { return Ok(()) };
    let Some(why) = program.binary.obstacle() else { return Ok(()) };
    let by = program.interpreters.last().map(|last| format!(" (by its interpreter {})", last.display()));
    Err(Failure::new(EXIT_RUN, format!("{}{}: {why}", path.display(), by.unwrap_or_default())))
}

/// Becomes the program. Returns only to say why not.
pub fn execute(path: &Path, words: &[OsString], env: &[(OsString, OsString)]) -> Failure {
    let error = host::execve(path, words, env);
    let status = match error.kind() {
        io::ErrorKind::NotFound => EXIT_NOT_FOUND,
        _ => EXIT_NOT_EXECUTABLE,
    };
    Failure::new(status, format!("{}: {}", path.display(), reason(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines() {
        let cases: [(&[u8], Option<&str>); 6] = [
            (b"#!/bin/sh\n", Some("/bin/sh")),
            (b"#! /usr/bin/env python3\nx", Some("/usr/bin/env")),
            (b"#!\t/bin/sh -e", Some("/bin/sh")),
            (b"#!\n/bin/sh", None),
            (b"#!", None),
            (b"echo", None),
        ];
        for (head, interpreter) in cases {
            assert_eq!(script_interpreter(head).as_deref(), interpreter.map(OsStr::new));
        }
    }

    #[test]
    fn loaders() {
        assert_eq!(libc_of("/lib64/ld-linux-x86-64.so.2"), "glibc");
        assert_eq!(libc_of("/lib/ld-musl-x86_64.so.1"), "musl");
    }

    #[test]
    fn this_machine_s_programs() {
        let sh = resolve(OsStr::new("sh"), None).unwrap();
        let program = examine(&sh).unwrap().unwrap();
        assert!(program.interpreters.is_empty());
        assert_eq!(program.binary.obstacle(), None);
    }
}
