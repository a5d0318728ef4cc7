// SPDX-License-Identifier: GPL-2.0-only
//! Instances with a name: which names there are, where the socket of one is, and what is said through the socket.
//!
//! The keeper of the instance listens at [`socket`]. A client sends one byte ([`ASK`] or [`JOIN`]), and reads to the end:
//! [`is_refused`] tells an answer of [`REFUSED`] and a reason from the settings of the instance, as `NAME=VALUE` with a NUL behind
//! each. The answer to [`JOIN`] begins with a variable of the library's own, and comes with descriptors.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::ConfigError;
use crate::names::Key;
use crate::network::Net;
use crate::text::show;
use crate::values::MEM_DEFAULT;

/// The longest name: a socket's path is at most 108 bytes.
const MOST: usize = 40;

/// A client wants the settings.
pub const ASK: u8 = b'A';
/// A client wants to use the kernel.
pub const JOIN: u8 = b'J';
/// The answer begins with this: the rest says why there are no settings.
pub const REFUSED: u8 = b'!';

pub(crate) fn name(key: &str, value: &[u8]) -> Result<String, ConfigError> {
    let may_be = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
    let text = std::str::from_utf8(value).ok().filter(|text| {
        (1..=MOST).contains(&text.len()) && text.bytes().all(|b| may_be(&b)) && !text.starts_with(['.', '-'])
    });
    text.map(str::to_string).ok_or_else(|| {
        ConfigError::new(key, format!("{} is no name of an instance", show(value)))
            .advise("allowed are at most 40 letters, digits, dots, dashes and underscores, such as work")
    })
}

/// The directory of a user's instances, which is the user's alone. `runtime`: XDG_RUNTIME_DIR, if it is set.
pub fn directory(runtime: Option<&OsStr>, uid: u32) -> PathBuf {
    match runtime.map(Path::new).filter(|path| path.is_absolute()) {
        Some(path) => path.join("stowaway"),
        None => PathBuf::from(format!("/tmp/stowaway-{uid}")),
    }
}

/// The socket of an instance in that directory.
pub fn socket(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.socket"))
}

/// The file in that directory that is locked by whoever looks whether there is an instance of the name, or starts one.
pub fn lock(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.lock"))
}

/// The variables that say what all programs of an instance have in common, and its name.
pub fn settings(config: &Config) -> Vec<(String, OsString)> {
    let mut all = config.to_env();
    all.retain(|(name, _)| COMMON.iter().chain(&[Key::Instance]).any(|key| key.env() == name));
    all
}

/// There are at most so many of these variables.
pub const SETTINGS: usize = COMMON.len() + 1;

const COMMON: [Key; 13] = [
    Key::Mount,
    Key::Mem,
    Key::Net,
    Key::Dns,
    Key::Publish,
    Key::Sysctl,
    Key::NetHost,
    Key::Wg,
    Key::Netem,
    Key::Qdisc,
    Key::Rate,
    Key::Mptcp,
    Key::BlockEngine,
];

/// What is sent for variables.
pub fn write(variables: &[(impl AsRef<OsStr>, OsString)]) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in variables {
        text.extend([name.as_ref().as_bytes(), b"=", value.as_bytes(), b"\0"].concat());
    }
    text
}

/// Why the keeper refuses, if the answer says so.
pub fn is_refused(answer: &[u8]) -> Option<String> {
    let (&REFUSED, reason) = answer.split_first()? else { return None };
    Some(String::from_utf8_lossy(reason).into_owned())
}

/// The variables that were sent.
pub fn read(text: &[u8]) -> Vec<(OsString, OsString)> {
    let pairs = text.split(|&b| b == 0).filter_map(|pair| {
        let at = pair.iter().position(|&b| b == b'=')?;
        Some((OsString::from_vec(pair[..at].to_vec()), OsString::from_vec(pair[at + 1..].to_vec())))
    });
    pairs.collect()
}

