// SPDX-License-Identifier: GPL-2.0-only
//! Rules of nftables for the program's network: before the program, its kernel's first process is this command, which has nft(8) read the
//! file and then becomes the program. nft is the host's, with the language that users know from there; its sockets are the kernel's.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli::RulesOptions;
use crate::fail::{reason, Failure, EXIT_RUN};
use crate::program;

/// Where nft is looked for besides PATH, in which an ordinary user has no such directory.
const PLACES: &str = "/usr/sbin:/sbin:/usr/local/sbin";

fn fail(file: &Path, why: &str) -> Failure {
    Failure::new(EXIT_RUN, format!("nft={}: {why}", file.display()))
}

fn find() -> Result<std::path::PathBuf, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = [path.as_os_str(), OsStr::new(PLACES)].join(OsStr::new(":"));
    program::resolve(OsStr::new("nft"), Some(&all))
}

/// The words of a program, with this command and the rules before them. Says early what nft would say later.
pub fn before(file: &Path, program: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    if let Err(error) = std::fs::File::open(file) {
        return Err(fail(file, &reason(&error)));
    }
    if find().is_err() {
        return Err(fail(file, "nft is not installed (on Debian: apt install nftables)"));
    }
    let command = std::env::current_exe().map_err(|error| fail(file, &reason(&error)))?;
    let mut words: Vec<OsString> = vec![command.into(), "rules".into(), file.into(), "--".into()];
    words.extend(program);
    Ok(words)
}

/// Has nft read the rules, and becomes the program.
pub fn rules(options: &RulesOptions) -> Result<i32, Failure> {
    let file = &options.file;
    let done = Command::new(find()?)
        .arg("-f")
        .arg(file)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| fail(file, &reason(&error)))?;
    if !done.success() {
        return Err(fail(file, "nft refuses the rules"));
    }
    let name = &options.program[0];
    let path = program::resolve(name, std::env::var_os("PATH").as_deref())?;
    let env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    Err(program::execute(&path, &options.program, &env))
}
