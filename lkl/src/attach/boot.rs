// SPDX-License-Identifier: GPL-2.0-only
//! From nothing to a running kernel, and its end.
//!
//! # Safety
//! Entry points are addresses of the image; the kernel's cell is written by the thread that boots, before READY.
#![allow(unsafe_code)]

use super::ops::{LOG_FD, OPS};
use crate::cpu::{self, timer, CallSlot, Shared};
use crate::dev::block::{self, Store};
use crate::dev::{bells, net, tickets};
use crate::instance::image::Loaded;
use crate::instance::region::Region;
use crate::instance::symbols;
use crate::sys::Errno;
use std::cell::UnsafeCell;
use std::ffi::{c_char, CStr};
use std::fmt;
use std::mem::{transmute, MaybeUninit};
use std::sync::atomic::{AtomicU8, Ordering};

/// A kernel with less RAM does not boot.
const RAM_MIN: usize = 16 << 20;
/// `LKL_BOOT_LOG`
pub(crate) const BOOT_LOG: usize = 1;

/// What a kernel is booted with.
#[derive(Debug, Clone, Copy)]
pub struct BootConfig<'a> {
    /// The kernel's RAM: at least 16 MiB, used in whole 4 MiB.
    pub mem_bytes: usize,
    /// The host descriptor that the kernel's log goes to.
    pub kernel_log_fd: Option<i32>,
    /// The kernel's command line.
    pub cmdline: &'a CStr,
}

/// Why there is no kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootError {
    /// This process has, or has had, a kernel: it boots one at a time.
    Again,
    /// Less than 16 MiB of memory.
    TooLittleMemory,
    /// The host refused memory or a thread.
    Host(Errno),
    /// The kernel refused.
    Kernel(Errno),
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BootError::Again => write!(f, "the kernel boots once per process"),
            BootError::TooLittleMemory => write!(f, "the kernel needs at least 16 MiB of memory"),
            BootError::Host(_) => write!(f, "no memory or thread from the host"),
            BootError::Kernel(e) => {
                write!(f, "the kernel refuses to boot ({})", e.name().unwrap_or("unknown"))
            }
        }
    }
}

impl std::error::Error for BootError {}

/// The kernel of this process.
pub struct Kernel {
    pub(crate) loaded: Loaded,
    pub(crate) region: Region,
    pub(crate) words: &'static Shared,
}

struct Slot(UnsafeCell<MaybeUninit<Kernel>>);
// SAFETY: written once by the thread that takes STATE from NONE to BOOTING, read after READY.
unsafe impl Sync for Slot {}
static KERNEL: Slot = Slot(UnsafeCell::new(MaybeUninit::uninit()));

const NONE: u8 = 0;
const BOOTING: u8 = 1;
const READY: u8 = 2;
static STATE: AtomicU8 = AtomicU8::new(NONE);

/// In the child of a fork that does not go on with its parent's kernel: this process may boot its own.
pub fn reset_in_child() {
    block::reset_in_child();
    block::set_store(None);
    bells::forget();
    tickets::forget();
    net::forget();
    cpu::reset_in_child();
    timer::reset_in_child();
    cpu::hide::reset_in_child();
    if STATE.swap(NONE, Ordering::AcqRel) == READY {
        // SAFETY: written before READY was stored.
        unsafe { (*KERNEL.0.get()).assume_init_ref() }.region.unmap();
    }
}

/// What a program needs to go on with the kernel that this process had before it executed the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handover {
    /// Host descriptor of the memory file.
    pub memory: i32,
    /// Host descriptors of the store.
    pub store: Store,
    /// Where the region begins.
    pub base: usize,
    /// Bytes of RAM.
    pub ram_bytes: usize,
    /// This process's number among the members.
    pub member: u32,
    /// The task of the thread that executed the program.
    pub task: usize,
}

/// Goes on with the kernel that this process had. `from` is what [`Kernel::handover`] gave in this process before the exec.
/// The descriptors are taken over.
///
/// # Safety
/// `from` is that; the calling thread is the process's only one.
pub unsafe fn attach(from: &Handover) -> Result<&'static Kernel, BootError> {
    if STATE.compare_exchange(NONE, BOOTING, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return Err(BootError::Again);
    }
    match attach_region(from) {
        Ok(kernel) => {
            block::set_store(Some(from.store));
            block::set_states(kernel.region.fd(), kernel.region.states_at());
            // SAFETY: this thread alone is between BOOTING and READY.
            let kernel = unsafe { (*KERNEL.0.get()).write(kernel) };
            STATE.store(READY, Ordering::Release);
            let Kernel { loaded, words, .. } = kernel;
            cpu::watch::begin();
            cpu::attach_after_exec(words, loaded.entries.run, askers(loaded), from.member);
            cpu::watch::drop_locks(words);
            net::begin();
            net::follow();
            Ok(kernel)
        }
        Err(e) => {
            STATE.store(NONE, Ordering::Release);
            Err(BootError::Host(e))
        }
    }
}

