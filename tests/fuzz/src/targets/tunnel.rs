// SPDX-License-Identifier: GPL-2.0-only
//! Files of `--wg`, and what a resolver answers to the question for an Endpoint. An answer is the question behind it, with a byte of its
//! length before both.

use stowaway_config::personality::dns::{answer, hosts, question, resolvers, Answer};
use stowaway_config::personality::wg;

use crate::target::Target;

/// Files of wg-quick(8).
pub const FILE: Target = Target {
    name: "wg_file",
    seeds: files,
    words: &[
        b"[Interface]\n",
        b"[Peer]\n",
        b"PrivateKey = ",
        b"PublicKey = ",
        KEY,
        b"AllowedIPs = 0.0.0.0/0, ::/0\n",
        b"Address = 10.0.0.2/32\n",
        b"Endpoint = [::1]:1\n",
        b"PostUp = x\n",
        b"Table = 0x1\n",
        b"#",
    ],
    most: 4096,
    read: read_file,
};

/// Answers of resolvers.
pub const NAMES: Target = Target {
    name: "dns_answer",
    seeds: answers,
    words: &[&[0xc0, 12], &[0, 1, 0, 1], &[0, 28, 0, 1], &[0x81, 0x80], &[0, 4, 10, 0, 0, 1], &[63]],
    most: 1500,
    read: read_answer,
};

const KEY: &[u8] = b"YAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";

fn files() -> Vec<Vec<u8>> {
    let key = String::from_utf8_lossy(KEY);
    let whole = format!(
        "[Interface]\nPrivateKey = {key}\nAddress = 10.0.0.2/24, fd00::2/64\nDNS = 10.0.0.1, example.org\nMTU = 1420\n\
         ListenPort = 51820\nFwMark = off\nTable = auto\n[Peer]\nPublicKey = {key}\nPresharedKey = {key}\n\
         AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = vpn.example.org:51820\nPersistentKeepalive = 25\n"
    );
    vec![whole.into_bytes(), format!("[Interface]\nPrivateKey={key}\n").into_bytes()]
}

fn read_file(input: &[u8]) {
    match wg::read(input) {
        Ok(tunnel) => {
            let allowed = tunnel.peers.iter().flat_map(|peer| &peer.allowed);
            for &(address, bits) in tunnel.addresses.iter().chain(allowed) {
                assert!(bits <= if address.is_ipv4() { 32 } else { 128 }, "{address}/{bits}");
            }
            assert!(!format!("{tunnel:?}").contains("Secret"), "a key is shown");
        }
        Err(wrong) => {
            let said = wrong.to_string();
            assert!(wrong.line <= input.split(|&b| b == b'\n').count(), "{said}");
            assert!(!said.is_empty() && !said.contains('\n'), "{said:?}");
            // No piece of a key is said that is long enough to be of use.
            let pieces = KEY.windows(8).map(String::from_utf8_lossy);
            assert!(pieces.into_iter().all(|piece| !said.contains(&*piece)), "a key in: {said}");
        }
    }
}

fn answers() -> Vec<Vec<u8>> {
    let made = |is_four: bool, record: &[u8]| {
        let asked = question(7, "vpn.example.org", is_four).expect("a name");
        let mut said = asked.clone();
        said[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 2]);
        said.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 16]);
        said.extend(record);
        [&[asked.len() as u8][..], &asked, &said].concat()
    };
    let six = [&[0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 9, 0, 16][..], &[0x20; 16]].concat();
    vec![made(true, &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1]), made(false, &six)]
}

fn read_answer(input: &[u8]) {
    let _ = (resolvers(input), hosts(input, "localhost"));
    let Some((&len, rest)) = input.split_first() else { return };
    let Some((asked, said)) = rest.split_at_checked(len.into()) else { return };
    if let Some(Answer::Address(address)) = answer(said, asked) {
        assert_eq!(said[..2], asked[..2], "somebody else's answer");
        let is_four = asked[asked.len() - 4..asked.len() - 2] == [0, 1];
        assert_eq!(address.is_ipv4(), is_four, "not what was asked for");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_files_and_answers() {
        for seed in files() {
            assert!(wg::read(&seed).is_ok());
            read_file(&seed);
        }
        for seed in answers() {
            let (asked, said) = seed[1..].split_at(seed[0].into());
            assert!(matches!(answer(said, asked), Some(Answer::Address(_))));
            read_answer(&seed);
        }
    }
}
