// SPDX-License-Identifier: GPL-2.0-only
//! The API: call, interrupt, mount, shut down.

use crate::block;
use crate::cpu::{self, Count, Shared};
use crate::host::write_all;
use crate::image::Loaded;
use crate::region::Region;
use crate::sys::PAGE;
use crate::{Errno, Private, Task};
use std::ffi::{c_char, c_void, CStr};
use std::mem::transmute;
use std::ops::Range;

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The disk [`Kernel::attach_disk`] numbered so.
    Disk(u32),
    /// Nothing: proc, sysfs, tmpfs, devtmpfs.
    None,
}

/// `struct lkl_abi_row`: a fact about the kernel's binary interface.
#[derive(Debug)]
#[repr(C)]
pub struct AbiRow {
    name: *const c_char,
    /// Its value.
    pub value: u64,
}

impl AbiRow {
    /// What the value is of.
    pub fn name(&self) -> &CStr {
        // SAFETY: rows handed out by Kernel::abi() point to literals of the kernel image.
        unsafe { CStr::from_ptr(self.name) }
    }
}

/// `struct lkl_creds`
#[repr(C)]
struct Creds {
    uid: [u32; 4],
    gid: [u32; 4],
    ngroups: usize,
    groups: *const u32,
}

/// The kernel of this process.
pub struct Kernel {
    pub(crate) loaded: Loaded,
    pub(crate) region: Region,
    pub(crate) words: &'static Shared,
}

