// SPDX-License-Identifier: GPL-2.0-only
//! A file of wg-quick(8), read whole or refused with the number of the line.
//!
//! Rule of the place: a message never has a value of the file in it. A key of WireGuard may stand anywhere in a broken file.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::keys::{Section, COMMANDS, INTERFACE, PEER};
use crate::text::nearest;

/// Thirty-two bytes that nobody is to see.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// The bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // The barrier keeps the compiler from leaving out what nobody reads.
        self.0 = [0; 32];
        std::hint::black_box(&mut self.0);
    }
}

/// An address, and how many bits of it say which network.
pub type Network = (IpAddr, u8);

/// Where the routes of AllowedIPs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Table {
    /// The main table; of a default route, a table of its own and rules.
    #[default]
    Auto,
    /// Nowhere.
    Off,
    /// This table.
    Number(u32),
}

/// Where a peer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// There.
    Address(SocketAddr),
    /// At a name's address, at this port.
    Name(String, u16),
}

/// The other end of a tunnel, or one of several.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peer {
    /// Its public key.
    pub public_key: [u8; 32],
    /// A further key that both have.
    pub preshared_key: Option<Secret>,
    /// What is sent to it, and taken from it; the bits of hosts are zero.
    pub allowed: Vec<Network>,
    /// Where it is; `None`: it calls first.
    pub endpoint: Option<Endpoint>,
    /// A packet at least every so many seconds; 0: not.
    pub keepalive: u16,
}

/// A tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// This end's key.
    pub private_key: Secret,
    /// The UDP port; `None`: any.
    pub listen_port: Option<u16>,
    /// The mark of the tunnel's own packets; 0: none that the file names.
    pub mark: u32,
    /// This end's addresses in the tunnel.
    pub addresses: Vec<Network>,
    /// Resolvers.
    pub dns: Vec<IpAddr>,
    /// Domains in which names without a dot are looked for.
    pub search: Vec<String>,
    /// The longest packet; `None`: what fits into the network below.
    pub mtu: Option<u32>,
    /// Where routes go.
    pub table: Table,
    /// The other ends.
    pub peers: Vec<Peer>,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The line, from 1; 0: something is missing.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub why: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.why),
            line => write!(f, "line {line}: {}", self.why),
        }
    }
}

/// There may be so many resolvers, as resolv.conf(5) has it.
const MOST_RESOLVERS: usize = 3;

/// Reads a file.
pub fn read(text: &[u8]) -> Result<Tunnel, Wrong> {
    let mut draft = Draft::default();
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        draft.line = index + 1;
        let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
        let line = std::str::from_utf8(line).map_err(|_| draft.wrong("is no text"))?.trim();
        if line.contains(|c: char| c.is_control() && c != '\t') {
            return Err(draft.wrong("has a control character"));
        }
        draft.take(line)?;
    }
    draft.finish()
}

/// A file that is read so far.
#[derive(Default)]
struct Draft {
    line: usize,
    section: Option<Section>,
    /// The keys that this section has, with their lines.
    seen: Vec<(&'static str, usize)>,
    has_interface: bool,
    private_key: Option<Secret>,
    listen_port: Option<u16>,
    mark: u32,
    addresses: Vec<Network>,
    dns: Vec<IpAddr>,
    search: Vec<String>,
    mtu: Option<u32>,
    table: Table,
    peers: Vec<(Peer, usize)>,
    has_public_key: bool,
}

impl Draft {
    fn wrong(&self, why: impl Into<String>) -> Wrong {
        Wrong { line: self.line, why: why.into() }
    }

    fn take(&mut self, line: &str) -> Result<(), Wrong> {
        if line.is_empty() {
            return Ok(());
        }
        if line.starts_with('[') {
            return self.begin(line);
        }
        let Some(section) = self.section else {
            return Err(self.wrong("stands before [Interface]"));
        };
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| self.wrong("is neither KEY = VALUE nor a section in brackets"))?;
        let (name, value) = (name.trim(), value.trim());
        let known = if section == Section::Interface { INTERFACE } else { PEER };
        let key = known.iter().find(|key| key.name.eq_ignore_ascii_case(name));
        let Some(key) = key else { return Err(self.wrong(unknown(name, section))) };
        if let (false, Some((_, line))) =
            (key.may_repeat, self.seen.iter().find(|(seen, _)| *seen == key.name))
        {
            return Err(self.wrong(format!("{} stands in line {line} already", key.name)));
        }
        self.seen.push((key.name, self.line));
        self.set(key.name, value).map_err(|()| self.wrong(format!("{} is not {}", key.name, key.allowed)))
    }

