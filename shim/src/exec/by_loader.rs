// SPDX-License-Identifier: GPL-2.0-only
//! execve(2) of a program that the loader started: the next program is started by the loader, too, with the settings
//! of this one and with what it has to know of the old one's kernel.
//!
//! Rules of the place: the application's context, maybe between fork and exec. Nothing is allocated.

use crate::exec::kept;
use crate::exec::loader_env::Own;
use crate::exec::request::{command, Request};
use crate::instance::boot;
use crate::lookup::cwd;
use crate::process::{fork, handoff};
use crate::sys::host::Ret;
use crate::sys::report::say;
use crate::sys::scratch::{Scratch, PATH_MAX};

const CWD: &[u8] = b"STOWAWAY_CWD=";
/// Descriptors that the new program inherits and that are the kernel's.
const FDS: &[u8] = b"STOWAWAY_FDS=";
/// Executes what `request` asks for; `leave` is called before this program is given up. Returns only to say why not.
pub fn exec(request: &Request, leave: impl FnOnce()) -> Ret {
    let run = || -> Result<Ret, Ret> {
        let mut scratch = Scratch::take()?;
        let buffers = scratch.buffers();
        let mut own = Own::default();
        for setting in kept::get().iter().flat_map(|kept| &kept.settings) {
            own.setting(setting.text.as_ptr() as usize);
        }
        if current_directory(&mut buffers.path) {
            own.hand_on(buffers.path.as_ptr() as usize);
        }
        if handoff::describe(&mut buffers.place, FDS, &mut buffers.link) {
            own.hand_on(buffers.place.as_ptr() as usize);
        }
        let command = command(request, &own)?;
        leave();
        let was_up = boot::is_up();
        fork::unmount_for_exec();
        let r = command.exec();
        if was_up {
            boot::end_failed();
            say!("exec failed after the mounts were given up: calls into them fail with EIO from now on");
        }
        Ok(r)
    };
    run().unwrap_or_else(|e| e)
}

/// Writes STOWAWAY_CWD=..., if the current directory lies in a mount.
fn current_directory(text: &mut [u8; PATH_MAX]) -> bool {
    cwd::remember();
    let Some(name) = cwd::name().filter(|name| CWD.len() + name.len() < PATH_MAX) else { return false };
    text[..CWD.len()].copy_from_slice(CWD);
    text[CWD.len()..CWD.len() + name.len()].copy_from_slice(name);
    text[CWD.len() + name.len()] = 0;
    true
}
