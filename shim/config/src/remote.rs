// SPDX-License-Identifier: GPL-2.0-only
//! What a server of the network has: `nfs://SERVER[:PORT]/EXPORT`, `smb://[USER@]SERVER[:PORT]/SHARE[/DIR]`,
//! `9p://[USER@]SERVER[:PORT][/TREE]`. The kernel's own clients mount it.

use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;

use crate::config::Config;
use crate::mount::Mount;
use crate::network::{BackEnd, Interface, Net};
use crate::text::show;

/// A server's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// NFS 3 to 4.2 (RFC 1813, RFC 7530, RFC 8881, RFC 7862).
    Nfs,
    /// SMB 2.1 to 3.1.1 (MS-SMB2).
    Smb,
    /// 9P2000.L.
    NineP,
}

/// A directory of a server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// What the server speaks.
    pub protocol: Protocol,
    /// Who asks, where the protocol wants a name.
    pub user: Option<String>,
    /// The server's name, or its address.
    pub host: String,
    /// The server's port; `None`: the protocol's own.
    pub port: Option<u16>,
    /// The directory, absolute.
    pub path: Vec<u8>,
}

const SCHEMES: [(&[u8], Protocol); 3] =
    [(b"nfs://", Protocol::Nfs), (b"smb://", Protocol::Smb), (b"9p://", Protocol::NineP)];

/// What each scheme begins with.
pub(crate) fn schemes() -> impl Iterator<Item = &'static [u8]> {
    SCHEMES.iter().map(|(scheme, _)| *scheme)
}

impl Protocol {
    /// The type of the file system, as mount(2) has it.
    pub fn fstype(self) -> &'static str {
        match self {
            Protocol::Nfs => "nfs",
            Protocol::Smb => "cifs",
            Protocol::NineP => "9p",
        }
    }

    /// The port that servers listen to.
    pub fn port(self) -> u16 {
        match self {
            Protocol::Nfs => 2049,
            Protocol::Smb => 445,
            Protocol::NineP => 564,
        }
    }
}

impl Remote {
    /// Reads a URI. `None`: the text is none of these. `Err`: what is wrong with the URI.
    pub fn parse(text: &[u8]) -> Option<Result<Remote, String>> {
        let (scheme, protocol) = SCHEMES.iter().find(|(scheme, _)| text.starts_with(scheme))?;
        Some(Remote::read(*protocol, &text[scheme.len()..]))
    }

    fn read(protocol: Protocol, text: &[u8]) -> Result<Remote, String> {
        let at = text.iter().position(|&byte| byte == b'/').unwrap_or(text.len());
        let server = std::str::from_utf8(&text[..at]).map_err(|_| "has a server's name that is no text")?;
        let path = decoded(&text[at..])?;
        let (user, server) = match server.rsplit_once('@') {
            Some((user, server)) => (Some(user.to_string()), server),
            None => (None, server),
        };
        let (host, port) = host_and_port(server)?;
        let name = |host: &str| {
            !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        };
        if !name(host) && host.parse::<IpAddr>().is_err() {
            return Err(format!("has no server's name in {}", show(server.as_bytes())));
        }
        if user.as_deref().is_some_and(|user| user.is_empty() || user.contains([',', ':', '%'])) {
            return Err("has a user's name that is empty or has one of , : % in it".into());
        }
        let path = clean(path)?;
        match protocol {
            Protocol::Nfs if user.is_some() => {
                return Err("has a user's name, of which NFS knows none".into())
            }
            Protocol::Smb if path.len() < 2 => return Err("names no share of the server's".into()),
            Protocol::NineP if path.contains(&b',') => return Err("has a comma in its path".into()),
            _ => {}
        }
        Ok(Remote { protocol, user, host: host.to_string(), port, path })
    }
}

