// SPDX-License-Identifier: GPL-2.0-only
//! The packages, and the library.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::command::clean;
use super::report::{Report, State};
use crate::{fail, library, packages};

pub fn check(report: &mut Report) {
    for (purpose, name, lost) in [
        ("build", "to build", "the library cannot be built here"),
        ("image", "to make images", "mkimage lacks some types"),
        ("test", "to test", "some tests and benches cannot run"),
    ] {
        let of_purpose = packages::all().filter(|package| package.purpose == purpose);
        let missing: Vec<_> =
            of_purpose.filter(|package| !package.is_there()).map(|package| package.name).collect();
        if missing.is_empty() {
            report.add("Software", name, State::Ok, "all packages are there");
            continue;
        }
        let detail = format!("{lost}; missing: {}", missing.join(" "));
        let advice = format!("sudo apt-get install --no-install-recommends {}", missing.join(" "));
        report.add("Software", name, State::Warn, detail).advise(advice);
    }
    let cargo = packages::find_command("cargo").or_else(|| {
        let file = PathBuf::from(std::env::var_os("HOME")?).join(".cargo/bin/cargo");
        file.is_file().then_some(file)
    });
    match cargo {
        Some(cargo) => {
            report.add("Software", "cargo", State::Ok, cargo.display().to_string());
        }
        None => report
            .add("Software", "cargo", State::Warn, "not found: needed to build")
            .advise("install Rust by rustup (1.85 or newer)"),
    }
}

/// Finds the library and starts a program with it.
pub fn library(report: &mut Report) -> Option<PathBuf> {
    let group = "Library";
    let named = std::env::var_os("STOWAWAY_LIB").map(PathBuf::from);
    let library = match library::find(named.as_deref(), library::Use::Load) {
        Ok(library) => library,
        Err(why) => {
            report.add(group, library::NAME, State::Fail, why).advise("make build");
            return None;
        }
    };
    report.add(group, library::NAME, State::Ok, library.display().to_string());
    match loads(&library) {
        Ok(()) => {
            report.add(group, "loads", State::Ok, "true(1) runs under it");
            Some(library)
        }
        Err(why) => {
            report.add(group, "loads", State::Fail, why);
            None
        }
    }
}

fn loads(library: &Path) -> Result<(), String> {
    let program = packages::find_command("true").ok_or("there is no true(1)")?;
    let output = clean(&program)
        .env("LD_PRELOAD", library)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| fail::reason(&error))?;
    // The loader goes on without a library that it cannot take, and says so.
    match (output.status.success(), String::from_utf8_lossy(&output.stderr).lines().next()) {
        (_, Some(line)) => Err(line.to_string()),
        (true, None) => Ok(()),
        (false, None) => Err(format!("true(1) ends with {}", output.status)),
    }
}
