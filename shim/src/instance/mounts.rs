// SPDX-License-Identifier: GPL-2.0-only
//! The mounts of this process's kernel: made with the first call that needs them, given back when nothing
//! uses them, and what is said when that fails.
#![allow(unsafe_code)]

use core::ffi::CStr;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use lkl::{Disk, Kernel, Source};
use once_cell::sync::OnceCell;
use stowaway_config::{mount_flags, Mount, Remote};

use crate::fdtable;
use crate::instance::further_images::{self, FurtherImages};
use crate::instance::images::{self, Said, Tries};
use crate::instance::inner_image::InnerImage;
use crate::instance::keeper;
use crate::instance::kernel_log::{KernelLog, LastWords, Reason};
use crate::instance::overlay;
use crate::instance::remote::{self, Found};
use crate::sys::big_stack::on_big_stack;
use crate::sys::credentials::Credentials;
use crate::sys::errno::{Errno, Explained, Result};
use crate::sys::fs;
use crate::sys::kernel::{change, park_forever_if_ending};
use crate::sys::report::Line;
use crate::sys::settings::settings;
use crate::sys::thread::Thread;

/// What became of each mount, in the order of the settings.
static MOUNTED: OnceCell<Vec<MountState>> = OnceCell::new();

struct MountState {
    /// Kernel descriptor of the mount's root, at a number reserved on the host; -1: not mounted.
    root: AtomicI32,
    /// The kernel's number for its disk, and the image's host descriptor; -1: none.
    disk: AtomicI32,
    image: AtomicI32,
    further: FurtherImages,
    tries: Tries,
    /// Why the kernel would not mount it, an errno; 0: it was not asked, or did. A missing image may appear, a
    /// broken one does not heal: this process does not open the image again.
    refused: AtomicI32,
}

/// At boot, under the lock: nothing is mounted.
pub fn init() {
    let unmounted = |mount: &Mount| MountState {
        root: AtomicI32::new(-1),
        disk: AtomicI32::new(-1),
        image: AtomicI32::new(-1),
        further: FurtherImages::of(mount),
        tries: Tries { reported: AtomicI32::new(0), begun_ns: AtomicU64::new(0) },
        refused: AtomicI32::new(0),
    };
    let mounted = settings().mounts.iter().map(unmounted).collect();
    let _ = MOUNTED.set(mounted);
}

/// The kernel descriptor of mount `index`'s root; mounts it if that was not done yet, after what it lies in, and with what lies
/// below it: the kernel walks from one into the other by itself. Inside a section.
pub fn mount_root(kernel: &'static Kernel, thread: &'static Thread, index: usize) -> Result<i32> {
    let states = MOUNTED.get().ok_or(Errno::EIO)?;
    let root = states[index].root.load(Ordering::Acquire);
    if root >= 0 {
        return Ok(root);
    }
    let before = [settings().holder(index), settings().parent(index)].into_iter().flatten();
    before.into_iter().try_for_each(|at| mount_root(kernel, thread, at).map(drop))?;
    for layer in overlay::below(&settings().mounts[index], &states[index].tries)? {
        mount_root(kernel, thread, layer)?;
    }
    let (root, is_new) = mount_alone(kernel, thread, index, &states[index])?;
    if is_new {
        for below in (0..states.len()).filter(|&at| settings().parent(at) == Some(index)) {
            // What is wrong with it was said, and is said again to whoever asks for it.
            let _ = mount_root(kernel, thread, below);
        }
    }
    Ok(root)
}

/// The same of one mount; and whether it was this call that mounted it.
fn mount_alone(
    kernel: &'static Kernel,
    thread: &'static Thread,
    index: usize,
    state: &MountState,
) -> Result<(i32, bool)> {
    let _change = change();
    park_forever_if_ending();
    let root = state.root.load(Ordering::Acquire);
    if root >= 0 {
        return Ok((root, false));
    }
    let refused = state.refused.load(Ordering::Relaxed);
    if refused != 0 {
        return Err(Errno::new(refused));
    }
    let root = on_big_stack(|| match kernel.was_shared() {
        true => kernel.alone_with_mounts(|| mount_now(kernel, thread, index, state)),
        false => mount_now(kernel, thread, index, state),
    })?;
    state.root.store(root, Ordering::Release);
    Ok((root, true))
}

