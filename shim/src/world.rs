// SPDX-License-Identifier: GPL-2.0-only
//! The kernel of this process: booted on the first call that needs it, its mounts, its end.
//!
//! States: NONE -> UP -> ENDING -> DOWN, LOST in a child of fork, FAILED if it did not boot. Only UP lets a call
//! through. ENDING is the end of the process (or an exec): Linux takes its other threads away inside their
//! calls, so here they wait for ever. DOWN follows only where an exec failed.
#![allow(unsafe_code)]

use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use lkl::{Disk, DiskError, Kernel, Source};
use once_cell::sync::OnceCell;
use stowaway_config::{mount_flags, KernelLog, Mount, Net};

use crate::errno::{self, EBUSY, EFBIG, EINVAL, EIO, ENOMEM};
use crate::host::Ret;
use crate::lock::Lock;
use crate::report::{say, say_once, Line};
use crate::settings::settings;
use crate::thread::Thread;
use crate::{fd, host, procfs, report};

const NONE: u32 = 0;
const UP: u32 = 1;
const DOWN: u32 = 2;
const LOST: u32 = 3;
const FAILED: u32 = 4;
const ENDING: u32 = 5;

static STATE: AtomicU32 = AtomicU32::new(NONE);
static KERNEL: OnceCell<&'static Kernel> = OnceCell::new();
/// Why it did not start, -errno.
static FAILURE: AtomicI32 = AtomicI32::new(0);
/// The process that the kernel was started in.
static OWNER: AtomicU32 = AtomicU32::new(0);
/// The thread that ends it.
static ENDER: AtomicU32 = AtomicU32::new(0);
/// Threads that have a task.
static TASKS: AtomicU32 = AtomicU32::new(0);
/// Boot, mounting and shutdown, one at a time.
static CHANGE: Lock = Lock::new();
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
    /// A failure that will not pass: a missing image may appear, a broken one does not heal.
    complained: AtomicBool,
}

/// The kernel if it runs.
#[inline]
pub fn running() -> Option<&'static Kernel> {
    if STATE.load(Ordering::Acquire) == UP {
        return KERNEL.get().copied();
    }
    None
}

/// The kernel, booted if it is not yet. Called inside a kernel section.
pub fn kernel(thread: &mut Thread) -> Result<&'static Kernel, Ret> {
    match STATE.load(Ordering::Acquire) {
        UP => KERNEL.get().copied().ok_or(EIO),
        NONE => boot(thread),
        LOST => {
            say_once!(
                "after fork, the parent process's kernel is not reachable: calls into its mounts and \
                 sockets fail with EIO; exec a program to give it a kernel of its own"
            );
            Err(EIO)
        }
        ENDING => {
            stay();
            Err(EIO)
        }
        FAILED => Err(FAILURE.load(Ordering::Relaxed) as Ret),
        _ => Err(EIO),
    }
}

fn boot(thread: &mut Thread) -> Result<&'static Kernel, Ret> {
    let _change = CHANGE.hold();
    if STATE.load(Ordering::Acquire) != NONE {
        return running().ok_or(EIO);
    }
    report::keep_stderr();
    let settings = settings();
    let log_fd = match &settings.kernel_log {
        KernelLog::Off => None,
        KernelLog::Stderr => Some(report::stderr_fd()),
        KernelLog::File(path) => open_log(path.as_os_str().as_bytes()),
    };
    fd::make_master()?;
    let config = lkl::BootConfig {
        mem_bytes: settings.mem as usize,
        kernel_log_fd: log_fd,
        syscall: trampoline::gate::RAW,
        cmdline: c"",
    };
    let kernel = match lkl::boot(&config) {
        Ok(kernel) => kernel,
        Err(error) => {
            let errno = match error {
                lkl::BootError::Host(e) => -(e.0 as isize),
                _ => EIO,
            };
            say!("the kernel does not start: {error}: {}; try `stowaway doctor`", errno::name(errno));
            FAILURE.store(errno as i32, Ordering::Relaxed);
            STATE.store(FAILED, Ordering::Release);
            return Err(errno);
        }
    };
    let mut mounted = Vec::new();
    mounted.resize_with(settings.mounts.len(), || MountState {
        root: AtomicI32::new(-1),
        disk: AtomicI32::new(-1),
        image: AtomicI32::new(-1),
        reported: AtomicI32::new(0),
        complained: AtomicBool::new(false),
    });
    let _ = MOUNTED.set(mounted);
    let _ = KERNEL.set(kernel);
    adopt(kernel, thread)?;
    if settings.net == Net::Lo {
        // SAFETY: adopt() gave this thread its task.
        if let Err(e) = unsafe { kernel.loopback_up(thread.task) } {
            say!("net=lo: the loopback device does not come up: {}", errno::name(-(e.0 as isize)));
        }
    }
    crate::signal::kernel_started();
    OWNER.store(host::ids().0 as u32, Ordering::Relaxed);
    STATE.store(UP, Ordering::Release);
    crate::cwd::boot();
    Ok(kernel)
}

