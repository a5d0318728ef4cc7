// SPDX-License-Identifier: GPL-2.0-only
//! Which tool makes which file system, and with which arguments.

use std::path::Path;
use std::process::Command;

use crate::cli::FsType;
use crate::fail::reason;
use crate::{host, packages};

/// One image to be made.
pub struct Recipe<'a> {
    pub fstype: FsType,
    /// Bytes; `None` where the content decides.
    pub size: Option<u64>,
    /// How many the content needs.
    pub inodes: u64,
    pub label: Option<&'a str>,
    pub dir: Option<&'a Path>,
    /// A directory for what the tool needs besides.
    pub scratch: &'a Path,
    pub image: &'a Path,
}

/// The tool's name.
pub fn tool(fstype: FsType) -> &'static str {
    match fstype {
        FsType::Ext4 => "mkfs.ext4",
        FsType::Ext3 => "mkfs.ext3",
        FsType::Ext2 => "mkfs.ext2",
        FsType::Xfs => "mkfs.xfs",
        FsType::Btrfs => "mkfs.btrfs",
        FsType::Squashfs => "mksquashfs",
        FsType::Erofs => "mkfs.erofs",
        FsType::Vfat => "mkfs.vfat",
        FsType::Iso9660 => "genisoimage",
    }
}

/// Whether the image is as large as its content, and no use without.
pub fn needs_dir(fstype: FsType) -> bool {
    matches!(fstype, FsType::Squashfs | FsType::Erofs | FsType::Iso9660)
}

/// What the tools accept at least, in bytes.
pub fn least_size(fstype: FsType) -> u64 {
    match fstype {
        FsType::Xfs => 300 << 20,
        FsType::Btrfs => 114 << 20,
        FsType::Ext3 | FsType::Ext4 => 8 << 20,
        _ => 1 << 20,
    }
}

impl Recipe<'_> {
    /// Adds the tool's arguments. `Err`: what cannot be had.
    pub fn arguments(&self, command: &mut Command) -> Result<(), String> {
        match self.fstype {
            FsType::Ext2 | FsType::Ext3 | FsType::Ext4 => self.ext(command),
            FsType::Xfs => return self.xfs(command),
            FsType::Btrfs => return self.btrfs(command),
            FsType::Vfat => self.vfat(command),
            FsType::Squashfs | FsType::Erofs => return self.unlabelled(command),
            FsType::Iso9660 => self.iso9660(command),
        }
        Ok(())
    }

    /// A second step: mke2fs gives lost+found to root, and an ordinary user's `find` would stumble over it.
    pub fn finish(&self) -> Option<Command> {
        let (uid, gid) = host::effective_ids();
        if uid == 0 || !matches!(self.fstype, FsType::Ext2 | FsType::Ext3 | FsType::Ext4) {
            return None;
        }
        let script = self.scratch.join("script");
        let lines = format!("sif lost+found uid {uid}\nsif lost+found gid {gid}\n");
        std::fs::write(&script, lines).ok()?;
        let mut command = Command::new(packages::find_command("debugfs")?);
        command.arg("-w").arg("-f").arg(script).arg(self.image);
        Some(command)
    }

    fn label(&self, command: &mut Command, option: &str) {
        if let Some(label) = self.label {
            command.arg(option).arg(label);
        }
    }

    /// 4 KiB blocks at any size: a page each. The root belongs to the caller, who may not be root.
    fn ext(&self, command: &mut Command) {
        let (uid, gid) = host::effective_ids();
        command.args(["-q", "-F", "-b", "4096", "-E", &format!("root_owner={uid}:{gid},lazy_itable_init=0")]);
        // mke2fs makes one inode per 16 KiB; a tree of many small files wants more.
        let usual = self.size.unwrap_or(0) / 16384;
        let wanted = self.inodes * 3 / 2 + 64;
        if wanted > usual {
            command.arg("-N").arg(wanted.to_string());
        }
        self.label(command, "-L");
        if let Some(dir) = self.dir {
            command.arg("-d").arg(dir);
        }
        command.arg(self.image);
    }

    /// The prototype gives the root directory to the caller.
    fn xfs(&self, command: &mut Command) -> Result<(), String> {
        let (uid, gid) = host::effective_ids();
        let prototype = self.scratch.join("prototype");
        std::fs::write(&prototype, format!("none\n0 0\nd--755 {uid} {gid}\n$\n")).map_err(|e| reason(&e))?;
        self.label(command, "-L");
        command.arg("-q").arg("-f").arg("-p").arg(prototype).arg(self.image);
        Ok(())
    }

    /// An empty directory of the caller's gives its owner to the root of an empty image.
    fn btrfs(&self, command: &mut Command) -> Result<(), String> {
        let empty = self.scratch.join("root");
        let dir = match self.dir {
            Some(dir) => dir,
            None => {
                std::fs::create_dir(&empty).map_err(|error| reason(&error))?;
                &empty
            }
        };
        self.label(command, "-L");
        command.args(["-q", "-f", "--rootdir"]).arg(dir).arg(self.image);
        Ok(())
    }

    fn vfat(&self, command: &mut Command) {
        self.label(command, "-n");
        command.arg(self.image);
    }

    fn iso9660(&self, command: &mut Command) {
        self.label(command, "-V");
        command.args(["-quiet", "-R", "-o"]).arg(self.image).args(self.dir);
    }

    fn unlabelled(&self, command: &mut Command) -> Result<(), String> {
        if self.label.is_some() {
            return Err(format!("--label: an image of {} has none", self.fstype.name()));
        }
        let dir = self.dir.ok_or("there is no DIR")?;
        match self.fstype {
            FsType::Squashfs => {
                command.arg(dir).arg(self.image).args(["-noappend", "-no-progress", "-quiet"])
            }
            _ => command.args(["--quiet", "--preserve-mtime"]).arg(self.image).arg(dir),
        };
        Ok(())
    }
}
