// SPDX-License-Identifier: GPL-2.0-only
//! An image file, opened and locked: one kernel writes it, or many read it.
//!
//! # Safety
//! The ioctls store a number in a variable of the caller.
#![allow(unsafe_code)]

use super::error::DiskError;
use super::partition::{self, Sectors};
use super::{hosts_use, lock};
use crate::dev::block::nbd::{self, Address, Export, Patience};
use crate::dev::block::{Backing, Kind};
use crate::sys::file::{self, OwnedFd};
use crate::sys::{Errno, PAGE};
use std::ffi::CStr;

/// linux/fs.h
const BLKROGET: usize = 0x125e;
const BLKGETSIZE64: usize = 0x8008_1272;
const BLKSSZGET: usize = 0x1268;
const SECTOR: u32 = 512;

/// An open image.  The host descriptor stays open until [`Disk::close`], and the lock with it.
#[derive(Debug)]
pub struct Disk {
    fd: i32,
    kind: Kind,
    /// Where the disk begins in the file.
    start: u64,
    bytes: u64,
    /// The disk is all of the file, and no partition of it.
    whole: bool,
    block: u32,
    /// What the server said of the disk.
    export: Option<Export>,
    /// How long a server may take, until a kernel has the disk.
    patience: Patience,
    timeout_s: u32,
    read_only: bool,
    place: Option<u32>,
}

impl Disk {
    /// Opens and locks the image.  The descriptor gets a number of at least `at_fd`.
    pub fn open(path: &CStr, read_only: bool, at_fd: i32) -> Result<Disk, DiskError> {
        let mut disk = Disk::open_unlocked(path, read_only, at_fd)?;
        match disk.lock(None) {
            Ok(()) => Ok(disk),
            Err(e) => {
                disk.close();
                Err(e)
            }
        }
    }

    /// The disk begins so far behind the beginning of the file; of a device or a server's disk, whole sectors. To be called
    /// first.
    pub fn begin_at(&mut self, offset: u64) -> Result<(), DiskError> {
        if offset == 0 {
            return Ok(());
        }
        let is_whole = self.kind == Kind::File || offset % u64::from(self.block) == 0;
        if offset >= self.bytes || !is_whole {
            return Err(DiskError::NoOffset { bytes: self.bytes });
        }
        (self.start, self.bytes, self.whole) = (offset, self.bytes - offset, false);
        Ok(())
    }

    /// The disk is one of its partitions from then on.
    pub fn narrow(&mut self, number: u32) -> Result<(), DiskError> {
        // What cannot be read is no missing table.
        self.read_at(&mut [0; SECTOR as usize], 0)?;
        let found = partition::partitions(self).and_then(|table| table.find(number));
        let found = found.ok_or(DiskError::NoPartition)?;
        (self.start, self.bytes, self.whole) = (self.start + found.start, found.bytes, false);
        Ok(())
    }

    /// Makes the disk, which was [opened without its lock](Disk::open_unlocked), this one's to use. Locks all
    /// of it, or one partition; the disk is this partition from then on.
    pub fn lock(&mut self, partition: Option<u32>) -> Result<(), DiskError> {
        if let Some(number) = partition {
            self.narrow(number)?;
        }
        if self.kind == Kind::Nbd {
            return Ok(());
        }
        if self.kind == Kind::Block {
            hosts_use::claim_device(self.fd, self.read_only)?;
            self.check_protection()?;
        }
        let part = (!self.whole).then_some((self.start, self.bytes));
        lock::lock(self.fd, lock::Use { read_only: self.read_only, part })?;
        match self.kind {
            Kind::File => hosts_use::check_loops(self.fd, self.read_only),
            _ => Ok(()),
        }
    }

    /// The host opens a write-protected device for writing, and then refuses each write.
    fn check_protection(&self) -> Result<(), DiskError> {
        let mut is_protected = 0i32;
        // SAFETY: stores an int.
        unsafe { file::ioctl(self.fd, BLKROGET, &raw mut is_protected as usize)? };
        match is_protected != 0 && !self.read_only {
            true => Err(DiskError::Io(Errno::EROFS)),
            false => Ok(()),
        }
    }

    fn new(fd: OwnedFd, kind: Kind, read_only: bool) -> Disk {
        let (whole, block) = (true, SECTOR);
        let (fd, patience) = (fd.into_raw(), Patience::seconds(0));
        Disk {
            fd,
            kind,
            start: 0,
            bytes: 0,
            whole,
            block,
            export: None,
            patience,
            timeout_s: 0,
            read_only,
            place: None,
        }
    }

