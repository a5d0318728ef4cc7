// SPDX-License-Identifier: GPL-2.0-only
//! From nothing to a running kernel.

use crate::door::door6;
use crate::host::LOG_FD;
use crate::region::Region;
use crate::sys::set_raw;
use crate::{bell, block, timer, Errno, Kernel, RawSyscall, Task};
use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::fmt;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU8, Ordering};

/// Less does not boot.
const RAM_MIN: usize = 16 << 20;
const BOOT_LOG: usize = 1;

/// What a kernel is booted with.
#[derive(Debug, Clone, Copy)]
pub struct BootConfig<'a> {
    /// Its RAM; at least 16 MiB, used in whole 4 MiB.
    pub mem_bytes: usize,
    /// Where its log goes while it runs.
    pub kernel_log_fd: Option<i32>,
    /// How to call the host.
    pub syscall: RawSyscall,
    /// Its command line.
    pub cmdline: &'a CStr,
}

/// Why there is no kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootError {
    /// This process has (had) one: it boots once.
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
            BootError::Host(e) => write!(f, "no memory or thread from the host: {e}"),
            BootError::Kernel(e) => write!(f, "the kernel does not boot: {e}"),
        }
    }
}

impl std::error::Error for BootError {}

struct Slot(UnsafeCell<MaybeUninit<Kernel>>);
// SAFETY: written once by the thread that takes STATE from NONE to BOOTING, read after READY.
unsafe impl Sync for Slot {}
static KERNEL: Slot = Slot(UnsafeCell::new(MaybeUninit::uninit()));

const NONE: u8 = 0;
const BOOTING: u8 = 1;
const READY: u8 = 2;
static STATE: AtomicU8 = AtomicU8::new(NONE);

/// In the child of a fork: the kernel is the parent's, and its memory is not here. This process may boot its own.
pub fn after_fork() {
    block::after_fork();
    STATE.store(NONE, Ordering::Release);
}

/// Boots the kernel; once per process, whether it works or not.
pub fn boot(cfg: &BootConfig<'_>) -> Result<&'static Kernel, BootError> {
    if cfg.mem_bytes < RAM_MIN {
        return Err(BootError::TooLittleMemory);
    }
    if STATE.compare_exchange(NONE, BOOTING, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return Err(BootError::Again);
    }
    set_raw(cfg.syscall);
    LOG_FD.store(cfg.kernel_log_fd.unwrap_or(-1), Ordering::Relaxed);
    let (region, loaded) = Region::new(cfg.mem_bytes).map_err(BootError::Host)?;
    bell::hang(loaded.entries.irq);
    timer::start(loaded.entries.irq).map_err(BootError::Host)?;
    let task = Task::map().map_err(BootError::Host)?.as_ptr();
    let flags = if cfg.kernel_log_fd.is_some() { BOOT_LOG } else { 0 };
    let ram = &region.ram;
    let cmdline = cfg.cmdline.as_ptr() as usize;
    let args = [Task::carrier(task), region.host_page(), ram.start, ram.len(), cmdline, flags];
    // SAFETY: lkl_boot() takes these six arguments; the task's stack is unused.
    let err = unsafe { door6(Task::stack_top(task), loaded.entries.boot, &args) } as i32;
    // SAFETY: boot made no kernel task for it and is over.
    unsafe { Task::unmap(task) };
    Errno::check(err as isize).map_err(BootError::Kernel)?;
    // SAFETY: this thread alone is between BOOTING and READY.
    let kernel = unsafe { (*KERNEL.0.get()).write(Kernel { loaded, region }) };
    STATE.store(READY, Ordering::Release);
    Ok(kernel)
}

impl Kernel {
    /// The kernel of this process, once it is booted.
    pub fn get() -> Option<&'static Kernel> {
        if STATE.load(Ordering::Acquire) != READY {
            return None;
        }
        // SAFETY: written before READY was stored, never after.
        Some(unsafe { (*KERNEL.0.get()).assume_init_ref() })
    }
}
