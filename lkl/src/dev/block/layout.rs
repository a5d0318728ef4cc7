// SPDX-License-Identifier: GPL-2.0-only
//! What the driver `lkb` and this side share, as the overlay's `asm/host.h` lays it out.

use super::request::{Iov, Request, ALONE, DISCARD, FLUSH, FUA, NOW, QUEUED, READ, WRITE, ZERO};
use crate::dev::irq;
use crate::sys::layout::{layout_rows, Row};

/// `struct lkl_iov`
pub(crate) const IOV: &[Row] = layout_rows!("lkl_iov" = Iov { base, len });

/// `struct lkl_blk_request`
pub(crate) const REQUEST: &[Row] = layout_rows!("lkl_blk_request" = Request {
    next, done, dev, op, flags, iov, n, status, off, len, "host_device" = device, "host" = finished, taker,
});

/// Operations, flags and results of requests.
pub(crate) const VALUES: &[Row] = &[
    ("LKL_IRQ_BLOCK", irq::BLOCK as usize),
    ("LKL_BLK_QUEUED", QUEUED as usize),
    ("LKL_BLK_READ", READ as usize),
    ("LKL_BLK_WRITE", WRITE as usize),
    ("LKL_BLK_FLUSH", FLUSH as usize),
    ("LKL_BLK_DISCARD", DISCARD as usize),
    ("LKL_BLK_ZERO", ZERO as usize),
    ("LKL_BLK_FUA", FUA as usize),
    ("LKL_BLK_ALONE", ALONE as usize),
    ("LKL_BLK_NOW", NOW as usize),
];
