// SPDX-License-Identifier: GPL-2.0-only
//! An image file, opened and locked: one kernel writes it, or many read it.

use crate::block::nbd::{self, Address, Export};
use crate::block::Kind;
use crate::holder;
use crate::sys::via;
use crate::{partitions, Errno, RawSyscall};
use std::ffi::CStr;
use std::fmt;
use std::mem::MaybeUninit;

/// linux/fs.h
const BLKGETSIZE64: usize = 0x8008_1272;
const BLKSSZGET: usize = 0x1268;
const SECTOR: u32 = 512;
const PAGE_BYTES: u32 = 4096;

/// An open image.  The host descriptor stays open until [`Disk::close`], and the lock with it.
#[derive(Debug)]
pub struct Disk {
    syscall: RawSyscall,
    fd: i32,
    kind: Kind,
    /// Where it begins in what the descriptor is of.
    start: u64,
    bytes: u64,
    /// No partition.
    whole: bool,
    block: u32,
    /// What the server said.
    export: Option<Export>,
    read_only: bool,
}

/// Why an image cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskError {
    /// Another kernel has it (and either writes it, or we would).
    Busy {
        /// The process that holds the lock, if it can be found.
        pid: Option<u32>,
    },
    /// Neither a regular file nor a block device.
    NotADisk,
    /// It has no partition of that number, or no table of them.
    NoPartition,
    /// What is wrong with the server's address.
    Address(&'static str),
    /// What is wrong with the server.
    Server(&'static str),
    /// The host's error.
    Io(Errno),
}

impl DiskError {
    /// As the application's call reports it.
    pub fn errno(&self) -> Errno {
        match self {
            DiskError::Busy { .. } => Errno(libc::EBUSY),
            DiskError::NotADisk => Errno(libc::ENOTBLK),
            DiskError::NoPartition => Errno(libc::ENXIO),
            DiskError::Address(_) => Errno(libc::EINVAL),
            DiskError::Server(_) => Errno(libc::EIO),
            DiskError::Io(e) => *e,
        }
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DiskError::Busy { pid: Some(pid) } => write!(f, "in use by pid {pid}"),
            DiskError::Busy { pid: None } => write!(f, "in use by another process"),
            DiskError::NotADisk => write!(f, "neither a regular file nor a block device"),
            DiskError::NoPartition => write!(f, "has no such partition"),
            DiskError::Address(why) => write!(f, "{why}"),
            DiskError::Server(why) => write!(f, "the server {why}"),
            DiskError::Io(e) => write!(f, "{e}"),
        }
    }
}

impl std::error::Error for DiskError {}

impl From<Errno> for DiskError {
    fn from(e: Errno) -> DiskError {
        DiskError::Io(e)
    }
}

impl Disk {
    /// Opens and locks the image.  The descriptor gets a number of at least `at_fd`.
    pub fn open(syscall: RawSyscall, path: &CStr, read_only: bool, at_fd: i32) -> Result<Disk, DiskError> {
        let mut disk = Disk::look(syscall, path, read_only, at_fd)?;
        match disk.take(None) {
            Ok(()) => Ok(disk),
            Err(e) => {
                disk.close();
                Err(e)
            }
        }
    }

    /// Makes the disk, which was only [looked](Disk::look) at, this one's to use: locks it, or one partition,
    /// which it is from now on.
    pub fn take(&mut self, partition: Option<u32>) -> Result<(), DiskError> {
        if let Some(number) = partition {
            let found = partitions(self).and_then(|table| table.find(number));
            let found = found.ok_or(DiskError::NoPartition)?;
            (self.start, self.bytes, self.whole) = (found.start, found.bytes, false);
        }
        if self.kind == Kind::Nbd {
            return Ok(());
        }
        self.lock()
    }

