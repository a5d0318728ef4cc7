// SPDX-License-Identifier: GPL-2.0-only
//! The mounts of this process's kernel: made with the first call that needs them, given back when nothing
//! uses them, and what is said when that fails.
#![allow(unsafe_code)]

use core::ffi::CStr;
use core::sync::atomic::{AtomicI32, Ordering};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use lkl::{Disk, DiskError, Kernel, Source};
use once_cell::sync::OnceCell;
use stowaway_config::{mount_flags, Mount, Net};

use crate::errno::{self, EBUSY, EFBIG, EINVAL, EIO};
use crate::host::Ret;
use crate::report::Line;
use crate::settings::settings;
use crate::thread::Thread;
use crate::{fd, host, procfs, world};

/// What became of each mount, in the order of the settings.
static MOUNTED: OnceCell<Vec<MountState>> = OnceCell::new();

/// File systems that nobody can write to.
const READ_ONLY_TYPES: [&str; 3] = ["squashfs", "erofs", "iso9660"];

struct MountState {
    /// Kernel descriptor of the mount's root, at a number reserved on the host; -1: not mounted.
    root: AtomicI32,
    /// The kernel's number for its disk, and the image's host descriptor; -1: none.
    disk: AtomicI32,
    image: AtomicI32,
    /// The errno last reported for it: each reason is said once.
    reported: AtomicI32,
    /// Why the kernel would not mount it, -errno; 0: it was not asked, or did. A missing image may appear, a
    /// broken one does not heal: it stays attached (and locked by us), so it is not opened again either.
    refused: AtomicI32,
}

/// At boot, under the lock: nothing is mounted.
pub fn init() {
    let mut mounted = Vec::new();
    mounted.resize_with(settings().mounts.len(), || MountState {
        root: AtomicI32::new(-1),
        disk: AtomicI32::new(-1),
        image: AtomicI32::new(-1),
        reported: AtomicI32::new(0),
        refused: AtomicI32::new(0),
    });
    let _ = MOUNTED.set(mounted);
}

/// The kernel descriptor of mount `index`'s root; mounts it if that was not done yet. Inside a section.
pub fn mount_root(kernel: &'static Kernel, thread: &mut Thread, index: usize) -> Result<i32, Ret> {
    let state = &MOUNTED.get().ok_or(EIO)?[index];
    let root = state.root.load(Ordering::Acquire);
    if root >= 0 {
        return Ok(root);
    }
    let _change = world::change();
    world::stay_if_ending();
    let root = state.root.load(Ordering::Acquire);
    if root >= 0 {
        return Ok(root);
    }
    let refused = state.refused.load(Ordering::Relaxed);
    if refused != 0 {
        return Err(refused as Ret);
    }
    let mount = &settings().mounts[index];
    mount_now(kernel, thread, mount, state).inspect(|&root| state.root.store(root, Ordering::Release))
}

