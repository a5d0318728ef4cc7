// SPDX-License-Identifier: GPL-2.0-only
//! The keys of a file of wg-quick(8), a row each.

/// A section of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Interface,
    Peer,
}

/// A key.
pub(super) struct Known {
    pub name: &'static str,
    /// What it may be, behind "is not".
    pub allowed: &'static str,
    pub may_repeat: bool,
}

const fn once(name: &'static str, allowed: &'static str) -> Known {
    Known { name, allowed, may_repeat: false }
}

const fn often(name: &'static str, allowed: &'static str) -> Known {
    Known { name, allowed, may_repeat: true }
}

const KEY: &str = "a key: 32 bytes in base64, as wg genkey prints them";

/// In `[Interface]`.
pub(super) const INTERFACE: &[Known] = &[
    once("PrivateKey", KEY),
    often("Address", "a list of ADDRESS[/BITS], such as 10.0.0.2/32, fd00::2/128"),
    often("DNS", "a list of at most three addresses of resolvers, and of domains"),
    once("MTU", "a number from 68 to 65456"),
    once("ListenPort", "a port"),
    once("FwMark", "a number, or off"),
    once("Table", "auto, off, main or the number of a table"),
    once("SaveConfig", "false: nothing is written back to the file"),
];

/// In `[Peer]`.
pub(super) const PEER: &[Known] = &[
    once("PublicKey", "a key: 32 bytes in base64, as wg pubkey prints them"),
    once("PresharedKey", "a key: 32 bytes in base64, as wg genpsk prints them"),
    often("AllowedIPs", "a list of ADDRESS[/BITS], such as 0.0.0.0/0, ::/0"),
    once("Endpoint", "ADDRESS:PORT, [IPV6-ADDRESS]:PORT or NAME:PORT"),
    once("PersistentKeepalive", "a number of seconds from 0 to 65535, or off"),
];

/// Commands that wg-quick(8) has a shell run as root.
pub(super) const COMMANDS: &[&str] = &["PreUp", "PostUp", "PreDown", "PostDown"];
