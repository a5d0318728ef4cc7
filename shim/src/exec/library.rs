// SPDX-License-Identifier: GPL-2.0-only
//! Our own file: what is executed to start the loader.

use crate::exec::kept;
use crate::sys::host;
use crate::sys::identity::Identity;

/// Opens it for execveat; None: it cannot be found any more.
pub fn open() -> Option<i32> {
    // Preloaded, it has a path; else the kernel executed it, and knows the file.
    let path = kept::get().map(|kept| kept.library.as_c_str()).filter(|path| !path.is_empty());
    let path = path.unwrap_or(c"/proc/self/exe").as_ptr();
    let flags = (libc::O_PATH | libc::O_CLOEXEC) as usize;
    let fd = host::call(libc::SYS_openat, &[libc::AT_FDCWD as usize, path as usize, flags, 0]);
    (fd >= 0).then_some(fd as i32)
}

/// Whether two descriptors are of one file.
pub fn is_same(a: i32, b: i32) -> bool {
    Identity::of(a as usize).is_some_and(|a| Some(a) == Identity::of(b as usize))
}
