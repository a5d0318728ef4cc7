// SPDX-License-Identifier: GPL-2.0-only
//! The image of a mount: opened, locked, looked at; and what is said where that fails.

use core::ffi::CStr;
use core::fmt::Display;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use lkl::{Disk, DiskError, Sectors};
use stowaway_config::{Mount, Part, READ_ONLY_TYPES};
use stowaway_kinds::{Help, Kind};

use crate::fdtable;
use crate::instance::keeper;
use crate::sys::errno::{Errno, Explained, Result};
use crate::sys::host;
use crate::sys::report::Line;
use crate::sys::settings::settings;

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
    let opened = open_as_allowed(mount, &name, begun_ns).and_then(|(disk, fstype)| {
        let read_only = disk.read_only();
        match lock_patiently(disk) {
            Ok(disk) => Ok(Image { disk, fstype, read_only }),
            Err(e) => Err(Failure::Open(e)),
        }
    });
    let image = opened.map_err(|failure| match failure {
        Failure::Open(e) => said.cannot_open(e, mount, &name),
        Failure::Read(e) => said.cannot_read(e),
        Failure::CutShort { bytes, has } => {
            let why =
                format_args!("is cut short: the squashfs file system has {bytes} bytes, the image {has}");
            said.once(Errno::EINVAL, why)
        }
        Failure::NoFileSystem(disk) => {
            let place =
                match mount.address().is_some() || mount.part != Part::default() || settings().under_run {
                    true => Place::Within(disk.end() - disk.bytes()),
                    false => Place::File,
                };
            let errno = said.no_file_system(&disk, place);
            disk.close();
            errno
        }
        Failure::Member(member) => said.once(Errno::EINVAL, member),
    })?;
    fdtable::set(image.disk.fd() as usize, fdtable::RESERVED);
    Ok(image)
}

/// Why an image is of no use.
enum Failure {
    Open(DiskError),
    Read(Errno),
    /// A squashfs of so many bytes on an image that has less.
    CutShort {
        bytes: u64,
        has: u64,
    },
    /// The disk is open, so that it can be looked at what is there.
    NoFileSystem(Disk),
    /// It is one of several that have the same content, and would be written alone.
    Member(Kind),
}

/// Where an image lies that has no file system.
pub enum Place {
    /// It is a file of the host's, of which `stowaway run` may know more.
    File,
    /// It begins there in something else: at an offset, in a partition, in another image.
    Within(u64),
}

/// Opens an image without its lock, and says what file system is on it. What nobody can write to is opened for reading, as if
/// :ro had been said: then it is shared, and need not be writable.
fn open_as_allowed(
    mount: &Mount,
    name: &CStr,
    begun_ns: u64,
) -> core::result::Result<(Disk, String), Failure> {
    const FORBIDDEN: [Errno; 3] = [Errno::EACCES, Errno::EPERM, Errno::EROFS];
    let (Look { disk, member }, refused) = match look(mount, name, mount.read_only, begun_ns) {
        Err(DiskError::Io(e)) if FORBIDDEN.contains(&e) && !mount.read_only => {
            (look(mount, name, true, begun_ns).map_err(Failure::Open)?, Some(e))
        }
        opened => (opened.map_err(Failure::Open)?, None),
    };
    let fstype = match found_on(&disk, mount) {
        Ok(fstype) => fstype,
        Err(e) => {
            disk.close();
            return Err(e);
        }
    };
    let Some(fstype) = fstype else { return Err(Failure::NoFileSystem(disk)) };
    let is_never_written = READ_ONLY_TYPES.contains(&&fstype[..]);
    match refused {
        Some(e) if !is_never_written => {
            disk.close();
            Err(Failure::Open(DiskError::Io(e)))
        }
        None if is_never_written && !disk.read_only() => {
            disk.close();
            Ok((look(mount, name, true, begun_ns).map_err(Failure::Open)?.disk, fstype))
        }
        _ => match member {
            Some(member) if !disk.read_only() => {
                disk.close();
                Err(Failure::Member(member))
            }
            _ => Ok((disk, fstype)),
        },
    }
}

/// The type of the file system: as the mount says, or as the disk looks.
fn found_on(disk: &Disk, mount: &Mount) -> core::result::Result<Option<String>, Failure> {
    let seen = lkl::probe_fs(disk).map_err(Failure::Read)?;
    let found = mount.fstype.clone().or_else(|| seen.and_then(|t| t.to_str().ok()).map(str::to_owned));
    match found.as_deref().and_then(|fstype| squashfs_bytes(disk, fstype)) {
        Some(bytes) if bytes > disk.bytes() => Err(Failure::CutShort { bytes, has: disk.bytes() }),
        _ => Ok(found),
    }
}

/// How long a squashfs is (`bytes_used`, fs/squashfs/squashfs_fs.h): its driver refuses a shorter image without a word.
pub fn squashfs_bytes(disk: &dyn Sectors, fstype: &str) -> Option<u64> {
    let mut bytes = [0; 8];
    disk.read_at(&mut bytes, 40).ok().filter(|()| fstype == "squashfs")?;
    Some(u64::from_le_bytes(bytes))
}

