// SPDX-License-Identifier: GPL-2.0-only
//! An image as a disk: opened with the files that it refers to, each of them locked, and read and written.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use imago::file::File as Storage;
use imago::format::gate::ImplicitOpenGate;
use imago::format::Format as Kind;
use imago::qcow2::Qcow2;
use imago::raw::Raw;
use imago::{FormatAccess, FormatDriverBuilder, StorageOpenOptions};

use super::{header, lock};
use crate::cli::Format;
use crate::fail::reason;

/// Images below an image: more than anybody has, less than a circle of them.
const LAYERS_MOST: u32 = 64;
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// Which image, and how it is opened.
#[derive(Debug, Clone)]
pub struct Source {
    pub path: PathBuf,
    pub format: Format,
    pub read_only: bool,
}

/// Why an image cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// It, or what it refers to, is in use by somebody: who.
    Busy(String),
    /// What is wrong with it.
    Bad(String),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (OpenError::Busy(why) | OpenError::Bad(why)) = self;
        f.write_str(why)
    }
}

/// An open image. Dropping it writes what is not yet written, and unlocks it.
pub struct Image {
    /// Requests that may go on at the same time share it; what takes clusters away has it alone.
    access: RwLock<FormatAccess<Storage>>,
    pub bytes: u64,
}

impl Source {
    /// Opens and locks the image and what it refers to.
    pub fn open(&self) -> Result<Image, OpenError> {
        let bad = |error: io::Error| OpenError::Bad(reason(&error));
        let file = open_file(&self.path, self.read_only).map_err(bad)?;
        match lock::lock(&file, self.read_only) {
            Ok(true) => {}
            Ok(false) => return Err(OpenError::Busy(in_use(&file))),
            Err(error) => return Err(bad(error)),
        }
        let is_qcow2 = match self.format {
            Format::Auto => header::begins(&file).map_err(bad)?,
            format => format == Format::Qcow2,
        };
        if is_qcow2 {
            header::check(&file).map_err(OpenError::Bad)?;
        }
        let gate = Gate { read_only: self.read_only, layers: 0 };
        let access = self.access(file, is_qcow2, gate).map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => OpenError::Busy(reason(&error)),
            _ => bad(error),
        })?;
        let bytes = access.size();
        Ok(Image { access: RwLock::new(access), bytes })
    }

    fn access(&self, file: File, is_qcow2: bool, gate: Gate) -> io::Result<FormatAccess<Storage>> {
        let writable = !self.read_only;
        let options = StorageOpenOptions::new().filename(&self.path).write(writable);
        let storage = Storage::from_open_file(file, options)?;
        Ok(match is_qcow2 {
            true => FormatAccess::new(Qcow2::<Storage>::builder(storage).write(writable).open(gate)?),
            false => FormatAccess::new(Raw::builder(storage).write(writable).open(gate)?),
        })
    }
}

fn in_use(file: &File) -> String {
    format!("in use by {}", lock::holder(file))
}

fn open_file(path: &Path, read_only: bool) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(!read_only).open(path)?;
    let kind = file.metadata()?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(io::Error::other("is neither a file nor a block device"));
    }
    Ok(file)
}

/// Opens what an image refers to: a file below it, or with its data.
#[derive(Clone, Copy)]
struct Gate {
    read_only: bool,
    layers: u32,
}

impl ImplicitOpenGate<Storage> for Gate {
    fn open_format<F: FormatDriverBuilder<Storage>>(
        &mut self,
        image: F,
    ) -> io::Result<FormatAccess<Storage>> {
        if self.layers == LAYERS_MOST {
            return Err(io::Error::other("more than 64 backing files in a chain; is there a loop?"));
        }
        if let (Kind::Qcow2, Some(path)) = (F::FORMAT, image.get_image_path()) {
            header::check(&File::open(path)?).map_err(io::Error::other)?;
        }
        Ok(FormatAccess::new(image.open(Gate { layers: self.layers + 1, ..*self })?))
    }

    fn open_storage(&mut self, options: StorageOpenOptions) -> io::Result<Storage> {
        let writable = options.get_writable() && !self.read_only;
        let options = options.write(writable);
        let path = options.get_filename().ok_or(io::ErrorKind::NotFound)?;
        let file = open_file(path, !writable)?;
        if !lock::lock(&file, !writable)? {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, in_use(&file)));
        }
        Storage::from_open_file(file, options)
    }
}

impl Image {
    fn shared(&self) -> RwLockReadGuard<'_, FormatAccess<Storage>> {
        // A request that panicked left the format's own state to its own locks.
        self.access.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn read(&self, to: &mut [u8], at: u64) -> io::Result<()> {
        self.shared().read(to, at)
    }

    pub fn write(&self, from: &[u8], at: u64) -> io::Result<()> {
        self.shared().write(from, at)
    }

    /// All that was written is on the host's disk.
    pub fn flush(&self) -> io::Result<()> {
        let access = self.shared();
        access.flush()?;
        access.sync()
    }

    /// Gives clusters back where the format can.
    pub fn trim(&self, at: u64, len: u64) -> io::Result<()> {
        let mut access = self.access.write().unwrap_or_else(PoisonError::into_inner);
        supported(access.discard_to_any(at, len)).map(drop)
    }

    /// Makes a range zero, and gives its clusters back if it may have holes.
    pub fn zero(&self, at: u64, len: u64, holes: bool) -> io::Result<()> {
        if holes {
            let mut access = self.access.write().unwrap_or_else(PoisonError::into_inner);
            if supported(access.discard_to_zero(at, len))? {
                return Ok(());
            }
        }
        let access = self.shared();
        if supported(access.write_zeroes(at, len))? {
            return Ok(());
        }
        let end = at + len;
        let mut at = at;
        while at < end {
            let part = (end - at).min(ZEROES.len() as u64);
            access.write(&ZEROES[..part as usize], at)?;
            at += part;
        }
        Ok(())
    }
}

/// False: there is no such thing in this format.
fn supported(done: io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(false),
        Err(error) => Err(error),
    }
}
