// SPDX-License-Identifier: GPL-2.0-only
//! What can go wrong, each in one line that says what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// A build that did not come about.
#[derive(Debug)]
pub enum Error {
    /// Programs or packages are missing; with the command that installs them.
    Missing {
        /// What is missing.
        what: String,
        /// Debian packages that bring it.
        packages: String,
    },
    /// The sources named by the user are not usable.
    Source(String),
    /// make failed; the end of its log.
    Make {
        /// The whole log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// A file operation failed.
    Io(String),
}

impl Error {
    pub(crate) fn io(what: &str, path: &Path, e: std::io::Error) -> Error {
        Error::Io(format!("cannot {what} {}: {e}", path.display()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Missing { what, packages } => {
                write!(f, "kernel build: missing {what}; run: apt-get install {packages}")
            }
            Error::Source(s) => write!(f, "kernel build: {s}"),
            Error::Make { log, tail } => {
                write!(f, "kernel build: make failed; end of {}:\n{tail}", log.display())
            }
            Error::Io(s) => write!(f, "kernel build: {s}"),
        }
    }
}

impl std::error::Error for Error {}
