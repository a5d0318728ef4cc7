// SPDX-License-Identifier: GPL-2.0-only
//! Small C programs, one per fact, compiled when a test wants them: they must be programs like any other, built by
//! the distribution's compiler against the distribution's libc.

use crate::fixture::tool;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Compiles a program from its source text into a directory and returns its path.
pub fn compile(directory: &Path, name: &str, source: &str) -> PathBuf {
    build(directory, name, source, &[])
}

/// A C program, statically linked.
pub fn compile_static(directory: &Path, name: &str, source: &str) -> PathBuf {
    build(directory, name, source, &["-static"])
}

fn build(directory: &Path, name: &str, source: &str, options: &[&str]) -> PathBuf {
    compile_with("cc", directory, name, source, options)
}

/// A C program by another compiler, or with options of the caller's.
pub fn compile_with(compiler: &str, directory: &Path, name: &str, source: &str, options: &[&str]) -> PathBuf {
    let (text, program) = (directory.join(format!("{name}.c")), directory.join(name));
    std::fs::write(&text, source).expect("a source file");
    let mut words: Vec<&OsStr> = ["-O1", "-Wall", "-pthread", "-o"].iter().map(OsStr::new).collect();
    words.extend([program.as_os_str(), text.as_os_str()]);
    words.extend(options.iter().map(OsStr::new));
    tool(compiler, &words);
    program
}
