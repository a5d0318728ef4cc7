// SPDX-License-Identifier: GPL-2.0-only
//! The rules of capabilities (capabilities(7); security/commoncap.c and kernel/capability.c). Pure.

use super::ids::{EFFECTIVE, FILES, REAL, SAVED};
use super::Told;
use crate::sys::errno::{Errno, Result};

/// Numbers of capabilities that the rules ask for (include/uapi/linux/capability.h).
pub const SETGID: u32 = 6;
pub const SETUID: u32 = 7;
const SETPCAP: u32 = 8;
/// CAP_LAST_CAP of Linux 6.1, and of every later one up to now: CAP_CHECKPOINT_RESTORE.
const LAST: u32 = 40;
/// All of them.
pub const ALL: u64 = (1 << (LAST + 1)) - 1;
/// CAP_FS_SET (include/linux/capability.h): chown, dac_override, dac_read_search, fowner, fsetid, linux_immutable, mknod,
/// mac_override.
const OF_FILES: u64 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 9 | 1 << 27 | 1 << 32;

/// Bits of securebits (include/uapi/linux/securebits.h). The lock of a bit is the next bit.
pub const NOROOT: u32 = 1 << 0;
const NO_SETUID_FIXUP: u32 = 1 << 2;
pub const KEEP_CAPS: u32 = 1 << 4;
const KEEP_CAPS_LOCKED: u32 = 1 << 5;
const NO_AMBIENT_RAISE: u32 = 1 << 6;
const BITS: u32 = 0x55;
const LOCKS: u32 = 0xaa;

/// prctl(2), PR_CAP_AMBIENT
const AMBIENT_IS_SET: usize = 1;
const AMBIENT_RAISE: usize = 2;
const AMBIENT_LOWER: usize = 3;
const AMBIENT_CLEAR_ALL: usize = 4;

/// The three sets of capset(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sets {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
}

fn bit(number: usize) -> Result<u64> {
    if number > LAST as usize {
        return Err(Errno::EINVAL);
    }
    Ok(1 << number)
}

impl Told {
    /// Whether the effective set has it.
    pub fn has(&self, capability: u32) -> bool {
        self.effective & 1 << capability != 0
    }

    fn secures(&self, bit: u32) -> bool {
        self.securebits & bit != 0
    }

    /// The user ids changed from those of `old` (cap_emulate_setxuid).
    pub(super) fn follow_ids(&mut self, old: &Told) {
        if self.secures(NO_SETUID_FIXUP) {
            return;
        }
        let is_root = |ids: &[u32; 4]| ids[..FILES].contains(&0);
        if is_root(&old.uid) && !is_root(&self.uid) {
            if !self.secures(KEEP_CAPS) {
                (self.permitted, self.effective) = (0, 0);
            }
            self.ambient = 0;
        }
        match (old.uid[EFFECTIVE], self.uid[EFFECTIVE]) {
            (0, 0) => {}
            (0, _) => self.effective = 0,
            (_, 0) => self.effective = self.permitted,
            _ => {}
        }
    }

    /// The user id for files changed from that of `old` (cap_task_fix_setuid, LSM_SETID_FS).
    pub(super) fn follow_files_id(&mut self, old: &Told) {
        if self.secures(NO_SETUID_FIXUP) {
            return;
        }
        match (old.uid[FILES], self.uid[FILES]) {
            (0, 0) => {}
            (0, _) => self.effective &= !OF_FILES,
            (_, 0) => self.effective |= self.permitted & OF_FILES,
            _ => {}
        }
    }

    /// The sets of capget(2).
    pub fn sets(&self) -> Sets {
        Sets { effective: self.effective, permitted: self.permitted, inheritable: self.inheritable }
    }

    /// capset(2)
    pub fn set_sets(&mut self, asked: Sets) -> Result<()> {
        let Sets { effective, permitted, inheritable } = Sets {
            effective: asked.effective & ALL,
            permitted: asked.permitted & ALL,
            inheritable: asked.inheritable & ALL,
        };
        let exceeds = |set: u64, allowed: u64| set & !allowed != 0;
        if !self.has(SETPCAP) && exceeds(inheritable, self.inheritable | self.permitted)
            || exceeds(inheritable, self.inheritable | self.bounding)
            || exceeds(permitted, self.permitted)
            || exceeds(effective, permitted)
        {
            return Err(Errno::EPERM);
        }
        (self.effective, self.permitted, self.inheritable) = (effective, permitted, inheritable);
        self.ambient &= permitted & inheritable;
        Ok(())
    }

    /// PR_CAPBSET_READ
    pub fn is_bounding(&self, capability: usize) -> Result {
        Ok(usize::from(self.bounding & bit(capability)? != 0))
    }

    /// PR_CAPBSET_DROP
    pub fn drop_bounding(&mut self, capability: usize) -> Result<()> {
        if !self.has(SETPCAP) {
            return Err(Errno::EPERM);
        }
        self.bounding &= !bit(capability)?;
        Ok(())
    }

    /// PR_SET_SECUREBITS
    pub fn set_securebits(&mut self, bits: usize) -> Result<()> {
        let locked = (self.securebits & LOCKS) >> 1;
        let asked = bits as u32;
        let unlocks = self.securebits & LOCKS & !asked != 0;
        if locked & (self.securebits ^ asked) != 0
            || unlocks
            || bits & !((BITS | LOCKS) as usize) != 0
            || !self.has(SETPCAP)
        {
            return Err(Errno::EPERM);
        }
        self.securebits = asked;
        Ok(())
    }