    fn begin(&mut self, line: &str) -> Result<(), Wrong> {
        self.end_peer()?;
        self.seen.clear();
        if line.eq_ignore_ascii_case("[Interface]") {
            if self.has_interface {
                return Err(self.wrong("is a second [Interface]: a file is for one tunnel"));
            }
            self.has_interface = true;
            self.section = Some(Section::Interface);
        } else if line.eq_ignore_ascii_case("[Peer]") {
            self.section = Some(Section::Peer);
            self.has_public_key = false;
            self.peers.push((Peer::default(), self.line));
        } else {
            return Err(self.wrong("is no section that there is: [Interface] and [Peer]"));
        }
        Ok(())
    }

    /// A peer is complete.
    fn end_peer(&self) -> Result<(), Wrong> {
        let (Some(Section::Peer), Some((peer, line))) = (self.section, self.peers.last()) else {
            return Ok(());
        };
        if !self.has_public_key {
            return Err(Wrong { line: *line, why: "the [Peer] has no PublicKey".into() });
        }
        let before = &self.peers[..self.peers.len() - 1];
        if let Some((_, first)) = before.iter().find(|(other, _)| other.public_key == peer.public_key) {
            let why = format!("the [Peer] has the PublicKey of the one in line {first}");
            return Err(Wrong { line: *line, why });
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ()> {
        match (self.section, self.peers.last_mut()) {
            (Some(Section::Peer), Some((peer, _))) => {
                self.has_public_key |= key == "PublicKey";
                set_of_peer(peer, key, value)
            }
            _ => self.set_of_interface(key, value),
        }
    }

    fn set_of_interface(&mut self, key: &str, value: &str) -> Result<(), ()> {
        match key {
            "PrivateKey" => self.private_key = Some(Secret(key_bytes(value).ok_or(())?)),
            "ListenPort" => self.listen_port = Some(value.parse().map_err(drop)?),
            "FwMark" => self.mark = number_or_off(value)?,
            "Address" => self.addresses.extend(list(value, |piece| network(piece).filter(is_host))?),
            "DNS" => {
                for piece in value.split(',').map(str::trim).filter(|piece| !piece.is_empty()) {
                    match piece.parse() {
                        Ok(address) => self.dns.push(address),
                        Err(_) if is_name(piece) => self.search.push(piece.into()),
                        Err(_) => return Err(()),
                    }
                }
                if self.dns.len() > MOST_RESOLVERS {
                    return Err(());
                }
            }
            "MTU" => {
                let mtu = value.parse().ok().filter(|mtu| (68..=65_456).contains(mtu));
                self.mtu = Some(mtu.ok_or(())?);
            }
            "Table" => {
                self.table = match value {
                    "auto" => Table::Auto,
                    "off" => Table::Off,
                    "main" => Table::Number(254),
                    other => Table::Number(number(other).filter(|number| *number != 0).ok_or(())?),
                }
            }
            // Nothing is written back.
            "SaveConfig" => return if value == "false" { Ok(()) } else { Err(()) },
            _ => return Err(()),
        }
        Ok(())
    }

    fn finish(self) -> Result<Tunnel, Wrong> {
        self.end_peer()?;
        let missing = |why: &str| Wrong { line: 0, why: why.into() };
        if !self.has_interface {
            return Err(missing("there is no [Interface]"));
        }
        let private_key = self.private_key.ok_or_else(|| missing("the [Interface] has no PrivateKey"))?;
        Ok(Tunnel {
            private_key,
            listen_port: self.listen_port,
            mark: self.mark,
            addresses: self.addresses,
            dns: self.dns,
            search: self.search,
            mtu: self.mtu,
            table: self.table,
            peers: self.peers.into_iter().map(|(peer, _)| peer).collect(),
        })
    }
}

fn set_of_peer(peer: &mut Peer, key: &str, value: &str) -> Result<(), ()> {
    match key {
        "PublicKey" => peer.public_key = key_bytes(value).ok_or(())?,
        "PresharedKey" => peer.preshared_key = Some(Secret(key_bytes(value).ok_or(())?)),
        "AllowedIPs" => peer.allowed.extend(list(value, |piece| network(piece).map(without_host))?),
        "Endpoint" => peer.endpoint = Some(endpoint(value).ok_or(())?),
        "PersistentKeepalive" => peer.keepalive = u16::try_from(number_or_off(value)?).map_err(drop)?,
        _ => return Err(()),
    }
    Ok(())
}

/// What is said of a key that there is not. Its name as it is written may have a piece of a key in it.
fn unknown(name: &str, section: Section) -> String {
    let is_it = |known: &&str| known.eq_ignore_ascii_case(name);
    if let Some(known) = COMMANDS.iter().copied().find(is_it) {
        return format!("{known}: commands are not run: take the line out of the file");
    }
    let (here, elsewhere, place) = match section {
        Section::Interface => (INTERFACE, PEER, "[Peer]"),
        Section::Peer => (PEER, INTERFACE, "[Interface]"),
    };
    if let Some(known) = elsewhere.iter().map(|key| key.name).find(is_it) {
        return format!("{known} belongs into {place}");
    }
    let all: Vec<&str> = here.iter().map(|key| key.name).collect();
    let guess = nearest(name, all.iter().copied()).map(|near| format!(", did you mean {near}?"));
    format!("is of no key that is known here{}; known are {}", guess.unwrap_or_default(), all.join(", "))
}

/// All pieces between commas; an empty value is an empty list.
fn list<T>(value: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, ()> {
    let pieces = value.split(',').map(str::trim).filter(|piece| !piece.is_empty());
    pieces.map(|piece| read(piece).ok_or(())).collect()
}

/// `ADDRESS[/BITS]`; without BITS it is one address.
fn network(piece: &str) -> Option<Network> {
    let (address, bits) = match piece.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (piece, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let is_number = |bits: &str| bits.bytes().all(|b| b.is_ascii_digit());
    let bits = match bits {
        Some(bits) => bits.parse().ok().filter(|&all| all <= most && is_number(bits))?,
        None => most,
    };
    Some((address, bits))
}

/// Whether somebody can have it.
fn is_host(&(address, bits): &Network) -> bool {
    bits > 0 && !address.is_unspecified() && !address.is_multicast()
}

/// The network that an address is in.
fn without_host((address, bits): Network) -> Network {
    let address = match address {
        IpAddr::V4(four) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(four) & mask))
        }
        IpAddr::V6(six) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(six) & mask))
        }
    };
    (address, bits)
}

