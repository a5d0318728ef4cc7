// SPDX-License-Identifier: GPL-2.0-only
//! `nbd://HOST[:PORT][/EXPORT]` and `nbd+unix:///[EXPORT]?socket=PATH` (proto's doc/uri.md), and the way there.
//! There is no resolver here: HOST is an address, or localhost. `timeout=SECONDS` at the end of the query is ours.

use super::patience::{Patience, LOOK_MS};
use crate::sys::{socket, Errno, OwnedFd};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const PORT: u16 = 10809;
/// A server that has said nothing for so long, while it should, is lost.
const TIMEOUT_S: u32 = 60;
const TIMEOUT_MOST_S: u32 = 24 * 3600;
/// Timeouts of the socket in that time: to connect, to send, and for looks at what the server is doing.
pub(crate) const SILENT_TIMEOUTS: u32 = 4;
/// struct sockaddr_un's path.
const UNIX_PATH: usize = 108;
pub(crate) const NAME_MOST: usize = 255;

/// Where an export is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address {
    place: Place,
    name: [u8; NAME_MOST],
    name_len: usize,
    timeout_s: u32,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Internet(SocketAddr),
    Unix([u8; UNIX_PATH]),
}

impl Address {
    /// Reads a URI; an error says what is wrong with it.
    pub(crate) fn parse(uri: &[u8]) -> Result<Address, &'static str> {
        let (uri, timeout_s) = timeout(uri)?;
        if let Some(rest) = uri.strip_prefix(b"nbd+unix://") {
            let query = rest.iter().position(|&b| b == b'?').ok_or("has no ?socket=PATH")?;
            let socket = rest[query + 1..].strip_prefix(b"socket=").ok_or("has no ?socket=PATH")?;
            let mut path = [0; UNIX_PATH];
            let len =
                decode(socket, &mut path[..UNIX_PATH - 1]).ok_or("has a socket path that is too long")?;
            if len == 0 || path[0] != b'/' {
                return Err("has a socket path that is not absolute");
            }
            let name = rest[..query].strip_prefix(b"/").unwrap_or(&rest[..query]);
            return Address::of(Place::Unix(path), name, timeout_s);
        }
        let rest = uri.strip_prefix(b"nbd://").ok_or("begins with neither nbd:// nor nbd+unix://")?;
        let end = rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
        let (place, name) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
        let place = internet(place).ok_or("has a host that is neither an address nor localhost")?;
        Address::of(Place::Internet(place), name, timeout_s)
    }

    fn of(place: Place, raw: &[u8], timeout_s: u32) -> Result<Address, &'static str> {
        let mut name = [0; NAME_MOST];
        let name_len = decode(raw, &mut name).ok_or("has a wrong or too long export name")?;
        Ok(Address { place, name, name_len, timeout_s })
    }

    /// The export's name.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name[..self.name_len]
    }

    /// How long the server may be silent, and how long the way to it may take.
    pub(crate) fn timeout_s(&self) -> u32 {
        self.timeout_s
    }
}

/// Splits a URI into the rest and its timeout.
fn timeout(uri: &[u8]) -> Result<(&[u8], u32), &'static str> {
    const NAME: &[u8] = b"timeout=";
    let Some(at) =
        uri.windows(NAME.len() + 1).rposition(|part| matches!(part[0], b'?' | b'&') && &part[1..] == NAME)
    else {
        return Ok((uri, TIMEOUT_S));
    };
    let number = std::str::from_utf8(&uri[at + 1 + NAME.len()..]).ok().and_then(|number| number.parse().ok());
    match number.filter(|seconds| (1..=TIMEOUT_MOST_S).contains(seconds)) {
        Some(seconds) => Ok((&uri[..at], seconds)),
        None => Err("has a timeout that is no number of seconds, 1 to 86400"),
    }
}

fn internet(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(both) = text.parse::<SocketAddr>() {
        return Some(both);
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !text.ends_with(']') => (host, port.parse().ok()?),
        _ => (text, PORT),
    };
    let ip = match host {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => host.trim_start_matches('[').trim_end_matches(']').parse().ok()?,
    };
    Some(SocketAddr::new(ip, port))
}

/// Decodes %XX; returns the length.
fn decode(from: &[u8], to: &mut [u8]) -> Option<usize> {
    let (mut n, mut at) = (0, 0);
    while at < from.len() {
        let byte = if from[at] == b'%' {
            let digits = std::str::from_utf8(from.get(at + 1..at + 3)?).ok()?;
            at += 2;
            u8::from_str_radix(digits, 16).ok().filter(|&b| b != 0)?
        } else {
            from[at]
        };
        *to.get_mut(n)? = byte;
        n += 1;
        at += 1;
    }
    Some(n)
}

