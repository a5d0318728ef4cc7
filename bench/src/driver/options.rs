// SPDX-License-Identifier: GPL-2.0-only
//! The options of a run.

use std::path::PathBuf;

use clap::Args;

use crate::rows::Side;

/// How a run is done.
#[derive(Args)]
pub struct RunOptions {
    /// Only rows whose id contains one of these (comma separated)
    #[arg(long, value_delimiter = ',')]
    pub rows: Vec<String>,
    /// Only these sides (comma separated)
    #[arg(long, value_delimiter = ',')]
    pub sides: Vec<Side>,
    /// Rounds per row, in place of each row's own number
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub reps: Option<u32>,
    /// Length of one batch of an in-process row, in milliseconds
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_ms: u32,
    /// Write everything measured to this file, as JSON
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Print the table for the README in place of the long form
    #[arg(long)]
    pub markdown: bool,
    /// libstowaway.so to measure (default: beside this program, then target/release)
    #[arg(long)]
    pub shim: Option<PathBuf>,
    /// zpoline's library, to take part in the rows about calls
    #[arg(long, value_name = "LIBRARY")]
    pub zpoline: Option<PathBuf>,
    /// lazypoline's library
    #[arg(long, value_name = "LIBRARY")]
    pub lazypoline: Option<PathBuf>,
    /// A library made with syscall_intercept that forwards everything
    #[arg(long, value_name = "LIBRARY")]
    pub syscall_intercept: Option<PathBuf>,
    /// What those need in their environment (LIBZPHOOK=...); may be given more than once
    #[arg(long, value_name = "NAME=VALUE")]
    pub peer_env: Vec<String>,
    /// Where the work directory is made (default: the temporary directory, /var/tmp if that is in RAM)
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Tiny files and counts: proves that the harness works, measures nothing
    #[arg(long)]
    pub smoke: bool,
}
