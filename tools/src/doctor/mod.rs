// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway doctor`: what this machine, this build and a given program allow.
//!
//! Floors, from the lowest: command, module, report, machine, software, selftest, sites, about, image.

mod about;
mod command;
mod image;
mod machine;
mod module;
mod report;
mod selftest;
mod sites;
mod software;

use crate::cli::DoctorOptions;
use crate::fail::{reason, Failure, EXIT_FAILED};
use report::Report;

/// Looks at everything, prints it; 0 if all that is needed to run is fine.
pub fn doctor(options: &DoctorOptions) -> Result<i32, Failure> {
    let mut report = Report::default();
    machine::check(&mut report);
    software::check(&mut report);
    if let Some(library) = software::library(&mut report) {
        selftest::check(&mut report, &library);
    }
    if let Some(program) = &options.program {
        if !image::check(&mut report, program) {
            about::check(&mut report, program, options.verbose);
        }
    }
    let text = if options.json { report.json() } else { report.text() };
    use std::io::Write;
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::new(EXIT_FAILED, format!("standard output: {}", reason(&error))))?;
    Ok(if report.is_ok() { 0 } else { EXIT_FAILED })
}