fn open_log(path: &[u8]) -> Option<i32> {
    let path = CString::new(path).ok()?;
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
    let r = host::call(
        libc::SYS_openat,
        &[libc::AT_FDCWD as usize, path.as_ptr() as usize, flags as usize, 0o644],
    );
    if r < 0 {
        Line::new().text(format_args!("kernel_log: cannot open ")).bytes(path.as_bytes()).print();
        return None;
    }
    let kept = fd::reserve_copy(r as i32);
    host::close(r as i32);
    (kept >= 0).then_some(kept)
}

/// Gives the thread a task of the kernel, with the credentials of the process.
pub fn adopt(kernel: &'static Kernel, thread: &mut Thread) -> Result<(), Ret> {
    if !thread.task.is_null() {
        return Ok(());
    }
    let task = lkl::Task::new(kernel).map_err(|e| {
        say_once!("no memory for the kernel stack of a thread");
        -(e.0 as isize)
    })?;
    thread.task = task.as_ptr();
    TASKS.fetch_add(1, Ordering::Relaxed);
    let who = procfs::credentials().ok_or(ENOMEM)?;
    // SAFETY: the task was just made for this thread; umask takes an integer.
    unsafe {
        kernel.call(thread.task, libc::SYS_umask, &[who.umask as usize, 0, 0, 0, 0, 0], -1);
        kernel.set_credentials(thread.task, who.uid, who.gid, who.groups()).map_err(|e| -(e.0 as isize))
    }
}

/// A thread's task is gone.
pub fn task_released() {
    TASKS.fetch_sub(1, Ordering::Relaxed);
}

/// Before a fork: gives the images back that nothing of this process uses, so that the child, and what it
/// executes, can have them. They come back with the next call that needs them. True: nothing at all is in
/// use, and a copy of this kernel would be a kernel.
pub fn rest() -> bool {
    if !is_up() {
        return false;
    }
    crate::cwd::remember();
    if fd::any_kernel() || TASKS.load(Ordering::Relaxed) != 1 {
        return false;
    }
    let at_rest = crate::section::section_away(|door| {
        let parked = crate::cwd::park(door);
        (parked && door.unmount_idle()) as isize
    });
    at_rest == 1
}