/// XFS asks again and again for memory that it cannot do without: with less than this, it may do so for ever.
const XFS_LEAST: u64 = 24 << 20;

fn mount_now(
    kernel: &'static Kernel,
    thread: &'static Thread,
    index: usize,
    state: &MountState,
) -> Result<i32> {
    let mount = &settings().mounts[index];
    let _room = fdtable::room();
    let path = CString::new(&mount.path[..]).map_err(|_| Errno::EINVAL)?;
    if kernel.was_shared() {
        match open_root(kernel, thread, &path) {
            Err(Errno::ENOENT) => {}
            root => return root,
        }
    }
    let mut read_only = mount.read_only || overlay::is_read_only(mount);
    let mut devices = Vec::new();
    let found =
        mount.remote().map(|remote| find_remote(kernel, thread, mount, &remote, state)).transpose()?;
    let (mut source, fstype) = match (&found, &mount.image, settings().holder(index)) {
        (Some(found), ..) => (Source::Remote(index as u32, &found.device), found.fstype.to_string()),
        (None, None, _) => (Source::None(index as u32), mount.fstype.clone().unwrap_or_default()),
        (None, Some(_), Some(holder)) => {
            let inner = attach_inner(kernel, thread, index, holder, state)?;
            read_only |= inner.read_only;
            (inner.source, inner.fstype)
        }
        (None, Some(_), None) => {
            let mut image = images::open(mount, &state.tries).inspect_err(|&e| {
                // A server that does not answer is not waited for again.
                if e == Errno::ETIMEDOUT {
                    state.refused.store(e.into_raw(), Ordering::Relaxed);
                }
            })?;
            // The same in every process: all have the same settings.
            image.disk.set_place(index as u32);
            read_only = image.read_only;
            let further =
                match further_images::open(mount, &state.tries, &image.disk, &image.fstype, read_only) {
                    Ok(further) => further,
                    Err(e) => {
                        images::close(image.disk);
                        return Err(e);
                    }
                };
            let source = attach(kernel, thread, mount, state, image.disk)?;
            devices =
                state.further.attach(kernel, thread, mount, &state.tries, further).inspect_err(|e| {
                    state.refused.store(e.into_raw(), Ordering::Relaxed);
                    detach(kernel, thread, state);
                })?;
            (source, image.fstype)
        }
    };
    if fstype == "xfs" && settings().mem < XFS_LEAST {
        state.refused.store(Errno::ENOMEM.into_raw(), Ordering::Relaxed);
        detach(kernel, thread, state);
        let said = Said { name: &images::name(mount)?, reported: &state.tries.reported };
        return Err(said.once(Errno::ENOMEM, "XFS wants a kernel with at least 24M of memory (--mem)"));
    }
    let fstype = CString::new(fstype).map_err(|_| Errno::EINVAL)?;
    let directory =
        CString::new(mount.part.directory.clone().unwrap_or_default()).map_err(|_| Errno::EINVAL)?;
    if let (Source::Disk(number), false) = (source, directory.is_empty()) {
        source = Source::Directory(number, &directory);
    }
    let root = fdtable::placeholder(fdtable::reserved_range_start() as usize, true)?;
    fdtable::set(root as usize, fdtable::RESERVED);
    let stowaway_config::MountFlags { mut flags, data } = mount_flags(mount);
    if read_only {
        flags |= libc::MS_RDONLY;
    }
    let log = KernelLog::now(kernel);
    let attempt = |more: Vec<String>| {
        let data = with_defaults(mount, &fstype, data.clone(), more);
        let data = CString::new(data).map_err(|_| Errno::EINVAL)?;
        // SAFETY: the task is this thread's.
        unsafe { kernel.mount(thread.task(), source, &path, &fstype, flags, &data, root) }
    };
    let done = match &found {
        Some(found) => found.in_turn(attempt),
        None => attempt(devices),
    };
    match done {
        Ok(()) => {
            keep(kernel);
            log::debug!("mounted {:?} as {:?}", path, fstype);
            if !read_only && is_read_only(kernel, thread, root) {
                let said = log.said_since(kernel);
                Line::new()
                    .bytes(images::name(mount)?.to_bytes())
                    .text(format_args!(": mounted, but read-only{}", LastWords(&said)))
                    .print();
            }
            Ok(root)
        }
        Err(e) => {
            fdtable::release(root as usize);
            let name = if mount.image.is_some() { images::name(mount)? } else { fstype.clone() };
            let said = log.said_since(kernel);
            state.refused.store(e.into_raw(), Ordering::Relaxed);
            detach(kernel, thread, state);
            if say_what_is_missing(e, index, &name) {
                return Err(e);
            }
            Line::new()
                .bytes(name.to_bytes())
                .text(format_args!(": cannot mount as "))
                .bytes(fstype.to_bytes())
                .text(format_args!(
                    ": {}{}",
                    Explained(e),
                    Reason { said: &said, fstype: &fstype, read_only, opts: &mount.opts }
                ))
                .print();
            Err(e)
        }
    }
}

