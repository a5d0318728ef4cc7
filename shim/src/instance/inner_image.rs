// SPDX-License-Identifier: GPL-2.0-only
//! An image inside an image: a file of a mount that is mounted itself. The kernel has the file open and reads and writes
//! it; the host sees nothing of that. It is opened with the rights of the program, as a loop device would be set up by it.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use lkl::{InnerFile, Kernel, Sectors, Source};
use stowaway_config::{Mount, READ_ONLY_TYPES};
use stowaway_kinds::Kind;

use crate::fdtable;
use crate::instance::images::{squashfs_bytes, Looked, Place, Said};
use crate::sys::call::args;
use crate::sys::errno::{from_raw, Errno, Explained, Result};
use crate::sys::fs::filled_stat;
use crate::sys::thread::Thread;

/// An image that the kernel has open.
pub struct InnerImage<'a> {
    kernel: &'static Kernel,
    thread: &'static Thread,
    said: Said<'a>,
    /// The number on both sides: the kernel's file, and a placeholder.
    fd: i32,
    start: u64,
    bytes: u64,
    read_only: bool,
    /// What the disk is a member of that it is a partition of.
    member_disk: Option<Kind>,
}

impl Sectors for InnerImage<'_> {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, to: &mut [u8], off: u64) -> Result<()> {
        if off.checked_add(to.len() as u64).is_none_or(|end| end > self.bytes) {
            return Err(Errno::EIO);
        }
        let (address, len, at) = (to.as_mut_ptr() as usize, to.len(), (self.start + off) as usize);
        match self.call(libc::SYS_pread64, [self.fd as usize, address, len, at])? {
            n if n == to.len() => Ok(()),
            _ => Err(Errno::EIO),
        }
    }
}

impl Drop for InnerImage<'_> {
    fn drop(&mut self) {
        let _ = self.call(libc::SYS_close, [self.fd as usize, 0, 0, 0]);
        fdtable::release(self.fd as usize);
    }
}

