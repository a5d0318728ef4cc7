// SPDX-License-Identifier: GPL-2.0-only
//! One interface: `BACKEND[,KEY=VALUE]...`

use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::back_end::BackEnd;
use crate::text::{escape_into, split, unescape};

/// An interface of the kernel's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Where its frames go.
    pub back_end: BackEnd,
    /// Its addresses, each with the length of its prefix.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Its IPv4 address comes by DHCP.
    pub dhcp: bool,
    /// The gateways of the default routes, at most one of each family.
    pub gateways: Vec<IpAddr>,
    /// The longest packet; `None`: what is usual for the back end.
    pub mtu: Option<u32>,
    /// The Ethernet address; `None`: a random one.
    pub mac: Option<[u8; 6]>,
    /// The file that its frames are written to as well.
    pub pcap: Option<PathBuf>,
}

/// An interface has at most so many addresses.
const MOST: usize = 8;

impl Interface {
    /// One of which only the back end is said.
    pub(crate) const fn bare(back_end: BackEnd) -> Interface {
        Interface {
            back_end,
            addresses: Vec::new(),
            dhcp: false,
            gateways: Vec::new(),
            mtu: None,
            mac: None,
            pcap: None,
        }
    }

    pub(super) fn parse(text: &[u8]) -> Result<Interface, String> {
        let mut pieces = Vec::new();
        for piece in split(text, b",") {
            pieces.push(unescape(piece).map_err(|_| "has a wrong backslash".to_string())?);
        }
        let mut pieces = pieces.into_iter();
        let mut made = Interface::bare(BackEnd::parse(&pieces.next().unwrap_or_default())?);
        for piece in pieces {
            made.take(&piece)?;
        }
        made.check()?;
        Ok(made)
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), String> {
        if let Some(file) = piece.strip_prefix(b"pcap=") {
            if file.is_empty() || file.contains(&0) {
                return Err("has no path of a file in pcap=".into());
            }
            self.pcap = Some(PathBuf::from(OsStr::from_bytes(file)));
            return Ok(());
        }
        let text = std::str::from_utf8(piece).map_err(|_| "has an unreadable option".to_string())?;
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        match (name, value) {
            ("listen", "") => match &mut self.back_end {
                BackEnd::Stream { listen, .. } => *listen = true,
                _ => return Err("can listen only at stream:PATH".into()),
            },
            ("ip", "dhcp") => self.dhcp = true,
            ("ip", value) => self.addresses.push(with_prefix(value)?),
            ("gw", value) => {
                let gateway: IpAddr = value.parse().map_err(|_| format!("has no address in gw={value}"))?;
                self.gateways.push(gateway);
            }
            ("mtu", value) => {
                let mtu = value.parse().ok().filter(|mtu| (68..=65521).contains(mtu));
                self.mtu = Some(mtu.ok_or(format!("has no MTU in mtu={value}: 68 to 65521"))?);
            }
            ("mac", value) => {
                self.mac = Some(mac(value).ok_or(format!("has no address of one card in mac={value}"))?)
            }
            _ => return Err(format!("has an unknown option {text}")),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        if self.addresses.len() > MOST {
            return Err(format!("has more than {MOST} addresses"));
        }
        if self.dhcp && self.addresses.iter().any(|(address, _)| address.is_ipv4()) {
            return Err("has an IPv4 address and ip=dhcp".into());
        }
        let is_set = self.dhcp || !self.addresses.is_empty() || !self.gateways.is_empty();
        if self.back_end == BackEnd::User && is_set {
            return Err("has addresses of its own: ip= and gw= are for the other kinds".into());
        }
        let reaches = |gateway: &IpAddr| {
            self.addresses.iter().any(|(address, _)| address.is_ipv4() == gateway.is_ipv4())
        };
        match self.gateways.iter().find(|gateway| !reaches(gateway)) {
            Some(gateway) => Err(format!("has a gateway {gateway}, but no ip= of its family")),
            None => Ok(()),
        }
    }

    pub(super) fn format_into(&self, text: &mut Vec<u8>) {
        self.back_end.format_into(text);
        let mut more: Vec<String> =
            self.addresses.iter().map(|(address, bits)| format!(",ip={address}/{bits}")).collect();
        more.extend(self.dhcp.then(|| ",ip=dhcp".into()));
        more.extend(self.gateways.iter().map(|gateway| format!(",gw={gateway}")));
        more.extend(self.mtu.map(|mtu| format!(",mtu={mtu}")));
        more.extend(self.mac.map(|mac| format!(",mac={}", mac.map(|byte| format!("{byte:02x}")).join(":"))));
        text.extend(more.iter().flat_map(|piece| piece.bytes()));
        if let Some(file) = &self.pcap {
            text.extend_from_slice(b",pcap=");
            escape_into(text, file.as_os_str().as_bytes());
        }
    }

    pub(super) fn absolutize(&mut self, cwd: &Path) {
        self.back_end.absolutize(cwd);
        self.pcap = self.pcap.take().map(|file| cwd.join(file));
    }
}

fn with_prefix(value: &str) -> Result<(IpAddr, u8), String> {
    let wrong = || format!("has no address in ip={value}: ADDRESS/BITS, such as 10.0.0.2/24, or dhcp");
    let (address, bits) = value.split_once('/').ok_or_else(wrong)?;
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.parse().ok().filter(|bits| (1..=most).contains(bits)).ok_or_else(wrong)?;
    if address.is_unspecified() || address.is_multicast() {
        return Err(wrong());
    }
    Ok((address, bits))
}

/// Six bytes, of one card: the lowest bit of the first says that it is a group's.
fn mac(value: &str) -> Option<[u8; 6]> {
    let bytes: Vec<u8> = value
        .split(':')
        .map(|part| u8::from_str_radix(part, 16).ok().filter(|_| part.len() == 2))
        .collect::<Option<_>>()?;
    let bytes: [u8; 6] = bytes.try_into().ok()?;
    (bytes[0] & 1 == 0 && bytes != [0; 6]).then_some(bytes)
}
