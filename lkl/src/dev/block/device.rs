// SPDX-License-Identifier: GPL-2.0-only
//! A disk of the kernel's, on the host's side. It lies in a mapping of its own from attach to `blk_gone`: a page that says
//! what the disk is, which nobody can write, and its state.
//!
//! # Safety
//! A device is mapped as long as it is in the list; the driver says when it has no request of a device any more.
#![allow(unsafe_code)]

use super::nbd::Link;
use super::request::Request;
use crate::sys::{file, memory, Errno, PAGE};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

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
    pub(crate) fd: i32,
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
    pub(crate) fn make(backing: Backing) -> Result<&'static Device, Errno> {
        const { assert!(size_of::<Device>() <= PAGE && size_of::<State>() <= PAGE) };
        let Backing { fd, kind, start } = backing;
        let at = memory::map_anonymous(BYTES)? as *mut Device;
        let state = State {
            tries: [const { AtomicBool::new(true) }; 2],
            link: (kind == Kind::Nbd).then(|| Link::new(fd)),
            gone: AtomicBool::new(false),
            next: AtomicPtr::new(DEVICES.load(Ordering::Relaxed)),
        };
        let memory = kind == Kind::File && in_memory(fd);
        // SAFETY: a fresh mapping, large enough; the first page is constant once it is written.
        let made = unsafe {
            let place = at.byte_add(PAGE).cast::<State>();
            place.write(state);
            at.write(Device { fd, kind, start, identity: identity(fd), memory, state: &*place });
            let _ = memory::protect(at as usize, PAGE, libc::PROT_READ);
            &*at
        };
        if let Some(Err(e)) = made.link().map(Link::start) {
            // SAFETY: nobody has seen it.
            unsafe { memory::unmap_anonymous(at as usize, BYTES) };
            return Err(e);
        }
        DEVICES.store(at, Ordering::Release);
        Ok(made)
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
    /// The device that the request is for.
    pub(crate) fn device(&self) -> &'static Device {
        // SAFETY: the device outlives its requests: the driver says when it has none any more.
        unsafe { &*self.dev.cast::<Device>() }
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
