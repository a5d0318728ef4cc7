// SPDX-License-Identifier: GPL-2.0-only
//! The memory row. A process's own VmHWM is read rather than its parent's `ru_maxrss`, which counts
//! what the process was before exec.

use anyhow::{Context, Result};

use super::client::Worker;
use super::runner::{Runner, Sample};
use crate::machine::environment::kib;
use crate::rows::Side;
use crate::sides::fixture::check_image;
use crate::sides::held::Held;
use crate::sides::place::Place;

/// One side of it.
pub struct MemoryRunner {
    held: Held,
    place: Place,
}

impl MemoryRunner {
    pub fn start(place: Place) -> Result<MemoryRunner> {
        Ok(MemoryRunner { held: place.hold()?, place })
    }

    fn measure(&self) -> Result<u64> {
        let mut worker = Worker::start(&self.place, "use")?;
        worker.ask("run 1")?;
        let program = worker.ask("rss")?;
        worker.finish()?;
        let daemon = match self.held.daemon() {
            Some(pid) => kib(&format!("/proc/{pid}/status"), "VmHWM").context("the daemon is gone")?,
            None => 0,
        };
        Ok(program + daemon)
    }
}

impl Runner for MemoryRunner {
    fn sample(&mut self) -> Result<Sample> {
        let kib = self.measure().map_err(|error| self.place.explain(error))?;
        Ok((kib as f64 / 1024.0).into())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        match &self.place.image {
            Some(image) if self.place.side == Side::Stowaway => check_image(image),
            _ => Ok(()),
        }
    }
}
