// SPDX-License-Identifier: GPL-2.0-only
//! The image of a mount: opened, locked, looked at; and what is said where that fails.

use core::ffi::CStr;
use core::fmt::Display;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use lkl::{Disk, DiskError};
use stowaway_config::{Mount, READ_ONLY_TYPES};

use crate::fdtable;
use crate::sys::errno::{Errno, Explained, Result};
use crate::sys::host;
use crate::sys::report::Line;

/// The call starts again, as SA_RESTART says (include/linux/errno.h).
const ERESTARTSYS: i32 = 512;

/// An image that can be attached. Its descriptor is reserved.
pub struct Image {
    pub disk: Disk,
    pub fstype: String,
    pub read_only: bool,
}

/// What is kept of the tries to open an image.
pub struct Tries {
    /// The errno last reported: each reason is said once.
    pub reported: AtomicI32,
    /// When the way to the server began that a signal interrupted (CLOCK_MONOTONIC); 0: none did.
    pub begun_ns: AtomicU64,
}

/// Opens the image of a mount that has one. A signal ends the way to a server: the call starts again after the signal, or
/// ends with EINTR, and the server's time runs on.
pub fn open(mount: &Mount, tries: &Tries) -> Result<Image> {
    let begun_ns = match tries.begun_ns.load(Ordering::Relaxed) {
        0 => lkl::sys::time::monotonic_ns(),
        begun_ns => begun_ns,
    };
    match open_since(mount, &tries.reported, begun_ns) {
        Err(Errno::EINTR) => {
            tries.begun_ns.store(begun_ns, Ordering::Relaxed);
            Err(Errno::new(ERESTARTSYS))
        }
        result => {
            tries.begun_ns.store(0, Ordering::Relaxed);
            result
        }
    }
}

fn open_since(mount: &Mount, reported: &AtomicI32, begun_ns: u64) -> Result<Image> {
    let name = name(mount)?;
    let said = Said { name: &name, reported };
    let open = |read_only| {
        open_patiently(mount, &name, read_only, begun_ns).map_err(|e| said.cannot_open(e, mount, &name))
    };
    let mut disk = open(mount.read_only)?;
    let found = match lkl::probe_fs(&disk) {
        Ok(found) => found.map(|t| t.to_str().unwrap_or("").to_owned()),
        Err(e) => {
            disk.close();
            return Err(said.cannot_read(e));
        }
    };
    let fstype = mount.fstype.clone().or(found);
    // What nobody can write to is shared, as if :ro had been said.
    let read_only = mount.read_only || fstype.as_deref().is_some_and(|t| READ_ONLY_TYPES.contains(&t));
    if read_only && !mount.read_only {
        disk.close();
        disk = open(true)?;
    }
    fdtable::set(disk.fd() as usize, fdtable::RESERVED);
    let Some(fstype) = fstype else {
        let errno = said.no_file_system(&disk);
        close(disk);
        return Err(errno);
    };
    if let Some(bytes) = squashfs_bytes(&disk, &fstype).filter(|&bytes| bytes > disk.bytes()) {
        let why = format_args!(
            "is cut short: the squashfs file system has {bytes} bytes, the image {}",
            disk.bytes()
        );
        let errno = said.once(Errno::EINVAL, why);
        close(disk);
        return Err(errno);
    }
    Ok(Image { disk, fstype, read_only })
}

/// How long a squashfs is (`bytes_used`, fs/squashfs/squashfs_fs.h): its driver refuses a shorter image without a word.
fn squashfs_bytes(disk: &Disk, fstype: &str) -> Option<u64> {
    let mut bytes = [0; 8];
    lkl::Sectors::read_at(disk, &mut bytes, 40).ok().filter(|()| fstype == "squashfs")?;
    Some(u64::from_le_bytes(bytes))
}

/// Opens a further image of a mount; what is on it is its file system's to say.
pub fn open_further(further: &Mount, tries: &Tries, read_only: bool) -> Result<Disk> {
    let name = name(further)?;
    let said = Said { name: &name, reported: &tries.reported };
    let disk = open_patiently(further, &name, read_only, lkl::sys::time::monotonic_ns())
        .map_err(|e| said.cannot_open(e, further, &name))?;
    fdtable::set(disk.fd() as usize, fdtable::RESERVED);
    Ok(disk)
}

/// How the image is called in messages: as the user wrote it, without what is no part of the name.
pub fn name(mount: &Mount) -> Result<CString> {
    let image = mount.image.as_ref().map_or(&b"none"[..], |image| image.as_os_str().as_bytes());
    CString::new(image).map_err(|_| Errno::EINVAL)
}

/// Closes an image that was opened in vain.
pub fn close(disk: Disk) {
    fdtable::set(disk.fd() as usize, fdtable::HOST);
    disk.close();
}

