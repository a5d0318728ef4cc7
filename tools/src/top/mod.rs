// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway top`: the kernels that run, live in the terminal, or once as plain text.

mod sample;
mod screen;
mod source;
mod text;
mod watched;

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::TopOptions;
use crate::fail::{reason, Failure, EXIT_FAILED};
use watched::Watched;

/// How often is looked who has the CPU.
const LOOK: Duration = Duration::from_millis(10);

/// Shows what runs.
pub fn top(options: &TopOptions) -> Result<i32, Failure> {
    let failed = |why: String| Failure::new(EXIT_FAILED, why);
    let watched = Watched::new(options.who.as_deref()).map_err(failed)?;
    let delay = Duration::from_secs_f64(options.delay);
    if options.once || !io::stdout().is_terminal() {
        return once(watched, delay).map_err(failed);
    }
    screen::run(watched, delay).map_err(failed)
}

/// What happens in one turn, as text.
fn once(mut watched: Watched, delay: Duration) -> Result<i32, String> {
    watched.turn()?;
    let end = Instant::now() + delay;
    while Instant::now() < end {
        watched.look();
        thread::sleep(LOOK);
    }
    let shown = watched.turn()?;
    let text: Vec<String> = shown
        .iter()
        .map(|one| match one {
            Ok(view) => text::snapshot(view),
            Err([heading, why]) => format!("{heading}\n{why}\n"),
        })
        .collect();
    let done = io::stdout().write_all(text.join("\n").as_bytes());
    done.map_err(|error| format!("standard output: {}", reason(&error)))?;
    if watched.is_one() && shown.is_empty() {
        return Err("the instance has ended".into());
    }
    Ok(0)
}
