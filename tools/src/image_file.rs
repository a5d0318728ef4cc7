// SPDX-License-Identifier: GPL-2.0-only
//! The file or block device that an image is: opened to be looked at, and what is wrong with it before anybody mounts it.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

use stowaway_config::{Mount, Part};
use stowaway_kinds::{kind, Bytes, Help, Kind};

use crate::fail::{reason, Failure, EXIT_RUN};

/// An image that can be looked at.
pub struct Image {
    file: File,
    /// In bytes.
    pub size: u64,
}

impl Bytes for Image {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, to: &mut [u8], at: u64) -> bool {
        self.file.read_exact_at(to, at).is_ok()
    }
}

/// Says early what the first call under the mount would say later. `is_only_read`: whether an image has a format that can only be read.
pub fn check(mount: &Mount, is_only_read: fn(&Path) -> bool) -> Result<(), Failure> {
    let Some(image) = &mount.image else { return Ok(()) };
    if mount.is_a_servers() {
        return Ok(());
    }
    let fail = |why: &str| Err(Failure::new(EXIT_RUN, format!("{}: {why}", image.display())));
    let meta = match std::fs::metadata(image) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return fail("no such image; stowaway mkimage makes one")
        }
        Err(error) => return fail(&reason(&error)),
    };
    if meta.is_dir() {
        return fail("is a directory, not an image; stowaway mkimage makes an image of one");
    }
    if !meta.is_file() && !meta.file_type().is_block_device() {
        return fail("is neither a file nor a block device");
    }
    if meta.is_file() && meta.len() == 0 {
        return fail("is empty: no file system on it; stowaway mkimage makes one");
    }
    if let Err(error) = OpenOptions::new().read(true).open(image) {
        return fail(&reason(&error));
    }
    if mount.read_only {
        return Ok(());
    }
    match OpenOptions::new().read(true).write(true).open(image) {
        Ok(_) => Ok(()),
        // What nobody can write to need not be writable.
        Err(_) if is_only_read(image) || is_never_written(mount) => Ok(()),
        Err(error) => fail(&format!("cannot be written: {}; mount it read-only (:ro)", reason(&error))),
    }
}

/// Whether a mount is of a file system that nobody can write to, as far as that can be seen here. Of a part of an image the
/// library says it.
fn is_never_written(mount: &Mount) -> bool {
    const NAMES: [&str; 5] = ["squashfs", "erofs", "ISO 9660", "cramfs", "romfs"];
    let kind = || kind_of(mount.image.as_ref()?);
    mount.part != Part::default()
        || matches!(kind(), Some(Kind::Known { what, help: Help::Mounts }) if NAMES.iter().any(|name| what.contains(name)))
}

/// What the file or block device at a path is.
fn kind_of(path: &Path) -> Option<Kind> {
    open(path).and_then(|image| kind(&image))
}

/// A file or a block device that is named by a path.
pub fn open(path: &Path) -> Option<Image> {
    let named_by_path = path.as_os_str().as_encoded_bytes().contains(&b'/') || path.exists();
    let kind = std::fs::metadata(path).ok().filter(|_| named_by_path)?.file_type();
    if !(kind.is_file() || kind.is_block_device()) {
        return None;
    }
    let file = File::open(path).ok()?;
    let size = size(&file).ok()?;
    Some(Image { file, size })
}

/// The size of a file or a block device.
pub fn size(mut file: &File) -> std::io::Result<u64> {
    std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))
}

/// Whether it begins as a program or a script does.
pub fn is_program(image: &Image) -> bool {
    let mut start = Vec::new();
    let mut file = &image.file;
    let read = std::io::Seek::rewind(&mut file).and_then(|()| file.take(4).read_to_end(&mut start));
    read.is_ok() && (start == b"\x7fELF" || start.starts_with(b"#!"))
}