fn attach_region(from: &Handover) -> Result<Kernel, Errno> {
    let (region, loaded) = Region::attach(from.memory, from.base, from.ram_bytes, OPS)?;
    let words = words(&loaded);
    let row = words.member(from.member);
    let is_ours = row.number.load(Ordering::Relaxed) == from.member
        && row.pid.load(Ordering::Relaxed) == crate::sys::process::pid();
    let ready = if is_ours { block::bounce::start(&region) } else { Err(Errno::ESRCH) };
    if let Err(e) = ready {
        region.unmap();
        return Err(e);
    }
    symbols::set_base(region.base());
    Ok(Kernel { loaded, region, words })
}

fn words(loaded: &Loaded) -> &'static Shared {
    // SAFETY: lkl_words() has this type, and returns words that are all atomics.
    unsafe { &*transmute::<usize, unsafe extern "C" fn() -> *const Shared>(loaded.entries.words)() }
}

fn askers(loaded: &Loaded) -> usize {
    // SAFETY: lkl_askers() has this type.
    unsafe { transmute::<usize, unsafe extern "C" fn() -> usize>(loaded.entries.askers)() }
}

/// In the child of a fork that goes on with its parent's kernel: the parent's threads are not here.
pub(crate) fn become_member_in_child(slot: &CallSlot) {
    block::reset_threads_in_child();
    net::reset_in_child();
    timer::reset_in_child();
    cpu::hide::reset_in_child();
    cpu::members::become_member(slot);
}

/// Boots the kernel; once per process, whether it works or not.
pub fn boot(cfg: &BootConfig<'_>) -> Result<&'static Kernel, BootError> {
    if cfg.mem_bytes < RAM_MIN {
        return Err(BootError::TooLittleMemory);
    }
    if STATE.compare_exchange(NONE, BOOTING, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return Err(BootError::Again);
    }
    LOG_FD.store(cfg.kernel_log_fd.unwrap_or(-1), Ordering::Relaxed);
    let (region, loaded) = Region::new(cfg.mem_bytes, OPS).map_err(BootError::Host)?;
    symbols::set_base(region.base());
    let words = words(&loaded);
    cpu::watch::begin();
    cpu::begin(words, loaded.entries.run, askers(&loaded));
    let started = block::bounce::start(&region).and_then(|()| timer::start()).map_err(BootError::Host);
    if let Err(e) = started.and_then(|()| start(&region, &loaded, words, cfg).map_err(BootError::Kernel)) {
        timer::stop();
        block::reset_in_child();
        cpu::reset_in_child();
        region.unmap();
        return Err(e);
    }
    // SAFETY: this thread alone is between BOOTING and READY.
    let kernel = unsafe { (*KERNEL.0.get()).write(Kernel { loaded, region, words }) };
    STATE.store(READY, Ordering::Release);
    Ok(kernel)
}

fn start(
    region: &Region,
    loaded: &Loaded,
    words: &'static Shared,
    cfg: &BootConfig<'_>,
) -> Result<(), Errno> {
    type Entry = unsafe extern "C" fn(*const CallSlot, usize, usize, usize, *const c_char, usize) -> isize;
    let flags = if cfg.kernel_log_fd.is_some() { BOOT_LOG } else { 0 };
    let ram = &region.ram;
    cpu::boot(words, |w: &CallSlot| {
        // SAFETY: lkl_boot() has this type; begin() took the CPU for us.
        unsafe {
            let entry = transmute::<usize, Entry>(loaded.entries.boot);
            entry(w, region.host_page(), ram.start, ram.len(), cfg.cmdline.as_ptr(), flags)
        }
    })
}

impl Kernel {
    /// Ends the instance and gives back all that it has: threads, address space, memory. The process may boot another. (A
    /// disk that was not unmounted leaves its descriptor and a page.)
    ///
    /// # Safety
    /// It is shut down or has failed, no call is under way, and neither this reference nor any other to the kernel or to a
    /// task is used afterwards.
    pub unsafe fn stop(&self) {
        STATE.store(BOOTING, Ordering::Release);
        net::stop();
        block::stop();
        timer::stop();
        cpu::hide::stop();
        block::reset_in_child();
        block::set_store(None);
        bells::forget();
        tickets::forget();
        cpu::reset_in_child();
        self.region.unmap();
        STATE.store(NONE, Ordering::Release);
    }

    /// The kernel of this process, once it is booted.
    pub fn get() -> Option<&'static Kernel> {
        if STATE.load(Ordering::Acquire) != READY {
            return None;
        }
        // SAFETY: written before READY was stored, never after.
        Some(unsafe { (*KERNEL.0.get()).assume_init_ref() })
    }
}
