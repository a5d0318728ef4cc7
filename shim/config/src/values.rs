// SPDX-License-Identifier: GPL-2.0-only
//! The values of the simple settings, and how each is read.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::ConfigError;
use crate::size::{format_size, parse_size};
use crate::text::{escape_into, show, split, unescape};

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

/// Somebody with whose rights the program works on mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Somebody {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// Who reads and writes image files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BlockEngine {
    /// The calling thread what needs no waiting, else a thread of ours.
    #[default]
    Auto,
    /// The calling thread.
    Inline,
    /// Threads of ours.
    Threads,
    /// io_uring, or threads where the host refuses it.
    IoUring,
}

/// How a thread that is out in the program's own code learns of an event in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Doorbell {
    /// By a user interrupt where there are any, else as [`Doorbell::Futex`].
    #[default]
    Auto,
    /// It does not: whoever brings the event deals with it.
    Futex,
    /// By a signal.
    Signal,
    /// By a user interrupt (Intel UINTR).
    Uintr,
}

/// Where messages of a kind go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sink {
    /// Nowhere.
    #[default]
    Off,
    /// To stderr.
    Stderr,
    /// To the end of this file.
    File(PathBuf),
}

/// Where calls are printed, and which.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    /// Where to; off: no calls are printed.
    pub to: Sink,
    /// Names and classes of calls; empty: all.
    pub only: Vec<String>,
}

const LEVELS: [(&str, Level); 6] = [
    ("off", Level::Off),
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
];

const ENGINES: [(&str, BlockEngine); 4] = [
    ("auto", BlockEngine::Auto),
    ("inline", BlockEngine::Inline),
    ("threads", BlockEngine::Threads),
    ("io_uring", BlockEngine::IoUring),
];

const DOORBELLS: [(&str, Doorbell); 4] = [
    ("auto", Doorbell::Auto),
    ("futex", Doorbell::Futex),
    ("signal", Doorbell::Signal),
    ("uintr", Doorbell::Uintr),
];

impl fmt::Display for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(DOORBELLS[*self as usize].0)
    }
}

impl fmt::Display for BlockEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(ENGINES[*self as usize].0)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(LEVELS[*self as usize].0)
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

/// `root`, `UID` or `UID:GID`; a user's group has the user's number where none is said.
pub(crate) fn somebody(key: &str, value: &[u8]) -> Result<Somebody, ConfigError> {
    /// -1 is no id (setresuid(2)).
    const NOBODY_EVER: u32 = u32::MAX;
    let id = |text: &str| match text {
        "root" => Some(0),
        text if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok().filter(|&id| id != NOBODY_EVER),
        _ => None,
    };
    let read = || {
        let text = std::str::from_utf8(value).ok()?;
        let (uid, gid) = text.split_once(':').unwrap_or((text, text));
        Some(Somebody { uid: id(uid)?, gid: id(gid)? })
    };
    read().ok_or_else(|| {
        ConfigError::new(key, format!("{} is not known", show(value)))
            .advise("allowed are root, a user's number, or numbers as UID:GID, such as 1000:1000")
    })
}

impl fmt::Display for Somebody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

pub(crate) fn block_engine(key: &str, value: &[u8]) -> Result<BlockEngine, ConfigError> {
    word(key, value, &ENGINES)
}