/// Looks for the server of a mount. Err: it is of no use, which was said.
fn find_remote(
    kernel: &'static Kernel,
    thread: &'static Thread,
    mount: &Mount,
    remote: &Remote,
    state: &MountState,
) -> Result<Found> {
    remote::find(kernel, thread, mount, remote).map_err(|(errno, why)| {
        state.refused.store(errno.into_raw(), Ordering::Relaxed);
        match images::name(mount) {
            Ok(name) => Said { name: &name, reported: &state.tries.reported }.once(errno, why),
            Err(errno) => errno,
        }
    })
}

/// Whether the kernel made a mount read-only by itself: a journal that it cannot replay, a disc that is written once.
fn is_read_only(kernel: &Kernel, thread: &'static Thread, root: i32) -> bool {
    /// `struct statfs` has 15 words; this one is f_flags.
    const FLAGS: usize = 10;
    let mut about = [0u64; 15];
    let args = [root as usize, about.as_mut_ptr() as usize, 0, 0, 0, 0];
    // SAFETY: the task is this thread's; the result is this function's.
    let done = unsafe { kernel.call(thread.task(), libc::SYS_fstatfs, &args, -1) };
    done == 0 && about[FLAGS] & libc::ST_RDONLY != 0
}

/// An image inside of an image that is a disk of the kernel now.
struct Inner {
    source: Source<'static>,
    fstype: String,
    read_only: bool,
}

/// Makes the image of mount `index`, which lies in the mount `holder`, a disk of the kernel.
fn attach_inner(
    kernel: &'static Kernel,
    thread: &'static Thread,
    index: usize,
    holder: usize,
    state: &MountState,
) -> Result<Inner> {
    let (mount, holding) = (&settings().mounts[index], &settings().mounts[holder]);
    let name = images::name(mount)?;
    let said = Said { name: &name, reported: &state.tries.reported };
    let root = MOUNTED.get().map_or(-1, |states| states[holder].root.load(Ordering::Acquire));
    let image = InnerImage::open(kernel, thread, mount, holding, root, said)?;
    let (fstype, read_only) = image.file_system(mount)?;
    let source = image.attach(index as u32)?;
    if let Source::Disk(number) = source {
        state.disk.store(number as i32, Ordering::Relaxed);
    }
    Ok(Inner { source, fstype, read_only })
}

