// SPDX-License-Identifier: GPL-2.0-only
//! The rules by which a thread changes its ids and groups (credentials(7); kernel/sys.c and kernel/groups.c). Pure: a
//! [`Told`] in, another one or an errno out.

use super::capabilities::{SETGID, SETUID};
use super::Told;
use crate::sys::errno::{Errno, Result};

/// No id: "leave this one as it is" (setresuid(2)).
pub const NONE: u32 = u32::MAX;
/// The kernel has room for 65536 groups. Here are as many as anybody was seen to have.
pub const GROUPS_MAX: usize = 256;
/// include/uapi/linux/limits.h
const NGROUPS_MAX: usize = 65536;

/// Places in [`Told::uid`] and [`Told::gid`].
pub const REAL: usize = 0;
pub const EFFECTIVE: usize = 1;
pub const SAVED: usize = 2;
pub const FILES: usize = 3;

/// Which of the two kinds of ids a call is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    User,
    Group,
}

impl Told {
    fn ids(&mut self, kind: Kind) -> &mut [u32; 4] {
        match kind {
            Kind::User => &mut self.uid,
            Kind::Group => &mut self.gid,
        }
    }

    fn may_set(&self, kind: Kind) -> bool {
        self.has(if kind == Kind::User { SETUID } else { SETGID })
    }

    /// After the user ids changed, the capabilities follow.
    fn settle(&mut self, kind: Kind, old: &Told) {
        if kind == Kind::User {
            self.follow_ids(old);
        }
    }

    /// setuid(2), setgid(2)
    pub fn set(&mut self, kind: Kind, id: u32) -> Result<()> {
        if id == NONE {
            return Err(Errno::EINVAL);
        }
        let (old, may) = (self.clone(), self.may_set(kind));
        let ids = self.ids(kind);
        if may {
            (ids[REAL], ids[SAVED]) = (id, id);
        } else if id != ids[REAL] && id != ids[SAVED] {
            return Err(Errno::EPERM);
        }
        (ids[EFFECTIVE], ids[FILES]) = (id, id);
        self.settle(kind, &old);
        Ok(())
    }

    /// setreuid(2), setregid(2)
    pub fn set_two(&mut self, kind: Kind, real: u32, effective: u32) -> Result<()> {
        let (old, may) = (self.clone(), self.may_set(kind));
        let ids = self.ids(kind);
        let before = *ids;
        if real != NONE {
            if !may && ![before[REAL], before[EFFECTIVE]].contains(&real) {
                return Err(Errno::EPERM);
            }
            ids[REAL] = real;
        }
        if effective != NONE {
            if !may && !before[..FILES].contains(&effective) {
                *ids = before;
                return Err(Errno::EPERM);
            }
            ids[EFFECTIVE] = effective;
        }
        if real != NONE || effective != NONE && effective != before[REAL] {
            ids[SAVED] = ids[EFFECTIVE];
        }
        ids[FILES] = ids[EFFECTIVE];
        self.settle(kind, &old);
        Ok(())
    }

    /// setresuid(2), setresgid(2)
    pub fn set_three(&mut self, kind: Kind, asked: [u32; 3]) -> Result<()> {
        let (old, may) = (self.clone(), self.may_set(kind));
        let ids = self.ids(kind);
        if !may && asked.iter().any(|&id| id != NONE && !ids[..FILES].contains(&id)) {
            return Err(Errno::EPERM);
        }
        let is_same = |at: usize| asked[at] == NONE || asked[at] == ids[at];
        // Since Linux 6.3, what asks for nothing new leaves the id for files as well.
        if (REAL..FILES).all(is_same) && [NONE, ids[FILES]].contains(&asked[EFFECTIVE]) {
            return Ok(());
        }
        for (id, asked) in ids.iter_mut().zip(asked) {
            if asked != NONE {
                *id = asked;
            }
        }
        ids[FILES] = ids[EFFECTIVE];
        self.settle(kind, &old);
        Ok(())
    }

    /// setfsuid(2), setfsgid(2): the id that was, whatever comes of it.
    pub fn set_for_files(&mut self, kind: Kind, id: u32) -> u32 {
        let (old, may) = (self.clone(), self.may_set(kind));
        let ids = self.ids(kind);
        let before = ids[FILES];
        if id != NONE && id != before && (may || ids.contains(&id)) {
            ids[FILES] = id;
            if kind == Kind::User {
                self.follow_files_id(&old);
            }
        }
        before
    }

    /// setgroups(2): the kernel keeps them sorted. ENOMEM: more than there is room for here.
    pub fn set_groups(&mut self, groups: &[u32]) -> Result<()> {
        if groups.contains(&NONE) {
            return Err(Errno::EINVAL);
        }
        let mut sorted = [0; GROUPS_MAX];
        let room = sorted.get_mut(..groups.len()).ok_or(Errno::ENOMEM)?;
        room.copy_from_slice(groups);
        room.sort_unstable();
        self.groups = sorted;
        self.group_count = groups.len();
        Ok(())
    }

    /// Whether setgroups(2) with so many groups may be made at all.
    pub fn may_set_groups(&self, count: usize) -> Result<()> {
        match () {
            () if !self.has(SETGID) => Err(Errno::EPERM),
            () if count > NGROUPS_MAX => Err(Errno::EINVAL),
            () if count > GROUPS_MAX => Err(Errno::ENOMEM),
            () => Ok(()),
        }
    }

    /// Supplementary groups.
    pub fn groups(&self) -> &[u32] {
        &self.groups[..self.group_count]
    }
}
