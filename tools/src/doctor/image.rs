// SPDX-License-Identifier: GPL-2.0-only
//! What a given image is, as `--mount` takes it, and what helps.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use stowaway_config::{Mount, Part};
use stowaway_kinds::{kind, Help, Kind};

use super::command::clean;
use super::report::{Report, State};
use crate::host;
use crate::image_file::{is_program, open, Image};
use crate::serve;

const GROUP: &str = "Image";
/// Where images are mounted to be tried.
const PLACE: &str = "/stowaway/doctor";

/// Whether `name` is no program, but an image as `--mount` takes it, or a path that leads to neither: then this says what it
/// is.
pub fn check(report: &mut Report, name: &OsStr) -> bool {
    let path = Path::new(name);
    if let Some(image) = open(path) {
        return check_file(report, path, &image);
    }
    let mount = if is_named(path) { whole(path) } else { part(name) };
    let Some(mount) = mount.filter(|mount| !may_be_program(mount)) else { return false };
    report.add(GROUP, "image", State::Info, path.display().to_string());
    match std::iter::once(&mount).chain(&mount.more).try_for_each(serve::check) {
        Ok(()) => check_mount(report, &mount),
        Err(failure) => {
            report.add(GROUP, "file", State::Fail, failure.text());
        }
    }
    true
}

/// Whether a path of this name is meant, or is there.
fn is_named(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Whether the mount's image is a file that can be executed, and not be read.
fn may_be_program(mount: &Mount) -> bool {
    let is_executable = |image: &PathBuf| image.is_file() && host::is_executable(image);
    mount.part == Part::default() && mount.more.is_empty() && mount.image.as_ref().is_some_and(is_executable)
}

/// All of an image.
fn whole(path: &Path) -> Option<Mount> {
    Some(Mount {
        image: Some(std::path::absolute(path).ok()?),
        part: Part::default(),
        more: Vec::new(),
        path: PLACE.into(),
        read_only: true,
        fstype: None,
        opts: Vec::new(),
        socket: None,
    })
}

/// A part of an image, several images, or what a server has. A path that leads nowhere may be meant as that of an image.
fn part(name: &OsStr) -> Option<Mount> {
    let text = [name.as_bytes(), b":", PLACE.as_bytes(), b":ro"].concat();
    let mut mount = Mount::parse(&text).ok()?;
    let is_more = mount.part != Part::default() || !mount.more.is_empty() || mount.is_a_servers();
    if !is_more && !name.as_bytes().contains(&b'/') {
        return None;
    }
    if !mount.is_a_servers() {
        for mount in
            std::iter::once(&mut mount.image).chain(mount.more.iter_mut().map(|more| &mut more.image))
        {
            let image = mount.as_mut()?;
            *image = std::path::absolute(&image).ok()?;
        }
    }
    Some(mount)
}

/// What the file is, if it is not only a program.
fn check_file(report: &mut Report, path: &Path, image: &Image) -> bool {
    let kind = kind(image);
    if is_program(image) && !matches!(kind, Some(Kind::Appended { .. })) {
        return false;
    }
    report.add(GROUP, "file", State::Ok, format!("{}, {} bytes", path.display(), image.size));
    let may_mount = may_mount(kind.as_ref());
    match &kind {
        // Whether it can be mounted is tried.
        Some(Kind::Known { what, help: Help::Mounts }) => report.add(GROUP, "kind", State::Ok, *what),
        Some(kind) => {
            let state = match kind {
                Kind::Known { help: Help::Run(_), .. } => State::Ok,
                Kind::Appended { is_program: true, .. } => State::Info,
                Kind::Member { .. } | Kind::Appended { .. } => State::Warn,
                _ => State::Fail,
            };
            report.add(GROUP, "kind", state, kind.to_string())
        }
        None => report.add(GROUP, "kind", State::Info, "no file system of its own is seen"),
    };
    if let Some(mount) = whole(path).filter(|_| may_mount) {
        check_mount(report, &mount);
    }
    !is_program(image)
}

/// Whether `stowaway run` may have a way: with a driver, through a server, or with one of the partitions.
fn may_mount(kind: Option<&Kind>) -> bool {
    matches!(kind, None | Some(Kind::Known { help: Help::Mounts | Help::Run(_), .. } | Kind::Member { .. }))
}

/// Mounts the image for reading, and shows what is said of it: its partitions, a journal to replay, what the driver lacks.
fn check_mount(report: &mut Report, mount: &Mount) {
    const NAME: &str = "mount (read-only)";
    /// There is another way, which the words tell.
    const OTHER_WAYS: [&str; 3] =
        ["mount a partition, as", "mount it as IMAGE@", "the journal has to be replayed"];
    match try_mount(mount) {
        Ok(None) => {}
        Ok(Some(words)) if words.is_empty() => {
            report.add(GROUP, NAME, State::Ok, "works");
        }
        Ok(Some(words)) => {
            report.add(GROUP, NAME, State::Ok, format!("works: {words}"));
        }
        Err(why) => {
            let has_other_way = OTHER_WAYS.iter().any(|way| why.contains(way));
            report.add(GROUP, NAME, if has_other_way { State::Warn } else { State::Fail }, why);
        }
    }
}

/// What is said of the mount. `None`: it was not tried.
fn try_mount(mount: &Mount) -> Result<Option<String>, String> {
    let Ok(stowaway) = std::env::current_exe() else { return Ok(None) };
    let mut command = clean(&stowaway);
    command.args(["run", "--no-keeper", "--mount"]).arg(mount.format());
    command.args(["--", "/bin/sh", "-c", &format!("cd {PLACE}")]);
    let Ok(output) = command.stdin(Stdio::null()).output() else { return Ok(None) };
    let errors = String::from_utf8_lossy(&output.stderr);
    let name = mount.image.as_ref().map_or(String::new(), |image| format!("{}: ", image.display()));
    let lines = errors.lines().filter_map(|line| line.strip_prefix("stowaway: "));
    let lines: Vec<&str> = lines.map(|line| line.strip_prefix(&name[..]).unwrap_or(line)).collect();
    let words = lines.join("; ");
    match (output.status.success(), words.is_empty()) {
        (true, _) => Ok(Some(words)),
        (false, false) => Err(words),
        (false, true) => Err(errors.lines().next().unwrap_or("fails without a word").to_owned()),
    }
}
