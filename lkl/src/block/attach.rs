// SPDX-License-Identifier: GPL-2.0-only
//! An image becomes a disk of the kernel.

use super::device::Device;
use super::engine::{set_engine, Engine};
use super::nbd;
use crate::{Disk, Errno, Kernel, Private, Task};

/// Of one read or write.
const MAX_BYTES: u32 = 4 << 20;

/// `struct lkl_disk`
#[repr(C)]
struct NewDisk {
    dev: *const Device,
    bytes: u64,
    block: u32,
    max_bytes: u32,
    features: u32,
    discard_block: u32,
}

impl NewDisk {
    const READ_ONLY: u32 = 1;
    const FLUSH: u32 = 2;
    const FUA: u32 = 4;
    const DISCARD: u32 = 8;
    const ZERO: u32 = 16;

    fn of(disk: &Disk, dev: *const Device) -> NewDisk {
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
        NewDisk { dev, bytes: disk.bytes(), block: disk.block(), max_bytes, features, discard_block }
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
        set_engine(engine, at_fd)
    }

    /// Makes the image a disk of the kernel; its number is for [`Source::Disk`].  The kernel does
    /// its I/O on the descriptor in `disk` until the process ends, or [`Kernel::unmount`] takes it back.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn attach_disk(&self, t: *mut Task, disk: &Disk) -> Result<u32, Errno> {
        let device = Device::make(disk)?;
        let new = NewDisk::of(disk, device);
        // SAFETY: the caller answers for the task; the pointers are valid during the call.
        let number = unsafe { self.private(t, Private::DiskAdd, [&raw const new as usize, 0, 0, 0, 0, 0]) };
        if number.is_err() {
            // SAFETY: the kernel does not have it.
            unsafe { Device::free(device) };
        }
        number.map(|n| n as u32)
    }
}
