// SPDX-License-Identifier: GPL-2.0-only
//! Our own file: what is executed to start the loader.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicPtr, Ordering};

use crate::host;

/// The path that the library was preloaded from; null: the kernel executed it, and knows the file.
static PATH: AtomicPtr<libc::c_char> = AtomicPtr::new(core::ptr::null_mut());

/// Remembers where the dynamic loader found us. In the constructor.
pub fn was_preloaded() {
    // SAFETY: plain data, filled by dladdr, whose strings live as long as the library.
    unsafe {
        let mut info: libc::Dl_info = core::mem::zeroed();
        if libc::dladdr(was_preloaded as *const _, &mut info) != 0 {
            PATH.store(info.dli_fname.cast_mut(), Ordering::Relaxed);
        }
    }
}

/// Opens it for execveat; None: it cannot be found any more.
pub fn open() -> Option<i32> {
    let path = PATH.load(Ordering::Relaxed);
    let path = if path.is_null() { c"/proc/self/exe".as_ptr() } else { path.cast_const() };
    let flags = (libc::O_PATH | libc::O_CLOEXEC) as usize;
    let fd = host::call(libc::SYS_openat, &[libc::AT_FDCWD as usize, path as usize, flags, 0]);
    (fd >= 0).then_some(fd as i32)
}

/// Whether two descriptors are of one file.
pub fn is_same(a: i32, b: i32) -> bool {
    let identity = |fd: i32| {
        // SAFETY: plain data, filled by fstat.
        let mut status: libc::stat = unsafe { core::mem::zeroed() };
        let r = host::call(libc::SYS_fstat, &[fd as usize, &raw mut status as usize]);
        (r == 0).then_some((status.st_dev, status.st_ino))
    };
    identity(a).is_some_and(|a| Some(a) == identity(b))
}