/// `HOST[:PORT]`, where an IPv6 address is in brackets.
fn host_and_port(server: &str) -> Result<(&str, Option<u16>), String> {
    let wrong = || format!("has no port's number in {}", show(server.as_bytes()));
    let (host, port) = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(wrong)?)),
        None => server.split_once(':').map_or((server, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map(|port| port.parse().ok().filter(|&port| port > 0).ok_or_else(wrong)).transpose()?;
    Ok((host, port))
}

/// `%XX` is a byte.
fn decoded(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(
            value.filter(|&byte| byte != 0).ok_or("has a % without two digits (a % that is meant is %25)")?,
        );
        rest = &after[2..];
    }
    Ok(bytes)
}

/// The path without doubled and final slashes.
fn clean(path: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut clean = Vec::with_capacity(path.len());
    for name in path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b".")) {
        if name == b".." {
            return Err("has .. in its path".into());
        }
        clean.push(b'/');
        clean.extend_from_slice(name);
    }
    if clean.is_empty() {
        clean.push(b'/');
    }
    Ok(clean)
}

impl Mount {
    /// Whether a directory of a server's is mounted.
    pub fn is_remote(&self) -> bool {
        let image = self.image.as_ref().map_or(&b""[..], |image| image.as_os_str().as_bytes());
        schemes().any(|scheme| image.starts_with(scheme))
    }

    /// The directory of a server's that is mounted, if it is one.
    pub fn remote(&self) -> Option<Remote> {
        Remote::parse(self.image.as_ref()?.as_os_str().as_bytes())?.ok()
    }
}

/// The network of a kernel whose program has none of its own, where a server's directory is mounted.
static FOR_SERVERS: [Interface; 1] = [Interface::bare(BackEnd::User)];

impl Config {
    /// Whether a directory of a server's is mounted.
    pub fn has_remote(&self) -> bool {
        self.mounts.iter().any(Mount::is_remote)
    }

    /// Whether the kernel has a network: the program's own, or one that only mounts use.
    pub fn has_network(&self) -> bool {
        self.net != Net::None || self.has_remote()
    }

    /// The interfaces of the kernel: the program's own, or one that only mounts use.
    pub fn interfaces(&self) -> &[Interface] {
        match self.net {
            Net::None if self.has_remote() => &FOR_SERVERS,
            _ => self.net.interfaces(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Remote, String> {
        Remote::parse(text.as_bytes()).expect(text)
    }

    #[test]
    fn servers_and_paths() {
        let remote = |protocol, user: &str, host: &str, port, path: &str| Remote {
            protocol,
            user: (!user.is_empty()).then(|| user.into()),
            host: host.into(),
            port,
            path: path.into(),
        };
        for (text, expected) in [
            ("nfs://nas/export/a", remote(Protocol::Nfs, "", "nas", None, "/export/a")),
            ("nfs://nas", remote(Protocol::Nfs, "", "nas", None, "/")),
            ("nfs://10.0.0.1:2050//a/./b/", remote(Protocol::Nfs, "", "10.0.0.1", Some(2050), "/a/b")),
            ("nfs://[fd00::1]:1/a%20b", remote(Protocol::Nfs, "", "fd00::1", Some(1), "/a b")),
            ("smb://me@nas/share", remote(Protocol::Smb, "me", "nas", None, "/share")),
            ("9p://localhost:5640/", remote(Protocol::NineP, "", "localhost", Some(5640), "/")),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
        assert!(Remote::parse(b"nbd://x").is_none());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (text, word) in [
            ("nfs:///a", "server's name"),
            ("nfs://a b/x", "server's name"),
            ("nfs://me@nas/x", "user's name"),
            ("nfs://nas:0/x", "port"),
            ("nfs://nas:x/x", "port"),
            ("nfs://[::1]x/x", "port"),
            ("nfs://nas/a/../b", ".."),
            ("nfs://nas/a%2", "%"),
            ("nfs://nas/a%00", "%"),
            ("smb://nas/", "share"),
            ("smb://a,b@nas/x", "user's name"),
            ("9p://nas/a,b", "comma"),
        ] {
            let why = read(text).expect_err(text);
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}
