// SPDX-License-Identifier: GPL-2.0-only
//! `cargo run -p kbuild`: builds the kernel, showing how far it is, and prints where it lies.

use kbuild::{build, Options, Progress};
use std::process::ExitCode;

fn main() -> ExitCode {
    match build(&Options { progress: Progress::Shown }) {
        Ok(a) => {
            println!("{}", a.image.display());
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}