/// Opens and locks an image, or a part of it. One that is in use may be so by a process on its way out (the one
/// before in a script, the left side of a pipeline): it gets a moment for that.
fn open_patiently(
    mount: &Mount,
    image: &CStr,
    read_only: bool,
    begun_ns: u64,
) -> core::result::Result<Disk, DiskError> {
    const TRIES: u32 = 25;
    const PAUSE_NS: i64 = 10_000_000;
    let mut disk = look(mount, image, read_only, begun_ns)?;
    for left in (0..TRIES).rev() {
        match disk.lock(mount.partition) {
            Ok(()) => return Ok(disk),
            Err(DiskError::Busy { .. } | DiskError::InUse(_)) if left > 0 => {
                host::sleep_ns(PAUSE_NS);
            }
            Err(e) => {
                disk.close();
                return Err(e);
            }
        }
    }
    unreachable!("the last try returns")
}

/// Opens an image, or connects to the server that has it.
fn look(
    mount: &Mount,
    image: &CStr,
    read_only: bool,
    begun_ns: u64,
) -> core::result::Result<Disk, DiskError> {
    let at_fd = fdtable::reserved_range_start();
    match mount.address() {
        Some(uri) => Disk::connect(&uri, read_only, at_fd, begun_ns),
        None => Disk::open_unlocked(image, read_only, at_fd),
    }
}

/// An image, to be looked at.
struct Looked<'a>(&'a Disk);

impl stowaway_kinds::Bytes for Looked<'_> {
    fn size(&self) -> u64 {
        self.0.bytes()
    }

    fn read(&self, to: &mut [u8], at: u64) -> bool {
        lkl::Sectors::read_at(self.0, to, at).is_ok()
    }
}

/// What is said of an image, each reason once.
pub struct Said<'a> {
    pub name: &'a CStr,
    pub reported: &'a AtomicI32,
}

impl Said<'_> {
    /// `NAME: WHY`; returns the errno.
    pub fn once(&self, errno: Errno, why: impl Display) -> Errno {
        if self.reported.swap(errno.into_raw(), Ordering::Relaxed) != errno.into_raw() {
            Line::new().bytes(self.name.to_bytes()).text(format_args!(": {why}")).print();
        }
        errno
    }

    fn cannot_open(&self, error: DiskError, mount: &Mount, name: &CStr) -> Errno {
        let errno = error.errno();
        match error {
            DiskError::Busy { .. } | DiskError::InUse(_) => self.once(Errno::EBUSY, error),
            // A signal: nobody is told.
            DiskError::Io(Errno::EINTR) => errno,
            DiskError::Io(_) => {
                let what = match mount.address() {
                    Some(_) => "no connection to the server",
                    None => "cannot open the image",
                };
                self.once(errno, format_args!("{what}: {}", Explained(errno)))
            }
            DiskError::NoPartition => {
                let table = look(mount, name, true, lkl::sys::time::monotonic_ns()).ok().and_then(|disk| {
                    let table = lkl::partitions(&disk);
                    disk.close();
                    table
                });
                self.no_partition(errno, mount.partition.unwrap_or(0), table)
            }
            DiskError::NotADisk | DiskError::Address(_) | DiskError::Server(_) => self.once(errno, error),
        }
    }

    /// The image was opened, and reading it fails.
    fn cannot_read(&self, errno: Errno) -> Errno {
        match errno {
            Errno::EINTR => errno,
            _ => self.once(errno, format_args!("cannot be read: {}", Explained(errno))),
        }
    }

    fn no_partition(&self, errno: Errno, number: u32, table: Option<lkl::Table>) -> Errno {
        match table {
            Some(table) => self.once(errno, format_args!("has no partition {number}; it has {table}")),
            None => self.once(errno, format_args!("has no partition table, thus no partition {number}")),
        }
    }

    fn no_file_system(&self, disk: &Disk) -> Errno {
        if lkl::is_qcow2(disk) {
            let how = "a qcow2 image is mounted by stowaway run; or stowaway serve IMAGE --socket SOCKET serves it, and it is \
                 mounted as nbd+unix:///?socket=SOCKET";
            return self.once(Errno::EINVAL, how);
        }
        match lkl::partitions(disk) {
            Some(table) => self.once(
                Errno::EINVAL,
                format_args!("has a partition table: mount a partition, as IMAGE#N; it has {table}"),
            ),
            None => match stowaway_kinds::kind(&Looked(disk)) {
                Some(kind) => self.once(Errno::EINVAL, kind),
                None => self.once(
                    Errno::EINVAL,
                    format_args!("not a file system that is known here: {}", Explained(Errno::EINVAL)),
                ),
            },
        }
    }
}
