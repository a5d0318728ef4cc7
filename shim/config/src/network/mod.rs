// SPDX-License-Identifier: GPL-2.0-only
//! What network the kernel inside has: its interfaces, addresses, resolvers, forwarded ports.
//!
//! | file | what it has |
//! |---|---|
//! | `interface.rs`, `back_end.rs` | one interface, and where its frames go |
//! | `user.rs` | addresses of the network `user` |
//! | `resolvers.rs`, `publish.rs`, `sysctl.rs`, `on_host.rs` | the other settings of a network |

mod back_end;
mod interface;
mod on_host;
mod publish;
mod resolvers;
mod sysctl;
pub mod user;

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use crate::error::ConfigError;
use crate::text::{show, split};

pub use back_end::BackEnd;
pub use interface::Interface;
pub(crate) use on_host::on_host;
pub use on_host::Destination;
pub(crate) use publish::publish;
pub use publish::Publish;
pub(crate) use resolvers::dns;
pub(crate) use sysctl::{format_sysctl, sysctl};

/// Which sockets the kernel serves, and where their packets go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Net {
    /// None: every socket is the host's.
    #[default]
    None,
    /// AF_INET and AF_INET6, over the kernel's own loopback.
    Lo,
    /// The same, and interfaces to the outside: eth0, eth1 and so on; at least one.
    Interfaces(Vec<Interface>),
}

/// A kernel has at most so many interfaces to the outside (`LINKS` of the crate `lkl`).
pub const MOST_INTERFACES: usize = 8;

const ALLOWED: &str =
    "allowed are none, lo, or user, tap:NAME, fd:N, stream:PATH[,listen], switch:PATH or pair:PATH with \
     ,ip=ADDRESS/BITS ,ip=dhcp ,gw=ADDRESS ,mtu=BYTES ,mac=ADDRESS ,pcap=FILE; several with semicolons between them";

/// `none`, `lo`, or interfaces with semicolons (or newlines) between them.
pub(crate) fn net(key: &str, value: &[u8]) -> Result<Net, ConfigError> {
    match value {
        b"none" => return Ok(Net::None),
        b"lo" => return Ok(Net::Lo),
        _ => {}
    }
    let mut all: Vec<Interface> = Vec::new();
    let pieces: Vec<&[u8]> =
        split(value, b";\n").into_iter().filter(|piece| !piece.trim_ascii().is_empty()).collect();
    let pieces = if pieces.is_empty() { vec![value] } else { pieces };
    for piece in pieces {
        let wrong = |why: String| ConfigError::new(key, format!("{} {why}", show(piece))).advise(ALLOWED);
        let made = Interface::parse(piece).map_err(wrong)?;
        check(&all, &made).map_err(wrong)?;
        all.push(made);
    }
    Ok(Net::Interfaces(all))
}

/// What one more interface cannot be beside the others.
fn check(others: &[Interface], made: &Interface) -> Result<(), String> {
    if others.len() == MOST_INTERFACES {
        return Err(format!("is one interface too many: {MOST_INTERFACES} are the most"));
    }
    if others.iter().any(|other| made.back_end.is_exclusive_with(&other.back_end)) {
        return Err("is there twice".into());
    }
    if made.mac.is_some() && others.iter().any(|other| other.mac == made.mac) {
        return Err("has the mac= of another interface".into());
    }
    let gateways: Vec<&IpAddr> = others.iter().chain([made]).flat_map(gateways).collect();
    let count = |four: bool| gateways.iter().filter(|gateway| gateway.is_ipv4() == four).count();
    if count(true) > 1 || count(false) > 1 {
        return Err("makes it two gateways of one family: the kernel has one default route of each".into());
    }
    Ok(())
}

/// The gateways that an interface brings.
fn gateways(interface: &Interface) -> &[IpAddr] {
    match interface.back_end {
        BackEnd::User => &user::GATEWAYS,
        _ => &interface.gateways,
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.format().to_string_lossy())
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        self.format_into(&mut text);
        f.pad(&String::from_utf8_lossy(&text))
    }
}

impl Net {
    /// As it is written.
    pub fn format(&self) -> OsString {
        let mut text = Vec::new();
        match self {
            Net::None => return "none".into(),
            Net::Lo => return "lo".into(),
            Net::Interfaces(all) => {
                for interface in all {
                    if !text.is_empty() {
                        text.push(b';');
                    }
                    interface.format_into(&mut text);
                }
            }
        }
        OsString::from_vec(text)
    }

    /// The interfaces to the outside: eth0, eth1 and so on.
    pub fn interfaces(&self) -> &[Interface] {
        match self {
            Net::Interfaces(all) => all,
            _ => &[],
        }
    }

    /// Whether there is an interface to the outside.
    pub fn has_outside(&self) -> bool {
        !self.interfaces().is_empty()
    }

    /// Whether one of the interfaces is of the network `user`.
    pub fn has_user(&self) -> bool {
        self.interfaces().iter().any(|interface| interface.back_end == BackEnd::User)
    }

    pub(crate) fn absolutize(&mut self, cwd: &Path) {
        if let Net::Interfaces(all) = self {
            all.iter_mut().for_each(|interface| interface.absolutize(cwd));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

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
            "stream:/a/b\\,c\\;d,listen,ip=10.0.0.2/8",
            "switch:/a\\,b,ip=10.0.0.2/8;switch:/a,pcap=/x\\;y\\,z",
            "pair:/a,ip=10.0.0.2/8,pcap=f;pair:/b",
            "user;stream:/a,ip=10.0.0.2/8;stream:/a,ip=10.1.0.2/16",
        ] {
            let read = net("k", text.as_bytes()).unwrap();
            assert_eq!(read.format(), text);
            assert_eq!(net("k", read.format().as_bytes()), Ok(read));
        }
    }

    #[test]
    fn lists_may_be_laid_out_on_lines() {
        let read = net("k", b"\n user;\ntap:t\n").map(|net| net.interfaces().len());
        assert!(read.is_err(), "a blank is no part of a name");
        assert_eq!(net("k", b"user;\ntap:t\n;").unwrap().format(), "user;tap:t");
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
            ("switch:", "path"),
            ("pair:", "path"),
            ("pair:/a,listen", "listen"),
            ("tap:t,pcap=", "pcap="),
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
    fn what_cannot_be_together_is_refused() {
        let nine = ["stream:/s"; 9].join(";");
        for (text, word) in [
            ("user;user", "twice"),
            ("tap:t;user;tap:t", "twice"),
            ("fd:3;fd:3,mtu=1400", "twice"),
            ("pair:/a;pair:/a", "twice"),
            ("user;lo", "alone"),
            ("none;user", "alone"),
            ("user;tap:t,ip=10.0.0.2/8,gw=10.0.0.1", "two gateways"),
            ("tap:t,ip=10.0.0.2/8,gw=10.0.0.1;tap:u,ip=11.0.0.2/8,gw=11.0.0.1", "two gateways"),
            ("tap:t,mac=02:00:00:00:00:01;tap:u,mac=02:00:00:00:00:01", "mac="),
            (&nine, "too many"),
        ] {
            let line = net("STOWAWAY_NET", text.as_bytes()).unwrap_err().to_string();
            assert!(line.starts_with("STOWAWAY_NET: ") && line.contains(word), "{text}: {line}");
        }
        assert!(net("k", b"tap:t,ip=10.0.0.2/8,gw=10.0.0.1;tap:u,ip=fd00::2/64,gw=fd00::1").is_ok());
    }
}
