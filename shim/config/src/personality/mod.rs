// SPDX-License-Identifier: GPL-2.0-only
//! What the program's network is made to be like: a WireGuard tunnel, delays and losses, MPTCP, filter rules.
//!
//! | file | what it has |
//! |---|---|
//! | `wg.rs`, `keys.rs` | a file of wg-quick(8) |
//! | `netem.rs`, `queue.rs`, `units.rs` | what tc(8) says of delays, losses and queues |
//! | `dns.rs` | the address of an Endpoint's name |

pub mod dns;
mod keys;
pub mod netem;
pub mod queue;
mod units;
pub mod wg;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::config::Config;
use crate::error::ConfigError;
use crate::names::Key;
use crate::network::Net;
use crate::text::show;
use queue::Discipline;

/// The path of a file.
pub(crate) fn file(key: &str, value: &[u8]) -> Result<PathBuf, ConfigError> {
    if value.is_empty() || value.contains(&0) {
        return Err(
            ConfigError::new(key, format!("{} is no path of a file", show(value))).advise("give a file")
        );
    }
    Ok(PathBuf::from(OsStr::from_bytes(value)))
}

/// A rate, in bytes a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// As it was written.
    pub text: String,
    /// Bytes a second.
    pub bytes: u64,
}

fn words(key: &str, value: &[u8]) -> Result<String, ConfigError> {
    let text = std::str::from_utf8(value).ok().filter(|text| !text.contains('\0'));
    text.map(str::to_string).ok_or_else(|| ConfigError::new(key, format!("{} is no text", show(value))))
}

/// What netem does.
pub(crate) fn netem(key: &str, value: &[u8]) -> Result<Discipline, ConfigError> {
    let text = words(key, value)?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut made = netem::read(&words).map_err(|why| {
        ConfigError::new(key, why).advise("allowed is what tc-netem(8) has, such as delay 50ms loss 1%")
    })?;
    made.words = words.join(" ");
    Ok(made)
}

/// A queueing discipline.
pub(crate) fn qdisc(key: &str, value: &[u8]) -> Result<Discipline, ConfigError> {
    queue::read(&words(key, value)?).map_err(|why| {
        ConfigError::new(key, why)
            .advise("allowed is what tc(8) has for them, such as fq or cake bandwidth 10mbit")
    })
}

/// A rate.
pub(crate) fn rate(key: &str, value: &[u8]) -> Result<Rate, ConfigError> {
    let text = words(key, value)?;
    match units::rate(&text) {
        Some(bytes) => Ok(Rate { text, bytes }),
        None => Err(ConfigError::new(key, format!("{} is no rate", show(value)))
            .advise("allowed is a number with a unit of tc(8), such as 10mbit or 500kbit")),
    }
}

impl Config {
    /// What goes with which network.
    pub(crate) fn check_personality(&self) -> Result<(), ConfigError> {
        let wrong = |key: Key, why: &str, advice: &str| Err(ConfigError::new(key.env(), why).advise(advice));
        if self.wg.is_some() && !self.net.has_outside() {
            return wrong(
                Key::Wg,
                "a tunnel needs a network below it",
                "set net to one with an interface, such as user",
            );
        }
        let needs_network = [
            (Key::Netem, self.netem.is_some()),
            (Key::Qdisc, self.qdisc.is_some()),
            (Key::Rate, self.rate.is_some()),
            (Key::Mptcp, self.mptcp),
            (Key::Nft, self.nft.is_some()),
        ];
        match needs_network.into_iter().find(|(_, is_set)| *is_set && self.net == Net::None) {
            Some((key, _)) => {
                wrong(key, "the program has no network of its own", "set net, such as lo or user")
            }
            None => Ok(()),
        }
    }

    /// Whether more is asked of the network than that it is there.
    pub fn has_personality(&self) -> bool {
        let is_set = [self.wg.is_some(), self.netem.is_some(), self.qdisc.is_some(), self.rate.is_some()];
        is_set.contains(&true) || self.nft.is_some()
    }
}
