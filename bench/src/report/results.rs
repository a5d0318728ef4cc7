// SPDX-License-Identifier: GPL-2.0-only
//! Result files, as `run --json` writes them: as much of them as a comparison needs, which older ones have too.

use std::path::Path;

use anyhow::{bail, Context, Result};
use serde::Deserialize;

use crate::report::SCHEMA;
use crate::rows::Better;
use crate::rows::Side;
use crate::stats::median;

/// One file.
#[derive(Debug, Deserialize)]
pub struct Results {
    /// Files of before there were schemas have none.
    #[serde(default = "first_schema")]
    schema: u32,
    pub smoke: bool,
    pub rows: Vec<Row>,
}

fn first_schema() -> u32 {
    1
}

/// One row.
#[derive(Debug, Deserialize)]
pub struct Row {
    pub id: String,
    pub unit: String,
    pub better: Better,
    pub sides: Vec<Samples>,
}

/// One side of one row.
#[derive(Debug, Deserialize)]
pub struct Samples {
    pub side: Side,
    status: String,
    samples: Vec<f64>,
}

impl Results {
    pub fn read(path: &Path) -> Result<Results> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Results::parse(&text).with_context(|| path.display().to_string())
    }

    pub fn parse(text: &str) -> Result<Results> {
        let results: Results = serde_json::from_str(text)?;
        if results.schema > SCHEMA {
            bail!("written by a newer bench (schema {})", results.schema);
        }
        Ok(results)
    }

    /// One sample for each side, the median: rounds of one process are alike in what its placement in memory does to
    /// them, and do not count as many.
    pub fn condense(&mut self) {
        for side in self.rows.iter_mut().flat_map(|row| &mut row.sides) {
            side.samples = median(&side.samples).into_iter().collect();
        }
    }

    /// What another run of the same program found follows.
    pub fn append(&mut self, more: Results) {
        for row in more.rows {
            let Some(mine) = self.rows.iter_mut().find(|mine| mine.id == row.id) else { continue };
            for side in row.sides {
                let Some(mine) = mine.sides.iter_mut().find(|mine| mine.side == side.side) else { continue };
                if side.status != "ran" {
                    mine.status = side.status;
                }
                mine.samples.extend(side.samples);
            }
        }
    }
}

impl Row {
    /// The side's samples, if it ran.
    pub fn samples(&self, side: Side) -> Option<&[f64]> {
        let found = self.sides.iter().find(|samples| samples.side == side)?;
        (found.status == "ran" && !found.samples.is_empty()).then_some(&found.samples)
    }
}
