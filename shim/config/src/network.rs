// SPDX-License-Identifier: GPL-2.0-only
//! What network the kernel inside has: its interface, addresses, resolvers, forwarded ports.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::ConfigError;
use crate::text::{escape_into, show, split, unescape};

/// Which sockets the kernel serves, and where their packets go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Net {
    /// None: every socket is the host's.
    #[default]
    None,
    /// AF_INET and AF_INET6, over the kernel's own loopback.
    Lo,
    /// The same, and an interface to the outside.
    Interface(Box<Interface>),
}

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
}

/// Where an interface's frames go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackEnd {
    /// The host's own connections, by passt.
    User,
    /// A tap device of the host.
    Tap(String),
    /// A descriptor that the program was started with.
    Fd(i32),
    /// A Unix socket that speaks QEMU's protocol.
    Stream {
        /// Its path.
        path: PathBuf,
        /// Wait for a peer there, instead of connecting.
        listen: bool,
    },
}

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

/// The network `user`: addresses of the program, and of what passt answers for. (The same as QEMU's and slirp's, so that people know
/// them; IPv6 ones are of the same shape.)
pub mod user {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    /// The program's addresses, with the lengths of their prefixes.
    pub const ADDRESSES: [(IpAddr, u8); 2] = [(four(15), 24), (six(15), 64)];
    /// The gateways, which lead to the host's own loopback.
    pub const GATEWAYS: [IpAddr; 2] = [four(2), six(2)];
    /// What asks the host's resolver.
    pub const RESOLVER: IpAddr = four(3);
    /// The longest packet that passt takes.
    pub const MTU: u32 = 65_520;

    const fn four(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 2, last))
    }

    const fn six(last: u16) -> IpAddr {
        IpAddr::V6(Ipv6Addr::new(0xfd10, 0, 2, 0, 0, 0, 0, last))
    }
}

/// An interface has at most so many addresses, and there are so many resolvers.
const MOST: usize = 8;

const ALLOWED: &str =
    "allowed are none, lo, or user, tap:NAME, fd:N or stream:PATH[,listen] with ,ip=ADDRESS/BITS ,ip=dhcp \
                       ,gw=ADDRESS ,mtu=BYTES ,mac=ADDRESS";

/// `none`, `lo`, or `BACKEND[,KEY=VALUE]...`
pub(crate) fn net(key: &str, value: &[u8]) -> Result<Net, ConfigError> {
    match value {
        b"none" => return Ok(Net::None),
        b"lo" => return Ok(Net::Lo),
        _ => {}
    }
    let wrong = |why: String| ConfigError::new(key, format!("{} {why}", show(value))).advise(ALLOWED);
    let mut pieces = Vec::new();
    for piece in split(value, b",") {
        pieces.push(unescape(piece).map_err(|_| wrong("has a wrong backslash".into()))?);
    }
    let mut pieces = pieces.into_iter();
    let back_end = back_end(&pieces.next().unwrap_or_default()).map_err(wrong)?;
    let mut made = Interface {
        back_end,
        addresses: Vec::new(),
        dhcp: false,
        gateways: Vec::new(),
        mtu: None,
        mac: None,
    };
    for piece in pieces {
        made.take(&piece).map_err(wrong)?;
    }
    made.check().map_err(wrong)?;
    Ok(Net::Interface(Box::new(made)))
}

fn back_end(text: &[u8]) -> Result<BackEnd, String> {
    let (kind, rest) = match text.iter().position(|&b| b == b':') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &b""[..]),
    };
    let said = String::from_utf8_lossy(rest).into_owned();
    match kind {
        b"user" if text == b"user" => Ok(BackEnd::User),
        b"tap" if is_name(rest) => Ok(BackEnd::Tap(said)),
        b"tap" => Err("has no name of an interface: 1 to 15 letters, digits or ._-".into()),
        b"fd" => match said.parse() {
            Ok(fd) if fd > 2 => Ok(BackEnd::Fd(fd)),
            _ => Err("has no number of a descriptor above 2".into()),
        },
        b"stream" if !rest.is_empty() && !rest.contains(&0) => {
            Ok(BackEnd::Stream { path: PathBuf::from(OsStr::from_bytes(rest)), listen: false })
        }
        b"stream" => Err("has no path of a socket".into()),
        _ => Err("is not known".into()),
    }
}

