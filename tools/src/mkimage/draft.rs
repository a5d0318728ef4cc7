// SPDX-License-Identifier: GPL-2.0-only
//! The image while it is made: a directory beside its place, gone again unless it is kept.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::fail::{reason, Failure, EXIT_FAILED};
use crate::host;

/// An image that is not whole yet.
pub struct Draft {
    scratch: PathBuf,
    image: PathBuf,
    place: PathBuf,
    force: bool,
}

/// The directory that a file is in.
pub fn parent(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

impl Draft {
    /// Makes the directory and an empty image in it.
    pub fn new(place: &Path, force: bool) -> Result<Draft, Failure> {
        let fail = |why: &str| Failure::new(EXIT_FAILED, format!("{}: {why}", place.display()));
        if place.file_name().is_none() {
            return Err(fail("is not a name for a file"));
        }
        match fs::symlink_metadata(place) {
            Ok(meta) if meta.is_dir() => return Err(fail("is a directory")),
            Ok(_) if !force => return Err(fail("exists already; --force replaces it")),
            Ok(meta) if !meta.is_file() && !meta.is_symlink() => return Err(fail("is not a regular file")),
            _ => {}
        }
        // A directory: some tools insist on making their file, and the names must not meet.
        let scratch = parent(place).join(format!(".stowaway-mkimage-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&scratch).map_err(|error| fail(&reason(&error)))?;
        let draft = Draft { image: scratch.join("image"), scratch, place: place.to_path_buf(), force };
        File::create(&draft.image).map_err(|error| fail(&reason(&error)))?;
        Ok(draft)
    }

    /// The image's name for now.
    pub fn path(&self) -> &Path {
        &self.image
    }

    /// A directory for what a tool needs besides.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Gives the image its size; it stays sparse.
    pub fn resize(&self, bytes: u64) -> Result<(), Failure> {
        File::options()
            .write(true)
            .open(&self.image)
            .and_then(|file| file.set_len(bytes))
            .map_err(|e| self.fail(&e))
    }

    /// Moves the image to its place. Its size.
    pub fn keep(self) -> Result<u64, Failure> {
        let bytes = fs::metadata(&self.image).map_err(|error| self.fail(&error))?.len();
        let moved = match self.force {
            true => fs::rename(&self.image, &self.place),
            false => host::rename_new(&self.image, &self.place),
        };
        moved.map_err(|error| self.fail(&error))?;
        Ok(bytes)
    }

    fn fail(&self, error: &std::io::Error) -> Failure {
        Failure::new(EXIT_FAILED, format!("{}: {}", self.place.display(), reason(error)))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // The reason why there is no image has been said; what cannot be removed now never can.
        let _ = fs::remove_dir_all(&self.scratch);
    }
}
