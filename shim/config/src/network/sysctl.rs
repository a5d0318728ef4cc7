// SPDX-License-Identifier: GPL-2.0-only
//! Settings of the kernel's network, as sysctl(8) has them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use crate::error::ConfigError;
use crate::text::{escape_into, show, split, unescape};

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
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn what_is_written_is_read_again() {
        let read = sysctl("k", b"net.ipv4.tcp_ecn=1,net.ipv4.ip_local_port_range=1\\,2").unwrap();
        assert_eq!(sysctl("k", format_sysctl(&read).as_bytes()), Ok(read));
        for bad in ["", "net.a", "kernel.x=1", "net.../x=1", "=1"] {
            assert!(sysctl("k", bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