/// The variables of a program that joins an instance with these settings. `own`: its variables; `config`: what the program asks
/// for, with absolute paths. What the program asks for must not contradict the instance.
pub fn join(
    own: &mut Vec<(OsString, OsString)>,
    config: &Config,
    settings: &[(OsString, OsString)],
) -> Result<(), ConfigError> {
    let is = |key: Key| move |(name, _): &&(OsString, OsString)| name == key.env();
    let asked = self::settings(config);
    let is_asked = [
        (Key::Mount, !config.mounts.is_empty()),
        (Key::Net, config.net != Net::None),
        (Key::Wg, config.wg.is_some()),
        (Key::Netem, config.netem.is_some()),
        (Key::Qdisc, config.qdisc.is_some()),
        (Key::Rate, config.rate.is_some()),
        (Key::Mem, config.mem != MEM_DEFAULT),
    ];
    for (key, _) in is_asked.into_iter().filter(|(_, is_asked)| *is_asked) {
        let wanted = asked.iter().find(|(name, _)| name == key.env()).map(|(_, value)| value);
        let there = settings.iter().find(is(key)).map(|(_, value)| value);
        if wanted != there {
            let there = there.map_or("nothing".into(), |value| show(value.as_bytes()));
            let name = config.instance.as_deref().unwrap_or_default();
            let why = format!("the instance {name} has other settings: {there}");
            return Err(
                ConfigError::new(key.env(), why).advise("leave the setting out, or take another name")
            );
        }
    }
    own.retain(|(name, _)| !COMMON.iter().any(|key| name == key.env()));
    own.extend(settings.iter().filter(|(name, _)| COMMON.iter().any(|key| name == key.env())).cloned());
    Ok(())
}

impl Config {
    /// What an instance with a name cannot be.
    pub(crate) fn check_instance(&self) -> Result<(), ConfigError> {
        let why = match () {
            () if self.instance.is_none() => return Ok(()),
            () if !self.share => "an instance with a name is shared (share is no)",
            () if !self.keeper => "an instance with a name has a keeper (keeper is no)",
            () if !self.follow => "an instance with a name is for all programs (follow is no)",
            () => return Ok(()),
        };
        Err(ConfigError::new(Key::Instance.env(), why).advise("leave one of the two out"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["a", "work-2", "x.y_z", &"n".repeat(40)] {
            assert_eq!(name("k", good.as_bytes()).as_deref(), Ok(good));
        }
        for bad in ["", ".", "..", "-x", ".x", "a/b", "a b", "\u{e4}", &"n".repeat(41)] {
            assert!(name("k", bad.as_bytes()).is_err(), "{bad}");
        }
    }

    fn config(vars: &[(&str, &str)]) -> Config {
        Config::from_env(vars.iter().copied()).unwrap()
    }

    #[test]
    fn who_joins_has_the_settings_of_the_instance() {
        let there =
            config(&[("STOWAWAY_MOUNT", "/a.img:/mnt"), ("STOWAWAY_MEM", "32M"), ("STOWAWAY_LOG", "off")]);
        let settings = read(&write(&settings(&there)));
        let mut own: Vec<(OsString, OsString)> =
            [("STOWAWAY_LOG", "warn"), ("STOWAWAY_INSTANCE", "x")].map(|(a, b)| (a.into(), b.into())).into();
        let asked = Config::from_env(own.clone()).unwrap();
        join(&mut own, &asked, &settings).unwrap();
        let joined = Config::from_env(own).unwrap();
        assert_eq!((joined.mounts, joined.mem), (there.mounts, 32 << 20));
        assert_eq!(joined.log, crate::Level::Warn);
    }

    #[test]
    fn who_asks_for_something_else_does_not_join() {
        let there = config(&[("STOWAWAY_MOUNT", "/a.img:/mnt")]);
        let settings = read(&write(&settings(&there)));
        for (vars, is_good) in [
            (("STOWAWAY_MOUNT", "/a.img:/mnt"), true),
            (("STOWAWAY_MOUNT", "/a.img:/mnt:ro"), false),
            (("STOWAWAY_NET", "lo"), false),
            (("STOWAWAY_MEM", "128M"), false),
            (("STOWAWAY_LOG", "off"), true),
        ] {
            assert_eq!(join(&mut Vec::new(), &config(&[vars]), &settings).is_ok(), is_good, "{vars:?}");
        }
    }

    #[test]
    fn a_refusal_is_told_from_settings() {
        assert_eq!(is_refused(b"!no").as_deref(), Some("no"));
        assert_eq!(is_refused(b"STOWAWAY_NET=lo\0"), None);
        assert_eq!(is_refused(b""), None);
    }
}