    /// PR_GET_KEEPCAPS
    pub fn keeps_capabilities(&self) -> bool {
        self.secures(KEEP_CAPS)
    }

    /// PR_SET_KEEPCAPS
    pub fn set_keep_capabilities(&mut self, keep: usize) -> Result<()> {
        match keep {
            2.. => return Err(Errno::EINVAL),
            _ if self.secures(KEEP_CAPS_LOCKED) => return Err(Errno::EPERM),
            0 => self.securebits &= !KEEP_CAPS,
            1 => self.securebits |= KEEP_CAPS,
        }
        Ok(())
    }

    /// PR_CAP_AMBIENT
    pub fn ambient(&mut self, [what, capability, third, fourth]: [usize; 4]) -> Result {
        if what == AMBIENT_CLEAR_ALL {
            if capability | third | fourth != 0 {
                return Err(Errno::EINVAL);
            }
            self.ambient = 0;
            return Ok(0);
        }
        let bit = bit(capability)?;
        if third | fourth != 0 {
            return Err(Errno::EINVAL);
        }
        match what {
            AMBIENT_IS_SET => return Ok(usize::from(self.ambient & bit != 0)),
            AMBIENT_RAISE
                if self.permitted & self.inheritable & bit == 0 || self.secures(NO_AMBIENT_RAISE) =>
            {
                return Err(Errno::EPERM)
            }
            AMBIENT_RAISE => self.ambient |= bit,
            AMBIENT_LOWER => self.ambient &= !bit,
            _ => return Err(Errno::EINVAL),
        }
        Ok(0)
    }

    /// What a program begins with that is executed with these rights (cap_bprm_creds_from_file). `file`: what the
    /// program's file gives. EPERM: a capability that the program cannot do without is not to be had.
    pub fn after_exec(&self, file: &FileRights) -> Result<Told> {
        let mut new = self.clone();
        new.uid[EFFECTIVE] = file.user.unwrap_or(self.uid[EFFECTIVE]);
        new.gid[EFFECTIVE] = file.group.unwrap_or(self.gid[EFFECTIVE]);
        (new.permitted, new.effective) = (0, 0);
        let mut is_effective = false;
        if let Some(given) = file.capabilities {
            new.permitted = self.bounding & given.permitted | self.inheritable & given.inheritable;
            is_effective = given.is_effective;
            if is_effective && given.permitted & !new.permitted & ALL != 0 {
                return Err(Errno::EPERM);
            }
        }
        // A setuid-root program with capabilities of its own has those and no more.
        let is_limited = file.capabilities.is_some() && self.uid[REAL] != 0 && new.uid[EFFECTIVE] == 0;
        if !self.secures(NOROOT) && !is_limited {
            if new.uid[EFFECTIVE] == 0 || new.uid[REAL] == 0 {
                new.permitted = self.bounding | self.inheritable;
            }
            is_effective |= new.uid[EFFECTIVE] == 0;
        }
        let sets_id = new.uid[EFFECTIVE] != self.uid[REAL] || new.gid[EFFECTIVE] != self.gid[REAL];
        for ids in [&mut new.uid, &mut new.gid] {
            (ids[SAVED], ids[FILES]) = (ids[EFFECTIVE], ids[EFFECTIVE]);
        }
        if file.capabilities.is_some() || sets_id {
            new.ambient = 0;
        }
        new.permitted |= new.ambient;
        new.effective = if is_effective { new.permitted } else { new.ambient };
        new.securebits &= !KEEP_CAPS;
        Ok(new)
    }
}

/// What the file of a program gives whoever executes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileRights {
    /// The owner, of a setuid file.
    pub user: Option<u32>,
    /// The group, of a setgid file.
    pub group: Option<u32>,
    /// The extended attribute security.capability.
    pub capabilities: Option<FileCapabilities>,
}

/// Capabilities of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileCapabilities {
    permitted: u64,
    inheritable: u64,
    is_effective: bool,
}

impl FileCapabilities {
    /// From the value of the extended attribute (`struct vfs_cap_data`, `vfs_ns_cap_data`). None: of no version that
    /// gives this user anything.
    pub fn read(value: &[u8]) -> Option<FileCapabilities> {
        let word = |at: usize| Some(u32::from_le_bytes(value.get(at * 4..at * 4 + 4)?.try_into().ok()?));
        let (head, words) = (word(0)?, value.len() / 4);
        let wide = match (head & 0xff00_0000, words) {
            (0x0100_0000, 3) => false,
            (0x0200_0000, 5) => true,
            // Version 3 counts in the namespace of one root user: ours is user 0.
            (0x0300_0000, 6) if word(5)? == 0 => true,
            _ => return None,
        };
        let set = |low: usize| {
            let high = if wide { word(low + 2)? } else { 0 };
            Some(u64::from(word(low)?) | u64::from(high) << 32)
        };
        Some(FileCapabilities {
            permitted: set(1)? & ALL,
            inheritable: set(2)? & ALL,
            is_effective: head & 1 != 0,
        })
    }
}
