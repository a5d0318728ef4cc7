// SPDX-License-Identifier: GPL-2.0-only
//! Mount options that every file system shares: flags of mount(2), as mount(8) translates them.

use crate::mount::Mount;

/// The flags and the data of a mount(2) call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountFlags {
    /// MS_* of include/uapi/linux/mount.h.
    pub flags: u64,
    /// What is left for the file system itself, separated by commas.
    pub data: String,
}

const MS_RDONLY: u64 = 1;

/// (option, flags set, flags cleared)
const ROWS: [(&str, u64, u64); 19] = [
    ("defaults", 0, 0),
    ("nosuid", 2, 0),
    ("suid", 0, 2),
    ("nodev", 4, 0),
    ("dev", 0, 4),
    ("noexec", 8, 0),
    ("exec", 0, 8),
    ("sync", 16, 0),
    ("async", 0, 16),
    ("dirsync", 128, 0),
    ("nosymfollow", 256, 0),
    ("noatime", 1024, 0),
    ("atime", 0, 1024),
    ("nodiratime", 2048, 0),
    ("diratime", 0, 2048),
    ("relatime", 1 << 21, 0),
    ("strictatime", 1 << 24, 0),
    ("lazytime", 1 << 25, 0),
    ("nolazytime", 0, 1 << 25),
];

/// What mount(2) is called with for `mount`.
pub fn mount_flags(mount: &Mount) -> MountFlags {
    let mut flags = if mount.read_only { MS_RDONLY } else { 0 };
    let mut data = Vec::new();
    for opt in &mount.opts {
        match ROWS.iter().find(|row| row.0 == opt) {
            Some((_, set, cleared)) => flags = (flags & !cleared) | set,
            None => data.push(opt.as_str()),
        }
    }
    MountFlags { flags, data: data.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_options_become_flags() {
        let mount = Mount::parse(b"a:/b:ro,opts=noatime+data=journal+nodev+dev+errors=remount-ro").unwrap();
        let MountFlags { flags, data } = mount_flags(&mount);
        assert_eq!(flags, MS_RDONLY | 1024);
        assert_eq!(data, "data=journal,errors=remount-ro");
    }
}