/// Opens a further image of a mount; what is on it is its file system's to say.
pub fn open_further(further: &Mount, tries: &Tries, fstype: &str, read_only: bool) -> Result<Disk> {
    let name = name(further)?;
    let said = Said { name: &name, reported: &tries.reported };
    let opened = look(further, &name, read_only, lkl::sys::time::monotonic_ns());
    let Look { disk, member } = opened.map_err(|e| said.cannot_open(e, further, &name))?;
    let refused = member.map(|member| member.to_string());
    if let Some(why) = refused.or_else(|| to_be_unpacked(&disk, fstype)) {
        disk.close();
        return Err(said.once(Errno::EINVAL, why));
    }
    let disk = lock_patiently(disk).map_err(|e| said.cannot_open(e, further, &name))?;
    fdtable::set(disk.fd() as usize, fdtable::RESERVED);
    Ok(disk)
}

/// Why a further image is of no use as it is: only the first one has a server that unpacks it. What belongs to an erofs may
/// look like anything.
fn to_be_unpacked(disk: &Disk, fstype: &str) -> Option<String> {
    let is_fs = !matches!(lkl::probe_fs(disk), Ok(None));
    match stowaway_kinds::kind(&Looked(disk)).filter(|_| !is_fs && fstype != "erofs")? {
        Kind::Known { what, help: Help::Run(_) } => Some(format!(
            "is {what}; of several images each has to be a plain disk: unpack it, or qemu-img convert -O raw IMAGE disk.img makes one of it"
        )),
        _ => None,
    }
}

/// Whether all processes of an instance can use these mounts: the keeper has the connection to an image's server.
pub fn can_be_shared(mounts: &[Mount]) -> bool {
    settings().keeper || mounts.iter().all(|mount| mount.address().is_none())
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

/// Locks an image, or a part of it. One that is in use may be so by a process on its way out (the one before in a script,
/// the left side of a pipeline): it gets a moment for that. A keeper that unmounts gets longer: it writes what a program that
/// was killed had written.
fn lock_patiently(mut disk: Disk) -> core::result::Result<Disk, DiskError> {
    const TRIES: u32 = 25;
    const TRIES_OF_KEEPER: u32 = 1_000;
    const PAUSE_NS: i64 = 10_000_000;
    let mut tries = 0;
    loop {
        let refused = match disk.lock(None) {
            Ok(()) => return Ok(disk),
            Err(refused) => refused,
        };
        tries += 1;
        let may_wait = match &refused {
            DiskError::Busy { pid: Some(pid) } if keeper::is_unmounting(*pid) => tries < TRIES_OF_KEEPER,
            // Nobody that can be seen: a keeper has the image only in the store, and will open it to write.
            DiskError::Busy { pid: None } => tries < 2 * TRIES,
            DiskError::Busy { .. } | DiskError::InUse(_) => tries < TRIES,
            _ => false,
        };
        if !may_wait {
            disk.close();
            return Err(refused);
        }
        host::sleep_ns(PAUSE_NS);
    }
}

/// An image that is open, and, if it may be written, what it is a member of: it, or the disk that it is a partition of.
struct Look {
    disk: Disk,
    member: Option<Kind>,
}

/// Opens the part of an image that the mount is, unlocked.
fn look(
    mount: &Mount,
    image: &CStr,
    read_only: bool,
    begun_ns: u64,
) -> core::result::Result<Look, DiskError> {
    let mut disk = look_at_all(mount, image, read_only, begun_ns)?;
    // Of a member that is only read nobody needs to know.
    let is_asked = !read_only;
    let is_partition = mount.part.partition.is_some();
    let around = (is_asked && is_partition).then(|| stowaway_kinds::member_disk(&Looked(&disk))).flatten();
    match mount.part.partition.map_or(Ok(()), |number| disk.narrow(number)) {
        Ok(()) => {
            let member = is_asked.then(|| stowaway_kinds::member(&Looked(&disk))).flatten();
            Ok(Look { disk, member: member.or(around) })
        }
        Err(e) => {
            disk.close();
            Err(e)
        }
    }
}

/// Opens an image, or connects to the server that has it; the disk begins where the mount says.
fn look_at_all(
    mount: &Mount,
    image: &CStr,
    read_only: bool,
    begun_ns: u64,
) -> core::result::Result<Disk, DiskError> {
    let at_fd = fdtable::reserved_range_start();
    let mut disk = match mount.address() {
        Some(uri) => Disk::connect(&uri, read_only, at_fd, begun_ns)?,
        None => Disk::open_unlocked(image, read_only, at_fd)?,
    };
    match disk.begin_at(mount.part.offset) {
        Ok(()) => Ok(disk),
        Err(e) => {
            disk.close();
            Err(e)
        }
    }
}

/// Another image of these settings that is the same file, by a link: then the process that has it is this one.
fn twin(mount: &Mount) -> Option<&'static PathBuf> {
    let identity = |mount: &Mount| {
        let about = lkl::sys::file::stat(&name(mount).ok()?).ok()?;
        Some((about.st_dev, about.st_ino))
    };
    let own = identity(mount)?;
    let is_whole = |mount: &Mount| (mount.part.offset, mount.part.partition) == (0, None);
    let may_overlap = |other: &Mount| other.part == mount.part || is_whole(other) || is_whole(mount);
    settings()
        .mounts
        .iter()
        .flat_map(|mount| std::iter::once(mount).chain(&mount.more))
        .filter(|other| !core::ptr::eq(*other, mount) && !other.is_a_servers() && may_overlap(other))
        .find(|other| identity(other) == Some(own))
        .and_then(|other| other.image.as_ref())
}

