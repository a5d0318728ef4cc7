// SPDX-License-Identifier: GPL-2.0-only
//! Why a mount was refused, in the words of the kernel's own log. Read at a mount only, which may allocate.

use core::ffi::CStr;
use core::fmt;

use lkl::Kernel;

/// How far the log was.
pub struct KernelLog(String);

impl KernelLog {
    /// The log as it is.
    pub fn now(kernel: &Kernel) -> KernelLog {
        let mut text = Vec::new();
        kernel.read_log(&mut |piece| text.extend_from_slice(piece));
        KernelLog(String::from_utf8_lossy(&text).into_owned())
    }

    /// The lines that were added meanwhile, without level and time.
    pub fn said_since(&self, kernel: &Kernel) -> Vec<String> {
        let now = KernelLog::now(kernel).0;
        let last = self.0.lines().last().unwrap_or("");
        let new = match now.rfind(last) {
            Some(at) if !last.is_empty() => &now[at + last.len()..],
            _ => &now[..],
        };
        new.lines()
            .map(words)
            .filter(|line| !line.is_empty() && !is_banner(line))
            .map(str::to_owned)
            .collect()
    }
}

/// What a driver says when it is used for the first time.
fn is_banner(line: &str) -> bool {
    const BANNERS: [&str; 7] = [
        "squashfs: version",
        "Btrfs loaded",
        "SGI XFS with",
        "ntfs3: Enabled",
        "ntfs3: Read-only",
        "JFS: nTxBlock",
        "raid6: ",
    ];
    BANNERS.iter().any(|banner| line.starts_with(banner))
}

/// The last words, which say the most.
pub fn last_words(said: &[String]) -> String {
    said[said.len().saturating_sub(3)..].join("; ")
}

/// `<6>[    0.123456] EXT4-fs (lkb0): text`: the text.
fn words(line: &str) -> &str {
    let line = match line.split_once("] ") {
        Some((stamp, rest)) if stamp.starts_with(['<', '[']) => rest,
        _ => line,
    };
    match line.split_once("): ") {
        Some((source, rest)) if source.contains(" (") && !source.contains(':') => rest,
        _ => line,
    }
    .trim()
}

/// The kernel's reason, and what helps.
pub struct Reason<'a> {
    pub said: &'a [String],
    pub fstype: &'a CStr,
    pub read_only: bool,
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.said.is_empty(), self.not_closed()) {
            (true, Some(help)) => return write!(f, "; {help}"),
            (true, None) => return write!(f, "; STOWAWAY_KERNEL_LOG=stderr shows what the kernel says"),
            (false, _) => {}
        }
        // Where the kernel sees the mounts is nobody's business.
        write!(f, "; the kernel says: {}", last_words(self.said).replace("'/anchor/", "'/"))?;
        if let Some(help) = self.other_images().or(self.not_closed()) {
            return write!(f, "; {help}");
        }
        match self.without_replay().filter(|_| self.read_only && self.is_about_journal()) {
            Some(option) => {
                write!(f, "; the journal has to be replayed: mount a writable copy without :ro, or look without it by opts={option}")
            }
            None => Ok(()),
        }
    }
}

impl Reason<'_> {
    fn is_about_journal(&self) -> bool {
        let words = ["recover", "replay", "noload", "journal"];
        self.said.iter().any(|line| words.iter().any(|word| line.to_lowercase().contains(word)))
    }

    /// What helps where a file system was not closed, and its driver does not replay its journal.
    fn not_closed(&self) -> Option<&'static str> {
        match self.fstype.to_bytes() {
            // The driver says nothing.
            b"jfs" if self.said.is_empty() && !self.read_only => {
                Some("a JFS that was not closed is only read (:ro), until fsck.jfs IMAGE has replayed its journal")
            }
            b"ntfs3" if self.said.iter().any(|line| line.contains("volume is dirty")) => Some(
                "it was not closed, or Windows hibernates: ntfsfix IMAGE or chkdsk cleans it, :ro looks at it, opts=force writes all the same",
            ),
            _ => None,
        }
    }

    /// What helps where a part of the file system is on another image.
    fn other_images(&self) -> Option<&'static str> {
        let says = |what: &str| self.said.iter().any(|line| line.contains(what));
        match self.fstype.to_bytes() {
            b"btrfs" if says("missing") || says("system array: -2") || says("chunk tree: -2") => {
                Some("a device is missing: mount them all, as IMAGE+IMAGE, or what is there by opts=degraded")
            }
            b"ext3" | b"ext4" if says("journal device") || says("xternal journal") => {
                Some("its journal is on another image: mount both, as IMAGE+JOURNAL")
            }
            b"xfs" if says("external log") => Some("its log is on another image: mount both, as IMAGE+LOG"),
            b"xfs" if says("realtime") => {
                Some("its realtime device is another image: mount both, as IMAGE+REALTIME")
            }
            b"erofs" if says("device tag") || says("extra devices") => {
                Some("a part of it is on other images: mount them all, as IMAGE+IMAGE")
            }
            _ => None,
        }
    }

    /// The option that leaves the journal alone (ext4(5), xfs(5), btrfs(5)).
    fn without_replay(&self) -> Option<&'static str> {
        match self.fstype.to_bytes() {
            b"ext4" => Some("noload"),
            b"xfs" => Some("norecovery"),
            b"btrfs" => Some("rescue=nologreplay"),
            b"f2fs" | b"nilfs2" => Some("norecovery"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_and_sources_are_cut_off() {
        assert_eq!(words("<3>[    0.1] EXT4-fs (lkb0): bad geometry: x"), "bad geometry: x");
        assert_eq!(words("<3>[    0.1] XFS (lkb0): a): b"), "a): b");
        assert_eq!(words("<6>[    0.1] plain: text"), "plain: text");
    }

    #[test]
    fn a_missing_image_is_named() {
        let help = |fstype, line: &str| {
            Reason { said: &[line.to_owned(), "open_ctree failed".to_owned()], fstype, read_only: true }
                .to_string()
        };
        assert!(help(c"btrfs", "devid 2 uuid 0 is missing").contains("opts=degraded"));
        assert!(help(c"xfs", "filesystem is marked as having an external log").contains("IMAGE+LOG"));
        assert!(!help(c"ext4", "bad geometry").contains("IMAGE+"));
    }

    #[test]
    fn what_helps_is_said_where_the_journal_is_the_reason() {
        let said = ["write access unavailable, cannot proceed (try mounting with noload)".to_owned()];
        let reason = |read_only| Reason { said: &said, fstype: c"ext4", read_only }.to_string();
        assert!(reason(true).contains("opts=noload") && !reason(false).contains("opts="));
        assert!(Reason { said: &[], fstype: c"xfs", read_only: true }.to_string().contains("KERNEL_LOG"));
    }
}
