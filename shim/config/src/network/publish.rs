// SPDX-License-Identifier: GPL-2.0-only
//! Ports of the host that lead into the program.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::ConfigError;
use crate::text::show;

/// A port of the host that leads to one of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish {
    /// The host's address; `None`: all.
    pub address: Option<IpAddr>,
    /// The host's port.
    pub host: u16,
    /// The program's port.
    pub inside: u16,
    /// UDP, and not TCP.
    pub is_udp: bool,
}

/// `[ADDRESS:]HOST:INSIDE[/udp]`, with commas between. An IPv6 address stands in brackets.
pub(crate) fn publish(key: &str, value: &[u8]) -> Result<Vec<Publish>, ConfigError> {
    let one = |piece: &str| -> Option<Publish> {
        let (piece, is_udp) = match piece.rsplit_once('/') {
            Some((piece, "udp")) => (piece, true),
            Some((piece, "tcp")) => (piece, false),
            Some(_) => return None,
            None => (piece, false),
        };
        let port = |text: &str| text.parse().ok().filter(|&port: &u16| port != 0);
        let (rest, inside) = piece.rsplit_once(':')?;
        let (address, host) = match rest.rsplit_once(':') {
            Some((address, host)) => (Some(address), host),
            None => (None, rest),
        };
        let address = match address {
            Some(text) => match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
                Some(six) => Some(IpAddr::V6(six.parse::<Ipv6Addr>().ok()?)),
                None => Some(IpAddr::V4(text.parse::<Ipv4Addr>().ok()?)),
            },
            None => None,
        };
        Some(Publish { address, host: port(host)?, inside: port(inside)?, is_udp })
    };
    let text = std::str::from_utf8(value).unwrap_or("?");
    text.split(',').map(one).collect::<Option<_>>().ok_or_else(|| {
        ConfigError::new(key, format!("{} is no list of ports", show(value)))
            .advise("allowed is [ADDRESS:]HOST:INSIDE[/udp], such as 8080:80 or 127.0.0.1:8080:80")
    })
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
            None => {}
        }
        write!(f, "{}:{}{}", self.host, self.inside, if self.is_udp { "/udp" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["8080:80", "127.0.0.1:8080:80", "[::1]:8080:80/udp"] {
            assert_eq!(publish("k", text.as_bytes()).unwrap()[0].to_string(), text);
        }
        for bad in ["80", "0:80", "8080:80/sctp", "x:8080:80", "::1:8080:80", "8080:80,"] {
            assert!(publish("k", bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
