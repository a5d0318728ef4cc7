// SPDX-License-Identifier: GPL-2.0-only
//! A command that cannot go on: its line and its exit status.

use std::io::Write;

/// `run` itself failed; the program was not started.
pub const EXIT_RUN: i32 = 125;
/// The program was found and cannot be executed.
pub const EXIT_NOT_EXECUTABLE: i32 = 126;
/// There is no such program.
pub const EXIT_NOT_FOUND: i32 = 127;
/// The command line is wrong (but for `run`).
pub const EXIT_USAGE: i32 = 2;
/// `doctor` or `mkimage` failed.
pub const EXIT_FAILED: i32 = 1;

/// Why a command ends early.
#[derive(Debug)]
pub struct Failure {
    status: i32,
    text: String,
}

impl Failure {
    /// `text` has the form `WHAT: WHY[; WHAT TO DO]`.
    pub fn new(status: i32, text: impl Into<String>) -> Self {
        Failure { status, text: text.into() }
    }

    /// What went wrong.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Says it on stderr; the status to exit with.
    pub fn report(&self) -> i32 {
        // With stderr closed there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "stowaway: {}", self.text);
        self.status
    }
}

/// An error as the system words it, without the number.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}
