// SPDX-License-Identifier: GPL-2.0-only
//! Programs that gain rights by being executed: only the host's exec can give them, and nobody may change what they
//! run with (ld.so(8), secure-execution mode).

use crate::sys::host;

/// `f_flags` of statfs(2).
const ST_NOSUID: i64 = 2;

/// Why the open file `fd` is for the host alone; `None`: it is not.
pub fn reason(fd: i32, status: &libc::stat) -> Option<&'static str> {
    let setuid = status.st_mode & libc::S_ISUID != 0 && status.st_uid != id(libc::SYS_geteuid);
    // Without the group's execute bit it means something else (inode(7)).
    let group = libc::S_ISGID | libc::S_IXGRP;
    let setgid = status.st_mode & group == group && status.st_gid != id(libc::SYS_getegid);
    let capable = id(libc::SYS_geteuid) != 0 && has_capabilities(fd);
    if !(setuid || setgid || capable) || is_ignored(fd) {
        return None;
    }
    Some(match (setuid, setgid) {
        (true, _) => "it is setuid",
        (_, true) => "it is setgid",
        _ => "it has file capabilities",
    })
}

fn id(nr: i64) -> u32 {
    host::call(nr, &[]) as u32
}

fn has_capabilities(fd: i32) -> bool {
    let name = c"security.capability".as_ptr() as usize;
    host::call(libc::SYS_fgetxattr, &[fd as usize, name, 0, 0]) > 0
}

/// Whether the rights are not given anyway: a nosuid mount, or no_new_privs (fs/exec.c, mnt_may_suid).
fn is_ignored(fd: i32) -> bool {
    if host::call(libc::SYS_prctl, &[libc::PR_GET_NO_NEW_PRIVS as usize, 0, 0, 0, 0]) == 1 {
        return true;
    }
    let mut words = [0i64; 15];
    let r = host::call(libc::SYS_fstatfs, &[fd as usize, words.as_mut_ptr() as usize]);
    // struct statfs of x86-64: f_flags is its eleventh word.
    r == 0 && words[10] & ST_NOSUID != 0
}
