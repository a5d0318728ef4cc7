// SPDX-License-Identifier: MIT
//! Draws a flame graph: folded stacks (`frame;frame;frame WEIGHT`) on stdin, SVG on stdout. `flame TITLE UNIT`.
//!
//! A program of its own: inferno's licence (CDDL) and that of the kernel, which `bench` is linked with, do not go
//! together in one.

use std::io::{BufReader, BufWriter};
use std::process::ExitCode;

use inferno::flamegraph::color::{BackgroundColor, MultiPalette};
use inferno::flamegraph::{from_reader, Options, Palette};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let mut options = Options::default();
    options.title = args.next().unwrap_or_else(|| "Flame graph".into());
    options.count_name = args.next().unwrap_or_else(|| "samples".into());
    // By the endings that `profile` gives to names: _[k] the kernel library, _[i] the host's kernel.
    options.colors = Palette::Multi(MultiPalette::Java);
    options.bgcolors = Some(BackgroundColor::Grey);
    options.min_width = 0.05;
    let (input, output) = (BufReader::new(std::io::stdin().lock()), BufWriter::new(std::io::stdout().lock()));
    match from_reader(&mut options, input, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flame: {error}");
            ExitCode::FAILURE
        }
    }
}