/// A name of an interface: IFNAMSIZ is 16, with the NUL.
fn is_name(name: &[u8]) -> bool {
    let may_be = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
    (1..=15).contains(&name.len()) && name.iter().all(may_be) && !name.starts_with(b".")
}

impl Interface {
    fn take(&mut self, piece: &[u8]) -> Result<(), String> {
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
        let count = |four: bool| self.gateways.iter().filter(|gateway| gateway.is_ipv4() == four).count();
        if count(true) > 1 || count(false) > 1 {
            return Err("has two gateways of one family".into());
        }
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

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.format().to_string_lossy())
    }
}

impl Net {
    /// As it is written.
    pub fn format(&self) -> OsString {
        match self {
            Net::None => "none".into(),
            Net::Lo => "lo".into(),
            Net::Interface(interface) => interface.format(),
        }
    }

    /// The interface to the outside.
    pub fn interface(&self) -> Option<&Interface> {
        match self {
            Net::Interface(interface) => Some(interface),
            _ => None,
        }
    }

    pub(crate) fn absolutize(&mut self, cwd: &Path) {
        if let Net::Interface(interface) = self {
            if let BackEnd::Stream { path, .. } = &mut interface.back_end {
                *path = cwd.join(&path);
            }
        }
    }
}

impl Interface {
    fn format(&self) -> OsString {
        let mut text = Vec::new();
        match &self.back_end {
            BackEnd::User => text.extend_from_slice(b"user"),
            BackEnd::Tap(name) => text.extend_from_slice(format!("tap:{name}").as_bytes()),
            BackEnd::Fd(fd) => text.extend_from_slice(format!("fd:{fd}").as_bytes()),
            BackEnd::Stream { path, listen } => {
                text.extend_from_slice(b"stream:");
                escape_into(&mut text, path.as_os_str().as_bytes());
                text.extend_from_slice(if *listen { b",listen" } else { b"" });
            }
        }
        let mut more: Vec<String> =
            self.addresses.iter().map(|(address, bits)| format!(",ip={address}/{bits}")).collect();
        more.extend(self.dhcp.then(|| ",ip=dhcp".into()));
        more.extend(self.gateways.iter().map(|gateway| format!(",gw={gateway}")));
        more.extend(self.mtu.map(|mtu| format!(",mtu={mtu}")));
        more.extend(self.mac.map(|mac| format!(",mac={}", mac.map(|byte| format!("{byte:02x}")).join(":"))));
        text.extend(more.iter().flat_map(|piece| piece.bytes()));
        OsString::from_vec(text)
    }
}

