// SPDX-License-Identifier: GPL-2.0-only
//! Questions for an address of a name, and their answers (RFC 1035). It is for the Endpoint of a tunnel, which is asked for before the
//! program has a network: crates that do this bring much of DNS into every program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const A: u16 = 1;
const AAAA: u16 = 28;
const IN: u16 = 1;
/// Bytes of the header.
const HEAD: usize = 12;
/// Bits of its second word: it is an answer, recursion is wanted; the last four say what went wrong.
const RESPONSE: u16 = 0x8000;
const RECURSION: u16 = 0x0100;
const CODE: u16 = 0x000f;
/// A name is at most so long, with the lengths of its labels.
const MOST: usize = 255;

/// A question: what `name` has of IPv4, or of IPv6. `None`: no resolver knows such a name.
pub fn question(id: u16, name: &str, is_four: bool) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    for word in [id, RECURSION, 1, 0, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let len = u8::try_from(label.len()).ok().filter(|len| (1..=63).contains(len))?;
        message.push(len);
        message.extend(label.as_bytes());
    }
    message.push(0);
    if message.len() - HEAD > MOST {
        return None;
    }
    message.extend(if is_four { A } else { AAAA }.to_be_bytes());
    message.extend(IN.to_be_bytes());
    Some(message)
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// This address.
    Address(IpAddr),
    /// There is no such name, or it has no such address.
    Nothing,
    /// The resolver cannot say.
    Failure,
}

/// Reads an answer to `question`. `None`: this is none.
pub fn answer(message: &[u8], question: &[u8]) -> Option<Answer> {
    let word = |at: usize| Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?));
    let asked = question.get(HEAD..)?;
    let flags = word(2)?;
    if message.get(..2)? != &question[..2] || flags & RESPONSE == 0 {
        return None;
    }
    match flags & CODE {
        0 => {}
        3 => return Some(Answer::Nothing),
        // A resolver that refuses need not repeat the question.
        _ => return Some(Answer::Failure),
    }
    let said = message.get(HEAD..HEAD + asked.len())?;
    if word(4)? != 1 || !said.eq_ignore_ascii_case(asked) {
        return None;
    }
    let wanted = u16::from_be_bytes(*asked.get(asked.len().checked_sub(4)?..)?.first_chunk()?);
    let mut at = HEAD + asked.len();
    for _ in 0..word(6)? {
        // Aliases lead to addresses of the same answer: any address in it is one of the name.
        at = after_name(message, at)?;
        let (kind, class, len) = (word(at)?, word(at + 2)?, usize::from(word(at + 8)?));
        let data = message.get(at + 10..at + 10 + len)?;
        if (kind, class) == (wanted, IN) {
            return address(kind, data).map(Answer::Address);
        }
        at += 10 + len;
    }
    Some(Answer::Nothing)
}

/// Where a name ends that begins at `at`.
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            len @ 1..=63 => at += 1 + usize::from(len),
            // A pointer to the rest, which may be anywhere.
            0xc0..=0xff => return Some(at + 2),
            _ => return None,
        }
    }
}

fn address(kind: u16, data: &[u8]) -> Option<IpAddr> {
    match (kind, data.len()) {
        (A, 4) => Some(IpAddr::V4(Ipv4Addr::from(*data.first_chunk::<4>()?))),
        (AAAA, 16) => Some(IpAddr::V6(Ipv6Addr::from(*data.first_chunk::<16>()?))),
        _ => None,
    }
}

/// The resolvers of a resolv.conf(5).
pub fn resolvers(text: &[u8]) -> Vec<IpAddr> {
    let text = String::from_utf8_lossy(text);
    let line = |line: &str| line.trim().strip_prefix("nameserver")?.trim().parse().ok();
    text.lines().filter_map(line).take(3).collect()
}

/// The addresses that a file as hosts(5) has for a name.
pub fn hosts(text: &[u8], name: &str) -> Vec<IpAddr> {
    let text = String::from_utf8_lossy(text);
    let line = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer with these records: kind, data.
    fn answered(question: &[u8], records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = question.to_vec();
        message[2..4].copy_from_slice(&(RESPONSE | RECURSION).to_be_bytes());
        message[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        for (kind, data) in records {
            message.extend([0xc0, 12]);
            for word in [*kind, IN, 0, 60, data.len() as u16] {
                message.extend(word.to_be_bytes());
            }
            message.extend(*data);
        }
        message
    }

    #[test]
    fn an_address_behind_an_alias() {
        let asked = question(7, "vpn.example.org.", true).unwrap();
        assert_eq!(asked[HEAD..HEAD + 5], *b"\x03vpn\x07");
        let said = answered(&asked, &[(5, b"\x01x\0"), (A, &[192, 0, 2, 1]), (A, &[192, 0, 2, 2])]);
        assert_eq!(answer(&said, &asked), Some(Answer::Address("192.0.2.1".parse().unwrap())));
        let six = question(7, "vpn.example.org", false).unwrap();
        let said = answered(&six, &[(AAAA, &[1; 16])]);
        assert!(matches!(answer(&said, &six), Some(Answer::Address(IpAddr::V6(_)))));
        assert_eq!(answer(&answered(&six, &[]), &six), Some(Answer::Nothing));
        // An address of the other length is none.
        assert_eq!(answer(&answered(&six, &[(AAAA, &[1; 4])]), &six), None);
        // What is cut off, or somebody else's, is no answer.
        assert!((0..said.len()).all(|len| answer(&said[..len], &six).is_none()));
        assert_eq!(answer(&said, &asked), None);
        assert_eq!(answer(&said, &question(8, "vpn.example.org", false).unwrap()), None);
        assert_eq!(answer(&six, &six), None);
    }

    #[test]
    fn a_refusal_is_no_address() {
        let asked = question(7, "a", true).unwrap();
        for (code, wanted) in [(3, Answer::Nothing), (2, Answer::Failure), (5, Answer::Failure)] {
            let mut said = answered(&asked, &[]);
            said[3] |= code;
            assert_eq!(answer(&said, &asked), Some(wanted));
        }
        assert_eq!(question(7, "", true), None);
        assert_eq!(question(7, "a..b", true), None);
        assert_eq!(question(7, &"abcdefg.".repeat(32), true), None);
    }

    #[test]
    fn files() {
        let text = b"# x\nnameserver 10.0.0.1\nsearch a\n nameserver  fe80::1%eth0\nnameserver ::1\n";
        assert_eq!(resolvers(text), ["10.0.0.1", "::1"].map(|one| one.parse::<IpAddr>().unwrap()));
        assert_eq!(hosts(b"127.0.0.1 a b # c\n::1 B\n", "b").len(), 2);
        assert_eq!(hosts(b"127.0.0.1 a b # c\n", "c").len(), 0);
    }
}