/// The disks of a mount that was refused go: the image is free, and the mount that it may lie in can be given back.
fn detach(kernel: &'static Kernel, thread: &'static Thread, state: &MountState) {
    if let Ok(number) = u32::try_from(state.disk.swap(-1, Ordering::Relaxed)) {
        // SAFETY: the task is this thread's; nothing is mounted from the disk.
        let _ = unsafe { kernel.remove_disk(thread.task(), number) };
    }
    state.further.release(kernel, thread);
    // An image inside of an image has no descriptor of the host's.
    if let Ok(number) = usize::try_from(state.image.swap(-1, Ordering::Relaxed)) {
        fdtable::release(number);
    }
}

/// Of two directories that have to be there one is not: the one that is mounted, or the one that it is mounted on. False: it is
/// about neither.
fn say_what_is_missing(errno: Errno, index: usize, name: &CStr) -> bool {
    let mount = &settings().mounts[index];
    let mut line = Line::new();
    line.bytes(name.to_bytes()).text(format_args!(": cannot be mounted: "));
    let subvolume = mount.opts.iter().find_map(|option| option.strip_prefix("subvol="));
    match (errno, &mount.part.directory, settings().parent(index)) {
        (Errno::ENOTDIR, Some(directory), _) => {
            line.text(format_args!("its "))
                .bytes(directory)
                .text(format_args!(" is no directory (ENOTDIR)"))
                .print();
            return true;
        }
        (Errno::ENOENT, None, _) if subvolume.is_some() => {
            line.text(format_args!("it has no subvolume ")).bytes(subvolume.unwrap_or_default().as_bytes())
        }
        (Errno::ENOENT, Some(directory), None) => {
            line.text(format_args!("it has no directory ")).bytes(directory)
        }
        (Errno::ENOENT, None, Some(_)) => {
            line.bytes(&mount.path).text(format_args!(" is not there: make the directory first"))
        }
        (Errno::ENOENT, Some(directory), Some(_)) => {
            line.text(format_args!("it has no directory ")).bytes(directory);
            line.text(format_args!(", or ")).bytes(&mount.path).text(format_args!(" is not there"))
        }
        _ => return false,
    }
    .text(format_args!(" (ENOENT)"))
    .print();
    true
}

/// The root of what another process of the instance has mounted. ENOENT: nobody has.
fn open_root(kernel: &'static Kernel, thread: &'static Thread, path: &CStr) -> Result<i32> {
    let root = fdtable::placeholder(fdtable::reserved_range_start() as usize, true)?;
    // SAFETY: the task is this thread's.
    if let Err(e) = unsafe { kernel.open_root(thread.task(), path, root) } {
        fs::close(root);
        return Err(e);
    }
    fdtable::set(root as usize, fdtable::RESERVED);
    Ok(root)
}

/// Makes the image a disk of the kernel.
fn attach(
    kernel: &'static Kernel,
    thread: &'static Thread,
    mount: &Mount,
    state: &MountState,
    disk: Disk,
) -> Result<Source<'static>> {
    if disk.is_a_servers() && settings().share {
        // The connection is to be the keeper's.
        keeper::start(kernel);
        keeper::ensure(kernel);
    }
    // SAFETY: the task is this thread's; the disk's descriptor stays open (reserved).
    match unsafe { kernel.attach_disk(thread.task(), &disk) } {
        Ok(number) => {
            state.disk.store(number as i32, Ordering::Relaxed);
            state.image.store(disk.fd(), Ordering::Relaxed);
            Ok(Source::Disk(number))
        }
        Err(e) => {
            images::close(disk);
            let said = Said { name: &images::name(mount)?, reported: &state.tries.reported };
            let errno = e;
            Err(said.once(errno, format_args!("the disk cannot be attached: {}", Explained(errno))))
        }
    }
}

/// File systems without owners, or where owners are optional.
const WITHOUT_OWNERS: [&CStr; 5] = [c"vfat", c"exfat", c"ntfs3", c"hfs", c"cifs"];