/// A connected socket, its number at least `at_fd`.
pub(crate) fn connect(to: &Address, at_fd: i32, patience: Patience) -> Result<OwnedFd, Errno> {
    let mut raw = [0u8; 2 + UNIX_PATH];
    let (family, len) = match &to.place {
        Place::Unix(path) => {
            raw[2..].copy_from_slice(path);
            (libc::AF_UNIX, raw.len())
        }
        Place::Internet(SocketAddr::V4(at)) => {
            raw[2..4].copy_from_slice(&at.port().to_be_bytes());
            raw[4..8].copy_from_slice(&at.ip().octets());
            (libc::AF_INET, 16)
        }
        Place::Internet(SocketAddr::V6(at)) => {
            raw[2..4].copy_from_slice(&at.port().to_be_bytes());
            raw[8..24].copy_from_slice(&at.ip().octets());
            raw[24..28].copy_from_slice(&at.scope_id().to_ne_bytes());
            (libc::AF_INET6, 28)
        }
    };
    raw[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    let fd = socket::stream(family)?.move_up(at_fd)?;
    prepare(fd.raw(), family != libc::AF_UNIX, to.timeout_s);
    loop {
        patience.check()?;
        match socket::connect(fd.raw(), &raw[..len]) {
            Ok(()) | Err(Errno::EISCONN) => return Ok(fd),
            // Not yet; a second call goes on where the first one ended.
            Err(Errno::EINPROGRESS | Errno::EALREADY | Errno::EAGAIN | Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Bounds on every wait; a connection whose other end is gone is noticed.
fn prepare(fd: i32, internet: bool, timeout_s: u32) {
    let look_ms = timeout_s * 1000 / SILENT_TIMEOUTS;
    let seconds = look_ms / 1000;
    socket::set_timeouts(fd, LOOK_MS);
    let number = |level, option, value: i32| {
        let _ = socket::set_option(fd, level, option, &value.to_ne_bytes());
    };
    if internet {
        number(libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1);
        number(libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
        number(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, seconds.max(1) as i32);
        number(libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 2 * look_ms as i32);
    }
}

/// The way to the server is behind us: the socket's waits are those of a link.
pub(crate) fn set_timeouts(fd: i32, timeout_s: u32) {
    socket::set_timeouts(fd, timeout_s * 1000 / SILENT_TIMEOUTS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        let name = |uri: &str| Address::parse(uri.as_bytes()).map(|a| a.name().to_vec());
        assert_eq!(name("nbd://127.0.0.1/disk%201").unwrap(), b"disk 1");
        assert_eq!(name("nbd://localhost:1234").unwrap(), b"");
        assert_eq!(name("nbd://[::1]/a").unwrap(), b"a");
        assert_eq!(name("nbd://[::1]:99/a").unwrap(), b"a");
        assert_eq!(name("nbd+unix:///a/b?socket=/run/s").unwrap(), b"a/b");
        assert_eq!(name("nbd+unix://?socket=/run/s").unwrap(), b"");
        for bad in ["nbd://", "nbd://example.org/x", "nbd://1.2.3.4:x/", "nbd+unix:///x", "http://1.2.3.4/"] {
            assert!(name(bad).is_err(), "{bad}");
        }
        assert!(name("nbd+unix:///x?socket=relative").is_err());
        assert!(name("nbd://127.0.0.1/%0").is_err());
    }

    #[test]
    fn timeouts() {
        let of = |uri: &str| Address::parse(uri.as_bytes()).map(|a| (a.timeout_s, a.name().to_vec()));
        assert_eq!(of("nbd://1.2.3.4/a"), Ok((TIMEOUT_S, b"a".to_vec())));
        assert_eq!(of("nbd://1.2.3.4/a?timeout=5"), Ok((5, b"a".to_vec())));
        assert_eq!(of("nbd+unix:///a?socket=/b&timeout=86400"), Ok((86400, b"a".to_vec())));
        assert_eq!(of("nbd+unix:///a?socket=/b&timeouts"), Ok((TIMEOUT_S, b"a".to_vec())));
        for bad in ["0", "86401", "-1", "1.5", "", "x"] {
            assert!(of(&format!("nbd://1.2.3.4/a?timeout={bad}")).unwrap_err().contains("seconds"), "{bad}");
        }
        assert!(of("nbd+unix:///a?timeout=5").is_err());
    }

    #[test]
    fn hosts() {
        let at = |text: &str| internet(text.as_bytes()).map(|a| a.to_string());
        assert_eq!(at("10.0.0.1").as_deref(), Some("10.0.0.1:10809"));
        assert_eq!(at("10.0.0.1:5").as_deref(), Some("10.0.0.1:5"));
        assert_eq!(at("[fe80::1]").as_deref(), Some("[fe80::1]:10809"));
        assert_eq!(at("localhost:7").as_deref(), Some("127.0.0.1:7"));
    }
}
