// SPDX-License-Identifier: GPL-2.0-only
//! Rows about call sites: what the first call from each costs, and how many can be rewritten.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::client::Worker;
use super::runner::{Runner, Sample};
use crate::rows::Side;
use crate::sides::fixture::check_image;
use crate::sides::place::Place;
use crate::worker::loops::code;

/// A new process for each sample: a site is met for the first time once.
pub struct FirstHitsRunner {
    place: Place,
}

impl FirstHitsRunner {
    pub fn start(place: Place) -> Result<FirstHitsRunner> {
        Ok(FirstHitsRunner { place })
    }

    fn measure(&self) -> Result<f64> {
        let mut worker = Worker::start(&self.place, "first-sites")?;
        let ns = worker.ask(&format!("run {}", code::SITES))?;
        worker.finish()?;
        Ok(ns as f64 / code::SITES as f64)
    }
}

impl Runner for FirstHitsRunner {
    fn sample(&mut self) -> Result<Sample> {
        self.measure().map(Sample::from).map_err(|error| self.place.explain(error))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        match (&self.place.image, self.place.side) {
            (Some(image), Side::Stowaway) => check_image(image),
            _ => Ok(()),
        }
    }
}

/// Asks `stowaway doctor` about a program that has nothing but the C library.
pub struct SitesRunner {
    place: Place,
    command: PathBuf,
}

impl SitesRunner {
    pub fn start(place: Place, shim: Option<&Path>) -> Result<SitesRunner> {
        let command = shim.context("no library")?.with_file_name("stowaway");
        Ok(SitesRunner { place, command })
    }
}

impl Runner for SitesRunner {
    fn sample(&mut self) -> Result<Sample> {
        let mut command = self.place.host_command(&self.command)?;
        // Its verdict on the machine is another matter.
        let output =
            command.args(["doctor", "--json", "/bin/true"]).stdout(std::process::Stdio::piped()).output();
        let output = output.with_context(|| self.command.display().to_string())?;
        let said: serde_json::Value =
            serde_json::from_slice(&output.stdout).context("stowaway doctor --json")?;
        let modules = said["modules"].as_array().context("no modules")?;
        let sum = |name: &str| modules.iter().filter_map(|module| module[name].as_u64()).sum::<u64>();
        let all = sum("sites");
        anyhow::ensure!(all > 300, "only {all} sites: that is not all of libc");
        Ok(((sum("at_any_time") + sum("with_one_thread")) as f64 * 100.0 / all as f64).into())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
