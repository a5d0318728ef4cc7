// SPDX-License-Identifier: GPL-2.0-only
//! What the host itself does with an image: a mounted block device, a file behind a loop device. The host's kernel
//! takes no lock for that.
//!
//! - A block device that the host has mounted, or that a device is made of, cannot be opened with O_EXCL (open(2)).
//! - A loop device tells its file's device and inode (LOOP_GET_STATUS64), and its file's name in /sys
//!   (drivers/block/loop.c). The name is of the mount namespace and of the time when the device was set up: it may be
//!   removed, hidden, or another file's by now.
//!
//! Nothing is allocated.
//!
//! # Safety
//! One ioctl, which fills a structure of the caller.
#![allow(unsafe_code)]

use super::error::DiskError;
use crate::sys::text::Text;
use crate::sys::{file, Errno};
use std::ffi::CStr;

/// Enough for /sys/dev/block/MAJOR:MINOR/loop/backing_file and /proc/self/fd/N.
const NAME_BYTES: usize = 64;
/// PATH_MAX of the host.
const PATH_BYTES: usize = 4096;
/// The major number of loop devices (Documentation/admin-guide/devices.txt).
const LOOP_MAJOR: u32 = 7;

/// drivers/block/loop.c, include/uapi/linux/loop.h
const LOOP_GET_STATUS64: usize = 0x4c05;
/// The f_type of overlayfs and of btrfs (include/uapi/linux/magic.h).
const OVERLAYFS: i64 = 0x794c_7630;
const BTRFS: i64 = 0x9123_683e;
/// What /sys counts the size of a device in.
const SECTOR: u64 = 512;

const MOUNTED: DiskError = DiskError::InUse("is mounted by the host, or the host made a device of it");
const BEHIND_LOOP: DiskError = DiskError::InUse("is behind a loop device of the host");
const BACKING_FILE: DiskError =
    DiskError::InUse("is a loop device, and its file is in use by another process");