fn mount_now(
    kernel: &'static Kernel,
    thread: &mut Thread,
    mount: &Mount,
    state: &MountState,
) -> Result<i32, Ret> {
    let path = CString::new(&mount.path[..]).map_err(|_| EINVAL)?;
    let mut read_only = mount.read_only;
    let (source, fstype) = match &mount.image {
        None => (Source::None, mount.fstype.clone()),
        Some(image) => {
            let image = CString::new(image.as_os_str().as_bytes()).map_err(|_| EINVAL)?;
            let open =
                |read_only| open_patiently(&image, read_only).map_err(|e| complain_open(&image, e, state));
            let mut disk = open(mount.read_only)?;
            let found = lkl::probe_fs(&disk).map(|t| t.to_str().unwrap_or("").to_owned());
            let fstype = mount.fstype.clone().or(found);
            // What nobody can write to is shared, as if :ro had been said.
            read_only |= fstype.as_deref().is_some_and(|t| READ_ONLY_TYPES.contains(&t));
            if read_only && !mount.read_only {
                host::close(disk.fd());
                disk = open(true)?;
            }
            fd::set(disk.fd() as usize, fd::RESERVED);
            if fstype.is_none() {
                drop_disk(disk);
                return Err(complain(&image, EINVAL, state, "not a file system that is known here"));
            }
            if !read_only && disk.bytes() > file_size_limit() {
                drop_disk(disk);
                let why = "larger than the file size limit (ulimit -f), writing to it would fail";
                return Err(complain(&image, EFBIG, state, why));
            }
            // SAFETY: the task is this thread's; the disk's descriptor stays open (reserved).
            match unsafe { kernel.attach_disk(thread.task, &disk) } {
                Ok(number) => {
                    state.disk.store(number as i32, Ordering::Relaxed);
                    state.image.store(disk.fd(), Ordering::Relaxed);
                    (Source::Disk(number), fstype)
                }
                Err(e) => {
                    drop_disk(disk);
                    return Err(complain(&image, -(e.0 as isize), state, "the disk cannot be attached"));
                }
            }
        }
    };
    let fstype = CString::new(fstype.unwrap_or_default()).map_err(|_| EINVAL)?;
    let root = fd::placeholder(fd::reserved_range_start() as usize, true);
    if root < 0 {
        return Err(root);
    }
    fd::set(root as usize, fd::RESERVED);
    let stowaway_config::MountFlags { mut flags, data } = mount_flags(mount);
    if read_only {
        flags |= libc::MS_RDONLY;
    }
    let data = CString::new(with_defaults(mount, &fstype, data)).map_err(|_| EINVAL)?;
    // SAFETY: the task is this thread's.
    match unsafe { kernel.mount(thread.task, source, &path, &fstype, flags, &data, root as i32) } {
        Ok(()) => {
            log::debug!("mounted {:?} as {:?}", path, fstype);
            Ok(root as i32)
        }
        Err(e) => {
            fd::set(root as usize, fd::HOST);
            host::close(root as i32);
            let name = match &mount.image {
                Some(image) => CString::new(image.as_os_str().as_bytes()).map_err(|_| EINVAL)?,
                None => fstype.clone(),
            };
            Err(complain_mount(&name, &fstype, -(e.0 as isize), state))
        }
    }
}

/// Opens and locks an image. One that is in use may be so by a process on its way out (the one before in a
/// script, the left side of a pipeline): it gets a moment for that.
fn open_patiently(image: &CStr, read_only: bool) -> Result<Disk, DiskError> {
    const TRIES: u32 = 25;
    const PAUSE_NS: i64 = 10_000_000;
    for _ in 0..TRIES {
        match Disk::open(trampoline::gate::RAW, image, read_only, fd::reserved_range_start()) {
            Err(DiskError::Busy { .. }) => {
                let pause = libc::timespec { tv_sec: 0, tv_nsec: PAUSE_NS };
                host::call(libc::SYS_nanosleep, &[&raw const pause as usize, 0]);
            }
            other => return other,
        }
    }
    Disk::open(trampoline::gate::RAW, image, read_only, fd::reserved_range_start())
}

/// Options that are understood here: tmpfs is a ramfs, whose root would be 0755 (as tmpfs has it: 1777); and
/// vfat has no owners, so all is the caller's instead of root's, who made the mount.
fn with_defaults(mount: &Mount, fstype: &CStr, data: String) -> String {
    let given = |name: &str| mount.opts.iter().any(|o| o.starts_with(name));
    let mut options: Vec<String> = (!data.is_empty()).then_some(data).into_iter().collect();
    if fstype == c"tmpfs" && !given("mode=") {
        options.push("mode=1777".into());
    }
    if let (true, Some(who)) = (fstype == c"vfat", procfs::credentials()) {
        for (name, id) in [("uid=", who.uid[1]), ("gid=", who.gid[1])] {
            if !given(name) {
                options.push(format!("{name}{id}"));
            }
        }
    }
    options.join(",")
}