    /// Opens the image, which others may be using.
    pub fn look(syscall: RawSyscall, path: &CStr, read_only: bool, at_fd: i32) -> Result<Disk, DiskError> {
        let mode = if read_only { libc::O_RDONLY } else { libc::O_RDWR };
        let flags = (mode | libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK) as usize;
        let cwd = libc::AT_FDCWD as usize;
        let args = [cwd, path.as_ptr() as usize, flags, 0, 0, 0];
        let low = Errno::check(via(syscall, libc::SYS_openat, args))?;
        let dup = [low, libc::F_DUPFD_CLOEXEC as usize, at_fd as usize, 0, 0, 0];
        let fd = via(syscall, libc::SYS_fcntl, dup);
        via(syscall, libc::SYS_close, [low, 0, 0, 0, 0, 0]);
        let fd = Errno::check(fd)? as i32;
        let (kind, whole, block) = (Kind::File, true, SECTOR);
        let mut disk = Disk { syscall, fd, kind, start: 0, bytes: 0, whole, block, export: None, read_only };
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
    pub fn connect(syscall: RawSyscall, uri: &[u8], read_only: bool, at_fd: i32) -> Result<Disk, DiskError> {
        let address = Address::parse(uri).map_err(DiskError::Address)?;
        let fd = nbd::connect(syscall, &address, at_fd)?;
        let (kind, whole, block) = (Kind::Nbd, true, SECTOR);
        let mut disk = Disk { syscall, fd, kind, start: 0, bytes: 0, whole, block, export: None, read_only };
        match nbd::greet(fd, address.name()).and_then(|export| disk.adopt(export)) {
            Ok(()) => Ok(disk),
            Err(e) => {
                disk.close();
                Err(e)
            }
        }
    }

    fn adopt(&mut self, export: Export) -> Result<(), DiskError> {
        if export.flags & nbd::READ_ONLY != 0 && !self.read_only {
            return Err(DiskError::Io(Errno(libc::EROFS)));
        }
        if export.block > PAGE_BYTES {
            return Err(DiskError::Server("wants larger requests than a page"));
        }
        self.block = export.block.max(SECTOR);
        self.bytes = export.bytes;
        self.export = Some(export);
        Ok(())
    }

    /// What the server said of it, if it is one's.
    pub(crate) fn export(&self) -> Option<&Export> {
        self.export.as_ref()
    }

    /// Gives the file back, and the lock.  Not while a kernel uses it.
    pub fn close(self) {
        if self.export.is_some() {
            nbd::leave(self.fd);
            nbd::drain(self.fd);
        }
        self.host(libc::SYS_close, [self.fd as usize, 0, 0, 0, 0, 0]);
    }

    /// The host descriptor.
    pub fn fd(&self) -> i32 {
        self.fd
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where it ends in its file.
    pub fn end(&self) -> u64 {
        self.start + self.bytes
    }

    /// Opened read-only?
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    pub(crate) fn host(&self, nr: i64, args: [usize; 6]) -> isize {
        via(self.syscall, nr, args)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// Logical block size.
    pub(crate) fn block(&self) -> u32 {
        self.block
    }

    fn measure(&mut self) -> Result<(), DiskError> {
        let mut st = MaybeUninit::<libc::stat>::zeroed();
        let args = [self.fd as usize, st.as_mut_ptr() as usize, 0, 0, 0, 0];
        Errno::check(self.host(libc::SYS_fstat, args))?;
        // SAFETY: fstat() filled it; and all zeros is a valid one.
        let st = unsafe { st.assume_init() };
        match st.st_mode & libc::S_IFMT {
            libc::S_IFREG => self.bytes = st.st_size as u64,
            libc::S_IFBLK => {
                self.kind = Kind::Block;
                let (mut bytes, mut block) = (0u64, 0u32);
                self.ask(BLKGETSIZE64, (&raw mut bytes).cast())?;
                self.ask(BLKSSZGET, (&raw mut block).cast())?;
                (self.bytes, self.block) = (bytes, block);
            }
            libc::S_IFDIR => return Err(DiskError::Io(Errno(libc::EISDIR))),
            _ => return Err(DiskError::NotADisk),
        }
        Ok(())
    }

    /// An ioctl() that stores what it is asked for.
    fn ask(&self, what: usize, to: *mut u8) -> Result<(), Errno> {
        Errno::check(self.host(libc::SYS_ioctl, [self.fd as usize, what, to as usize, 0, 0, 0])).map(drop)
    }

    /// An open file description lock: it belongs to this descriptor, not to the process, so that
    /// an unrelated close() of the same file by the application does not drop it.
    fn lock(&self) -> Result<(), DiskError> {
        let kind = if self.read_only { libc::F_RDLCK } else { libc::F_WRLCK };
        // Partitions are locked by their ranges; the whole (0: to the end) is in the way of each.
        let len = if self.whole { 0 } else { self.bytes };
        let (start, len) = (self.start as i64, len as i64);
        let lock = libc::flock { l_type: kind as i16, l_whence: 0, l_start: start, l_len: len, l_pid: 0 };
        let args = [self.fd as usize, libc::F_OFD_SETLK as usize, &raw const lock as usize, 0, 0, 0];
        match Errno::check(self.host(libc::SYS_fcntl, args)) {
            Ok(_) => Ok(()),
            Err(Errno(libc::EAGAIN | libc::EACCES)) => Err(DiskError::Busy { pid: holder::find(self) }),
            Err(e) => Err(e.into()),
        }
    }

    /// Reads exactly `to.len()` bytes.
    pub(crate) fn read_at(&self, to: &mut [u8], off: u64) -> Result<(), Errno> {
        if off.checked_add(to.len() as u64).is_none_or(|end| end > self.bytes) {
            return Err(Errno(libc::EIO));
        }
        let off = self.start + off;
        if self.kind == Kind::Nbd {
            return nbd::read_at(self.fd, to, off, self.start + self.bytes);
        }
        let args = [self.fd as usize, to.as_mut_ptr() as usize, to.len(), off as usize, 0, 0];
        match Errno::check(self.host(libc::SYS_pread64, args))? {
            n if n == to.len() => Ok(()),
            _ => Err(Errno(libc::EIO)),
        }
    }
}