/// Makes the block device behind `fd` this process's alone, if it is to be written. Nobody who mounts a device,
/// makes a file system or repairs one does so then. A device that is only read must not be written by the host.
pub(super) fn claim_device(fd: i32, read_only: bool) -> Result<(), DiskError> {
    let st = file::stat_fd(fd)?;
    if libc::major(st.st_rdev) == LOOP_MAJOR && !backing_file_is_free(st.st_rdev, read_only) {
        return Err(BACKING_FILE);
    }
    let mut room = [0; NAME_BYTES];
    let mut name = Text::new(&mut room);
    name.put(b"/proc/self/fd/").decimal(fd as u64);
    let mode = if read_only { libc::O_RDONLY } else { libc::O_RDWR };
    match file::open(name.as_cstr(), mode | libc::O_EXCL | libc::O_NONBLOCK) {
        Ok(_) if read_only => Ok(()),
        // The same number is the device with the claim from now on.
        Ok(claimed) => Ok(file::dup_onto(claimed.raw(), fd)?),
        Err(Errno::EBUSY) if read_only && only_mounted_read_only(st.st_rdev) => Ok(()),
        Err(Errno::EBUSY) => Err(MOUNTED),
        // No /proc.
        Err(Errno::ENOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Whether the host mounts the device, and never writes it.
fn only_mounted_read_only(device: u64) -> bool {
    let mut room = [0; NAME_BYTES];
    let words = mount_number(&mut room, device);
    let (mut found, mut writable) = (false, false);
    let _ = file::each_line(c"/proc/self/mountinfo", |line| {
        if has(line, words) {
            // The last word has the file system's own options (proc_pid_mountinfo(5)).
            let options = line.rsplit(|b| *b == b' ').next().unwrap_or_default();
            found = true;
            writable |= options.split(|b| *b == b',').next() != Some(b"ro");
        }
    });
    found && !writable
}

/// Fails if the file behind `fd` is behind a loop device, too, which may write it.
pub(super) fn check_loops(fd: i32, read_only: bool) -> Result<(), DiskError> {
    let image = Image { status: file::stat_fd(fd)?, file_system: file::file_system_of(fd).unwrap_or(0) };
    let Ok(devices) = file::open(c"/sys/block", libc::O_RDONLY | libc::O_DIRECTORY) else { return Ok(()) };
    let mut used = false;
    file::each_entry(devices.raw(), |device| {
        let device = device.to_bytes();
        used |= device.starts_with(b"loop")
            && image.is_behind(device)
            && !(read_only && attribute(device, b"/ro") == Some(b'1'));
    });
    match used {
        true => Err(BEHIND_LOOP),
        false => Ok(()),
    }
}

/// The file of an image.
struct Image {
    status: libc::stat,
    /// f_type of fstatfs(2).
    file_system: i64,
}

impl Image {
    /// Whether a loop device is of this file.
    fn is_behind(&self, device: &[u8]) -> bool {
        let mut room = [0; NAME_BYTES];
        let attribute = attribute_name(&mut room, b"/sys/block/", device, b"/loop/backing_file");
        let mut path = [0; PATH_BYTES];
        let Some(path) = backing_file(attribute, &mut path) else { return false };
        let named = file::stat(path).ok();
        if named.is_some_and(|st| (st.st_dev, st.st_ino) == (self.status.st_dev, self.status.st_ino)) {
            return true;
        }
        if let Some(told) = loop_status(device) {
            return self.is_told_by(&told, device);
        }
        // The device cannot be asked (an ordinary user, a container). A name that leads to a file that fits the device
        // is believed. Else the size is all that is left to tell, and an image that may be written twice is lost.
        let covers = |bytes: i64| covers(device, bytes) == Some(true);
        !named.is_some_and(|st| covers(st.st_size)) && covers(self.status.st_size)
    }

    /// Whether this is the file that the device tells of.
    fn is_told_by(&self, told: &LoopStatus, device: &[u8]) -> bool {
        if told.inode != self.status.st_ino {
            return false;
        }
        // The kernel's encoding of a device number is the C library's, as far as kernels have numbers today.
        if told.device == self.status.st_dev {
            return true;
        }
        // A file of overlayfs and the file below it have one inode number, and different devices.
        let may_be_below = match self.file_system {
            OVERLAYFS => true,
            // The number of a subvolume is its own: a snapshot's copy of the image is another file.
            BTRFS => false,
            _ => libc::major(told.device) == 0 && is_overlay(told.device),
        };
        may_be_below && covers(device, self.status.st_size) != Some(false)
    }
}

/// The words of `struct loop_info64` behind its number.
const LOOP_REST: usize = 47;

/// `struct loop_info64`.
#[repr(C)]
struct LoopStatus {
    device: u64,
    inode: u64,
    _places: [u64; 3],
    number: u32,
    _rest: [u32; LOOP_REST],
}

const _: () = assert!(size_of::<LoopStatus>() == 232);

/// What a loop device tells of its file; `None`: it cannot be asked.
fn loop_status(device: &[u8]) -> Option<LoopStatus> {
    let mut room = [0; NAME_BYTES];
    let name = attribute_name(&mut room, b"/dev/", device, b"");
    let opened = file::open(name, libc::O_RDONLY | libc::O_NONBLOCK).ok()?;
    let mut told = LoopStatus { device: 0, inode: 0, _places: [0; 3], number: 0, _rest: [0; LOOP_REST] };
    // SAFETY: the request fills the structure, whose size is asserted above.
    unsafe { file::ioctl(opened.raw(), LOOP_GET_STATUS64, &raw mut told as usize) }.ok()?;
    // A node of /dev may be another device's.
    (number(device.strip_prefix(b"loop")?) == Some(told.number.into())).then_some(told)
}

/// Whether the file system with this number may be an overlayfs. What this mount namespace does not have may be one.
fn is_overlay(device: u64) -> bool {
    let mut room = [0; NAME_BYTES];
    let words = mount_number(&mut room, device);
    let mut other = false;
    let _ = file::each_line(c"/proc/self/mountinfo", |line| {
        other |= has(line, words) && !has(line, b" - overlay ");
    });
    !other
}

/// Whether a file of this size is what the loop device has; `None`: /sys does not say.
fn covers(device: &[u8], bytes: i64) -> Option<bool> {
    let bytes = u64::try_from(bytes).ok()?;
    let size = number_attribute(device, b"/size")?.checked_mul(SECTOR)?;
    let offset = number_attribute(device, b"/loop/offset")?;
    let limit = number_attribute(device, b"/loop/sizelimit")?;
    let rest = bytes.saturating_sub(offset);
    let rest = if limit == 0 { rest } else { rest.min(limit) };
    Some(rest / SECTOR * SECTOR == size)
}

fn number_attribute(device: &[u8], what: &[u8]) -> Option<u64> {
    let mut digits = [0; NAME_BYTES];
    let len = read_attribute(device, what, &mut digits)?;
    number(digits[..len].trim_ascii())
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn has(line: &[u8], word: &[u8]) -> bool {
    line.windows(word.len()).any(|part| part == word)
}

/// A device's number as mountinfo has it, between blanks.
fn mount_number(room: &mut [u8; NAME_BYTES], device: u64) -> &[u8] {
    let (major, minor) = (libc::major(device).into(), libc::minor(device).into());
    Text::new(room).put(b" ").decimal(major).put(b":").decimal(minor).put(b" ");
    let len = room.iter().position(|byte| *byte == 0).unwrap_or(0);
    &room[..len]
}

/// The first character of an attribute of a device.
fn attribute(device: &[u8], what: &[u8]) -> Option<u8> {
    let mut first = [0];
    (read_attribute(device, what, &mut first) == Some(1)).then_some(first[0])
}

fn read_attribute(device: &[u8], what: &[u8], to: &mut [u8]) -> Option<usize> {
    let mut room = [0; NAME_BYTES];
    let file = file::open(attribute_name(&mut room, b"/sys/block/", device, what), libc::O_RDONLY).ok()?;
    file::read(file.raw(), to).ok()
}

fn attribute_name<'a>(room: &'a mut [u8; NAME_BYTES], dir: &[u8], device: &[u8], what: &[u8]) -> &'a CStr {
    Text::new(room).put(dir).put(device).put(what);
    CStr::from_bytes_until_nul(room).unwrap_or(c"")
}

/// The path of a loop device's file.
fn backing_file<'a>(attribute: &CStr, room: &'a mut [u8; PATH_BYTES]) -> Option<&'a CStr> {
    let file = file::open(attribute, libc::O_RDONLY).ok()?;
    let len = file::read(file.raw(), &mut room[..PATH_BYTES - 1]).ok()?;
    // The name is as it is, and may have a newline of its own.
    let line = len.checked_sub(1).filter(|&last| room[last] == b'\n')?;
    room[line] = 0;
    CStr::from_bytes_until_nul(room).ok()
}

/// Whether nobody has a lock of the file behind a loop device that is in the way.
fn backing_file_is_free(device: u64, read_only: bool) -> bool {
    let (mut digits, mut room, mut path) = ([0; NAME_BYTES], [0; NAME_BYTES], [0; PATH_BYTES]);
    let mut number = Text::new(&mut digits);
    number.decimal(libc::major(device).into()).put(b":").decimal(libc::minor(device).into());
    let name = attribute_name(&mut room, b"/sys/dev/block/", number.bytes(), b"/loop/backing_file");
    let Some(path) = backing_file(name, &mut path) else { return true };
    // A file that cannot be looked at, or is named differently here, says nothing.
    let Ok(file) = file::open(path, libc::O_RDONLY | libc::O_NONBLOCK) else { return true };
    let asked = if read_only { libc::F_RDLCK } else { libc::F_WRLCK };
    !matches!(file::held_lock(file.raw(), asked, 0, 0), Ok(Some(_)))
}