/// Addresses of resolvers, with commas.
pub(crate) fn dns(key: &str, value: &[u8]) -> Result<Vec<IpAddr>, ConfigError> {
    let advice = "allowed are addresses with commas between them, such as 10.0.0.1,fd00::1";
    let text = std::str::from_utf8(value).unwrap_or("?");
    let all: Result<Vec<IpAddr>, _> = text.split(',').map(str::parse).collect();
    let all = all.map_err(|_| {
        ConfigError::new(key, format!("{} is no list of addresses", show(value))).advise(advice)
    })?;
    // MAXNS of resolv.conf(5): libc looks at no more.
    if all.len() > 3 {
        return Err(ConfigError::new(key, "more than three addresses: programs ask no more").advise(advice));
    }
    Ok(all)
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

/// `KEY=VALUE`, with commas between.
pub(crate) fn sysctl(key: &str, value: &[u8]) -> Result<Vec<(String, String)>, ConfigError> {
    let may_be = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
    let one = |piece: &&[u8]| -> Option<(String, String)> {
        let text = String::from_utf8(unescape(piece).ok()?).ok()?;
        let (name, value) = text.split_once('=')?;
        let is_name =
            !name.is_empty() && name.bytes().all(may_be) && !name.contains("..") && !name.starts_with('/');
        (is_name && name.starts_with("net.") && !value.contains('\0'))
            .then(|| (name.to_string(), value.to_string()))
    };
    split(value, b",").iter().map(one).collect::<Option<_>>().ok_or_else(|| {
        ConfigError::new(key, format!("{} is no list of settings of the network", show(value))).advise(
            "allowed is KEY=VALUE of sysctl(8), such as net.ipv4.tcp_congestion_control=bbr; a comma in a value is \\,",
        )
    })
}

/// The list that [`sysctl`] reads.
pub(crate) fn format_sysctl(all: &[(String, String)]) -> OsString {
    let mut text = Vec::new();
    for (name, value) in all {
        if !text.is_empty() {
            text.push(b',');
        }
        text.extend_from_slice(name.as_bytes());
        text.push(b'=');
        escape_into(&mut text, value.as_bytes());
    }
    OsString::from_vec(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "none",
            "lo",
            "user",
            "user,mtu=1500",
            "tap:tap0",
            "tap:a.b-c_d,ip=10.0.0.2/24,ip=fd00::2/64,gw=10.0.0.1,gw=fd00::1,mtu=9000,mac=02:00:00:00:00:01",
            "fd:3,ip=dhcp",
            "stream:/a/b\\,c,listen,ip=10.0.0.2/8",
        ] {
            let read = net("k", text.as_bytes()).unwrap();
            assert_eq!(read.format(), text);
            assert_eq!(net("k", read.format().as_bytes()), Ok(read));
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (text, word) in [
            ("", "not known"),
            ("eth0", "not known"),
            ("user:x", "not known"),
            ("tap:", "name"),
            ("tap:a/b", "name"),
            ("tap:sixteen-letters-", "name"),
            ("fd:x", "descriptor"),
            ("fd:1", "descriptor"),
            ("stream:", "path"),
            ("tap:t,listen", "listen"),
            ("tap:t,ip=10.0.0.2", "BITS"),
            ("tap:t,ip=10.0.0.2/33", "BITS"),
            ("tap:t,ip=0.0.0.0/8", "BITS"),
            ("tap:t,gw=x", "gw=x"),
            ("tap:t,gw=10.0.0.1", "10.0.0.1"),
            ("tap:t,ip=fd00::1/64,gw=10.0.0.1", "family"),
            ("tap:t,ip=10.0.0.2/8,gw=10.0.0.1,gw=10.0.0.3", "two gateways"),
            ("tap:t,ip=10.0.0.2/8,ip=dhcp", "dhcp"),
            ("tap:t,mtu=60", "mtu=60"),
            ("tap:t,mac=01:00:00:00:00:00", "mac="),
            ("tap:t,mac=2:0:0:0:0:0", "mac="),
            ("tap:t,colour=red", "colour"),
            ("user,ip=10.0.0.2/24", "user"),
            ("tap:t\\x", "backslash"),
        ] {
            let line = net("STOWAWAY_NET", text.as_bytes()).unwrap_err().to_string();
            assert!(line.starts_with("STOWAWAY_NET: ") && line.contains(word), "{text}: {line}");
        }
    }

    #[test]
    fn resolvers_ports_and_settings() {
        assert_eq!(dns("k", b"10.0.0.1,fd00::1").unwrap().len(), 2);
        for bad in [&b""[..], b"example.org", b"1.1.1.1,", b"1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4", b"\xff"] {
            assert!(dns("k", bad).is_err(), "{bad:?}");
        }
        for text in ["8080:80", "127.0.0.1:8080:80", "[::1]:8080:80/udp"] {
            assert_eq!(publish("k", text.as_bytes()).unwrap()[0].to_string(), text);
        }
        for bad in ["80", "0:80", "8080:80/sctp", "x:8080:80", "::1:8080:80", "8080:80,"] {
            assert!(publish("k", bad.as_bytes()).is_err(), "{bad}");
        }
        let read = sysctl("k", b"net.ipv4.tcp_ecn=1,net.ipv4.ip_local_port_range=1\\,2").unwrap();
        assert_eq!(sysctl("k", format_sysctl(&read).as_bytes()), Ok(read));
        for bad in ["", "net.a", "kernel.x=1", "net.../x=1", "=1"] {
            assert!(sysctl("k", bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
