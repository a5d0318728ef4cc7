// SPDX-License-Identifier: GPL-2.0-only
//! A disk of the kernel's, on the host's side, as one process has it. It lies in a mapping of its own from attach to
//! `blk_gone`: a page that says what the disk is, which nobody can write, and its state.
//!
//! The kernel knows the disk by a number. A process that was not there when the disk was attached, or that has become
//! another program since, makes its own device when the first request comes, with a descriptor from the store.
//!
//! # Safety
//! A device is mapped as long as it is in the list; the driver says when it has no request of a device any more.
#![allow(unsafe_code)]

use super::nbd::Link;
use super::request::Request;
use super::store::{Entry, Store, MOST};
use crate::cpu::watch;
use crate::sys::{file, memory, Errno, OwnedFd, PAGE};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};
use std::sync::OnceLock;

/// What is behind the descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A block device.
    Block,
    /// The socket of a server that speaks NBD.
    Nbd,
}

/// What a disk's I/O goes to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backing {
    /// The host descriptor.
    pub(crate) fd: i32,
    pub(crate) kind: Kind,
    /// Where the disk begins in what the descriptor is of.
    pub(crate) start: u64,
}

/// A disk of the kernel's: what it is. Read-only once it is made.
pub(crate) struct Device {
    /// What the kernel calls the disk.
    pub(crate) number: u64,
    pub(crate) fd: i32,
    /// The descriptor came from the store: it is closed with the device.
    is_copy: bool,
    pub(crate) kind: Kind,
    /// Where the disk begins: a partition's.
    pub(crate) start: u64,
    /// Device and inode number of the file, or of the device's node; `None`: they cannot be had.
    identity: Option<(u64, u64)>,
    /// The disk is a file of tmpfs or ramfs.
    memory: bool,
    /// The device's state, in the page behind.
    state: &'static State,
}

/// What changes of a device.
struct State {
    /// Whether RWF_NOWAIT works for reads, and for writes. (ext4 knows it for reads only.)
    tries: [AtomicBool; 2],
    /// The connection, if the disk is a server's.
    link: Option<Link>,
    /// The kernel has done with the disk; the threads of its connection are still there.
    gone: AtomicBool,
    /// The device made before this one.
    next: AtomicPtr<Device>,
}

/// All devices. Changed by attach and `blk_gone`, of which only one runs at a time.
static DEVICES: AtomicPtr<Device> = AtomicPtr::new(null_mut());

/// A device's page, and the page of its state.
const BYTES: usize = 2 * PAGE;

