// SPDX-License-Identifier: GPL-2.0-only
//! A disk of the kernel's, on the host's side. It lies in a mapping of its own from attach to `blk_gone`.

use super::nbd::Link;
use crate::sys::{host, map_anon, unmap, PAGE};
use crate::{Disk, Errno};
use std::mem::MaybeUninit;
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

pub(crate) struct Device {
    pub(crate) fd: i32,
    pub(crate) kind: Kind,
    /// Where the disk begins: a partition's.
    pub(crate) start: u64,
    /// RWF_NOWAIT works: for reads, for writes. (ext4 knows it for reads only.)
    tries: [AtomicBool; 2],
    /// The file is memory.
    memory: bool,
    /// [`Kind::Nbd`]'s.
    pub(crate) link: Option<Link>,
    /// The kernel has done with it; the threads of its connection are still there.
    gone: AtomicBool,
    /// The one made before.
    next: AtomicPtr<Device>,
}

/// All devices. Changed by attach and `blk_gone`, of which only one runs at a time.
static DEVICES: AtomicPtr<Device> = AtomicPtr::new(null_mut());

impl Device {
    pub(crate) fn make(disk: &Disk) -> Result<&'static Device, Errno> {
        const { assert!(size_of::<Device>() <= PAGE) };
        let at = map_anon(PAGE)? as *mut Device;
        let device = Device {
            fd: disk.fd(),
            kind: disk.kind(),
            start: disk.start(),
            tries: [const { AtomicBool::new(true) }; 2],
            memory: disk.kind() == Kind::File && in_memory(disk.fd()),
            link: (disk.kind() == Kind::Nbd).then(|| Link::new(disk.fd())),
            gone: AtomicBool::new(false),
            next: AtomicPtr::new(DEVICES.load(Ordering::Relaxed)),
        };
        // SAFETY: a fresh mapping, large enough.
        let made = unsafe {
            at.write(device);
            &*at
        };
        if let Some(Err(e)) = made.link.as_ref().map(Link::start) {
            unmap(at as usize, PAGE);
            return Err(e);
        }
        DEVICES.store(at, Ordering::Release);
        Ok(made)
    }

    /// # Safety
    /// Nothing of the kernel refers to it any more.
    pub(crate) unsafe fn free(at: *const Device) {
        // SAFETY: the caller's promise: it is still mapped.
        let gone = unsafe { &*at };
        if gone.link.as_ref().is_some_and(|link| !link.stop()) {
            gone.gone.store(true, Ordering::Release);
            return;
        }
        let mut place = &DEVICES;
        // SAFETY: devices in the list are mapped.
        while let Some(device) = unsafe { place.load(Ordering::Acquire).as_ref() } {
            if std::ptr::eq(device, gone) {
                place.store(gone.next.load(Ordering::Relaxed), Ordering::Release);
                break;
            }
            place = &device.next;
        }
        unmap(at as usize, PAGE);
    }

    /// Frees those that could not be freed by who did the kernel's last work for them. Not while one is attached, and outside
    /// the kernel.
    pub(crate) fn reap() {
        let mut at = DEVICES.load(Ordering::Acquire).cast_const();
        // SAFETY: devices in the list are mapped.
        while let Some(device) = unsafe { at.as_ref() } {
            at = device.next.load(Ordering::Acquire);
            if device.gone.load(Ordering::Acquire) {
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
            device.link.iter().for_each(&what);
            at = device.next.load(Ordering::Acquire);
        }
    }

    /// In the child of a fork: the devices are the parent's.
    pub(crate) fn after_fork() {
        Device::each_link(|link| link.forget());
        DEVICES.store(null_mut(), Ordering::Relaxed);
    }

    /// Whether a transfer that does not wait can be asked for: `write`, or a read.
    pub(crate) fn may_try(&self, write: bool) -> bool {
        self.tries[usize::from(write)].load(Ordering::Relaxed)
    }

    pub(crate) fn do_not_try(&self, write: bool) {
        self.tries[usize::from(write)].store(false, Ordering::Relaxed);
    }

    /// Whether every transfer is a copy.
    pub(crate) fn never_waits(&self) -> bool {
        self.memory
    }
}

/// A file of tmpfs or ramfs?
fn in_memory(fd: i32) -> bool {
    const RAMFS_MAGIC: i64 = 0x8584_58f6;
    let mut fs = MaybeUninit::<libc::statfs>::zeroed();
    let r = host(libc::SYS_fstatfs, [fd as usize, fs.as_mut_ptr() as usize, 0, 0, 0, 0]);
    // SAFETY: filled; and all zeros is a valid one.
    r == 0 && matches!(unsafe { fs.assume_init() }.f_type, libc::TMPFS_MAGIC | RAMFS_MAGIC)
}
