// SPDX-License-Identifier: GPL-2.0-only
//! What went wrong with a setting, in one line.

use std::fmt;

/// A setting that cannot be used: which key, why, and what would be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    key: String,
    why: String,
    advice: Option<String>,
}

impl ConfigError {
    /// An error about `key`, as the user spelled it.
    pub fn new(key: impl Into<String>, why: impl Into<String>) -> Self {
        ConfigError { key: key.into(), why: why.into(), advice: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The key in question, as the user spelled it (`STOWAWAY_MEM`, `--mem`, `mem in FILE`).
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", one_line(&self.key), one_line(&self.why))?;
        match &self.advice {
            Some(advice) => write!(f, "; {}", one_line(advice)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Control characters escaped: a message is one line, whatever the user wrote.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_line() {
        let error = ConfigError::new("--mount", "\"a\nb\" is wrong").advise("do\tthis");
        assert_eq!(error.to_string(), "--mount: \"a\\nb\" is wrong; do\\tthis");
    }
}
