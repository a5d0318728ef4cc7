// SPDX-License-Identifier: GPL-2.0-only
//! Programs that get other rights by being executed (security/commoncap.c, cap_bprm_creds_from_file).
//!
//! Two questions, and they differ. Does the exec change the rights? Then only the host's exec can give them, and our
//! loader must not stand in its way. Does the program run in secure-execution mode (AT_SECURE, ld.so(8))? Then its
//! dynamic loader ignores LD_PRELOAD. The kernel asks for that by comparing with the *real* ids: a setuid program that
//! did not give up its rights starts others in this mode, too.

use crate::sys::{fs, host};

/// `f_flags` of statfs(2).
const ST_NOSUID: u64 = 2;

/// Ids before and after the exec.
struct Change {
    real: u32,
    effective: u32,
    after: u32,
}

impl Change {
    fn new(ids: [u32; 4], set_id: bool, owner: u32) -> Change {
        let [real, effective, ..] = ids;
        Change { real, effective, after: if set_id { owner } else { effective } }
    }
}

/// What an exec of a file does to the rights.
pub struct Rights {
    user: Change,
    group: Change,
    sets_user: bool,
    sets_group: bool,
    /// The file has capabilities that count.
    capable: bool,
}

impl Rights {
    /// What executing the open file `fd` would do. None: the host does not say who we are.
    pub fn new(fd: i32, status: &libc::stat) -> Option<Rights> {
        let (users, groups) = (host::user_ids().ok()?, host::group_ids().ok()?);
        // Without the group's execute bit it means something else (inode(7)).
        let group_bits = libc::S_ISGID | libc::S_IXGRP;
        let (setuid, setgid) =
            (status.st_mode & libc::S_ISUID != 0, status.st_mode & group_bits == group_bits);
        let capable = users[1] != 0 && fs::has_xattr(fd, c"security.capability");
        let count = (setuid || setgid || capable) && !are_ignored(fd);
        let (sets_user, sets_group) = (setuid && count, setgid && count);
        Some(Rights {
            user: Change::new(users, sets_user, status.st_uid),
            group: Change::new(groups, sets_group, status.st_gid),
            sets_user,
            sets_group,
            capable: capable && count,
        })
    }

    /// Why only the host can execute the file; None: anybody can.
    pub fn change(&self) -> Option<&'static str> {
        if self.user.after != self.user.effective {
            Some("it is setuid")
        } else if self.group.after != self.group.effective {
            Some("it is setgid")
        } else {
            self.capable.then_some("it has file capabilities")
        }
    }

    /// Why the dynamic loader of the program will ignore LD_PRELOAD; None: the loader will not.
    pub fn secure_mode(&self) -> Option<&'static str> {
        let (user, group) = (self.user.after != self.user.real, self.group.after != self.group.real);
        if user && self.sets_user {
            Some("it is setuid")
        } else if group && self.sets_group {
            Some("it is setgid")
        } else if self.capable {
            Some("it has file capabilities")
        } else {
            (user || group).then_some("a setuid program starts it")
        }
    }
}

/// Whether the rights are not given anyway: a nosuid mount, or no_new_privs (fs/exec.c, mnt_may_suid).
fn are_ignored(fd: i32) -> bool {
    host::has_no_new_privs() || fs::mount_flags(fd).is_ok_and(|flags| flags & ST_NOSUID != 0)
}