impl<'a> InnerImage<'a> {
    /// Opens the image of `mount`, which lies in the mount `holder`, whose root is the kernel's descriptor `root`. Inside a
    /// section.
    pub fn open(
        kernel: &'static Kernel,
        thread: &'static Thread,
        mount: &Mount,
        holder: &Mount,
        root: i32,
        said: Said<'a>,
    ) -> Result<InnerImage<'a>> {
        let image = mount.image.as_ref().map_or(&b""[..], |image| image.as_os_str().as_bytes());
        let rest = image.get(holder.path.len()..).unwrap_or_default();
        let first = rest.iter().position(|&byte| byte != b'/').unwrap_or(rest.len());
        let rest = CString::new(&rest[first..]).map_err(|_| Errno::EINVAL)?;
        let fd = fdtable::placeholder(fdtable::reserved_range_start() as usize, true)?;
        fdtable::set(fd as usize, fdtable::RESERVED);
        let mut inner = InnerImage {
            kernel,
            thread,
            said,
            fd,
            start: 0,
            bytes: 0,
            read_only: mount.read_only,
            member_disk: None,
        };
        inner.open_file(root, &rest).and_then(|()| inner.choose(mount)).map(|()| inner)
    }

    fn call(&self, nr: i64, words: [usize; 4]) -> Result {
        // SAFETY: the task is this thread's, in a section of which this is; the addresses are live.
        from_raw(unsafe { self.kernel.call(self.thread.task(), nr, &args(words), self.fd) })
    }

    /// Opens the file for writing, where that is asked for and can be.
    fn open_file(&mut self, root: i32, path: &CString) -> Result<()> {
        let open = |how: i32| {
            let how = (how | libc::O_CLOEXEC | libc::O_NONBLOCK) as usize;
            self.call(libc::SYS_openat, [root as usize, path.as_ptr() as usize, how, 0])
        };
        let (opened, read_only) = match open(if self.read_only { libc::O_RDONLY } else { libc::O_RDWR }) {
            Err(Errno::EACCES | Errno::EROFS | Errno::ETXTBSY) if !self.read_only => {
                (open(libc::O_RDONLY), true)
            }
            opened => (opened, self.read_only),
        };
        self.read_only = read_only;
        match opened {
            Ok(number) if number == self.fd as usize => {}
            Ok(number) => {
                let _ = self.call(libc::SYS_close, [number, 0, 0, 0]);
                return Err(Errno::EMFILE);
            }
            // Out of the holder, by a symlink.
            Err(Errno::EXDEV) => {
                return Err(self
                    .said
                    .once(Errno::EXDEV, "the image's path leads out of the mount that it begins in"))
            }
            Err(e) => return Err(self.said.once(e, format_args!("cannot open the image: {}", Explained(e)))),
        }
        let status = filled_stat(|to| self.call(libc::SYS_fstat, [self.fd as usize, to, 0, 0]))?;
        if status.st_mode & libc::S_IFMT != libc::S_IFREG {
            return Err(self
                .said
                .once(Errno::ENOTBLK, "an image inside of an image has to be a regular file"));
        }
        self.bytes = status.st_size as u64;
        Ok(())
    }

    /// Narrows the image to the part that is asked for.
    fn choose(&mut self, mount: &Mount) -> Result<()> {
        let offset = mount.part.offset;
        if offset != 0 && offset >= self.bytes {
            let why = lkl::DiskError::NoOffset { bytes: self.bytes };
            return Err(self.said.once(why.errno(), why));
        }
        (self.start, self.bytes) = (offset, self.bytes - offset);
        let Some(number) = mount.part.partition else { return Ok(()) };
        match lkl::partitions(self).and_then(|table| table.find(number)) {
            Some(found) => {
                self.member_disk = stowaway_kinds::member_disk(&Looked(self));
                (self.start, self.bytes) = (self.start + found.start, found.bytes);
                Ok(())
            }
            None => Err(self.said.no_partition(Errno::ENXIO, number, self)),
        }
    }

    /// The file system's type, and whether the mount is read-only.
    pub fn file_system(&self, mount: &Mount) -> Result<(String, bool)> {
        let seen = lkl::probe_fs(self).map_err(|e| self.said.cannot_read(e))?;
        let seen = seen.and_then(|t| t.to_str().ok()).map(str::to_owned);
        let Some(fstype) = mount.fstype.clone().or(seen) else {
            return Err(self.said.no_file_system(self, Place::Within(self.start)));
        };
        if let Some(bytes) = squashfs_bytes(self, &fstype).filter(|&bytes| bytes > self.bytes) {
            let has = self.bytes;
            let why =
                format_args!("is cut short: the squashfs file system has {bytes} bytes, the image {has}");
            return Err(self.said.once(Errno::EINVAL, why));
        }
        if !mount.more.is_empty() {
            let why = "an image inside of an image cannot have further ones (EINVAL)";
            return Err(self.said.once(Errno::EINVAL, why));
        }
        let is_never_written = READ_ONLY_TYPES.contains(&&fstype[..]);
        if self.read_only && !mount.read_only && !is_never_written {
            let errno = Errno::EROFS;
            return Err(self.said.once(
                errno,
                format_args!("cannot be written: {}; mount it read-only (:ro)", Explained(errno)),
            ));
        }
        if !self.read_only && !is_never_written {
            let member = stowaway_kinds::member(&Looked(self)).or(self.member_disk);
            if let Some(member) = member {
                return Err(self.said.once(Errno::EINVAL, member));
            }
        }
        Ok((fstype, self.read_only || is_never_written))
    }

    /// Makes the image a disk of the kernel.
    pub fn attach(&self, place: u32) -> Result<Source<'static>> {
        let file = InnerFile {
            fd: self.fd as usize,
            start: self.start,
            bytes: self.bytes,
            read_only: self.read_only,
            place,
        };
        // SAFETY: the task is this thread's.
        unsafe { self.kernel.attach_file(self.thread.task(), &file) }.map(Source::Disk)
    }
}
