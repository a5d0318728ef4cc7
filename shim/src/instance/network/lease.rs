// SPDX-License-Identifier: GPL-2.0-only
//! Messages of DHCP (RFC 2131, RFC 2132), as far as an address at the start needs them. (The crates that read all of DHCP bring a resolver and a
//! parser of URLs into every program.) What a server says is checked: it may lie.

use std::net::{IpAddr, Ipv4Addr};

/// Where the options begin, and what stands in front of them.
const OPTIONS: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// A server may refuse shorter messages (RFC 1542, 2.1).
const LEAST: usize = 300;

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// What a server gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub address: Ipv4Addr,
    pub bits: u8,
    pub gateway: Option<IpAddr>,
    pub resolvers: Vec<IpAddr>,
    pub server: Ipv4Addr,
    /// How long, s.
    pub seconds: u32,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Offer(Lease),
    Ack(Lease),
    Nak,
}

/// The question for an offer; with a lease, the request for it. `id` is this exchange's.
pub fn ask(id: u32, mac: [u8; 6], lease: Option<&Lease>) -> Vec<u8> {
    // BOOTREQUEST, Ethernet, 6 bytes of address; the answer is to be a broadcast: there is no address yet.
    let mut message = vec![1, 1, 6, 0];
    message.extend(id.to_be_bytes());
    message.extend([0, 0, 0x80, 0]);
    message.resize(28, 0);
    message.extend(mac);
    message.resize(OPTIONS - COOKIE.len(), 0);
    message.extend(COOKIE);
    message.extend([53, 1, if lease.is_some() { REQUEST } else { DISCOVER }]);
    if let Some(lease) = lease {
        message.extend([50, 4]);
        message.extend(lease.address.octets());
        message.extend([54, 4]);
        message.extend(lease.server.octets());
    }
    // Mask, router, resolvers, time.
    message.extend([55, 4, 1, 3, 6, 51, 255]);
    message.resize(message.len().max(LEAST), 0);
    message
}

/// What a message says. `None`: it is no answer to this exchange, or makes no sense.
pub fn read(message: &[u8], id: u32, mac: [u8; 6]) -> Option<Said> {
    let is_ours = message.get(..4)? == [2, 1, 6, message[3]]
        && message.get(4..8)? == id.to_be_bytes()
        && message.get(28..34)? == mac
        && message.get(OPTIONS - 4..OPTIONS)? == COOKIE;
    if !is_ours {
        return None;
    }
    let options = &message[OPTIONS..];
    if !is_whole(options) {
        return None;
    }
    match (option(options, 53)?, ()) {
        (&[NAK], ()) => Some(Said::Nak),
        (&[OFFER], ()) => lease(message, options).map(Said::Offer),
        (&[ACK], ()) => lease(message, options).map(Said::Ack),
        _ => None,
    }
}

fn lease(message: &[u8], options: &[u8]) -> Option<Lease> {
    let address = Ipv4Addr::from(<[u8; 4]>::try_from(message.get(16..20)?).ok()?);
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() || address.is_broadcast() {
        return None;
    }
    let mask = option(options, 1).and_then(first).map_or(0xffff_ff00, u32::from);
    let bits = mask.leading_ones();
    if bits == 0 || mask.checked_shl(bits).unwrap_or(0) != 0 {
        return None;
    }
    let usable = |address: &Ipv4Addr| !address.is_unspecified() && !address.is_multicast();
    Some(Lease {
        address,
        bits: bits as u8,
        gateway: option(options, 3).and_then(first).filter(usable).map(IpAddr::V4),
        resolvers: option(options, 6)
            .map(addresses)
            .unwrap_or_default()
            .filter(usable)
            .take(3)
            .map(IpAddr::V4)
            .collect(),
        server: option(options, 54).and_then(first)?,
        seconds: option(options, 51).and_then(first).map_or(u32::MAX, u32::from),
    })
}

/// The value of an option; options end at 255, and 0 is none.
fn option(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        match options {
            [0, rest @ ..] => options = rest,
            [255, ..] | [] | [_] => return None,
            [kind, len, rest @ ..] => {
                let (value, rest) = rest.split_at_checked(usize::from(*len))?;
                if *kind == wanted {
                    return Some(value);
                }
                options = rest;
            }
        }
    }
}

/// Whether the options are there up to their end.
fn is_whole(mut options: &[u8]) -> bool {
    loop {
        match options {
            [255, ..] => return true,
            [0, rest @ ..] => options = rest,
            [_, len, rest @ ..] if rest.len() >= usize::from(*len) => options = &rest[usize::from(*len)..],
            _ => return false,
        }
    }
}

fn addresses(value: &[u8]) -> std::vec::IntoIter<Ipv4Addr> {
    let all: Vec<Ipv4Addr> =
        value.chunks_exact(4).map(|part| Ipv4Addr::new(part[0], part[1], part[2], part[3])).collect();
    all.into_iter()
}

fn first(value: &[u8]) -> Option<Ipv4Addr> {
    addresses(value).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

    fn answer(kind: u8, more: &[u8]) -> Vec<u8> {
        let mut message = ask(7, MAC, None);
        message[0] = 2;
        message[16..20].copy_from_slice(&[10, 0, 0, 9]);
        message.truncate(OPTIONS);
        message.extend([53, 1, kind, 54, 4, 10, 0, 0, 1]);
        message.extend(more);
        message
    }

    #[test]
    fn an_offer_is_read() {
        let more = [
            1, 4, 255, 255, 0, 0, 0, 3, 4, 10, 0, 0, 1, 6, 8, 10, 0, 0, 2, 10, 0, 0, 3, 51, 4, 0, 0, 14, 16,
            255,
        ];
        let Some(Said::Offer(lease)) = read(&answer(OFFER, &more), 7, MAC) else { panic!("no offer") };
        assert_eq!((lease.address, lease.bits, lease.seconds), (Ipv4Addr::new(10, 0, 0, 9), 16, 3600));
        assert_eq!((lease.gateway, lease.resolvers.len()), (Some([10, 0, 0, 1].into()), 2));
        let request = ask(7, MAC, Some(&lease));
        assert_eq!(option(&request[OPTIONS..], 50), Some(&[10, 0, 0, 9][..]));
    }

    #[test]
    fn what_makes_no_sense_is_none() {
        assert_eq!(read(&answer(NAK, &[255]), 7, MAC), Some(Said::Nak));
        let good = answer(ACK, &[255]);
        assert!(
            matches!(read(&good, 7, MAC), Some(Said::Ack(lease)) if lease.bits == 24 && lease.gateway.is_none())
        );
        assert_eq!(read(&good, 8, MAC), None);
        assert_eq!(read(&good, 7, [0; 6]), None);
        assert_eq!(read(&answer(ACK, &[1, 4, 255, 0, 255, 0, 255]), 7, MAC), None);
        for len in 0..good.len() {
            let _ = read(&good[..len], 7, MAC);
        }
        assert_eq!(read(&good[..good.len() - 1], 7, MAC), None);
        for at in 0..good.len() {
            for byte in [0, 1, 4, 0x7f, 0x80, 0xff] {
                let mut odd = good.clone();
                odd[at] = byte;
                let _ = read(&odd, 7, MAC);
            }
        }
        let mut nobody = good.clone();
        nobody[16..20].fill(0);
        assert_eq!(read(&nobody, 7, MAC), None);
    }
}
