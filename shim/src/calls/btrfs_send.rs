// SPDX-License-Identifier: GPL-2.0-only
//! BTRFS_IOC_SEND: the kernel writes a subvolume as a stream to a second descriptor, which it knows by its number. One of the
//! host's it cannot write to. So the stream goes to a file without a name on the same mount, and from there to the host.

use crate::calls::devices;
use crate::calls::proc_tables::descriptor;
use crate::calls::transfer::sendfile;
use crate::fdtable::{self, Owner};
use crate::instance::enter::enter_kernel;
use crate::instance::pair::{close_pair, open_pair};
use crate::sys::call::{args, Call};
use crate::sys::errno::{Errno, Explained, Result};
use crate::sys::fs;
use crate::sys::report::say;
use crate::sys::user;

/// _IOW(0x94, 38, struct btrfs_ioctl_send_args)
pub const REQUEST: u64 = 0x4048_9426;
/// The structure's words, of which the first is the descriptor.
const WORDS: usize = 9;

/// ioctl(2) with this request, on a file of the kernel.
pub fn send(c: &Call<'_>) -> Result {
    let mut asked: [u64; WORDS] = user::read(c.args[2])?;
    let out = asked[0] as usize;
    if fdtable::owner(out)? == Owner::Kernel {
        return c.to_kernel();
    }
    fs::open_flags(out as i32)?;
    let file = nameless_file(c.args[0])?;
    asked[0] = file as u64;
    let call = args([c.args[0], c.args[1], asked.as_ptr() as usize]);
    let sent =
        enter_kernel(|context| context.call(c.nr as i64, &call)).and_then(|r| copy(file, out).map(|()| r));
    let _ = enter_kernel(|context| close_pair(context, file));
    sent
}

/// A file without a name beside an open one, in the mount.
fn nameless_file(beside: usize) -> Result {
    let index = devices::place_of_id(descriptor::about(beside)?.mount_id).ok_or(Errno::ENOTTY)?;
    let flags = (libc::O_TMPFILE | libc::O_RDWR | libc::O_CLOEXEC) as usize;
    enter_kernel(|context| {
        let call = args([context.mount_root(index)?, c".".as_ptr() as usize, flags, 0o600]);
        open_pair(context, true, |context, want| context.call_at(libc::SYS_openat, &call, want))
    })
    .inspect_err(|e| say!("btrfs send: no room in the mount for what is sent: {}", Explained(*e)))
}

/// All of the file to the host.
fn copy(file: usize, out: usize) -> Result<()> {
    const STEP: usize = 1 << 30;
    let mut offset = 0i64;
    loop {
        let call = args([out, file, &raw mut offset as usize, STEP]);
        let step = Call { nr: libc::SYS_sendfile as usize, args: call, frame: None };
        if sendfile(&step)? == 0 {
            return Ok(());
        }
    }
}
