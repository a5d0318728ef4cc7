// SPDX-License-Identifier: GPL-2.0-only
//! What the driver `lkn` and this side share, as the overlay's `asm/host.h` lays it out.

use super::link::{
    Link, NewInterface, ARMED, ASLEEP, BARE_RESETS, CAPTURED, DATAGRAM, DOWN, LISTENING, OFF, OVER, RETURNS,
    STARTS_LISTENING, STREAM, TAP, TRUSTED, TSO, UP,
};
use crate::dev::irq;
use crate::sys::layout::{layout_rows, Row};

/// `struct lkl_net`
pub(crate) const INTERFACE: &[Row] =
    layout_rows!("lkl_net" = NewInterface { number, kind, features, mtu, mac });

/// `struct lkl_net_link`
pub(crate) const LINK: &[Row] = layout_rows!(
    "lkl_net_link" = Link {
        next,
        number,
        kind,
        features,
        armed,
        wants_room,
        home,
        state,
        sent,
        got,
        len,
        head_got,
        head,
        generation,
    }
);

/// Kinds, features and states.
pub(crate) const VALUES: &[Row] = &[
    ("LKL_IRQ_NET", irq::NET as usize),
    ("LKL_NET_TAP", TAP as usize),
    ("LKL_NET_STREAM", STREAM as usize),
    ("LKL_NET_DATAGRAM", DATAGRAM as usize),
    ("LKL_NET_TSO", TSO as usize),
    ("LKL_NET_TRUSTED", TRUSTED as usize),
    ("LKL_NET_BARE_RESETS", BARE_RESETS as usize),
    ("LKL_NET_RETURNS", RETURNS as usize),
    ("LKL_NET_STARTS_LISTENING", STARTS_LISTENING as usize),
    ("LKL_NET_CAPTURED", CAPTURED as usize),
    ("LKL_NET_UP", UP as usize),
    ("LKL_NET_OVER", OVER as usize),
    ("LKL_NET_DOWN", DOWN as usize),
    ("LKL_NET_LISTENING", LISTENING as usize),
    ("LKL_NET_ARMED", ARMED as usize),
    ("LKL_NET_OFF", OFF as usize),
    ("LKL_NET_ASLEEP", ASLEEP as usize),
];
