// SPDX-License-Identifier: GPL-2.0-only
//! What a given image is, and what helps.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use stowaway_kinds::{kind, Bytes, Help, Kind};

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
    match kind {
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
    !is_program(&image)
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
