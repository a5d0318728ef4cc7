// SPDX-License-Identifier: GPL-2.0-only
//! The address of a name, by the kernel's own UDP: the host's libc would ask over the host's network.

use std::ffi::CStr;
use std::net::{IpAddr, SocketAddr};

use lkl::sys::process::random_u64;
use lkl::sys::time::monotonic_ns;
use stowaway_config::personality::dns::{answer, hosts, question, Answer};

use super::super::inet::Inet;
use super::super::netlink::Call;
use crate::sys::errno::{Explained, Result};
use crate::sys::fs;

const PORT: u16 = 53;
/// How long nobody is asked between one round through the resolvers and the next, ms: a network that has just begun may not lead
/// anywhere yet. How long an answer is waited for, ns.
const PAUSES_MS: [usize; 4] = [300, 600, 1200, 0];
const PATIENCE_NS: u64 = 2_000_000_000;

/// A file of the host's, as far as it is short.
pub fn of_host(path: &CStr) -> Vec<u8> {
    let mut text = vec![0; 64 << 10];
    let len = fs::read_start(path, &mut text).unwrap_or(0);
    text.truncate(len);
    text
}

/// An address of the name: of the host's file of names, or of the resolvers. IPv4 is asked for first.
pub fn find(call: &mut Call<'_>, name: &str, resolvers: &[IpAddr]) -> core::result::Result<IpAddr, String> {
    if let Some(&address) = hosts(&of_host(c"/etc/hosts"), name).first() {
        return Ok(address);
    }
    if resolvers.is_empty() {
        return Err("there is no resolver to ask; see --dns".into());
    }
    let mut last = None;
    for pause_ms in PAUSES_MS {
        for &resolver in resolvers {
            match ask(call, name, resolver) {
                Ok(Some(Answer::Address(address))) => return Ok(address),
                Ok(Some(Answer::Nothing)) => return Err(format!("{resolver} knows no address of it")),
                Ok(Some(Answer::Failure)) => last = Some(format!("{resolver} cannot say")),
                Ok(None) => return Err("is no name".into()),
                Err(e) => last = Some(format!("{resolver}: {}", Explained(e))),
            }
        }
        let _ = call(libc::SYS_poll, &[0, 0, pause_ms, 0, 0, 0]);
    }
    Err(last.unwrap_or_default())
}

/// Asks one resolver for IPv4, and then for IPv6. None: no resolver can be asked for such a name.
fn ask(call: &mut Call<'_>, name: &str, resolver: IpAddr) -> Result<Option<Answer>> {
    let mut said = Answer::Nothing;
    for is_four in [true, false] {
        let id = random_u64().unwrap_or_else(|_| monotonic_ns()) as u16;
        let Some(question) = question(id, name, is_four) else { return Ok(None) };
        said = exchange(call, resolver, &question)?;
        if said != Answer::Nothing {
            break;
        }
    }
    Ok(Some(said))
}

fn exchange(call: &mut Call<'_>, resolver: IpAddr, question: &[u8]) -> Result<Answer> {
    let mut socket = Inet::open(call, resolver, libc::SOCK_DGRAM)?;
    socket.connect(SocketAddr::from((resolver, PORT)))?;
    socket.send(question, None)?;
    socket.receive(monotonic_ns() + PATIENCE_NS, |message| answer(message, question))
}
