// SPDX-License-Identifier: GPL-2.0-only
//! What a given image is, and what helps.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;

use stowaway_config::{Mount, Part};
use stowaway_kinds::{kind, Bytes, Help, Kind};

use super::command::clean;
use super::report::{Report, State};

const GROUP: &str = "Image";

struct Image {
    file: File,
    size: u64,
}

impl Bytes for Image {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, to: &mut [u8], at: u64) -> bool {
        self.file.read_exact_at(to, at).is_ok()
    }
}

/// Whether `name` is a path of something that is no program: then this says what it is.
pub fn check(report: &mut Report, name: &OsStr) -> bool {
    let path = Path::new(name);
    let Some(image) = open(path) else { return false };
    let kind = kind(&image);
    if is_program(&image) && !matches!(kind, Some(Kind::Appended { .. })) {
        return false;
    }
    report.add(GROUP, "file", State::Ok, format!("{}, {} bytes", path.display(), image.size));
    let may_mount = may_mount(kind.as_ref());
    match kind {
        None if may_mount => {}
        Some(kind @ Kind::Known { help: Help::Mounts, .. }) => {
            report.add(GROUP, "kind", State::Ok, kind.to_string());
        }
        Some(kind) => {
            report.add(GROUP, "kind", State::Warn, kind.to_string());
        }
        None => {
            report.add(GROUP, "kind", State::Warn, "nothing that is known here");
        }
    }
    if may_mount {
        check_mount(report, path);
    }
    !is_program(&image)
}

/// Whether `stowaway run` may have a way: with a driver, through a server, or with one of the partitions.
fn may_mount(kind: Option<&Kind>) -> bool {
    match kind {
        None | Some(Kind::Known { help: Help::Mounts, .. }) => true,
        Some(Kind::Known { help: Help::Command(help), .. }) => help.starts_with("stowaway run"),
        _ => false,
    }
}

/// Mounts the image for reading, and shows what is said of it: its partitions, a journal to replay, what the driver lacks.
fn check_mount(report: &mut Report, path: &Path) {
    const NAME: &str = "mount (read-only)";
    match try_mount(path) {
        Ok(None) => {}
        Ok(Some(words)) if words.is_empty() => {
            report.add(GROUP, NAME, State::Ok, "works");
        }
        Ok(Some(words)) => {
            report.add(GROUP, NAME, State::Ok, format!("works: {words}"));
        }
        Err(why) => {
            report.add(GROUP, NAME, State::Warn, why);
        }
    }
}

/// What is said of the mount. `None`: it was not tried.
fn try_mount(path: &Path) -> Result<Option<String>, String> {
    let (Ok(path), Ok(stowaway)) = (path.canonicalize(), std::env::current_exe()) else { return Ok(None) };
    let mount = Mount {
        image: Some(path.clone()),
        part: Part::default(),
        more: Vec::new(),
        path: b"/stowaway/doctor".into(),
        read_only: true,
        fstype: None,
        opts: Vec::new(),
        socket: None,
    };
    let mut command = clean(&stowaway);
    command.args(["run", "--no-keeper", "--mount"]).arg(mount.format());
    command.args(["--", "/bin/sh", "-c", "cd /stowaway/doctor"]);
    let Ok(output) = command.stdin(Stdio::null()).output() else { return Ok(None) };
    let errors = String::from_utf8_lossy(&output.stderr);
    let (prefix, name) = ("stowaway: ", format!("{}: ", path.display()));
    let lines = errors.lines().filter_map(|line| line.strip_prefix(prefix));
    let lines: Vec<&str> = lines.map(|line| line.strip_prefix(&name[..]).unwrap_or(line)).collect();
    let words = lines.join("; ");
    match (output.status.success(), words.is_empty()) {
        (true, _) => Ok(Some(words)),
        (false, false) => Err(words),
        (false, true) => Err(errors.lines().next().unwrap_or("fails without a word").to_owned()),
    }
}

/// What the file or block device at a path is.
pub fn kind_of(path: &Path) -> Option<Kind> {
    open(path).and_then(|image| kind(&image))
}

/// A file or a block device that is named by a path.
fn open(path: &Path) -> Option<Image> {
    use std::os::unix::fs::FileTypeExt;
    let named_by_path = path.as_os_str().as_encoded_bytes().contains(&b'/') || path.exists();
    let kind = std::fs::metadata(path).ok().filter(|_| named_by_path)?.file_type();
    if !(kind.is_file() || kind.is_block_device()) {
        return None;
    }
    let file = File::open(path).ok()?;
    let size = std::io::Seek::seek(&mut &file, std::io::SeekFrom::End(0)).ok()?;
    Some(Image { file, size })
}

fn is_program(image: &Image) -> bool {
    let mut start = Vec::new();
    let mut file = &image.file;
    let read = std::io::Seek::rewind(&mut file).and_then(|()| file.take(4).read_to_end(&mut start));
    read.is_ok() && (start == b"\x7fELF" || start.starts_with(b"#!"))
}
