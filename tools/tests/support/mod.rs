// SPDX-License-Identifier: GPL-2.0-only
//! The command, run in a directory of its own without settings from outside.
#![allow(dead_code)] // each test file uses its part

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A directory, and the command in it.
pub struct Place {
    dir: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    pub fn new() -> Place {
        Place { dir: TempDir::new().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    }

    /// A library that does nothing: preloaded it is empty, executed it executes the program.
    pub fn library(&self) -> PathBuf {
        let (source, library) =
            (self.write("stand-in.c", include_bytes!("stand-in.c"), 0o644), self.path("libempty.so"));
        if !library.exists() {
            compile(&["-O1", "-shared", "-fPIC", "-Wl,-e,start"], &source, &library);
        }
        library
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stowaway"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("STOWAWAY_") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.dir.path()).env_remove("LD_PRELOAD").env("STOWAWAY_LIB", self.library());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        Ended::of(self.command().args(args).output().unwrap())
    }

    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Ended {
    pub fn of(output: Output) -> Ended {
        Ended {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Ended with `status` and one line of ours that says each of `words`; nothing on stdout.
    #[track_caller]
    pub fn failed(&self, status: i32, words: &[&str]) {
        assert_eq!(self.status, Some(status), "{self:?}");
        assert!(self.stderr.starts_with("stowaway: "), "{self:?}");
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "{self:?}");
        assert_eq!(self.stdout, "");
        for word in words {
            assert!(self.stderr.contains(word), "{self:?} should say {word}");
        }
    }
}

/// Compiles a C file.
pub fn compile(options: &[&str], source: &Path, out: &Path) {
    let status = Command::new("cc").args(options).arg("-o").arg(out).arg(source).status().unwrap();
    assert!(status.success());
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

/// A command where administrators' commands are, too.
pub fn has(command: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .any(|dir| dir.join(OsStr::new(command)).is_file())
}