/// RLIMIT_FSIZE in bytes: the host holds our writes to an image against it.
fn file_size_limit() -> u64 {
    let mut limit = [u64::MAX; 2];
    host::call(libc::SYS_prlimit64, &[0, libc::RLIMIT_FSIZE as usize, 0, limit.as_mut_ptr() as usize]);
    limit[0]
}

/// Closes an image that was opened in vain.
fn drop_disk(disk: Disk) {
    fd::set(disk.fd() as usize, fd::HOST);
    host::close(disk.fd());
}

fn complain_open(image: &CStr, error: DiskError, state: &MountState) -> Ret {
    match error {
        DiskError::Busy { pid } => {
            if state.reported.swap(libc::EBUSY, Ordering::Relaxed) != libc::EBUSY {
                let mut line = Line::new();
                line.bytes(image.to_bytes());
                match pid {
                    Some(pid) => line.text(format_args!(": in use by pid {pid}")),
                    None => line.text(format_args!(": in use by another process")),
                }
                .print();
            }
            EBUSY
        }
        DiskError::Io(e) => complain(image, -(e.0 as isize), state, "cannot open the image"),
        other => {
            let errno = other.errno().0;
            if state.reported.swap(errno, Ordering::Relaxed) != errno {
                Line::new().bytes(image.to_bytes()).text(format_args!(": {other}")).print();
            }
            -(errno as isize)
        }
    }
}

fn complain(image: &CStr, ret: Ret, state: &MountState, why: &str) -> Ret {
    if state.reported.swap(-ret as i32, Ordering::Relaxed) != -ret as i32 {
        Line::new().bytes(image.to_bytes()).text(format_args!(": {why}: {}", errno::name(ret))).print();
    }
    ret
}

fn complain_mount(image: &CStr, fstype: &CStr, ret: Ret, state: &MountState) -> Ret {
    state.refused.store(ret as i32, Ordering::Relaxed);
    Line::new()
        .bytes(image.to_bytes())
        .text(format_args!(": cannot mount as "))
        .bytes(fstype.to_bytes())
        .text(format_args!(": {}; STOWAWAY_KERNEL_LOG=stderr shows what the kernel says", errno::name(ret)))
        .print();
    ret
}

/// Inside a section of the only thread that has a task: unmounts all images. False: one is still in use, or a
/// pseudo file system is mounted, whose contents belong to this kernel.
pub fn unmount_idle(kernel: &Kernel, thread: &mut Thread) -> bool {
    let mut all = settings().net == Net::None;
    for (mount, state) in settings().mounts.iter().zip(MOUNTED.get().into_iter().flatten()) {
        let root = state.root.load(Ordering::Acquire);
        let Ok(path) = CString::new(&mount.path[..]) else { continue };
        if root < 0 {
            continue;
        }
        let disk = u32::try_from(state.disk.load(Ordering::Relaxed)).ok();
        // SAFETY: the task is this thread's.
        if disk.is_none() || unsafe { kernel.unmount(thread.task, &path, root, disk) }.is_err() {
            all = false;
            continue;
        }
        report_write_error(kernel);
        state.root.store(-1, Ordering::Release);
        for number in [root, state.image.swap(-1, Ordering::Relaxed)] {
            fd::set(number as usize, fd::HOST);
            host::close(number);
        }
    }
    all
}

/// Says that data was lost, if it was: write-back after the last close has nobody else to tell.
pub fn report_write_error(kernel: &Kernel) {
    let Some((number, error)) = kernel.take_write_error() else { return };
    let states = MOUNTED.get().into_iter().flatten();
    let image = settings()
        .mounts
        .iter()
        .zip(states)
        .find(|(_, state)| state.image.load(Ordering::Relaxed) == number)
        .and_then(|(mount, _)| mount.image.as_ref());
    Line::new()
        .bytes(image.map_or(b"an image", |path| path.as_os_str().as_bytes()))
        .text(format_args!(": writing failed: {}; data was lost", errno::name(-(error.0 as isize))))
        .print();
}