/// Inside a section of the only thread that has a task: unmounts all images. False: one is still in use, or a
/// pseudo file system is mounted, whose contents belong to this kernel.
pub fn unmount_idle(kernel: &Kernel, thread: &mut Thread) -> bool {
    let _change = CHANGE.hold();
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
fn report_write_error(kernel: &Kernel) {
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

/// Index of the mount that holds `path` (absolute, no `..`), and where the rest of the path begins.
/// Doubled slashes and `.` are skipped as the kernel skips them.
pub fn find_mount(path: &[u8]) -> Option<(usize, usize)> {
    settings().mounts.iter().enumerate().find_map(|(i, m)| strip_prefix(path, &m.path).map(|at| (i, at)))
}

/// Whether the last name of `path` is the last name of a mount's path.
pub fn ends_like_a_mount(path: &[u8]) -> bool {
    let last = |path: &[u8]| -> (usize, usize) {
        let end = path.iter().rposition(|&b| b != b'/').map_or(0, |at| at + 1);
        (path[..end].iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1), end)
    };
    let (from, to) = last(path);
    settings().mounts.iter().any(|m| m.path[last(&m.path).0..] == path[from..to])
}

/// Whether the canonical `path` is a directory on the way to a mount's path.
pub fn is_above_mount(path: &[u8]) -> bool {
    settings()
        .mounts
        .iter()
        .any(|m| m.path.strip_prefix(path).is_some_and(|rest| rest.first() == Some(&b'/')))
}

/// Where the rest of `path` begins behind `prefix`, if it lies at or below it.
fn strip_prefix(path: &[u8], prefix: &[u8]) -> Option<usize> {
    let mut at = 0;
    for name in prefix[1..].split(|&b| b == b'/') {
        at = skip_separators(path, at)?;
        if !path[at..].starts_with(name) {
            return None;
        }
        at += name.len();
        if at < path.len() && path[at] != b'/' {
            return None;
        }
    }
    while at < path.len() && path[at] == b'/' {
        at += 1;
    }
    Some(at)
}

/// Behind the slashes and `.` components at `at`; None if there is no slash.
fn skip_separators(path: &[u8], mut at: usize) -> Option<usize> {
    if path.get(at) != Some(&b'/') {
        return None;
    }
    loop {
        match (path.get(at), path.get(at + 1)) {
            (Some(b'/'), _) => at += 1,
            (Some(b'.'), Some(b'/')) => at += 2,
            _ => return Some(at),
        }
    }
}

/// The kernel descriptor of mount `index`'s root; mounts it if that was not done yet. Inside a section.
pub fn mount_root(kernel: &'static Kernel, thread: &mut Thread, index: usize) -> Result<i32, Ret> {
    let state = &MOUNTED.get().ok_or(EIO)?[index];
    let root = state.root.load(Ordering::Acquire);
    if root >= 0 {
        return Ok(root);
    }
    let _change = CHANGE.hold();
    stay_if_ending();
    let root = state.root.load(Ordering::Acquire);
    if root >= 0 {
        return Ok(root);
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
            let open = |read_only| {
                Disk::open(trampoline::gate::RAW, &image, read_only, fd::reserved_range_start())
                    .map_err(|e| complain_open(&image, e, state))
            };
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
    let data = CString::new(with_defaults(mount, data)).map_err(|_| EINVAL)?;
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

/// The kernel library's tmpfs is a ramfs (no swap there), whose root would be 0755: as tmpfs has it, 1777.
fn with_defaults(mount: &Mount, data: String) -> String {
    if mount.fstype.as_deref() == Some("tmpfs") && !mount.opts.iter().any(|o| o.starts_with("mode=")) {
        return if data.is_empty() { "mode=1777".into() } else { format!("{data},mode=1777") };
    }
    data
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
    if !state.complained.swap(true, Ordering::Relaxed) {
        Line::new()
            .bytes(image.to_bytes())
            .text(format_args!(": cannot mount as "))
            .bytes(fstype.to_bytes())
            .text(format_args!(
                ": {}; STOWAWAY_KERNEL_LOG=stderr shows what the kernel says",
                errno::name(ret)
            ))
            .print();
    }
    ret
}

/// Ends the kernel: files closed, images synced and unmounted. Returns when that is done, whoever does it.
/// Inside a section.
pub fn shut_down(thread: &mut Thread) {
    let _change = CHANGE.hold();
    if STATE.load(Ordering::Acquire) != UP {
        return;
    }
    let Some(kernel) = KERNEL.get() else { return };
    ENDER.store(host::ids().1 as u32, Ordering::Relaxed);
    STATE.store(ENDING, Ordering::Release);
    if adopt(kernel, thread).is_ok() {
        // SAFETY: the task is this thread's.
        if let Err(e) = unsafe { kernel.shutdown(thread.task) } {
            say!("unmounting failed: {}; the image may need fsck", errno::name(-(e.0 as isize)));
        }
        report_write_error(kernel);
    }
}

/// The process goes on after all: the exec failed. Its threads get EIO from now on.
pub fn end_failed() {
    if STATE.compare_exchange(ENDING, DOWN, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
        let op = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        host::call(libc::SYS_futex, &[STATE.as_ptr() as usize, op as usize, i32::MAX as usize]);
    }
}

/// Where a thread stays whose process is being ended by another: it must not return to the program, which
/// would see its calls fail, nor end the process with a status of its own.
#[inline]
pub fn stay_if_ending() {
    if STATE.load(Ordering::Acquire) == ENDING {
        stay();
    }
}

#[cold]
fn stay() {
    if ENDER.load(Ordering::Relaxed) == host::ids().1 as u32 {
        return;
    }
    let mask = host::set_sigmask(!0);
    while STATE.load(Ordering::Acquire) == ENDING {
        let op = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
        host::call(libc::SYS_futex, &[STATE.as_ptr() as usize, op as usize, ENDING as usize, 0]);
    }
    host::set_sigmask(mask);
}

/// In the child of a fork of a kernel at rest: the copy is a kernel of its own.
pub fn after_fork_at_rest() {
    CHANGE.reset();
    OWNER.store(host::ids().0 as u32, Ordering::Relaxed);
    if let Some(Err(e)) = KERNEL.get().map(|kernel| kernel.restart_timer()) {
        say!("no thread for the kernel's clock after fork: {}", errno::name(-(e.0 as isize)));
        STATE.store(LOST, Ordering::Release);
    }
}

/// In the child of a fork: the kernel belongs to the parent.
pub fn after_fork() {
    CHANGE.reset();
    if STATE.load(Ordering::Relaxed) == UP {
        STATE.store(LOST, Ordering::Release);
        fd::forget_kernel();
    }
}

/// Whether the kernel was started by this very process and not by the one that forked it.
pub fn owns_process() -> bool {
    OWNER.load(Ordering::Relaxed) == host::ids().0 as u32
}

/// Whether this process has, or had, a kernel running.
pub fn is_up() -> bool {
    STATE.load(Ordering::Acquire) == UP
}

#[cfg(test)]
mod tests {
    use super::strip_prefix;

    fn rest<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
        strip_prefix(path.as_bytes(), prefix.as_bytes()).map(|at| &path[at..])
    }

    #[test]
    fn a_path_at_or_below_a_mount_is_found() {
        assert_eq!(rest("/mnt/data", "/mnt/data"), Some(""));
        assert_eq!(rest("/mnt/data/", "/mnt/data"), Some(""));
        assert_eq!(rest("/mnt/data/a/b", "/mnt/data"), Some("a/b"));
        assert_eq!(rest("//mnt/.//data///a/", "/mnt/data"), Some("a/"));
        assert_eq!(rest("/m", "/m"), Some(""));
    }

    #[test]
    fn other_paths_are_not() {
        for path in ["/", "/mnt", "/mnt/dat", "/mnt/data2", "/mnt/data.x/y", "/x/mnt/data", "/.mnt/data", ""]
        {
            assert_eq!(rest(path, "/mnt/data"), None, "{path}");
        }
    }
}