impl Device {
    /// A device for a new disk, for all processes of the instance.
    pub(crate) fn make(backing: Backing) -> Result<&'static Device, Errno> {
        let number = watch::next_disk();
        let made = Device::make_for_this_process(number, backing, false)?;
        if let (Some(store), true) = (store(), backing.kind != Kind::Nbd) {
            let Backing { fd, start, .. } = backing;
            let entry = Entry { disk: number, start, is_device: u64::from(backing.kind == Kind::Block) };
            watch::with_disks(|| store.add(entry, fd))?;
        }
        Ok(made)
    }

    fn make_for_this_process(number: u64, backing: Backing, is_copy: bool) -> Result<&'static Device, Errno> {
        const { assert!(size_of::<Device>() <= PAGE && size_of::<State>() <= PAGE) };
        let Backing { fd, kind, start } = backing;
        let at = memory::map_anonymous(BYTES)? as *mut Device;
        let state = State {
            tries: [const { AtomicBool::new(true) }; 2],
            link: (kind == Kind::Nbd).then(|| Link::new(fd)),
            gone: AtomicBool::new(false),
            next: AtomicPtr::new(null_mut()),
        };
        let memory = kind == Kind::File && in_memory(fd);
        // SAFETY: a fresh mapping, large enough; the first page is constant once it is written.
        let made = unsafe {
            let place = at.byte_add(PAGE).cast::<State>();
            place.write(state);
            let identity = identity(fd);
            at.write(Device { number, fd, is_copy, kind, start, identity, memory, state: &*place });
            let _ = memory::protect(at as usize, PAGE, libc::PROT_READ);
            &*at
        };
        if let Some(Err(e)) = made.link().map(Link::start) {
            // SAFETY: nobody has seen it.
            unsafe { memory::unmap_anonymous(at as usize, BYTES) };
            return Err(e);
        }
        made.enlist(at);
        Ok(made)
    }

    fn enlist(&self, at: *mut Device) {
        let mut first = DEVICES.load(Ordering::Relaxed);
        loop {
            self.state.next.store(first, Ordering::Relaxed);
            match DEVICES.compare_exchange_weak(first, at, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    /// The device that the kernel calls `number`. `None`: this process cannot have its descriptor. The CPU is held.
    pub(crate) fn find(number: u64) -> Option<&'static Device> {
        Device::find_here(number).or_else(|| Device::fetch(number))
    }

    fn find_here(number: u64) -> Option<&'static Device> {
        let mut at = DEVICES.load(Ordering::Acquire);
        // SAFETY: devices in the list are mapped.
        while let Some(device) = unsafe { at.as_ref() } {
            if device.number == number {
                return Some(device);
            }
            at = device.state.next.load(Ordering::Acquire);
        }
        None
    }

    /// Another process has attached the disk.
    #[cold]
    fn fetch(number: u64) -> Option<&'static Device> {
        let (fd, entry) = watch::with_disks(|| store()?.look().ok()?.take(number))?;
        Device::make_copy(fd, entry)
    }

    fn make_copy(fd: OwnedFd, entry: Entry) -> Option<&'static Device> {
        let fd = keep(fd.into_raw());
        let kind = if entry.is_device != 0 { Kind::Block } else { Kind::File };
        Device::make_for_this_process(entry.disk, Backing { fd, kind, start: entry.start }, true).ok()
    }

    /// Takes all disks of the store that are not here yet, and drops what is not in the store any more. In a process whose
    /// only thread is outside the kernel.
    pub(crate) fn follow_store() {
        let Some(mut there) = store().and_then(|store| watch::with_disks(|| store.look()).ok()) else {
            return;
        };
        let (mut numbers, mut count) = ([0; MOST], 0);
        while let Some((fd, entry)) = there.take_any() {
            (numbers[count], count) = (entry.disk, count + 1);
            if Device::find_here(entry.disk).is_none() {
                Device::make_copy(fd, entry);
            }
        }
        let mut at = DEVICES.load(Ordering::Acquire).cast_const();
        // SAFETY: devices in the list are mapped.
        while let Some(device) = unsafe { at.as_ref() } {
            at = device.state.next.load(Ordering::Acquire);
            if device.is_copy && !numbers[..count].contains(&device.number) {
                // SAFETY: a disk leaves the store when the kernel has done with the disk.
                unsafe { Device::free(device) };
            }
        }
    }

    /// The connection, if the disk is a server's.
    pub(crate) fn link(&self) -> Option<&'static Link> {
        self.state.link.as_ref()
    }

    /// Whether the descriptor is still of what the disk is. Asked before what changes the disk: a program that went astray
    /// may have put another file there.
    pub(crate) fn is_itself(&self) -> bool {
        self.kind == Kind::Nbd || self.identity.is_none() || identity(self.fd) == self.identity
    }

    /// # Safety
    /// Nothing of the kernel refers to the device any more.
    pub(crate) unsafe fn free(at: *const Device) {
        // SAFETY: the caller's promise: it is still mapped.
        let gone = unsafe { &*at };
        if gone.link().is_some_and(|link| !link.stop()) {
            gone.state.gone.store(true, Ordering::Release);
            return;
        }
        let mut place = &DEVICES;
        // SAFETY: devices in the list are mapped.
        while let Some(device) = unsafe { place.load(Ordering::Acquire).as_ref() } {
            if std::ptr::eq(device, gone) {
                place.store(gone.state.next.load(Ordering::Relaxed), Ordering::Release);
                break;
            }
            place = &device.state.next;
        }
        if gone.is_copy {
            file::close(gone.fd);
        }
        // SAFETY: it is in no list any more, and the kernel is done with it.
        unsafe { memory::unmap_anonymous(at as usize, BYTES) };
    }

    /// Frees the devices that the thread of the kernel's last work for them could not free. Not while a disk is attached, and
    /// outside the kernel.
    pub(crate) fn reap() {
        let mut at = DEVICES.load(Ordering::Acquire).cast_const();
        // SAFETY: devices in the list are mapped.
        while let Some(device) = unsafe { at.as_ref() } {
            at = device.state.next.load(Ordering::Acquire);
            if device.state.gone.load(Ordering::Acquire) {
                // SAFETY: the kernel said so before.
                unsafe { Device::free(device) };
            }
        }
    }

    /// Does `what` to the connections of all devices.
    pub(crate) fn each_link(what: impl Fn(&Link)) {
        let mut at = DEVICES.load(Ordering::Acquire);
        // SAFETY: as above.
        while let Some(device) = unsafe { at.as_ref() } {
            device.link().into_iter().for_each(&what);
            at = device.state.next.load(Ordering::Acquire);
        }
    }

    /// Closes the descriptors that came from the store, when this process has left the instance.
    pub(crate) fn close_copies() {
        let mut at = DEVICES.load(Ordering::Acquire);
        // SAFETY: as above.
        while let Some(device) = unsafe { at.as_ref() } {
            if device.is_copy {
                file::close(device.fd);
            }
            at = device.state.next.load(Ordering::Acquire);
        }
        DEVICES.store(null_mut(), Ordering::Release);
    }

    /// Whether any disk is a server's.
    pub(crate) fn any_link() -> bool {
        let any = std::sync::atomic::AtomicBool::new(false);
        Device::each_link(|_| any.store(true, Ordering::Relaxed));
        any.into_inner()
    }

    /// In the child of a fork: the devices are the parent's.
    pub(crate) fn reset_in_child() {
        Device::each_link(|link| link.forget());
        DEVICES.store(null_mut(), Ordering::Relaxed);
    }

    /// Whether a transfer that does not wait can be asked for: `write`, or a read.
    pub(crate) fn may_try(&self, write: bool) -> bool {
        self.state.tries[usize::from(write)].load(Ordering::Relaxed)
    }

    pub(crate) fn do_not_try(&self, write: bool) {
        self.state.tries[usize::from(write)].store(false, Ordering::Relaxed);
    }

    /// Whether every transfer is a copy.
    pub(crate) fn never_waits(&self) -> bool {
        self.memory
    }
}

