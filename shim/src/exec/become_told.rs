// SPDX-License-Identifier: GPL-2.0-only
//! Who the new program is told that it is (the setting `as`): setuid files and file capabilities of a mount count, as the
//! kernel counts them. Those of the host's files are the host's to give, and give real rights.

use crate::lookup::route::{with_path, PathArg};
use crate::sys::call::args;
use crate::sys::errno::Result;
use crate::sys::mem::Pages;
use crate::sys::report::say;
use crate::sys::settings::settings;
use crate::sys::told::{self, FileCapabilities, FileRights};
use crate::sys::{fs, host};

/// `f_flags` of statfs(2).
const ST_NOSUID: usize = 2;
/// Place of `f_flags` among the words of `struct statfs`.
const FLAGS_WORD: usize = 10;
/// struct vfs_ns_cap_data has 24 bytes.
const CAPABILITIES_MAX: usize = 64;

/// The variable that tells the new program. None: there is nothing to tell. EPERM: the file wants capabilities that are
/// not to be had. `exe`: where the file lies in a mount, NUL-ended; empty: on the host.
pub fn variable(exe: &[u8]) -> Result<Option<Pages>> {
    let Some(told) = told::now() else {
        say_if_privileged(exe);
        return settings().run_as.map(|_| told::variable(None)).transpose();
    };
    let file = if exe.is_empty() || host::has_no_new_privs() { FileRights::default() } else { rights(exe)? };
    told::variable(Some(&told.after_exec(&file)?)).map(Some)
}

/// Without the setting `as` a privileged file of a mount runs with the caller's rights: the host knows nothing of the file.
fn say_if_privileged(exe: &[u8]) {
    if exe.is_empty() || host::has_no_new_privs() {
        return;
    }
    let (Ok(file), Ok([_, user, ..]), Ok([_, group, ..])) =
        (rights(exe), host::user_ids(), host::group_ids())
    else {
        return;
    };
    let others = [(file.user, user), (file.group, group)];
    let gives = others.iter().any(|(given, own)| given.is_some_and(|given| given != *own))
        || file.capabilities.is_some() && user != 0;
    if gives {
        let name = String::from_utf8_lossy(exe);
        say!("{name}: is setuid, setgid or has capabilities, which a file in a mount does not give here; see --as");
    }
}

/// What the file at a path in a mount gives.
fn rights(exe: &[u8]) -> Result<FileRights> {
    let mut status = None;
    let mut flags = 0;
    let mut capabilities = ([0u8; CAPABILITIES_MAX], 0);
    let follow = true;
    with_path(
        PathArg::new(fs::AT_FDCWD as usize, exe.as_ptr() as usize, follow),
        |_| Ok(0),
        |context, at| {
            let stat = |to| context.call(libc::SYS_newfstatat, &args([at.dirfd, at.path, to, 0]));
            status = Some(fs::filled_stat(stat)?);
            let mut words = [0usize; 16];
            let told = args([at.dirfd, at.path, words.as_mut_ptr() as usize]);
            context.call(lkl::Private::StatfsAt as i64, &told)?;
            flags = words[FLAGS_WORD];
            let name = c"security.capability".as_ptr() as usize;
            let (to, len) = (capabilities.0.as_mut_ptr() as usize, CAPABILITIES_MAX);
            let wanted = [at.dirfd, at.path, 0, name, to, len];
            capabilities.1 = context.call(lkl::Private::GetXattrAt as i64, &wanted).unwrap_or(0);
            Ok(0)
        },
    )?;
    let Some(status) = status.filter(|_| flags & ST_NOSUID == 0) else { return Ok(FileRights::default()) };
    // Without the group's execute bit it means something else (inode(7)).
    let group_bits = libc::S_ISGID | libc::S_IXGRP;
    Ok(FileRights {
        user: (status.st_mode & libc::S_ISUID != 0).then_some(status.st_uid),
        group: (status.st_mode & group_bits == group_bits).then_some(status.st_gid),
        capabilities: FileCapabilities::read(&capabilities.0[..capabilities.1]),
    })
}