/// An image, to be looked at.
pub struct Looked<'a>(pub &'a dyn Sectors);

impl stowaway_kinds::Bytes for Looked<'_> {
    fn size(&self) -> u64 {
        self.0.bytes()
    }

    fn read(&self, to: &mut [u8], at: u64) -> bool {
        self.0.read_at(to, at).is_ok()
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
            DiskError::Busy { .. } => match twin(mount) {
                Some(other) => self.once(
                    errno,
                    format_args!("is mounted twice, and written: it is {} too", other.display()),
                ),
                None => self.once(errno, error),
            },
            DiskError::InUse(_) => self.once(errno, error),
            // A signal: nobody is told.
            DiskError::Io(Errno::EINTR) => errno,
            // A device or a server that is write-protected.
            DiskError::Io(Errno::EROFS) => self.once(
                errno,
                format_args!("cannot be written: {}; mount it read-only (:ro)", Explained(errno)),
            ),
            // The command saw the file before it became the program, or said that there is none.
            DiskError::Io(Errno::ENOENT) if settings().under_run && mount.address().is_none() => self.once(
                errno,
                format_args!(
                    "cannot open the image: {}; was it in a mount of an outer stowaway run? The mounts of this one replace those: \
                     name that one too, or copy the image out",
                    Explained(errno)
                ),
            ),
            DiskError::Io(_) => {
                let what = match mount.address() {
                    Some(_) => "no connection to the server",
                    None => "cannot open the image",
                };
                self.once(errno, format_args!("{what}: {}", Explained(errno)))
            }
            DiskError::NoPartition => {
                let number = mount.part.partition.unwrap_or(0);
                match look_at_all(mount, name, true, lkl::sys::time::monotonic_ns()) {
                    Ok(disk) => {
                        let errno = self.no_partition(errno, number, &disk);
                        disk.close();
                        errno
                    }
                    Err(_) => self.once(errno, format_args!("has no partition {number}")),
                }
            }
            DiskError::NotADisk
            | DiskError::NoOffset { .. }
            | DiskError::Address(_)
            | DiskError::Server(_) => self.once(errno, error),
        }
    }

    /// The image was opened, and reading it fails.
    pub fn cannot_read(&self, errno: Errno) -> Errno {
        match errno {
            Errno::EINTR => errno,
            _ => self.once(errno, format_args!("cannot be read: {}", Explained(errno))),
        }
    }

    pub fn no_partition(&self, errno: Errno, number: u32, disk: &dyn Sectors) -> Errno {
        if let Some(cut) = stowaway_kinds::cut_partition(&Looked(disk), number) {
            return self.once(errno, cut);
        }
        match (lkl::partitions(disk), stowaway_kinds::table(&Looked(disk))) {
            (Some(table), _) => self.once(errno, format_args!("has no partition {number}; it has {table}")),
            (None, Some(table)) => self.once(errno, format_args!("has no partition {number}: it {table}")),
            (None, None) => {
                self.once(errno, format_args!("has no partition table, thus no partition {number}"))
            }
        }
    }

    pub fn no_file_system(&self, disk: &dyn Sectors, place: Place) -> Errno {
        if let (true, Place::File) = (lkl::is_qcow2(disk), &place) {
            let how = "a qcow2 image is mounted by stowaway run; or stowaway serve IMAGE --socket SOCKET serves it, and it is \
                 mounted as nbd+unix:///?socket=SOCKET";
            return self.once(Errno::EINVAL, how);
        }
        if let Some(table) = lkl::partitions(disk) {
            let why = format_args!("has a partition table: mount a partition, as IMAGE#N; it has {table}");
            return self.once(Errno::EINVAL, why);
        }
        match (stowaway_kinds::kind(&Looked(disk)), place) {
            // Nobody serves what lies in something else.
            (Some(Kind::Known { what, help: Help::Run(_) }), Place::Within(_)) => self
                .once(Errno::EINVAL, format_args!("is {what}, inside of another image: copy it out first")),
            (Some(Kind::Appended { what, offset, is_program }), Place::Within(start)) => {
                self.once(Errno::EINVAL, Kind::Appended { what, offset: start + offset, is_program })
            }
            (Some(kind), _) => self.once(Errno::EINVAL, kind),
            (None, _) => match stowaway_kinds::table(&Looked(disk)) {
                Some(table) => self.once(Errno::EINVAL, table),
                None => self.once(
                    Errno::EINVAL,
                    format_args!("not a file system that is known here: {}", Explained(Errno::EINVAL)),
                ),
            },
        }
    }
}