pub(crate) fn doorbell(key: &str, value: &[u8]) -> Result<Doorbell, ConfigError> {
    word(key, value, &DOORBELLS)
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

pub(crate) fn sink(key: &str, value: &[u8]) -> Result<Sink, ConfigError> {
    match value {
        b"off" => Ok(Sink::Off),
        b"stderr" => Ok(Sink::Stderr),
        // A mistyped word must not become a file of that name.
        value if value.contains(&b'/') || value.contains(&b'.') => {
            Ok(Sink::File(PathBuf::from(OsStr::from_bytes(value))))
        }
        value => Err(ConfigError::new(key, format!("{} is not known", show(value)))
            .advise("allowed are off, stderr or a file (one beside you as ./NAME)")),
    }
}

pub(crate) fn follow(key: &str, value: &[u8]) -> Result<bool, ConfigError> {
    word(key, value, &[("yes", true), ("no", false)])
}

/// A switch.
pub(crate) fn yes_or_no(key: &str, value: &[u8]) -> Result<bool, ConfigError> {
    word(key, value, &[("yes", true), ("no", false), ("1", true), ("0", false)])
}

/// `SINK[,NAME...]`; a comma in a file's name is escaped.
pub(crate) fn trace(key: &str, value: &[u8]) -> Result<Trace, ConfigError> {
    let mut pieces = split(value, b",").into_iter();
    let to = pieces.next().unwrap_or_default();
    let to = unescape(to).map_err(|_| {
        ConfigError::new(key, format!("{} has a wrong backslash", show(value)))
            .advise("\\ goes before a comma or a backslash of a name")
    })?;
    let name = |piece: &[u8]| match std::str::from_utf8(piece.trim_ascii()) {
        Ok(name) if !name.is_empty() => Ok(name.to_string()),
        _ => Err(ConfigError::new(key, format!("{} has an empty or unreadable name", show(value)))
            .advise("names of calls or classes follow the first comma, such as stderr,openat,memory")),
    };
    Ok(Trace { to: sink(key, &to)?, only: pieces.map(name).collect::<Result<_, _>>()? })
}

impl Sink {
    /// As it is written, so that a path is not taken for a word.
    pub(crate) fn format(&self) -> OsString {
        match self {
            Sink::Off => "off".into(),
            Sink::Stderr => "stderr".into(),
            Sink::File(path) => {
                let bytes = path.as_os_str().as_bytes();
                if bytes.contains(&b'/') || bytes.contains(&b'.') {
                    return path.into();
                }
                Path::new(".").join(path).into()
            }
        }
    }

    /// Makes a relative path absolute.
    pub(crate) fn absolutize(&mut self, cwd: &Path) {
        if let Sink::File(path) = self {
            *path = cwd.join(&path);
        }
    }
}

impl Trace {
    pub(crate) fn format(&self) -> OsString {
        let mut text = Vec::new();
        escape_into(&mut text, self.to.format().as_bytes());
        for name in &self.only {
            text.push(b',');
            text.extend_from_slice(name.as_bytes());
        }
        OsString::from_vec(text)
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
        let line = level("STOWAWAY_LOG", b"loud").unwrap_err().to_string();
        assert_eq!(
            line,
            "STOWAWAY_LOG: \"loud\" is not known; allowed are off, error, warn, info, debug, trace"
        );
        for (text, bell) in DOORBELLS {
            assert_eq!((doorbell("k", text.as_bytes()), bell.to_string()), (Ok(bell), text.to_string()));
        }
        assert!(doorbell("k", b"bell").unwrap_err().to_string().contains("auto, futex, signal, uintr"));
    }

    #[test]
    fn somebodies() {
        let read = |text: &str| somebody("k", text.as_bytes());
        assert_eq!(read("root"), Ok(Somebody { uid: 0, gid: 0 }));
        assert_eq!(read("1000"), Ok(Somebody { uid: 1000, gid: 1000 }));
        let both = Somebody { uid: 0, gid: 4294967294 };
        assert_eq!((read("root:4294967294"), read(&both.to_string())), (Ok(both), Ok(both)));
        for bad in ["", ":", "0:", ":0", "me", "-1", "+1", "4294967295", "1:2:3", "0x1", " 0"] {
            let line = read(bad).unwrap_err().to_string();
            assert!(line.starts_with("k: ") && line.contains("UID:GID"), "{line}");
        }
        assert!(somebody("k", b"\xff").is_err());
    }

    #[test]
    fn a_mistyped_word_is_not_a_file() {
        assert_eq!(sink("k", b"stderr"), Ok(Sink::Stderr));
        assert_eq!(sink("k", b"./stdout"), Ok(Sink::File("./stdout".into())));
        assert_eq!(sink("k", b"boot.log"), Ok(Sink::File("boot.log".into())));
        assert!(sink("k", b"stdout").is_err());
        assert!(sink("k", b"").is_err());
    }

    #[test]
    fn traces() {
        assert_eq!(trace("k", b"off"), Ok(Trace::default()));
        let some = trace("k", b"./a\\,b,openat, memory").unwrap();
        assert_eq!(
            some,
            Trace { to: Sink::File("./a,b".into()), only: vec!["openat".into(), "memory".into()] }
        );
        assert_eq!(trace("k", some.format().as_bytes()), Ok(some));
        for bad in [&b""[..], b"trace", b"stderr,", b"stderr,,read", b"./a\\x"] {
            assert!(trace("k", bad).is_err(), "{bad:?}");
        }
        assert_eq!(follow("k", b"no"), Ok(false));
        assert!(follow("k", b"maybe").is_err());
    }
}
