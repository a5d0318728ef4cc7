// SPDX-License-Identifier: GPL-2.0-only
//! The resolvers that programs are told of.

use std::net::IpAddr;

use crate::error::ConfigError;
use crate::text::show;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_three_addresses() {
        assert_eq!(dns("k", b"10.0.0.1,fd00::1").unwrap().len(), 2);
        for bad in [&b""[..], b"example.org", b"1.1.1.1,", b"1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4", b"\xff"] {
            assert!(dns("k", bad).is_err(), "{bad:?}");
        }
    }
}
