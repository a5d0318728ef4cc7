// SPDX-License-Identifier: GPL-2.0-only
//! An image as a disk: opened with the files that it refers to, each of them locked, and read and written.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use imago::file::File as Storage;
use imago::format::gate::ImplicitOpenGate;
use imago::format::Format as Kind;
use imago::qcow2::Qcow2;
use imago::raw::Raw;
use imago::{FormatAccess, FormatDriverBuilder, StorageOpenOptions};

use super::disk::Disk;
pub use super::disk::OpenError;
use super::formats::{self, Made, Packing};
use super::packed::Packed;
use super::qemu::Qemu;
use super::{header, lock};
use crate::cli::Format;
use crate::fail::reason;

/// Images below an image: more than anybody has.
const LAYERS_MOST: usize = 64;
static ZEROES: [u8; 64 << 10] = [0; 64 << 10];

/// Which image, and how it is opened.
#[derive(Debug, Clone)]
pub struct Source {
    pub path: PathBuf,
    pub format: Format,
    pub read_only: bool,
}

/// An open image.
pub struct Image {
    disk: Box<dyn Disk>,
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
        let made = match self.format {
            Format::Raw => Made::Plain,
            Format::Qcow2 if !header::is_for_qemu(&file).map_err(bad)? => Made::Qcow2,
            Format::Auto | Format::Qcow2 => formats::of(&file).map_err(bad)?,
        };
        match made {
            Made::Qemu { name, writable } => {
                if name == "qcow2" {
                    header::check(&file).map_err(OpenError::Bad)?;
                }
                // It locks the image itself.
                drop(file);
                self.by_qemu(name, writable)
            }
            Made::Packed(packing) => self.packed(file, packing),
            Made::Qcow2 | Made::Plain => self.own(file, made == Made::Qcow2),
        }
    }

    /// What is read here. An image below it may be one that only QEMU reads: then QEMU has all of them.
    fn own(&self, file: File, is_qcow2: bool) -> Result<Image, OpenError> {
        if is_qcow2 {
            header::check(&file).map_err(OpenError::Bad)?;
        }
        let for_qemu = Arc::new(AtomicBool::new(false));
        let above = identity(&file).into_iter().collect();
        let gate = Gate { read_only: self.read_only, above, for_qemu: Arc::clone(&for_qemu) };
        match self.access(file, is_qcow2, gate) {
            Ok(access) => {
                let bytes = access.size();
                Ok(Image { disk: Box::new(Own(RwLock::new(access))), bytes })
            }
            Err(_) if for_qemu.load(Ordering::Relaxed) => self.by_qemu("qcow2", true),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Err(OpenError::Busy(reason(&error))),
            Err(error) => Err(OpenError::Bad(reason(&error))),
        }
    }

    fn by_qemu(&self, name: &'static str, writable: bool) -> Result<Image, OpenError> {
        if !(writable || self.read_only) {
            return Err(OpenError::Bad(format!("this kind of {name} image can only be read: --read-only")));
        }
        let qemu = Qemu::start(&self.path, name, self.read_only)?;
        Ok(Image { bytes: qemu.bytes(), disk: Box::new(qemu) })
    }

    fn packed(&self, file: File, packing: Packing) -> Result<Image, OpenError> {
        if !self.read_only {
            return Err(OpenError::Bad(format!(
                "is packed with {}: it can only be read: --read-only",
                packing.name()
            )));
        }
        let packed = Packed::open(file, packing).map_err(|error| OpenError::Bad(reason(&error)))?;
        Ok(Image { bytes: packed.bytes(), disk: Box::new(packed) })
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

/// (device, inode)
fn identity(file: &File) -> Option<(u64, u64)> {
    file.metadata().ok().map(|about| (about.dev(), about.ino()))
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
#[derive(Clone)]
struct Gate {
    read_only: bool,
    /// The images that are open already, from the uppermost.
    above: Vec<(u64, u64)>,
    /// One of them is for QEMU.
    for_qemu: Arc<AtomicBool>,
}

impl Gate {
    /// Err: the file is of a format that is not read here.
    fn leave_to_qemu(&self, file: &File) -> io::Result<()> {
        if matches!(formats::of(file)?, Made::Qemu { .. }) {
            self.for_qemu.store(true, Ordering::Relaxed);
            return Err(io::Error::other("is for qemu-nbd"));
        }
        Ok(())
    }
}

impl ImplicitOpenGate<Storage> for Gate {
    fn open_format<F: FormatDriverBuilder<Storage>>(
        &mut self,
        image: F,
    ) -> io::Result<FormatAccess<Storage>> {
        if self.above.len() > LAYERS_MOST {
            return Err(io::Error::other("more than 64 backing files in a chain"));
        }
        let mut above = self.above.clone();
        if let Some(own) = image.get_image_path().and_then(|path| identity(&File::open(path).ok()?)) {
            if above.contains(&own) {
                return Err(io::Error::other("is below itself: the backing files are a circle"));
            }
            above.push(own);
        }
        if let (Kind::Qcow2, Some(path)) = (F::FORMAT, image.get_image_path()) {
            let file = File::open(path)?;
            header::check(&file).map_err(io::Error::other)?;
            self.leave_to_qemu(&file)?;
        }
        Ok(FormatAccess::new(image.open(Gate { above, ..self.clone() })?))
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

/// A format that is read here. Requests that may go on at the same time share it; what takes clusters away has it alone.
struct Own(RwLock<FormatAccess<Storage>>);

impl Own {
    fn shared(&self) -> RwLockReadGuard<'_, FormatAccess<Storage>> {
        // A request that panicked left the format's own state to its own locks.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for Own {
    fn read(&self, to: &mut [u8], at: u64) -> io::Result<()> {
        self.shared().read(to, at)
    }

    fn write(&self, from: &[u8], at: u64) -> io::Result<()> {
        self.shared().write(from, at)
    }

    fn flush(&self) -> io::Result<()> {
        let access = self.shared();
        access.flush()?;
        access.sync()
    }

    fn trim(&self, at: u64, len: u64) -> io::Result<bool> {
        let mut access = self.0.write().unwrap_or_else(PoisonError::into_inner);
        supported(access.discard_to_any(at, len))
    }

    fn zero(&self, at: u64, len: u64, holes: bool) -> io::Result<bool> {
        if holes {
            let mut access = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if supported(access.discard_to_zero(at, len))? {
                return Ok(true);
            }
        }
        supported(self.shared().write_zeroes(at, len))
    }
}

impl Image {
    pub fn read(&self, to: &mut [u8], at: u64) -> io::Result<()> {
        self.disk.read(to, at)
    }

    pub fn write(&self, from: &[u8], at: u64) -> io::Result<()> {
        self.disk.write(from, at)
    }

    /// All that was written is on the host's disk.
    pub fn flush(&self) -> io::Result<()> {
        self.disk.flush()
    }

    /// Gives clusters back where the format can.
    pub fn trim(&self, at: u64, len: u64) -> io::Result<()> {
        self.disk.trim(at, len).map(drop)
    }

    /// Makes a range zero, and gives its clusters back if it may have holes.
    pub fn zero(&self, at: u64, len: u64, holes: bool) -> io::Result<()> {
        if self.disk.zero(at, len, holes)? {
            return Ok(());
        }
        let end = at + len;
        let mut at = at;
        while at < end {
            let part = (end - at).min(ZEROES.len() as u64);
            self.disk.write(&ZEROES[..part as usize], at)?;
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
