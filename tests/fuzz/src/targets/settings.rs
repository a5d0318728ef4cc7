// SPDX-License-Identifier: GPL-2.0-only
//! Settings: an environment, one variable a line; or, behind `# file`, the text of a settings file.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use stowaway_config::{Config, ConfigError, Mount, RawConfig};

use crate::target::Target;

/// Environments and settings files.
pub const SETTINGS: Target = Target {
    name: "settings",
    seeds,
    words: &[
        b"STOWAWAY_MOUNT=",
        b"STOWAWAY_MEM=",
        b"STOWAWAY_NET=",
        b"STOWAWAY_PUBLISH=",
        b"STOWAWAY_SYSCTL=",
        b"STOWAWAY_WG=",
        b"STOWAWAY_NETEM=delay 1ms loss 1%",
        b"STOWAWAY_QDISC=cake bandwidth 1mbit",
        b"STOWAWAY_QDISC=tbf rate 1mbit burst 2kb limit 9kb",
        b"STOWAWAY_RATE=10mbit",
        b",ip=10.0.0.2/24",
        b",gw=",
        b"STOWAWAY_TRACE=",
        b"STOWAWAY_STATS=",
        b"mount = [",
        b":ro",
        b":/mnt",
        b"\\:",
        b"16G",
        b"nbd+unix:///?socket=/s",
    ],
    most: 4096,
    read,
};

const FILE: &[u8] = b"# file\n";

fn seeds() -> Vec<Vec<u8>> {
    let seeds: [&[u8]; 5] = [
        b"STOWAWAY_NET=tap:tap0,ip=10.0.0.2/24,gw=10.0.0.1,mtu=1500\nSTOWAWAY_DNS=10.0.0.1\nSTOWAWAY_SYSCTL=net.ipv4.tcp_ecn=1\nSTOWAWAY_WG=wg0.conf\nSTOWAWAY_NETEM=delay 50ms 10ms 25% loss gemodel 1% 2%\nSTOWAWAY_QDISC=fq maxrate 1mbit",
        b"STOWAWAY_MOUNT=disk.img:/mnt/data;b.img#2:/b:ro,opts=noatime+nodev\nSTOWAWAY_MEM=64M\nSTOWAWAY_NET=lo",
        b"STOWAWAY_MOUNT=nbd+unix:///?socket=/run/s:/n\nSTOWAWAY_LOG=debug\nSTOWAWAY_KERNEL_LOG=/tmp/log",
        b"STOWAWAY_TRACE=stderr\nSTOWAWAY_STATS=out.txt\nSTOWAWAY_DOORBELL=signal\nSTOWAWAY_FOLLOW=no",
        b"# file\nmount = [\"disk.img:/mnt/data:ro\", \"none:/t,type=tmpfs\"]\nmem = \"64M\"\nnet = \"lo\"\n",
    ];
    seeds.iter().map(|seed| seed.to_vec()).collect()
}

/// What the settings are; None: the file is not text.
fn parse(input: &[u8]) -> Option<Result<Config, ConfigError>> {
    Some(match input.strip_prefix(FILE) {
        Some(text) => {
            let text = std::str::from_utf8(text).ok()?;
            RawConfig::from_toml(text, Path::new("/settings.toml")).and_then(|raw| raw.validate())
        }
        None => Config::from_env(lines(input)),
    })
}

fn read(input: &[u8]) {
    for line in input.split(|&byte| byte == b'\n') {
        if let Ok(mount) = Mount::parse(line) {
            let again = Mount::parse(mount.format().as_bytes()).map_err(|error| error.to_string());
            assert_eq!(again, Ok(mount), "another mount than was written");
        }
    }
    match parse(input) {
        Some(Ok(config)) => same_again(config),
        Some(Err(error)) => assert!(!error.to_string().is_empty()),
        None => {}
    }
}

/// The variables of the lines; those that no environment can hold are left out.
fn lines(input: &[u8]) -> Vec<(&OsStr, &OsStr)> {
    let variable = |line: &'_ [u8]| {
        let at = line.iter().position(|&byte| byte == b'=')?;
        (!line.contains(&0)).then_some(at)
    };
    let of = |line| variable(line).map(|at: usize| (&line[..at], &line[at + 1..]));
    let pairs = input.split(|&byte| byte == b'\n').filter_map(of);
    pairs.map(|(name, value)| (OsStr::from_bytes(name), OsStr::from_bytes(value))).collect()
}

/// What is handed on to another program means the same there.
fn same_again(mut config: Config) {
    if config.absolutize(Path::new("/home/me")).is_err() {
        return;
    }
    let environment: Vec<(String, OsString)> = config.to_env();
    let again = Config::from_env(environment).map_err(|error| error.to_string());
    assert_eq!(again, Ok(config), "other settings than were handed on");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_settings() {
        for seed in seeds() {
            let config = parse(&seed).expect("text");
            assert!(config.is_ok(), "{}: {config:?}", String::from_utf8_lossy(&seed));
        }
    }
}
