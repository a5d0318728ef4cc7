// SPDX-License-Identifier: GPL-2.0-only
//! What the host itself does with an image: a mounted block device, a file behind a loop device. The host's kernel
//! takes no lock for that.
//!
//! - A block device that the host has mounted, or that a device is made of, cannot be opened with O_EXCL (open(2)).
//! - A loop device names its file in /sys (drivers/block/loop.c).
//!
//! Nothing is allocated.

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
    let mut number = Text::new(&mut room);
    number
        .put(b" ")
        .decimal(libc::major(device).into())
        .put(b":")
        .decimal(libc::minor(device).into())
        .put(b" ");
    let (mut found, mut writable) = (false, false);
    let _ = file::each_line(c"/proc/self/mountinfo", |line| {
        if line.windows(number.bytes().len()).any(|part| part == number.bytes()) {
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
    let own = file::stat_fd(fd)?;
    let Ok(devices) = file::open(c"/sys/block", libc::O_RDONLY | libc::O_DIRECTORY) else { return Ok(()) };
    let mut used = false;
    file::each_entry(devices.raw(), |device| {
        let device = device.to_bytes();
        used |= device.starts_with(b"loop")
            && is_backed_by(device, &own)
            && !(read_only && attribute(device, b"/ro") == Some(b'1'));
    });
    match used {
        true => Err(BEHIND_LOOP),
        false => Ok(()),
    }
}

fn is_backed_by(device: &[u8], image: &libc::stat) -> bool {
    let mut room = [0; NAME_BYTES];
    let name = attribute_name(&mut room, b"/sys/block/", device, b"/loop/backing_file");
    let mut path = [0; PATH_BYTES];
    let Some(path) = backing_file(name, &mut path) else { return false };
    file::stat(path).is_ok_and(|st| (st.st_dev, st.st_ino) == (image.st_dev, image.st_ino))
}

/// The first character of an attribute of a device.
fn attribute(device: &[u8], what: &[u8]) -> Option<u8> {
    let mut room = [0; NAME_BYTES];
    let file = file::open(attribute_name(&mut room, b"/sys/block/", device, what), libc::O_RDONLY).ok()?;
    let mut first = [0];
    (file::read(file.raw(), &mut first) == Ok(1)).then_some(first[0])
}

fn attribute_name<'a>(room: &'a mut [u8; NAME_BYTES], dir: &[u8], device: &[u8], what: &[u8]) -> &'a CStr {
    Text::new(room).put(dir).put(device).put(what);
    CStr::from_bytes_until_nul(room).unwrap_or(c"")
}

/// The path of a loop device's file.
fn backing_file<'a>(attribute: &CStr, room: &'a mut [u8; PATH_BYTES]) -> Option<&'a CStr> {
    let file = file::open(attribute, libc::O_RDONLY).ok()?;
    let len = file::read(file.raw(), &mut room[..PATH_BYTES - 1]).ok()?;
    let line = room[..len].iter().position(|b| *b == b'\n')?;
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
