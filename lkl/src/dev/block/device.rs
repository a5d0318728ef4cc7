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

use super::nbd::{self, Link};
use super::request::Request;
use super::store::{Entry, Store, MOST};
use crate::cpu::{members, watch};
use crate::sys::{file, memory, Errno, OwnedFd, PAGE};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering};
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

impl Kind {
    /// The kind that `kind as u64` was of.
    fn of_number(number: u64) -> Kind {
        match number {
            1 => Kind::Block,
            2 => Kind::Nbd,
            _ => Kind::File,
        }
    }
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

/// A device's page, the page of its state, and that of its connection's state.
const BYTES: usize = 3 * PAGE;

/// Whose the descriptor is, and who else uses the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// This process has the kernel alone.
    Alone,
    /// This process has attached the disk of a kernel that others may use.
    Shared,
    /// The descriptor came from the store.
    Copy,
    /// As for `Copy`; this process is the keeper.
    Keeper,
}

impl Device {
    /// A device for a new disk, for all processes of the instance.
    pub(crate) fn make(backing: Backing) -> Result<&'static Device, Errno> {
        let number = watch::next_disk();
        let is_server = backing.kind == Kind::Nbd;
        let Some(store) = store().filter(|_| !is_server || watch::keeper() != 0) else {
            return Device::make_for_this_process(number, backing, Owner::Alone);
        };
        let made = Device::make_for_this_process(number, backing, Owner::Shared)?;
        let Backing { fd, start, kind } = backing;
        watch::with_disks(|| store.add(Entry { disk: number, start, kind: kind as u64 }, fd))?;
        watch::disks_have_changed();
        if let Some(link) = made.link() {
            if !link.wait_for_home() {
                gone(number);
                return Err(Errno::EIO);
            }
            watch::note_link();
        }
        Ok(made)
    }

    /// The connection of a device of this kind; `at`: where there is a page for its state.
    fn make_link(number: u64, fd: i32, at: usize, owner: Owner) -> Result<Link, Errno> {
        if owner != Owner::Alone {
            map_state(number, at)?;
        }
        // SAFETY: a page, of which any bytes are valid; it is there as long as the device.
        let state = unsafe { &*(at as *const nbd::State) };
        if owner == Owner::Shared {
            state.reset();
        }
        Ok(match owner {
            Owner::Alone => Link::new(fd, state),
            Owner::Keeper => Link::home(fd, state),
            Owner::Shared | Owner::Copy => Link::remote(state),
        })
    }

    fn make_for_this_process(number: u64, backing: Backing, owner: Owner) -> Result<&'static Device, Errno> {
        const { assert!(size_of::<Device>() <= PAGE && size_of::<State>() <= PAGE) };
        const { assert!(size_of::<nbd::State>() <= PAGE) };
        let Backing { fd, kind, start } = backing;
        let at = memory::map_anonymous(BYTES)? as *mut Device;
        let link = match kind {
            Kind::Nbd => Some(Device::make_link(number, fd, at as usize + 2 * PAGE, owner)),
            _ => None,
        };
        let link = link.transpose().inspect_err(|_| {
            // SAFETY: nobody has seen it.
            unsafe { memory::unmap_anonymous(at as usize, BYTES) };
        })?;
        let is_copy = matches!(owner, Owner::Copy | Owner::Keeper);
        let state = State {
            tries: [const { AtomicBool::new(true) }; 2],
            link,
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
        Device::all().find(|device| device.number == number)
    }

    /// All devices of this process. One may be freed once the iterator has given it.
    fn all() -> impl Iterator<Item = &'static Device> {
        let mut at = DEVICES.load(Ordering::Acquire).cast_const();
        std::iter::from_fn(move || {
            // SAFETY: devices in the list are mapped.
            let device = unsafe { at.as_ref() }?;
            at = device.state.next.load(Ordering::Acquire);
            Some(device)
        })
    }

    /// Another process has attached the disk.
    #[cold]
    fn fetch(number: u64) -> Option<&'static Device> {
        let (fd, entry) = watch::with_disks(|| store()?.look().ok()?.take(number))?;
        Device::make_copy(fd, entry)
    }

    fn make_copy(fd: OwnedFd, entry: Entry) -> Option<&'static Device> {
        let kind = Kind::of_number(entry.kind);
        let is_keeper = watch::keeper() == members::me();
        // Of a server's disk, only the keeper needs the socket.
        let fd = if kind == Kind::Nbd && !is_keeper { -1 } else { keep(fd.into_raw()) };
        let owner = if is_keeper { Owner::Keeper } else { Owner::Copy };
        Device::make_for_this_process(entry.disk, Backing { fd, kind, start: entry.start }, owner).ok()
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
        for device in Device::all().filter(|device| device.is_copy) {
            if !numbers[..count].contains(&device.number) {
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
        for device in Device::all().filter(|device| device.state.gone.load(Ordering::Acquire)) {
            // SAFETY: the kernel said so before.
            unsafe { Device::free(device) };
        }
    }

    /// Does `what` to the connections of all devices.
    pub(crate) fn each_link(what: impl Fn(&Link)) {
        Device::all().filter_map(Device::link).for_each(what);
    }

    /// Closes the descriptors that came from the store, when this process has left the instance.
    pub(crate) fn close_copies() {
        Device::all().filter(|device| device.is_copy).for_each(|device| file::close(device.fd));
        DEVICES.store(null_mut(), Ordering::Release);
    }

    /// Whether any disk is a server's that only this process can reach.
    pub(crate) fn any_alone() -> bool {
        Device::all().filter_map(Device::link).any(Link::is_alone)
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
        if device.link().is_some_and(Link::is_remote) {
            // The keeper ends the connection, which is waited for outside the kernel ([`Device::reap`]).
            device.state.gone.store(true, Ordering::Release);
        } else {
            // SAFETY: the driver's promise.
            unsafe { Device::free(device) };
        }
    }
    if let Some(store) = store() {
        let _ = watch::with_disks(|| {
            // Other processes may keep their copies for a while.
            if let Some((fd, _)) = store.look()?.take(number) {
                file::unlock(fd.raw());
            }
            store.remove(number)
        });
        watch::disks_have_changed();
    }
}

/// Where in the memory file the states of connections lie: the file's descriptor, and the offset.
static STATES: (AtomicI32, AtomicU64) = (AtomicI32::new(-1), AtomicU64::new(0));
/// Connections have a page each, by the numbers of their disks.
const NR_STATES: u64 = 256;

/// The states of connections lie there, in pages of the memory file that nothing else is kept in.
pub(crate) fn set_states(fd: i32, offset: u64) {
    STATES.0.store(fd, Ordering::Relaxed);
    STATES.1.store(offset, Ordering::Relaxed);
}

/// Maps the state of a connection at `at`, in the place of a page there.
fn map_state(number: u64, at: usize) -> Result<(), Errno> {
    let offset = STATES.1.load(Ordering::Relaxed) + number % NR_STATES * PAGE as u64;
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_FIXED);
    let fd = STATES.0.load(Ordering::Relaxed);
    // SAFETY: a page that was just mapped for this.
    unsafe { memory::map(at, PAGE, prot, flags, fd, offset as usize) }.map(drop)
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
