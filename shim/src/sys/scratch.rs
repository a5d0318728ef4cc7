// SPDX-License-Identifier: GPL-2.0-only
//! Room for paths, off the application's stack: a small stack (PTHREAD_STACK_MIN is 16 KiB) must be enough
//! for any call.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::sys::errno::Result;
use crate::sys::mem;

/// As the kernel has it (include/uapi/linux/limits.h), the NUL counted.
pub const PATH_MAX: usize = 4096;

/// Three buffers: the path, the place reached so far, a symlink's target.
#[repr(C)]
pub struct Buffers {
    pub path: [u8; PATH_MAX],
    pub place: [u8; PATH_MAX],
    pub link: [u8; PATH_MAX],
}

const KEPT: usize = 8;
/// Areas not in use. A slot is taken by swapping it out, so a signal handler that interrupts finds another
/// or maps one; nothing waits.
static FREE: [AtomicUsize; KEPT] = [const { AtomicUsize::new(0) }; KEPT];

/// One set of buffers, given back when dropped.
pub struct Scratch(*mut Buffers);

impl Scratch {
    /// Takes a free set, or maps one.
    pub fn take() -> Result<Scratch> {
        for slot in &FREE {
            let address = slot.swap(0, Ordering::Acquire);
            if address != 0 {
                return Ok(Scratch(address as *mut Buffers));
            }
        }
        mem::map(size_of::<Buffers>()).map(|address| Scratch(address as *mut Buffers))
    }

    /// All buffers.
    pub fn buffers(&mut self) -> &mut Buffers {
        // SAFETY: mapped in `take`, exclusively ours until the drop; any bytes are valid.
        unsafe { &mut *self.0 }
    }

    /// The buffer of the path.
    pub fn path(&mut self) -> &mut [u8; PATH_MAX] {
        &mut self.buffers().path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for slot in &FREE {
            if slot.compare_exchange(0, self.0 as usize, Ordering::Release, Ordering::Relaxed).is_ok() {
                return;
            }
        }
        // SAFETY: mapped in `take`; the value ends here.
        unsafe { mem::unmap(self.0 as usize, size_of::<Buffers>()) };
    }
}
