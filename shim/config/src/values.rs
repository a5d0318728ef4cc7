// SPDX-License-Identifier: GPL-2.0-only
//! The values of the simple settings, and how each is read.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::error::ConfigError;
use crate::size::{format_size, parse_size};
use crate::text::show;

/// The kernel's memory where none is set.
pub const MEM_DEFAULT: u64 = 64 << 20;
/// The least memory that the kernel boots and mounts with.
pub const MEM_MIN: u64 = 16 << 20;
/// The most: far beyond what one virtual CPU can use well.
pub const MEM_MAX: u64 = 16 << 30;

/// How much we say ourselves, on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[allow(missing_docs)] // the names say it
pub enum Level {
    Off,
    Error,
    #[default]
    Warn,
    Info,
    Debug,
    Trace,
}

/// Which sockets the kernel serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Net {
    /// None: every socket is the host's.
    #[default]
    None,
    /// AF_INET and AF_INET6, over the kernel's own loopback.
    Lo,
}

/// Where the kernel's own messages go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KernelLog {
    /// Nowhere.
    #[default]
    Off,
    /// To stderr.
    Stderr,
    /// To the end of this file.
    File(PathBuf),
}

const LEVELS: [(&str, Level); 6] = [
    ("off", Level::Off),
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
];

const NETS: [(&str, Net); 2] = [("none", Net::None), ("lo", Net::Lo)];

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(LEVELS[*self as usize].0)
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(NETS[*self as usize].0)
    }
}

/// The one of `words` that `value` is.
fn word<T: Copy>(key: &str, value: &[u8], words: &[(&str, T)]) -> Result<T, ConfigError> {
    if let Some((_, meant)) = words.iter().find(|(name, _)| name.as_bytes() == value) {
        return Ok(*meant);
    }
    let all: Vec<_> = words.iter().map(|(name, _)| *name).collect();
    Err(ConfigError::new(key, format!("{} is not known", show(value)))
        .advise(format!("allowed are {}", all.join(", "))))
}

pub(crate) fn level(key: &str, value: &[u8]) -> Result<Level, ConfigError> {
    word(key, value, &LEVELS)
}

pub(crate) fn net(key: &str, value: &[u8]) -> Result<Net, ConfigError> {
    word(key, value, &NETS)
}

pub(crate) fn mem(key: &str, value: &[u8]) -> Result<u64, ConfigError> {
    let allowed = || format!("allowed is {} to {}, such as 64M", format_size(MEM_MIN), format_size(MEM_MAX));
    let error = |why: &str| ConfigError::new(key, format!("{} is {why}", show(value))).advise(allowed());
    let bytes = std::str::from_utf8(value).ok().and_then(parse_size).ok_or_else(|| error("not a size"))?;
    match bytes {
        bytes if bytes < MEM_MIN => Err(error("too little")),
        bytes if bytes > MEM_MAX => Err(error("too much")),
        bytes if bytes % 4096 != 0 => Err(error("not a multiple of 4K")),
        bytes => Ok(bytes),
    }
}

pub(crate) fn kernel_log(key: &str, value: &[u8]) -> Result<KernelLog, ConfigError> {
    match value {
        b"off" => Ok(KernelLog::Off),
        b"stderr" => Ok(KernelLog::Stderr),
        // A mistyped word must not become a file of that name.
        value if value.contains(&b'/') || value.contains(&b'.') => {
            Ok(KernelLog::File(PathBuf::from(OsStr::from_bytes(value))))
        }
        value => Err(ConfigError::new(key, format!("{} is not known", show(value)))
            .advise("allowed are off, stderr or a file (one beside you as ./NAME)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded() {
        assert_eq!(mem("k", b"16M"), Ok(MEM_MIN));
        assert_eq!(mem("k", b"16G"), Ok(MEM_MAX));
        for bad in [&b"15M"[..], b"17G", b"", b"lots", b"\xff", b"16777217"] {
            let line = mem("STOWAWAY_MEM", bad).unwrap_err().to_string();
            assert!(line.starts_with("STOWAWAY_MEM: ") && line.contains("16M to 16G"), "{line}");
        }
    }

    #[test]
    fn words() {
        assert_eq!(level("k", b"trace"), Ok(Level::Trace));
        assert_eq!(net("k", b"lo"), Ok(Net::Lo));
        let line = level("STOWAWAY_LOG", b"loud").unwrap_err().to_string();
        assert_eq!(
            line,
            "STOWAWAY_LOG: \"loud\" is not known; allowed are off, error, warn, info, debug, trace"
        );
        assert!(net("k", b"eth0").is_err());
    }

    #[test]
    fn a_mistyped_word_is_not_a_file() {
        assert_eq!(kernel_log("k", b"stderr"), Ok(KernelLog::Stderr));
        assert_eq!(kernel_log("k", b"./stdout"), Ok(KernelLog::File("./stdout".into())));
        assert_eq!(kernel_log("k", b"boot.log"), Ok(KernelLog::File("boot.log".into())));
        assert!(kernel_log("k", b"stdout").is_err());
        assert!(kernel_log("k", b"").is_err());
    }
}