impl Kernel {
    pub(crate) fn words(&self) -> &'static Shared {
        self.words
    }

    /// A call in kernel ABI: x86-64's numbers, or [`Private`].  -errno, and raw -ERESTART*
    /// (-512..=-516) when [`Kernel::interrupt`] ended a wait.  `want_fd >= 0`: a descriptor the
    /// call allocates gets this number if it is free.
    ///
    /// # Safety
    /// `t` belongs to the calling thread and is not in use further up its stack (a signal handler
    /// must not call on top of a call).  The arguments are the application's: bad pointers end as
    /// EFAULT if the SIGSEGV handler uses [`Kernel::fault_fixup`].
    #[inline]
    pub unsafe fn call(&self, t: *mut Task, nr: i64, args: &[usize; 6], want_fd: i32) -> isize {
        // SAFETY: the caller's promise.
        unsafe { cpu::call(self.words, Task::waiter(t), nr, args, want_fd) }
    }

    /// Ends the interruptible wait of the call that `t`'s thread is in, now or as soon as it
    /// waits.  Does nothing lasting if there is none.
    ///
    /// # Safety
    /// Called on `t`'s own thread (from a signal handler); `t` is not released.
    pub unsafe fn interrupt(&self, t: *mut Task) {
        // SAFETY: the caller's promise.
        unsafe { cpu::interrupt(self.words, Task::waiter(t)) }
    }

    /// The host descriptor of the kernel's memory, which `copy` is to give another number (or -errno: it stays).
    pub fn move_memory_fd(&self, copy: impl FnOnce(i32) -> i32) {
        let to = copy(self.region.fd());
        if to >= 0 {
            self.region.move_fd(to);
            block::fresh::move_fd(to);
        }
    }

    /// The first error of a write to a disk or of its flush since the last time this was asked, with the
    /// disk's host descriptor. What a kernel cannot report to anybody (write-back after the last close) would
    /// be lost silently otherwise.
    pub fn take_write_error(&self) -> Option<(i32, Errno)> {
        block::take_write_error()
    }

    /// The thread goes: its kernel task ends and its memory is unmapped.
    ///
    /// # Safety
    /// `t` is not used afterwards, nor by a call under way.
    pub unsafe fn release(&self, t: *mut Task) {
        // SAFETY: the caller's promise.
        unsafe { cpu::thread_exit(self.words, Task::waiter(t)) };
    }

    /// A private call of this crate itself.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub(crate) unsafe fn private(&self, t: *mut Task, nr: Private, args: [usize; 6]) -> Result<usize, Errno> {
        // SAFETY: the caller's promise.
        Errno::check(unsafe { self.call(t, nr as i64, &args, -1) })
    }

    /// Mounts at `path` (absolute, the application's name for it) and opens the mount's root as
    /// descriptor `root_fd` of the kernel's table.  Works whatever the caller's credentials are.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    #[allow(clippy::too_many_arguments)] // mount(2)'s own five and where the result goes
    pub unsafe fn mount(
        &self,
        t: *mut Task,
        source: Source,
        path: &CStr,
        fstype: &CStr,
        flags: u64,
        data: &CStr,
        root_fd: i32,
    ) -> Result<(), Errno> {
        let mut name = *b"disk:\0\0\0\0\0\0\0\0\0\0\0";
        match source {
            Source::Disk(n) => decimal(&mut name[5..], n),
            Source::None => name[..5].copy_from_slice(b"none\0"),
        }
        let args = [
            name.as_ptr() as usize,
            path.as_ptr() as usize,
            fstype.as_ptr() as usize,
            flags as usize,
            data.as_ptr() as usize,
            root_fd as usize,
        ];
        // SAFETY: the caller answers for the task; the pointers are valid during the call.
        unsafe { self.private(t, Private::HubMount, args) }.map(drop)
    }

    /// Gives a mount back, and its disk if it has one: nothing of it may be in use (EBUSY, and nothing
    /// has changed). `root_fd` is the descriptor that [`Kernel::mount`] made. Not while a disk is attached.
    ///
    /// # Safety
    /// As for [`Kernel::call`].
    pub unsafe fn unmount(
        &self,
        t: *mut Task,
        path: &CStr,
        root_fd: i32,
        disk: Option<u32>,
    ) -> Result<(), Errno> {
        let disk = disk.map_or(-1, |n| n as isize) as usize;
        let args = [path.as_ptr() as usize, root_fd as usize, disk, 0, 0, 0];
        // SAFETY: the caller's promise; the path is a live string.
        let done = unsafe { self.private(t, Private::HubRelease, args) }.map(drop);
        block::Device::reap();
        done
    }

    /// Brings lo up, with 127.0.0.1 and ::1.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn loopback_up(&self, t: *mut Task) -> Result<(), Errno> {
        // SAFETY: the caller answers for the task; the pointers are valid during the call.
        unsafe { self.private(t, Private::LoopbackUp, [0; 6]) }.map(drop)
    }

    /// Sets the credentials of `t` and of all tasks made afterwards (a task is made by the first
    /// call of its thread).  uid and gid: real, effective, saved; the file system's follow the
    /// effective ones.  Capabilities go and come with uid 0.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn set_credentials(
        &self,
        t: *mut Task,
        uid: [u32; 3],
        gid: [u32; 3],
        groups: &[u32],
    ) -> Result<(), Errno> {
        let creds = Creds {
            uid: [uid[0], uid[1], uid[2], uid[1]],
            gid: [gid[0], gid[1], gid[2], gid[1]],
            ngroups: groups.len(),
            groups: groups.as_ptr(),
        };
        // SAFETY: the caller answers for the task; the pointers are valid during the call.
        unsafe { self.private(t, Private::SetCreds, [&raw const creds as usize, 0, 0, 0, 0, 0]) }.map(drop)
    }

    /// Gives memory back to the host: what of the page cache is clean, and all that is free. How many bytes went.
    /// (Without being asked, free memory goes back after some seconds, and clean pages when the host is short of memory.)
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn give_back(&self, t: *mut Task) -> Result<usize, Errno> {
        // SAFETY: the caller answers for the task.
        unsafe { self.private(t, Private::GiveBack, [0; 6]) }.map(|pages| pages * PAGE)
    }

    /// Closes, syncs and unmounts everything.  Other threads' calls end; every later one is
    /// -ENODEV.  The first failure is returned, what can be done is done anyway; a write that the
    /// host refused at any time (ENOSPC, EIO) is one.
    ///
    /// # Safety
    /// As [`Kernel::call`].
    pub unsafe fn shutdown(&self, t: *mut Task) -> Result<(), Errno> {
        // SAFETY: the caller answers for the task; the pointers are valid during the call.
        let ended = unsafe { self.private(t, Private::Shutdown, [0; 6]) }.map(drop);
        if ended != Err(Errno(libc::ENODEV)) {
            block::stop();
        }
        ended
    }

    /// For a SIGSEGV or SIGBUS handler: where to go on if `ip` is an access of the kernel to the
    /// application's memory.
    pub fn fault_fixup(&self, ip: usize) -> Option<usize> {
        if !self.contains(ip) {
            return None;
        }
        // SAFETY: the entry has this type and only reads a sorted table.
        let to = unsafe {
            transmute::<usize, unsafe extern "C" fn(usize) -> usize>(self.loaded.entries.fault_fixup)(ip)
        };
        (to != 0).then_some(to)
    }

    /// For a handler of SIGSEGV, SIGBUS, SIGFPE or SIGILL, when the signal is a fault of kernel code without a fixup: the context
    /// is changed so that the thread goes on in the kernel, which says what happened, and stops. Its calls, this
    /// one too, end with EIO from then on. False: it is no fault of kernel code.
    pub fn stop_at_fault(&self, sig: i32, address: usize, context: &mut libc::ucontext_t) -> bool {
        let registers = &mut context.uc_mcontext.gregs;
        let ip = registers[libc::REG_RIP as usize];
        if !self.contains(ip as usize) {
            return false;
        }
        let e = &self.loaded.entries;
        // SAFETY: the entry has this type and returns an address.
        let stack = unsafe { transmute::<usize, unsafe extern "C" fn() -> usize>(e.oops_stack)() };
        // lkl_oops(signal, ip, address, bp), at the alignment of a function's entry
        let frame = registers[libc::REG_RBP as usize];
        for (register, value) in [
            (libc::REG_RDI, i64::from(sig)),
            (libc::REG_RSI, ip),
            (libc::REG_RDX, address as i64),
            (libc::REG_RCX, frame),
            (libc::REG_RSP, (stack - 8) as i64),
            (libc::REG_RIP, e.oops as i64),
        ] {
            registers[register as usize] = value;
        }
        const DIRECTION: i64 = 1 << 10;
        registers[libc::REG_EFL as usize] &= !DIRECTION;
        true
    }

    /// Is this an address of kernel code?
    pub fn contains(&self, ip: usize) -> bool {
        self.text().contains(&ip)
    }

    /// The kernel's code.
    pub fn text(&self) -> Range<usize> {
        self.loaded.text.clone()
    }

    /// What the doorbell counted so far.
    pub fn counted(&self, what: Count) -> u64 {
        self.words.counted(what)
    }

    /// Everything of the kernel: code, data, its stacks and memory.
    pub fn region(&self) -> Range<usize> {
        self.region.range()
    }

    /// Writes the end of the kernel log to a host descriptor; best effort, from anywhere.
    pub fn dump_log(&self, fd: i32) {
        unsafe extern "C" fn emit(ctx: *mut c_void, s: *const u8, len: usize) {
            write_all(ctx as usize as i32, s as usize, len);
        }
        type Emit = unsafe extern "C" fn(*mut c_void, *const u8, usize);
        // SAFETY: the entry has this type; it reads the log without locks.
        unsafe {
            let f = transmute::<usize, unsafe extern "C" fn(Emit, *mut c_void)>(self.loaded.entries.dump_log);
            f(emit, fd as usize as *mut c_void);
        }
    }

    /// Facts about the kernel's binary interface, for tests.
    pub fn abi(&self) -> &'static [AbiRow] {
        // SAFETY: the entry has this type and returns a table that ends with a null name.
        unsafe {
            let f = transmute::<usize, unsafe extern "C" fn() -> *const AbiRow>(self.loaded.entries.abi);
            let rows = f();
            let mut n = 0;
            while !(*rows.add(n)).name.is_null() {
                n += 1;
            }
            std::slice::from_raw_parts(rows, n)
        }
    }
}

/// Decimal digits and a zero byte (at most 11 bytes for a u32).
fn decimal(to: &mut [u8], n: u32) {
    let digits = n.checked_ilog10().unwrap_or(0) as usize + 1;
    let mut rest = n;
    for place in to[..digits].iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    to[digits] = 0;
}
