// SPDX-License-Identifier: GPL-2.0-only
//! What every kind of row offers the driver.

use anyhow::Result;

use crate::stats::tail::Tail;

/// What one turn of a side found, in the row's unit.
pub struct Sample {
    pub value: f64,
    /// Of a row whose value is itself taken from a distribution.
    pub tail: Option<Tail>,
}

impl From<f64> for Sample {
    fn from(value: f64) -> Sample {
        Sample { value, tail: None }
    }
}

/// One side of one row, ready to be measured.
pub trait Runner {
    /// One sample.
    fn sample(&mut self) -> Result<Sample>;
    /// Take everything down, and make sure that what was measured was sound.
    fn finish(self: Box<Self>) -> Result<()>;
}
