// SPDX-License-Identifier: GPL-2.0-only
//! Makes a small image, reads and writes it through the library, and has it checked.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::command::clean;
use super::report::{Report, State};
use crate::{fail, packages};

const GROUP: &str = "Library";
const CONTENT: &str = "carried by a stowaway\n";

pub fn check(report: &mut Report, library: &Path) {
    let name = "reads and writes ext4";
    let (Some(mkfs), Some(cat), Some(cp)) =
        (packages::find_command("mkfs.ext4"), packages::find_command("cat"), packages::find_command("cp"))
    else {
        report.add(GROUP, name, State::Warn, "not tried: there is no mkfs.ext4").advise("install e2fsprogs");
        return;
    };
    match Scratch::new().and_then(|scratch| through_library(&scratch, library, [&mkfs, &cat, &cp])) {
        Ok(()) => {
            report.add(GROUP, name, State::Ok, "cp and cat work on an image, and the image is clean");
        }
        Err(why) => {
            report.add(GROUP, name, State::Fail, why);
        }
    }
}

/// A directory of our own that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch, String> {
        let base = std::env::temp_dir();
        for n in 0..100 {
            let dir = base.join(format!("stowaway-doctor-{}-{n}", std::process::id()));
            match std::fs::create_dir(&dir) {
                Ok(()) => return Ok(Scratch(dir)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(format!("{}: {}", dir.display(), fail::reason(&error))),
            }
        }
        Err(format!("{}: no free name for a directory", base.display()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind in a temporary directory is no reason to fail.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn through_library(scratch: &Scratch, library: &Path, tools: [&PathBuf; 3]) -> Result<(), String> {
    let [mkfs, cat, cp] = tools;
    let dir = &scratch.0;
    let (image, source) = (dir.join("disk.img"), dir.join("file"));
    std::fs::write(&source, CONTENT).map_err(|error| fail::reason(&error))?;
    run(clean(mkfs).args(["-q", "-F", "-b", "4096", "-E", &owner()]).arg(&image).arg("8M"))?;
    let mount = format!("{}:/stowaway/doctor", image.display());
    let preloaded = |program: &Path| {
        let mut command = clean(program);
        command.env("LD_PRELOAD", library).env("STOWAWAY_MOUNT", &mount);
        command
    };
    run(preloaded(cp).arg(&source).arg("/stowaway/doctor/file"))?;
    let read = run(preloaded(cat).arg("/stowaway/doctor/file"))?;
    if read != CONTENT.as_bytes() {
        return Err(format!("cat gives {:?}, not {CONTENT:?}", String::from_utf8_lossy(&read)));
    }
    if let Some(fsck) = packages::find_command("e2fsck") {
        run(clean(&fsck).arg("-fn").arg(&image)).map_err(|why| format!("the image is not clean: {why}"))?;
    }
    Ok(())
}

fn owner() -> String {
    let (uid, gid) = crate::host::effective_ids();
    format!("root_owner={uid}:{gid}")
}

/// Runs a command to its end; its output, or its last words.
fn run(command: &mut std::process::Command) -> Result<Vec<u8>, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {}", fail::reason(&error)))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let words = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
    Err(format!("{name}: {} ({words})", output.status))
}