/// Options that are understood here: tmpfs is a ramfs, whose root would be 0755 (as tmpfs has it: 1777); and
/// where files have no owners, all is the caller's instead of root's, who made the mount.
fn with_defaults(mount: &Mount, fstype: &CStr, data: String, devices: Vec<String>) -> String {
    let given = |name: &str| mount.opts.iter().any(|o| o.starts_with(name));
    let data = if overlay::is_overlay(mount) { overlay::options(&data) } else { remote::without_files(data) };
    let mut options: Vec<String> = (!data.is_empty()).then_some(data).into_iter().chain(devices).collect();
    if fstype == c"tmpfs" && !given("mode=") {
        options.push("mode=1777".into());
    }
    if let (true, Ok(who)) = (WITHOUT_OWNERS.contains(&fstype), Credentials::now()) {
        for (name, id) in [("uid=", who.uid[1]), ("gid=", who.gid[1])] {
            if !given(name) {
                options.push(format!("{name}{id}"));
            }
        }
    }
    options.join(",")
}

/// Somebody is to look after the instance, if it has a writable image.
pub fn keep(kernel: &'static Kernel) {
    if settings().mounts.iter().any(|mount| mount.image.is_some() && !mount.read_only) {
        keeper::start(kernel);
    }
}

/// Inside a section of the only thread that has a task: unmounts all images. False: one is still in use, or a
/// pseudo file system is mounted, whose contents belong to this kernel.
pub fn unmount_idle(kernel: &Kernel, thread: &'static Thread) -> bool {
    let mounts = || settings().mounts.iter().zip(MOUNTED.get().into_iter().flatten());
    // What lies over others goes first: they would not be kept by it.
    for (mount, state) in mounts().filter(|(mount, _)| overlay::is_overlay(mount)) {
        if state.root.load(Ordering::Acquire) >= 0 && !unmount_one(kernel, thread, mount, state) {
            return false;
        }
    }
    // What lies in another mount, or below one, goes before it: as long as one goes, another may.
    while mounts().fold(false, |any, (mount, state)| unmount_one(kernel, thread, mount, state) || any) {}
    !settings().has_network() && mounts().all(|(_, state)| state.root.load(Ordering::Acquire) < 0)
}

/// False: it is not mounted, or it is in use, or it is in no image.
fn unmount_one(kernel: &Kernel, thread: &'static Thread, mount: &Mount, state: &MountState) -> bool {
    let root = state.root.load(Ordering::Acquire);
    let Ok(path) = CString::new(&mount.path[..]) else { return false };
    let disk = u32::try_from(state.disk.load(Ordering::Relaxed)).ok();
    let may_go = root >= 0 && (disk.is_some() || overlay::is_overlay(mount));
    // SAFETY: the task is this thread's.
    if !may_go || unsafe { kernel.unmount(thread.task(), &path, root, disk) }.is_err() {
        return false;
    }
    report_write_error(kernel);
    state.further.release(kernel, thread);
    state.root.store(-1, Ordering::Release);
    for number in [root, state.image.swap(-1, Ordering::Relaxed)] {
        // An image inside of an image has none of the host's.
        if let Ok(number) = usize::try_from(number) {
            fdtable::release(number);
        }
    }
    true
}

/// Says that data was lost, if it was: write-back after the last close has nobody else to tell.
pub fn report_write_error(kernel: &Kernel) {
    let Some((number, error)) = kernel.take_write_error() else { return };
    let states = MOUNTED.get().into_iter().flatten();
    let image = settings().mounts.iter().zip(states).find_map(|(mount, state)| {
        if state.image.load(Ordering::Relaxed) == number {
            return mount.image.as_ref();
        }
        mount.more[state.further.position(number)?].image.as_ref()
    });
    Line::new()
        .bytes(image.map_or(b"an image", |path| path.as_os_str().as_bytes()))
        .text(format_args!(": writing failed: {}; data was lost", Explained(error)))
        .print();
}
