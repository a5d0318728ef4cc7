// SPDX-License-Identifier: GPL-2.0-only
//! The network `user`: the program passt (passt.top) makes the kernel's connections with the rights of this user. It speaks over one
//! end of a pair of sockets, and ends when the other end is closed everywhere: when the instance has ended.
//!
//! passt is started before the kernel boots. Its first process ends when passt serves, or cannot; that is waited for last.

use std::ffi::CStr;

use lkl::sys::{file, socket, spawn, OwnedFd};
use lkl::BackEndKind;
use stowaway_config::{user, Interface, Publish};

use super::back_end::Opened;
use super::program;
use crate::sys::errno::{Explained, Result};
use crate::sys::fs;
use crate::sys::settings::settings;

/// The Ethernet address of passt.
const MAC: &str = "52:55:0a:00:02:02";

/// A passt that is on its way.
pub struct Helper {
    pid: u32,
    /// Where it says why it cannot serve.
    says: OwnedFd,
}

/// Which families of addresses the host can reach others by.
struct Reach {
    four: bool,
    six: bool,
}

/// Starts passt.
pub fn open(asked: &Interface) -> core::result::Result<Opened, String> {
    let program = program::find("passt").ok_or("passt is not installed (on Debian: apt install passt)")?;
    let [ours, theirs] =
        socket::pair(libc::SOCK_STREAM).map_err(|e| format!("no sockets: {}", Explained(e)))?;
    let reach = Reach::of_host();
    let helper = start(&program, &arguments(&reach, &settings().publish), &theirs)
        .map_err(|e| format!("passt cannot be started: {}", Explained(e)))?;
    let is_there = |is_four: bool| if is_four { reach.four || !reach.six } else { reach.six };
    Ok(Opened {
        fd: ours,
        interface: lkl::Interface {
            kind: BackEndKind::Stream,
            has_segments: false,
            is_trusted: true,
            has_bare_resets: true,
            returns: false,
            is_listening: false,
            mtu: asked.mtu.unwrap_or(user::MTU).min(user::MTU),
            mac: asked.mac,
        },
        addresses: user::ADDRESSES.into_iter().filter(|(address, _)| is_there(address.is_ipv4())).collect(),
        gateways: user::GATEWAYS.into_iter().filter(|gateway| is_there(gateway.is_ipv4())).collect(),
        helper: Some(helper),
    })
}

impl Reach {
    fn of_host() -> Reach {
        let mut text = vec![0; 64 << 10];
        let mut lines = |path: &CStr, is_default: &dyn Fn(&[&str]) -> bool| {
            let len = fs::read_start(path, &mut text).unwrap_or(0);
            let text = String::from_utf8_lossy(&text[..len]);
            text.lines().any(|line| is_default(&line.split_whitespace().collect::<Vec<_>>()))
        };
        // Interface, destination, ..., mask; and destination, length of the prefix, ..., interface.
        let four = lines(c"/proc/net/route", &|row| {
            row.get(1) == Some(&"00000000") && row.get(7) == Some(&"00000000")
        });
        let six = lines(c"/proc/net/ipv6_route", &|row| {
            row.first().is_some_and(|to| to.bytes().all(|b| b == b'0'))
                && row.get(1) == Some(&"00")
                && row.last() != Some(&"lo")
        });
        Reach { four, six }
    }
}

fn arguments(reach: &Reach, publish: &[Publish]) -> Vec<String> {
    let mut all: Vec<String> = ["passt", "--quiet", "--fd", "3", "--mac-addr", MAC].map(String::from).into();
    let mut add = |option: &str, value: String| all.extend([option.to_string(), value]);
    let [(four, bits), (six, _)] = user::ADDRESSES;
    let [gateway, gateway_of_six] = user::GATEWAYS;
    if reach.four || !reach.six {
        add("--address", four.to_string());
        add("--netmask", bits.to_string());
        add("--gateway", gateway.to_string());
        // Where another resolver is asked, its answers are to come from its own address.
        if settings().dns.is_empty() {
            add("--dns-forward", user::RESOLVER.to_string());
        }
    }
    if reach.six {
        add("--address", six.to_string());
        add("--gateway", gateway_of_six.to_string());
    }
    if !reach.four && !reach.six {
        // The host has only its loopback, which is enough for passt.
        add("--interface", "lo".into());
    }
    for port in publish {
        let address = port.address.map_or(String::new(), |address| format!("{address}/"));
        let option = if port.is_udp { "--udp-ports" } else { "--tcp-ports" };
        add(option, format!("{address}{}:{}", port.host, port.inside));
    }
    match (reach.four, reach.six) {
        (true, true) => {}
        (false, true) => all.push("--ipv6-only".into()),
        _ => all.push("--ipv4-only".into()),
    }
    all
}

fn start(program: &CStr, arguments: &[String], theirs: &OwnedFd) -> Result<Helper> {
    let [says, end] = fs::pipe(libc::O_NONBLOCK)?;
    let pid = program::start(program, arguments, &[None, None, Some(&end), Some(theirs)])?;
    Ok(Helper { pid, says })
}

impl Helper {
    /// Waits until passt serves. Err: why it does not.
    pub fn wait(self) -> core::result::Result<(), String> {
        if spawn::wait_for(self.pid) == 0 {
            return Ok(());
        }
        let mut text = [0; 2048];
        let len = file::read(self.says.raw(), &mut text).unwrap_or(0);
        let text = String::from_utf8_lossy(&text[..len]);
        // It says to stderr, too, that there is no syslog.
        let is_reason = |line: &&str| {
            !line.is_empty() && !line.starts_with("Failed to send") && !line.starts_with("Don't run as root")
        };
        let why = text.lines().rfind(is_reason).unwrap_or("it does not say why");
        Err(format!("passt does not start: {why}"))
    }
}
