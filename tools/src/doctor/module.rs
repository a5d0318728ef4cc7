// SPDX-License-Identifier: GPL-2.0-only
//! What was found in one file of code.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

/// One file of code.
#[derive(Debug, Default, Serialize)]
pub struct Module {
    /// Its file.
    pub path: PathBuf,
    /// How many `syscall` instructions it has.
    pub sites: usize,
    /// Those that are rewritten at any time.
    pub at_any_time: usize,
    /// Those that are rewritten before the first thread is made.
    pub with_one_thread: usize,
    /// Those that stay traps, by reason.
    pub traps: BTreeMap<String, usize>,
    /// The two bytes of `syscall` within other instructions: data, left as it is.
    pub data: usize,
    /// Those two bytes where no function is known: tables, or code that nothing describes. Should it be run, it is a trap.
    pub unknown: usize,
    /// Every site, if asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<Place>,
}

/// One site.
#[derive(Debug, Serialize)]
pub struct Place {
    /// Its address, as the file has it.
    pub address: String,
    /// The function that it is in.
    pub function: Option<String>,
    /// What is done about it.
    pub tactic: String,
}

impl Module {
    /// How many sites stay traps.
    pub fn left(&self) -> usize {
        self.traps.values().sum()
    }

    /// For a person.
    pub fn text(&self) -> String {
        if self.sites == 0 {
            return "no sites".to_string() + &self.data();
        }
        let mut text = format!("{} sites: {} rewritten at any time", self.sites, self.at_any_time);
        if self.with_one_thread > 0 {
            text += &format!(", {} while there is one thread", self.with_one_thread);
        }
        for (why, count) in &self.traps {
            text += &format!(", {count} stay traps ({why})");
        }
        text + &self.data()
    }

    fn data(&self) -> String {
        let some = |n: usize, what: &str| {
            if n == 0 {
                String::new()
            } else {
                format!("; the same two bytes {what}: {n}")
            }
        };
        some(self.data, "within other instructions") + &some(self.unknown, "in no known function")
    }
}
