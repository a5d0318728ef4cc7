// SPDX-License-Identifier: GPL-2.0-only
//! Calls about limits of the process, which the host keeps, and the kernel for files on mounts.

use crate::instance::enter::enter_kernel;
use crate::instance::limits;
use crate::sys::call::Call;
use crate::sys::errno::Result;
use crate::sys::{host, kernel};

/// setrlimit(2)
pub fn setrlimit(c: &Call<'_>) -> Result {
    let r = c.to_host()?;
    changed(c.args[0]);
    Ok(r)
}

/// prlimit64(2)
pub fn prlimit64(c: &Call<'_>) -> Result {
    let [process, resource, new, ..] = c.args;
    let r = c.to_host()?;
    if new != 0 && (process as u32 == 0 || process as i32 == host::pid() as i32) {
        changed(resource);
    }
    Ok(r)
}

/// The program has set the limit of a resource: the kernel follows.
fn changed(resource: usize) {
    if resource as u32 == libc::RLIMIT_FSIZE && kernel::is_up() {
        let _ = enter_kernel(|context| {
            limits::tell(|nr, args| context.call(nr, args));
            Ok(0)
        });
    }
}
