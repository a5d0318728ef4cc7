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

    /// The lines that were added meanwhile, without level and time; the last two.
    pub fn said_since(&self, kernel: &Kernel) -> Vec<String> {
        let now = KernelLog::now(kernel).0;
        let last = self.0.lines().last().unwrap_or("");
        let new = match now.rfind(last) {
            Some(at) if !last.is_empty() => &now[at + last.len()..],
            _ => &now[..],
        };
        let lines: Vec<&str> = new.lines().map(words).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(2)..].iter().map(|line| (*line).to_owned()).collect()
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
    pub said: &'a [String],
    pub fstype: &'a CStr,
    pub read_only: bool,
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.said.is_empty() {
            return write!(f, "; STOWAWAY_KERNEL_LOG=stderr shows what the kernel says");
        }
        write!(f, "; the kernel says: {}", self.said.join("; "))?;
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

    /// The option that leaves the journal alone (ext4(5), xfs(5), btrfs(5)).
    fn without_replay(&self) -> Option<&'static str> {
        match self.fstype.to_bytes() {
            b"ext4" => Some("noload"),
            b"xfs" => Some("norecovery"),
            b"btrfs" => Some("rescue=nologreplay"),
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
    fn what_helps_is_said_where_the_journal_is_the_reason() {
        let said = ["write access unavailable, cannot proceed (try mounting with noload)".to_owned()];
        let reason = |read_only| Reason { said: &said, fstype: c"ext4", read_only }.to_string();
        assert!(reason(true).contains("opts=noload") && !reason(false).contains("opts="));
        assert!(Reason { said: &[], fstype: c"xfs", read_only: true }.to_string().contains("KERNEL_LOG"));
    }
}
