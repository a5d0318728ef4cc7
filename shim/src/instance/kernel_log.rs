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

    /// The lines that were added meanwhile.
    pub fn said_since(&self, kernel: &Kernel) -> Vec<Said> {
        let now = KernelLog::now(kernel).0;
        let last = self.0.lines().last().unwrap_or("");
        let new = match now.rfind(last) {
            Some(at) if !last.is_empty() => &now[at + last.len()..],
            _ => &now[..],
        };
        new.lines().map(Said::read).filter(|said| !said.words.is_empty() && !is_banner(&said.words)).collect()
    }
}

/// A line of the kernel's log.
pub struct Said {
    /// How grave it is, by syslog(2): 3 is an error, 4 a warning.
    level: u8,
    /// Without level, time and source.
    words: String,
}

impl Said {
    fn read(line: &str) -> Said {
        let level = line.strip_prefix('<').and_then(|rest| rest.split('>').next()?.parse::<u8>().ok());
        // What is no level is of a longer line before.
        Said { level: level.unwrap_or(0) & 7, words: words(line).to_owned() }
    }

    /// Whether the line says what is wrong. Drivers say as well what they do, and show the bytes that they do not like.
    fn explains(&self) -> bool {
        const WARNING: u8 = 4;
        const NO_WORDS: [&str; 2] = ["First 128 bytes of", "First 64 bytes of"];
        // A line of print_hex_dump(): `00000010: 00 00 ...`
        let is_dump = self.words.split_once(": ").is_some_and(|(offset, _)| {
            offset.len() == 8 && offset.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        let is_grave = self.level <= WARNING || self.words.starts_with("INFO: ");
        is_grave && !is_dump && !NO_WORDS.iter().any(|begin| self.words.starts_with(begin))
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

/// The last of the lines that say what is wrong, behind `; the kernel says: `. Nothing if there are none.
pub struct LastWords<'a>(pub &'a [Said]);

impl fmt::Display for LastWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 3;
        let mut lines: Vec<&str> =
            self.0.iter().filter(|said| said.explains()).map(|said| &said.words[..]).collect();
        lines.dedup();
        match &lines[lines.len().saturating_sub(MOST)..] {
            [] => Ok(()),
            // Where the kernel sees the mounts is nobody's business.
            last => write!(f, "; the kernel says: {}", last.join("; ").replace("'/anchor/", "'/")),
        }
    }
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
    pub said: &'a [Said],
    pub fstype: &'a CStr,
    pub read_only: bool,
    /// The options of the mount.
    pub opts: &'a [String],
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", LastWords(self.said))?;
        if let Some(features) = self.features() {
            write!(f, "; {features}")?;
        }
        if let Some(help) = self.not_closed().or(self.journal()).or_else(|| self.help().map(str::to_owned)) {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

impl Reason<'_> {
    fn says(&self, what: &str) -> bool {
        self.said.iter().any(|said| said.words.contains(what))
    }

    /// Whether a line ends so: `-2` is no `-22`.
    fn says_last(&self, what: &str) -> bool {
        self.said.iter().any(|said| said.words.ends_with(what))
    }

    /// What helps where the journal is to be replayed, and nothing is to be written.
    fn journal(&self) -> Option<String> {
        const WORDS: [&str; 4] = ["recover", "replay", "noload", "journal"];
        let is_about = |said: &Said| WORDS.iter().any(|word| said.words.to_lowercase().contains(word));
        let option = self.without_replay().filter(|_| self.read_only && self.said.iter().any(is_about))?;
        // What is given is to stay.
        let given: String = self.opts.iter().map(|option| format!("{option}+")).collect();
        Some(format!(
            "the journal has to be replayed: mount a writable copy without :ro, or look without it by opts={given}{option}"
        ))
    }

    /// What helps where a file system was not closed, and its driver does not replay its journal.
    fn not_closed(&self) -> Option<String> {
        let help = match self.fstype.to_bytes() {
            // The driver says nothing.
            b"jfs" if self.said.is_empty() && !self.read_only => {
                "a JFS that was not closed is only read (:ro), until fsck.jfs IMAGE has replayed its journal"
            }
            b"ntfs3" if self.says("volume is dirty") => {
                "it was not closed, or Windows hibernates: ntfsfix IMAGE or chkdsk cleans it, :ro looks at it, opts=force writes all the same"
            }
            _ => return None,
        };
        Some(help.to_owned())
    }

    /// The names of the features that the kernel lacks: its own words have a number.
    fn features(&self) -> Option<String> {
        let said = self.said.iter().find(|said| said.words.contains("unsupported optional features ("))?;
        let number = said.words.split("features (").nth(1)?.split(')').next()?;
        let names = match said.words.contains("RDWR") {
            true => &ext4_features::READ_ONLY[..],
            false => &ext4_features::INCOMPATIBLE[..],
        };
        let bits = u32::from_str_radix(number, 16).ok()?;
        let name = |bit: u32| match names.iter().find(|(known, _)| *known == bit) {
            Some((_, name)) => (*name).to_owned(),
            None => format!("FEATURE_{}{}", if said.words.contains("RDWR") { 'R' } else { 'I' }, bit.ilog2()),
        };
        let names: Vec<String> = (0..32).map(|n| 1 << n).filter(|bit| bits & bit != 0).map(name).collect();
        Some(format!("by dumpe2fs's names: {}", names.join(", ")))
    }

    /// What else helps.
    fn help(&self) -> Option<&'static str> {
        const CUT: &str = "the image is cut short: it has fewer bytes than its file system";
        const READ_ONLY: &str = "mount it read-only (:ro)";
        let is_given = |option: &str| self.opts.iter().any(|given| given == option);
        match self.fstype.to_bytes() {
            b"btrfs" if self.says("device total_bytes should be at most") => Some(CUT),
            b"btrfs" if self.says("duplicate device") => Some(
                "an image with the same UUID is mounted: mount one at a time, or btrfstune -u IMAGE gives one of them another UUID",
            ),
            b"btrfs" if self.says("compat_ro features") && !self.read_only => Some(READ_ONLY),
            b"btrfs" if self.is_without_devices() && !is_given("degraded") => {
                Some("a device is missing: mount them all, as IMAGE+IMAGE, or what is there by opts=degraded")
            }
            b"ext3" | b"ext4" if self.says("exceeds size of device") => Some(CUT),
            b"ext3" | b"ext4" if self.says("unsupported optional features") && self.says("RDWR") => {
                Some(READ_ONLY)
            }
            b"ext3" | b"ext4" if self.says("unsupported optional features (8)") => {
                Some("it is the journal of another image: mount both, as IMAGE+JOURNAL")
            }
            b"ext3" | b"ext4" if self.says("journal device") || self.says("xternal journal") => {
                Some("its journal is on another image: mount both, as IMAGE+JOURNAL")
            }
            b"xfs" if self.says("duplicate UUID") => Some(
                "an image with the same UUID is mounted: opts=nouuid mounts this one too, and xfs_admin -U generate IMAGE gives it another UUID",
            ),
            b"xfs" if self.says("can only be safely mounted read only") => Some(READ_ONLY),
            b"xfs" if self.says("last sector read failed") => Some(CUT),
            b"xfs" if self.says("external log") => {
                Some("its log is on another image: mount both, as IMAGE+LOG")
            }
            b"xfs" if self.says("realtime") => {
                Some("its realtime device is another image: mount both, as IMAGE+REALTIME")
            }
            b"erofs" if self.says("device tag") || self.says("extra devices") => {
                Some("a part of it is on other images: mount them all, as IMAGE+IMAGE")
            }
            _ => None,
        }
    }

    fn is_without_devices(&self) -> bool {
        self.says("missing") || self.says_last("system array: -2") || self.says_last("chunk tree: -2")
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

/// The features of ext4 that a kernel may lack, by the names of dumpe2fs(8) (lib/e2p/feature.c).
mod ext4_features {
    pub const READ_ONLY: [(u32, &str); 16] = [
        (0x1, "sparse_super"),
        (0x2, "large_file"),
        (0x8, "huge_file"),
        (0x10, "uninit_bg"),
        (0x20, "dir_nlink"),
        (0x40, "extra_isize"),
        (0x80, "snapshot"),
        (0x100, "quota"),
        (0x200, "bigalloc"),
        (0x400, "metadata_csum"),
        (0x800, "replica"),
        (0x1000, "read-only"),
        (0x2000, "project"),
        (0x4000, "shared_blocks"),
        (0x8000, "verity"),
        (0x10000, "orphan_present"),
    ];
    pub const INCOMPATIBLE: [(u32, &str); 16] = [
        (0x1, "compression"),
        (0x2, "filetype"),
        (0x4, "needs_recovery"),
        (0x8, "journal_dev"),
        (0x10, "meta_bg"),
        (0x40, "extent"),
        (0x80, "64bit"),
        (0x100, "mmp"),
        (0x200, "flex_bg"),
        (0x400, "ea_inode"),
        (0x1000, "dirdata"),
        (0x2000, "metadata_csum_seed"),
        (0x4000, "large_dir"),
        (0x8000, "inline_data"),
        (0x10000, "encrypt"),
        (0x20000, "casefold"),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &[&str]) -> Vec<Said> {
        lines.iter().map(|line| Said::read(line)).collect()
    }

    fn reason(fstype: &CStr, lines: &[&str], read_only: bool, opts: &[&str]) -> String {
        let opts: Vec<String> = opts.iter().map(|opt| (*opt).to_owned()).collect();
        Reason { said: &said(lines), fstype, read_only, opts: &opts }.to_string()
    }

    #[test]
    fn stamps_and_sources_are_cut_off() {
        assert_eq!(words("<3>[    0.1] EXT4-fs (lkb0): bad geometry: x"), "bad geometry: x");
        assert_eq!(words("<3>[    0.1] XFS (lkb0): a): b"), "a): b");
        assert_eq!(words("<6>[    0.1] plain: text"), "plain: text");
    }

    #[test]
    fn the_lines_that_explain_are_picked() {
        let last = |lines: &[&str]| LastWords(&said(lines)).to_string();
        assert_eq!(last(&["<6>[ 0.1] BTRFS info (device lkb0): enabling ssd optimizations"]), "");
        assert_eq!(last(&[]), "");
        let xfs = [
            "<1>[ 0.1] XFS (lkb0): Metadata CRC error detected at xfs_sb_read_verify",
            "<1>[ 0.1] XFS (lkb0): First 128 bytes of corrupted metadata buffer:",
            "<1>[ 0.1] 00000010: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................",
            "<4>[ 0.1] XFS (lkb0): SB validate failed with error -74.",
            "<5>[ 0.1] XFS (lkb0): Unmounting Filesystem",
        ];
        let picked = "; the kernel says: Metadata CRC error detected at xfs_sb_read_verify; SB validate failed with error -74.";
        assert_eq!(last(&xfs), picked);
        let ext4 = ["<6>[ 0.1] EXT4-fs (lkb0): INFO: recovery required on readonly filesystem"];
        assert!(last(&ext4).contains("recovery required"));
    }

    #[test]
    fn a_missing_image_is_named() {
        let help = |fstype, line: &str| reason(fstype, &[line, "<3>[ 0.1] open_ctree failed"], true, &[]);
        assert!(help(c"btrfs", "<4>[ 0.1] devid 2 uuid 0 is missing").contains("opts=degraded"));
        assert!(help(c"btrfs", "<3>[ 0.1] failed to read chunk tree: -2").contains("opts=degraded"));
        assert!(
            help(c"xfs", "<4>[ 0.1] filesystem is marked as having an external log").contains("IMAGE+LOG")
        );
        assert!(!help(c"ext4", "<3>[ 0.1] bad geometry").contains("IMAGE+"));
    }

    #[test]
    fn an_image_that_is_cut_short_is_called_so() {
        for (fstype, lines) in [
            (
                c"btrfs",
                &[
                    "<3>[ 0.1] device total_bytes should be at most 1 but found 2",
                    "<3>[ 0.1] failed to read chunk tree: -22",
                ][..],
            ),
            (c"ext4", &["<3>[ 0.1] bad geometry: block count 64 exceeds size of device (32 blocks)"]),
            (c"xfs", &["<4>[ 0.1] last sector read failed"]),
        ] {
            let words = reason(fstype, lines, false, &[]);
            assert!(words.contains("cut short") && !words.contains("device is missing"), "{words}");
        }
    }

    #[test]
    fn what_helps_is_said_where_the_journal_is_the_reason() {
        let said = ["<3>[ 0.1] write access unavailable, cannot proceed (try mounting with noload)"];
        let about = |read_only| reason(c"ext4", &said, read_only, &[]);
        assert!(about(true).contains("opts=noload") && !about(false).contains("opts="));
        assert_eq!(reason(c"xfs", &[], true, &[]), "");
        // What is given is no help, and stays.
        let lines = ["<4>[ 0.1] devid 2 is missing", "<4>[ 0.1] log replay required on RO media"];
        let words = reason(c"btrfs", &lines, true, &["degraded"]);
        assert!(words.ends_with("opts=degraded+rescue=nologreplay"), "{words}");
    }

    #[test]
    fn features_have_names() {
        let of = |line: &str| reason(c"ext4", &[line], false, &[]);
        let words = of("<3>[ 0.1] couldn't mount RDWR because of unsupported optional features (40008000)");
        assert!(words.ends_with("verity, FEATURE_R30; mount it read-only (:ro)"), "{words}");
        let words = of("<3>[ 0.1] Couldn't mount because of unsupported optional features (8)");
        assert!(words.contains("journal_dev; it is the journal of another image"), "{words}");
        let words = of("<3>[ 0.1] Couldn't mount because of unsupported optional features (10000)");
        assert!(words.ends_with("names: encrypt"), "{words}");
    }

    #[test]
    fn two_with_one_uuid() {
        let xfs = reason(c"xfs", &["<4>[ 0.1] Filesystem has duplicate UUID 1 - can't mount"], false, &[]);
        assert!(xfs.contains("opts=nouuid"), "{xfs}");
        let btrfs =
            reason(c"btrfs", &["<4>[ 0.1] BTRFS warning: duplicate device /lkb1 devid 1"], false, &[]);
        assert!(btrfs.contains("one at a time") && btrfs.contains("btrfstune -u"), "{btrfs}");
    }
}
