// SPDX-License-Identifier: GPL-2.0-only
//! What the program's network is made to be like: a WireGuard tunnel, delays and losses, MPTCP, filter rules.
//!
//! | file | what it has |
//! |---|---|
//! | `wg.rs`, `keys.rs` | a file of wg-quick(8) |
//! | `dns.rs` | the address of an Endpoint's name |

pub mod dns;
mod keys;
pub mod wg;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::config::Config;
use crate::error::ConfigError;
use crate::names::Key;
use crate::text::show;

/// The path of a file.
pub(crate) fn file(key: &str, value: &[u8]) -> Result<PathBuf, ConfigError> {
    if value.is_empty() || value.contains(&0) {
        return Err(
            ConfigError::new(key, format!("{} is no path of a file", show(value))).advise("give a file")
        );
    }
    Ok(PathBuf::from(OsStr::from_bytes(value)))
}

impl Config {
    /// What goes with which network.
    pub(crate) fn check_personality(&self) -> Result<(), ConfigError> {
        let wrong = |key: Key, why: &str, advice: &str| Err(ConfigError::new(key.env(), why).advise(advice));
        if self.wg.is_some() && self.net.interface().is_none() {
            return wrong(
                Key::Wg,
                "a tunnel needs a network below it",
                "set net to one with an interface, such as user",
            );
        }
        Ok(())
    }

    /// Whether more is asked of the network than that it is there.
    pub fn has_personality(&self) -> bool {
        self.wg.is_some()
    }
}
