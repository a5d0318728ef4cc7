// SPDX-License-Identifier: GPL-2.0-only
//! Destinations that are left to the host's network.

use std::fmt;
use std::net::IpAddr;

use crate::error::ConfigError;
use crate::text::show;

/// Addresses, and a port of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// The network's address.
    pub address: IpAddr,
    /// The length of its prefix.
    pub bits: u8,
    /// The port; `None`: all.
    pub port: Option<u16>,
}

impl Destination {
    /// `CIDR[:PORT]`; an IPv6 one stands in brackets if a port follows.
    fn parse(text: &str) -> Option<Destination> {
        let (network, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (network, port) = rest.split_once(']')?;
                (network, Some(port.strip_prefix(':')?))
            }
            None => match text.split_once(':') {
                Some((network, port)) if !port.contains(':') => (network, Some(port)),
                _ => (text, None),
            },
        };
        let (address, bits) = match network.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (network, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|&bits| bits <= most))?;
        let port = match port {
            Some(port) => Some(port.parse().ok().filter(|&port: &u16| port != 0)?),
            None => None,
        };
        Some(Destination { address, bits, port })
    }

    /// Whether this address and port are of it.
    pub fn holds(&self, address: IpAddr, port: u16) -> bool {
        let is_near = match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let differ = u32::from(net) ^ u32::from(address);
                differ.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let differ = u128::from(net) ^ u128::from(address);
                differ.leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        };
        is_near && self.port.is_none_or(|wanted| wanted == port)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.port) {
            (IpAddr::V6(address), Some(port)) => write!(f, "[{address}/{}]:{port}", self.bits),
            (address, Some(port)) => write!(f, "{address}/{}:{port}", self.bits),
            (address, None) => write!(f, "{address}/{}", self.bits),
        }
    }
}

/// Destinations with commas between.
pub(crate) fn on_host(key: &str, value: &[u8]) -> Result<Vec<Destination>, ConfigError> {
    let text = std::str::from_utf8(value).unwrap_or("?");
    text.split(',').map(Destination::parse).collect::<Option<_>>().ok_or_else(|| {
        ConfigError::new(key, format!("{} is no list of destinations", show(value))).advise(
            "allowed is ADDRESS[/BITS][:PORT], such as 127.0.0.1, 10.0.0.0/8, 127.0.0.53:53 or [::1]:53",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["127.0.0.1/32", "10.0.0.0/8:5432", "::1/128", "[fd00::/8]:53", "0.0.0.0/0"] {
            assert_eq!(on_host("k", text.as_bytes()).unwrap()[0].to_string(), text);
        }
        assert_eq!(on_host("k", b"127.0.0.1:53,[::1]:53").unwrap().len(), 2);
        for bad in
            ["", "x", "10.0.0.0/33", "127.0.0.1:0", "127.0.0.1:", "[::1]", "[::1]53", "::1/129", "10.0.0.1,"]
        {
            assert!(on_host("k", bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_destination_is_held_or_not() {
        let holds = |text: &str, address: &str, port| {
            on_host("k", text.as_bytes()).unwrap()[0].holds(address.parse().unwrap(), port)
        };
        assert!(holds("127.0.0.0/8", "127.1.2.3", 1) && !holds("127.0.0.0/8", "128.0.0.1", 1));
        assert!(holds("127.0.0.1", "::ffff:127.0.0.1", 1) && holds("0.0.0.0/0", "9.9.9.9", 1));
        assert!(
            holds("[::1]:53", "::1", 53) && !holds("[::1]:53", "::1", 54) && !holds("::/0", "1.1.1.1", 1)
        );
    }
}
