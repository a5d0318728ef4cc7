// SPDX-License-Identifier: GPL-2.0-only
//! Addresses of servers by their names, as the host knows them: by getent(1), for a resolver within this process would come
//! back into this library.

use std::net::IpAddr;

use lkl::sys::{file, spawn};
use stowaway_config::{user, BackEnd};

use super::program;
use crate::sys::errno::{Errno, Explained};
use crate::sys::fs;
use crate::sys::settings::settings;

/// The addresses of `host`, as the kernel's network reaches them. Err: why there are none.
pub fn addresses(host: &str) -> Result<Vec<IpAddr>, String> {
    let found = match host.parse() {
        Ok(address) => vec![address],
        Err(_) => ask(host)?,
    };
    Ok(found.into_iter().map(reached).collect())
}

/// Behind the network `user`, the host's loopback is the gateway.
fn reached(address: IpAddr) -> IpAddr {
    let is_user = settings().interfaces().iter().any(|interface| interface.back_end == BackEnd::User);
    match user::GATEWAYS.iter().find(|gateway| gateway.is_ipv4() == address.is_ipv4()) {
        Some(&gateway) if is_user && address.is_loopback() => gateway,
        _ => address,
    }
}

/// The name of a user of the host's.
pub fn user(uid: u32) -> Option<String> {
    let line = getent(&["passwd", &uid.to_string()]).ok()?;
    line.split(':').next().filter(|name| !name.is_empty()).map(str::to_string)
}

fn ask(host: &str) -> Result<Vec<IpAddr>, String> {
    let found = listed(&getent(&["ahosts", host])?);
    if found.is_empty() {
        return Err("the host knows no such name".into());
    }
    Ok(found)
}

/// What getent(1) says. Err: why it cannot be asked.
fn getent(words: &[&str]) -> Result<String, String> {
    let unknown = |e: Errno| format!("getent cannot be started: {}", Explained(e));
    let program = program::find("getent").ok_or("getent(1) is not there to find it; give an address")?;
    let [says, end] = fs::pipe(0).map_err(unknown)?;
    let arguments: Vec<String> = ["getent"].iter().chain(words).map(ToString::to_string).collect();
    let pid = program::start(&program, &arguments, &[None, Some(&end)]).map_err(unknown)?;
    drop(end);
    let mut text = Vec::new();
    let mut piece = [0; 1024];
    while let Ok(n @ 1..) = file::read(says.raw(), &mut piece) {
        text.extend_from_slice(&piece[..n]);
    }
    spawn::wait_for(pid);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The addresses in the answer: each in the first column of several lines.
fn listed(text: &str) -> Vec<IpAddr> {
    let mut all = Vec::new();
    for address in text.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()) {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_once() {
        let text = "::1             STREAM localhost\n::1             DGRAM\n127.0.0.1       STREAM\nx y\n";
        let expected: Vec<IpAddr> = vec!["::1".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        assert_eq!(listed(text), expected);
    }
}