impl Request {
    /// The device that the request is for, once the request was submitted.
    pub(crate) fn device(&self) -> &'static Device {
        // SAFETY: submit() found the device, and the driver says when it has no request any more.
        unsafe { &*self.device }
    }
}

/// How a descriptor from the store gets a number that the program does not see.
static KEEP: OnceLock<fn(i32) -> i32> = OnceLock::new();

/// Says how a new descriptor of this library's gets a number that the program does not see: the function returns that number.
/// It is called with the virtual CPU held.
pub fn keep_descriptors_by(keep: fn(i32) -> i32) {
    let _ = KEEP.set(keep);
}

/// Gives a new descriptor such a number.
pub(crate) fn keep(fd: i32) -> i32 {
    KEEP.get().map_or(fd, |keep| keep(fd))
}

/// Where this process has the store of descriptors.
static STORE: [AtomicI32; 2] = [const { AtomicI32::new(-1) }; 2];

/// The store of the instance's descriptors, if it has one.
pub(crate) fn store() -> Option<Store> {
    let [read, write] = [0, 1].map(|end: usize| STORE[end].load(Ordering::Relaxed));
    (read >= 0 && write >= 0).then_some(Store { read, write })
}

/// The store is here from now on.
pub(crate) fn set_store(store: Option<Store>) {
    let Store { read, write } = store.unwrap_or(Store { read: -1, write: -1 });
    STORE[0].store(read, Ordering::Relaxed);
    STORE[1].store(write, Ordering::Relaxed);
}

/// The kernel has done with the disk `number`.
pub(crate) fn gone(number: u64) {
    if let Some(device) = Device::find_here(number) {
        // SAFETY: the driver's promise.
        unsafe { Device::free(device) };
    }
    if let Some(store) = store() {
        let _ = watch::with_disks(|| {
            // Other processes may keep their copies for a while.
            if let Some((fd, _)) = store.look()?.take(number) {
                file::unlock(fd.raw());
            }
            store.remove(number)
        });
    }
}

/// Device and inode number of what a descriptor is of.
fn identity(fd: i32) -> Option<(u64, u64)> {
    file::stat_fd(fd).ok().map(|st| (st.st_dev, st.st_ino))
}

/// A file of tmpfs or ramfs?
fn in_memory(fd: i32) -> bool {
    const RAMFS_MAGIC: i64 = 0x8584_58f6;
    matches!(file::file_system_of(fd), Ok(libc::TMPFS_MAGIC | RAMFS_MAGIC))
}