/// `ADDRESS:PORT`, `[ADDRESS]:PORT` or `NAME:PORT`
fn endpoint(value: &str) -> Option<Endpoint> {
    let (host, port) = value.rsplit_once(':')?;
    let port = port.parse().ok().filter(|&port: &u16| port != 0)?;
    if let Some(six) = host.strip_prefix('[') {
        let address: Ipv6Addr = six.strip_suffix(']')?.parse().ok()?;
        return Some(Endpoint::Address(SocketAddr::from((address, port))));
    }
    match host.parse::<Ipv4Addr>() {
        Ok(address) => Some(Endpoint::Address(SocketAddr::from((address, port)))),
        Err(_) => is_name(host).then(|| Endpoint::Name(host.into(), port)),
    }
}

/// A name of a host or a domain: labels of at most 63 letters, digits, dashes and underscores. The last one is no number.
fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(is_label) && !last.bytes().all(|b| b.is_ascii_digit())
}

/// A number, also with 0x.
fn number(value: &str) -> Option<u32> {
    match value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
        Some(digits) if !digits.starts_with('+') => u32::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None => value.parse().ok(),
    }
}

fn number_or_off(value: &str) -> Result<u32, ()> {
    if value == "off" {
        return Ok(0);
    }
    number(value).ok_or(())
}

/// 32 bytes in base64: 43 characters and one `=`.
fn key_bytes(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_suffix('=').filter(|digits| digits.len() == 43)?;
    let mut bytes = [0u8; 33];
    for (index, group) in digits.as_bytes().chunks(4).enumerate() {
        let mut word = 0u32;
        for (place, &digit) in group.iter().enumerate() {
            word |= base64_digit(digit)? << (18 - 6 * place);
        }
        bytes[3 * index..3 * index + 3].copy_from_slice(&word.to_be_bytes()[1..]);
    }
    let (key, rest) = bytes.split_first_chunk::<32>()?;
    (rest == [0]).then_some(*key)
}

fn base64_digit(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests;