    /// Opens the image, which others may be using.
    pub fn open_unlocked(path: &CStr, read_only: bool, at_fd: i32) -> Result<Disk, DiskError> {
        let mode = if read_only { libc::O_RDONLY } else { libc::O_RDWR };
        let low = file::open(path, mode | libc::O_NOCTTY | libc::O_NONBLOCK)?;
        let mut disk = Disk::new(low.move_up(at_fd)?, Kind::File, read_only);
        match disk.measure() {
            Ok(()) => Ok(disk),
            Err(e) => {
                disk.close();
                Err(e)
            }
        }
    }

    /// Connects to a server: `nbd://HOST[:PORT][/EXPORT]` or `nbd+unix:///[EXPORT]?socket=PATH`. Its disk is not
    /// locked: the protocol has nothing for it.
    ///
    /// All until a kernel has the disk takes at most the address's `timeout=`, from `begun_ns` on (CLOCK_MONOTONIC); EINTR:
    /// a signal waits (`set_interrupted`).
    pub fn connect(uri: &[u8], read_only: bool, at_fd: i32, begun_ns: u64) -> Result<Disk, DiskError> {
        let address = Address::parse(uri).map_err(DiskError::Address)?;
        let patience = Patience::since(begun_ns, address.timeout_s());
        let mut disk = Disk::new(nbd::connect(&address, at_fd, patience)?, Kind::Nbd, read_only);
        (disk.patience, disk.timeout_s) = (patience, address.timeout_s());
        let negotiated = nbd::negotiate(disk.fd, address.name(), patience).map_err(DiskError::from);
        match negotiated.and_then(|export| disk.adopt(export)) {
            Ok(()) => Ok(disk),
            Err(e) => {
                disk.close();
                Err(e)
            }
        }
    }

    fn adopt(&mut self, export: Export) -> Result<(), DiskError> {
        if export.flags & nbd::READ_ONLY != 0 && !self.read_only {
            return Err(DiskError::Io(Errno::EROFS));
        }
        if export.block > PAGE as u32 {
            return Err(DiskError::Server("wants larger requests than a page"));
        }
        self.block = export.block.max(SECTOR);
        self.bytes = export.bytes;
        self.export = Some(export);
        Ok(())
    }

    /// What the server said of the disk, if the disk is a server's.
    pub(crate) fn export(&self) -> Option<&Export> {
        self.export.as_ref()
    }

    /// Closes the file, and drops its lock. Not while a kernel uses the disk.
    pub fn close(self) {
        if self.export.is_some() {
            nbd::disconnect(self.fd);
            nbd::drain(self.fd, Patience::seconds(self.timeout_s));
        }
        file::close(self.fd);
    }

    /// Whether the disk is a server's.
    pub fn is_a_servers(&self) -> bool {
        self.kind == Kind::Nbd
    }

    /// The host descriptor.
    pub fn fd(&self) -> i32 {
        self.fd
    }

    /// The disk's size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where the disk ends in its file.
    pub fn end(&self) -> u64 {
        self.start + self.bytes
    }

    /// Whether the disk was opened read-only.
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// Gives the disk a place among all mounts: the minor device number. No other attached disk has the same.
    pub fn set_place(&mut self, place: u32) {
        self.place = Some(place);
    }

    /// The disk's place among all mounts.
    pub(crate) fn place(&self) -> Option<u32> {
        self.place
    }

    /// What the disk's I/O goes to.
    pub(crate) fn backing(&self) -> Backing {
        if self.kind == Kind::Nbd {
            nbd::set_timeouts(self.fd, self.timeout_s);
        }
        Backing { fd: self.fd, kind: self.kind, start: self.start }
    }

    /// Logical block size.
    pub(crate) fn block(&self) -> u32 {
        self.block
    }

    fn measure(&mut self) -> Result<(), DiskError> {
        let st = file::stat_fd(self.fd)?;
        match st.st_mode & libc::S_IFMT {
            libc::S_IFREG => self.bytes = st.st_size as u64,
            libc::S_IFBLK => {
                self.kind = Kind::Block;
                // SAFETY: the two store a u64 and a u32.
                unsafe {
                    file::ioctl(self.fd, BLKGETSIZE64, &raw mut self.bytes as usize)?;
                    file::ioctl(self.fd, BLKSSZGET, &raw mut self.block as usize)?;
                }
            }
            libc::S_IFDIR => return Err(DiskError::Io(Errno::EISDIR)),
            _ => return Err(DiskError::NotADisk),
        }
        Ok(())
    }
}

impl Sectors for Disk {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, to: &mut [u8], off: u64) -> Result<(), Errno> {
        if off.checked_add(to.len() as u64).is_none_or(|end| end > self.bytes) {
            return Err(Errno::EIO);
        }
        let off = self.start + off;
        if self.kind == Kind::Nbd {
            return nbd::read_at(self.fd, to, off, self.start + self.bytes, self.patience);
        }
        match file::read_at(self.fd, to, off)? {
            n if n == to.len() => Ok(()),
            _ => Err(Errno::EIO),
        }
    }
}
