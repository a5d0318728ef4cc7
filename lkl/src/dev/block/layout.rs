// SPDX-License-Identifier: GPL-2.0-only
//! What the driver `lkb` and this side share, as the overlay's `asm/host.h` lays it out.

use super::request::{Iov, Request};
use crate::sys::layout::{layout_rows, Row};

/// `struct lkl_iov`
pub(crate) const IOV: &[Row] = layout_rows!("lkl_iov" = Iov { base, len });

/// `struct lkl_blk_request`
pub(crate) const REQUEST: &[Row] = layout_rows!("lkl_blk_request" = Request {
    next, done, dev, op, flags, iov, n, status, off, len, "host" = finished,
});
