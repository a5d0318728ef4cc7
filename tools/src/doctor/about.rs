// SPDX-License-Identifier: GPL-2.0-only
//! What a given program allows.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use goblin::elf::header::ET_DYN;

use super::report::{Report, State};
use super::sites;
use crate::elf::Elf;
use crate::program::{self, Binary};

const GROUP: &str = "Program";

pub fn check(report: &mut Report, name: &OsStr, verbose: bool) {
    let path = match program::resolve(name, std::env::var_os("PATH").as_deref()) {
        Ok(path) => path,
        Err(failure) => {
            report.add(GROUP, "file", State::Fail, failure.text());
            return;
        }
    };
    report.add(GROUP, "file", State::Ok, path.display().to_string());
    match program::examine(&path) {
        Err(failure) => {
            report.add(GROUP, "verdict", State::Fail, failure.text());
        }
        Ok(None) => {
            report.add(GROUP, "verdict", State::Warn, "cannot be read");
        }
        Ok(Some(program)) => {
            for interpreter in &program.interpreters {
                report.add(GROUP, "interpreter", State::Ok, interpreter.display().to_string());
            }
            let file = program.interpreters.last().unwrap_or(&path);
            facts(report, &program.binary);
            if is_go(file) {
                report.add(GROUP, "made by", State::Info, "the Go compiler");
            }
            match (program.binary.untouchable(), program.binary.obstacle()) {
                (Some(why), _) => report.add(GROUP, "verdict", State::Fail, why),
                (None, None) => report.add(GROUP, "verdict", State::Ok, "can be run with a kernel inside"),
                (None, Some(why)) => {
                    let verdict = format!("can be run with a kernel inside, by `stowaway run`; {why}");
                    report.add(GROUP, "verdict", State::Ok, verdict)
                }
            };
            sites::check(report, file, &program.binary.elf, verbose);
        }
    }
}

fn facts(report: &mut Report, binary: &Binary) {
    let Elf::X86_64 { interp, kind, .. } = &binary.elf else { return };
    let layout = if *kind == ET_DYN { "position-independent" } else { "at a fixed address" };
    report.add(GROUP, "binary", State::Ok, format!("64-bit x86, {layout}"));
    match interp {
        Some(loader) => {
            let libc = program::libc_of(loader);
            report.add(GROUP, "dynamic loader", State::Ok, format!("{loader} ({libc})"));
        }
        None => {
            report.add(GROUP, "dynamic loader", State::Info, "none: statically linked");
        }
    }
    let setid = match (binary.setid, binary.setid_takes_effect) {
        (None, _) => "none".to_string(),
        (Some(which), true) => which.to_string(),
        (Some(which), false) => format!("{which}, without effect for you"),
    };
    let caps = if binary.capabilities { "some" } else { "none" };
    report.add(GROUP, "setuid, setgid", State::Info, setid);
    report.add(GROUP, "file capabilities", State::Info, caps);
}

/// Whether the program carries Go's build id: a note of type 4, named "Go", near its start (cmd/internal/buildid).
fn is_go(path: &Path) -> bool {
    const NOTE: &[u8] = b"\x04\0\0\0Go\0\0";
    const START: u64 = 32 << 10;
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(START).read_to_end(&mut bytes));
    read.is_ok() && bytes.windows(NOTE.len()).any(|window| window == NOTE)
}
