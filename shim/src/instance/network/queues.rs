// SPDX-License-Identifier: GPL-2.0-only
//! Delays, losses, rates and queues of an interface, by rtnetlink(7). What is asked for stands in a row, in the order in which a packet
//! goes through it:
//!
//! | what | handle | parent |
//! |---|---|---|
//! | netem | 1: | the interface |
//! | the rate, a token bucket (tbf) | 2: | netem (1:1), or the interface |
//! | the discipline | 3: | the bucket (2:1), netem (1:1), or the interface |

use stowaway_config::personality::queue::{limited_to, Discipline};

use super::attributes::Attributes;
use super::netlink::{Netlink, Request};
use crate::sys::errno::{Explained, Result};
use crate::sys::settings::settings;

const TC_H_ROOT: u32 = 0xffff_ffff;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const IFLA_GSO_MAX_SEGS: u16 = 40;

/// The longest packet of a loopback that is to be like a network.
pub const MTU_OF_LOOPBACK: u32 = 1500;

/// Whether there is anything to set up.
pub fn is_any() -> bool {
    settings().netem.is_some() || settings().rate.is_some() || settings().qdisc.is_some()
}

/// Whether packets are to be lost or delayed one by one, as on a wire.
pub fn is_like_a_wire() -> bool {
    settings().netem.is_some() || settings().rate.is_some()
}

/// Sets an interface up, whose longest packet is `mtu`.
pub fn set_up(netlink: &mut Netlink<'_, '_>, index: u32, mtu: u32) -> core::result::Result<(), String> {
    let (netem, rate, qdisc) = (&settings().netem, &settings().rate, &settings().qdisc);
    if netem.is_some() {
        one_by_one(netlink, index).map_err(|e| format!("netem: {}", Explained(e)))?;
    }
    let bucket = rate.as_ref().map(|rate| (limited_to(rate.bytes, mtu), &rate.text));
    let row = [
        netem.as_ref().map(|netem| (1, netem, "netem", &netem.words)),
        bucket.as_ref().map(|(bucket, text)| (2, bucket, "rate", *text)),
        qdisc.as_ref().map(|qdisc| (3, qdisc, "qdisc", &qdisc.words)),
    ];
    let mut parent = TC_H_ROOT;
    for (number, discipline, name, words) in row.into_iter().flatten() {
        add(netlink, index, number << 16, parent, discipline)
            .map_err(|e| format!("{name}={words}: the kernel refuses it: {}", Explained(e)))?;
        parent = number << 16 | 1;
    }
    Ok(())
}

/// Linux hands segments of a connection to an interface in packets of up to 64 KiB. One of them would be lost as one.
fn one_by_one(netlink: &mut Netlink<'_, '_>, index: u32) -> Result<()> {
    change(netlink, index, IFLA_GSO_MAX_SEGS, 1)
}

/// Sets the longest packet.
pub fn set_mtu(netlink: &mut Netlink<'_, '_>, index: u32, mtu: u32) -> Result<()> {
    change(netlink, index, libc::IFLA_MTU, mtu)
}

fn change(netlink: &mut Netlink<'_, '_>, index: u32, what: u16, value: u32) -> Result<()> {
    // `struct ifinfomsg`: family, pad, type, index, flags, change.
    let head = [&[0; 4][..], &index.to_ne_bytes(), &[0; 8]].concat();
    netlink.ask(Request::new(libc::RTM_NEWLINK, 0, &head).with(what, &value.to_ne_bytes()))
}

fn add(netlink: &mut Netlink<'_, '_>, index: u32, handle: u32, parent: u32, what: &Discipline) -> Result<()> {
    // `struct tcmsg`: family, pad, index, handle, parent, info.
    let head = [0, index, handle, parent, 0].map(u32::to_ne_bytes).concat();
    let kind = [what.kind.as_bytes(), b"\0"].concat();
    let mut all = Attributes::new().with(TCA_KIND, &kind);
    if !what.head.is_empty() || !what.options.is_empty() {
        let options =
            what.options.iter().fold(Attributes::new(), |all, (number, value)| all.with(*number, value));
        // The structure of a discipline is in whole words.
        all = all.with(TCA_OPTIONS, &[&what.head, options.bytes()].concat());
    }
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    netlink.ask(Request::new(libc::RTM_NEWQDISC, flags, &head).with_all(&all))
}
