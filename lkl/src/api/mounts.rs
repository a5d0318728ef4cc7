// SPDX-License-Identifier: GPL-2.0-only
//! Images become disks of the kernel, and disks are mounted.
//!
//! # Safety
//! A private call's structures are on the caller's stack during the call.
#![allow(unsafe_code)]

use super::private::Private;
use super::task::Task;
use crate::attach::Kernel;
use crate::cpu;
use crate::dev::block::{self, nbd, Device, Engine};
use crate::disk::Disk;
use crate::sys::text::Text;
use crate::sys::Errno;
use std::ffi::CStr;

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// The disk [`Kernel::attach_disk`] numbered so.
    Disk(u32),
    /// A directory of that disk's file system (absolute) is to be the mount's root.
    Directory(u32, &'a CStr),
    /// Nothing: proc, sysfs, tmpfs, devtmpfs. The place of the mount among all, for its device number.
    None(u32),
    /// What a server of the network has, by the name that the file system's client reads: `SERVER:/EXPORT`, say. The place as above.
    Remote(u32, &'a CStr),
}

/// A file of a mount that is to be a disk.
#[derive(Debug, Clone, Copy)]
pub struct InnerFile {
    /// The kernel's descriptor, open for reading, and for writing unless `read_only`.
    pub fd: usize,
    /// Where in the file the disk begins, in bytes.
    pub start: u64,
    /// The disk's size in bytes.
    pub bytes: u64,
    /// Whether the disk is only read.
    pub read_only: bool,
    /// The mount's place among all, for its device number.
    pub place: u32,
}

/// The most bytes of one read or write.
const MAX_BYTES: u32 = 4 << 20;
/// Places are below.
const NO_PLACE: u32 = 1 << 19;

/// `struct lkl_disk`
#[repr(C)]
struct NewDisk {
    /// The number of a [`Device`], or a descriptor of the kernel's.
    dev: u64,
    start: u64,
    bytes: u64,
    block: u32,
    max_bytes: u32,
    features: u32,
    discard_block: u32,
    place: u32,
}

/// For the comparison with the kernel's (`kernel/layout_rows.h`).
#[cfg(test)]
pub(super) const DISK_LAYOUT: &[crate::sys::layout::Row] = crate::sys::layout::layout_rows!(
    "lkl_disk" = NewDisk { dev, start, bytes, block, max_bytes, features, discard_block, place }
);

#[cfg(test)]
pub(super) const DISK_VALUES: &[crate::sys::layout::Row] = &[
    ("LKL_DISK_READ_ONLY", NewDisk::READ_ONLY as usize),
    ("LKL_DISK_FLUSH", NewDisk::FLUSH as usize),
    ("LKL_DISK_FUA", NewDisk::FUA as usize),
    ("LKL_DISK_DISCARD", NewDisk::DISCARD as usize),
    ("LKL_DISK_ZERO", NewDisk::ZERO as usize),
    ("LKL_DISK_FILE", NewDisk::FILE as usize),
    ("LKL_NO_PLACE", NO_PLACE as usize),
];

impl NewDisk {
    const READ_ONLY: u32 = 1;
    const FLUSH: u32 = 2;
    const FUA: u32 = 4;
    const DISCARD: u32 = 8;
    const ZERO: u32 = 16;
    const FILE: u32 = 32;

    fn of(disk: &Disk, dev: u64) -> NewDisk {
        let mut features = match disk.export() {
            None => NewDisk::FLUSH | NewDisk::FUA | NewDisk::DISCARD | NewDisk::ZERO,
            Some(export) => NewDisk::of_server(export.flags),
        };
        if disk.read_only() {
            features |= NewDisk::READ_ONLY;
        }
        // host file systems free whole blocks
        let discard_block = 4096;
        let max_bytes = disk.export().map_or(MAX_BYTES, |export| export.most.clamp(64 << 10, MAX_BYTES));
        let place = disk.place().unwrap_or(NO_PLACE);
        NewDisk {
            dev,
            start: 0,
            bytes: disk.bytes(),
            block: disk.block(),
            max_bytes,
            features,
            discard_block,
            place,
        }
    }

    fn of_server(flags: u16) -> u32 {
        let bits = [
            (nbd::SEND_FLUSH, NewDisk::FLUSH),
            (nbd::SEND_FUA, NewDisk::FUA),
            (nbd::SEND_TRIM, NewDisk::DISCARD),
            (nbd::SEND_WRITE_ZEROES, NewDisk::ZERO),
        ];
        bits.iter().filter(|(theirs, _)| flags & theirs != 0).fold(0, |all, (_, ours)| all | ours)
    }
}

impl Kernel {
    /// How image files are read and written from now on; before the first disk is attached. Returns the host
    /// descriptors that it has (or -1), of numbers from `at_fd` up, or why the host refuses io_uring: then
    /// threads do its work. In the child of a fork it is to be called again.
    pub fn set_block_engine(&self, engine: Engine, at_fd: i32) -> Result<[i32; 2], Errno> {
        block::set_engine(engine, at_fd)
    }

    /// Makes the image a disk of the kernel; its number is for [`Source::Disk`].  The kernel does
    /// its I/O on the descriptor in `disk` until the process ends, or [`Kernel::unmount`] takes it back.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn attach_disk(&self, t: *mut Task, disk: &Disk) -> Result<u32, Errno> {
        let device = Device::make(disk.backing())?;
        let new = NewDisk::of(disk, device.number);
        // SAFETY: the caller answers for the task; the pointers are valid during the call.
        let number = unsafe { self.private(t, Private::DiskAdd, [&raw const new as usize, 0, 0, 0, 0, 0]) };
        if number.is_err() {
            block::forget(device.number);
        }
        number.map(|n| n as u32)
    }

    /// Makes the image a disk beside the first one of a mount; the options of that mount name it `/lkbN`.
    ///
    /// # Safety
    /// As [`Kernel::attach_disk`].
    pub unsafe fn attach_further(&self, t: *mut Task, disk: &Disk) -> Result<u32, Errno> {
        // SAFETY: the caller's promise.
        unsafe {
            let number = self.attach_disk(t, disk)?;
            self.private(t, Private::DiskNode, [number as usize, 0, 0, 0, 0, 0])?;
            Ok(number)
        }
    }

    /// Takes away a disk that was beside the first one of a mount.
    ///
    /// # Safety
    /// As [`Kernel::call`]; the mount is gone.
    pub unsafe fn remove_disk(&self, t: *mut Task, number: u32) -> Result<(), Errno> {
        // SAFETY: the caller's promise.
        let done = unsafe { self.private(t, Private::DiskRemove, [number as usize, 0, 0, 0, 0, 0]) };
        block::Device::reap();
        done.map(drop)
    }

    /// Makes a file that the kernel itself has open a disk: an image inside an image. The descriptor may be closed afterwards.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn attach_file(&self, t: *mut Task, file: &InnerFile) -> Result<u32, Errno> {
        let features = match file.read_only {
            true => NewDisk::FILE | NewDisk::READ_ONLY,
            false => NewDisk::FILE | NewDisk::FLUSH | NewDisk::DISCARD,
        };
        let new = NewDisk {
            dev: file.fd as u64,
            start: file.start,
            bytes: file.bytes,
            block: 512,
            max_bytes: MAX_BYTES,
            features,
            discard_block: 4096,
            place: file.place,
        };
        // SAFETY: the caller answers for the task; the pointers are valid during the call.
        unsafe { self.private(t, Private::DiskAdd, [&raw const new as usize, 0, 0, 0, 0, 0]) }
            .map(|n| n as u32)
    }

    /// Runs `work`, which mounts, while no other process of the instance does so. The caller holds off its own threads.
    pub fn alone_with_mounts<T>(&self, work: impl FnOnce() -> T) -> T {
        cpu::watch::with_mounts(self.words, work)
    }

    /// Opens the root of what another process of the instance has mounted at `path`. ENOENT: nobody has.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn open_root(&self, t: *mut Task, path: &CStr, root_fd: i32) -> Result<(), Errno> {
        let args = [path.as_ptr() as usize, root_fd as usize, 0, 0, 0, 0];
        // SAFETY: the caller answers for the task; the path is a live string.
        unsafe { self.private(t, Private::OpenRoot, args) }.map(drop)
    }

    /// Mounts at `path` (absolute, the application's name for it) and opens the mount's root as
    /// descriptor `root_fd` of the kernel's table.  Works whatever the caller's credentials are.  ENOENT: the source has no
    /// such directory, or `path` lies in another mount that has none of that name.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    #[allow(clippy::too_many_arguments)] // mount(2)'s own five and where the result goes
    pub unsafe fn mount(
        &self,
        t: *mut Task,
        source: Source<'_>,
        path: &CStr,
        fstype: &CStr,
        flags: u64,
        data: &CStr,
        root_fd: i32,
    ) -> Result<(), Errno> {
        let more = match source {
            Source::Directory(_, more) | Source::Remote(_, more) => more.count_bytes(),
            Source::Disk(_) | Source::None(_) => 0,
        };
        let mut room = vec![0; 24 + more];
        let mut name = Text::new(&mut room);
        match source {
            Source::Disk(n) => name.put(b"disk:").decimal(n.into()),
            Source::Directory(n, directory) => {
                name.put(b"disk:").decimal(n.into()).put(b":").put(directory.to_bytes())
            }
            Source::None(place) => name.put(b"none:").decimal(place.into()),
            Source::Remote(place, remote) => {
                name.put(b"none:").decimal(place.into()).put(b":").put(remote.to_bytes())
            }
        };
        let args = [
            name.as_cstr().as_ptr() as usize,
            path.as_ptr() as usize,
            fstype.as_ptr() as usize,
            flags as usize,
            data.as_ptr() as usize,
            root_fd as usize,
        ];
        // SAFETY: the caller answers for the task; the pointers are valid during the call.
        unsafe { self.private(t, Private::AnchorMount, args) }.map(drop)
    }

    /// Gives a mount back, and its disk if it has one: nothing of it may be in use (EBUSY, and nothing
    /// has changed). `root_fd` is the descriptor that [`Kernel::mount`] made. Not while a disk is attached.
    ///
    /// # Safety
    /// As for [`Kernel::call`].
    pub unsafe fn unmount(
        &self,
        t: *mut Task,
        path: &CStr,
        root_fd: i32,
        disk: Option<u32>,
    ) -> Result<(), Errno> {
        let disk = disk.map_or(-1, |n| n as isize) as usize;
        let args = [path.as_ptr() as usize, root_fd as usize, disk, 0, 0, 0];
        // SAFETY: the caller's promise; the path is a live string.
        let done = unsafe { self.private(t, Private::AnchorRelease, args) }.map(drop);
        block::Device::reap();
        done
    }
}
