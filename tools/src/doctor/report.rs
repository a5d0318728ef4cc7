// SPDX-License-Identifier: GPL-2.0-only
//! The findings, as lines for a person or as JSON.

use std::fmt::Write;

use serde::Serialize;

use super::module::Module;

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Good to know.
    Info,
    /// Something is lost, and programs run all the same.
    Warn,
    /// Programs cannot be run, or the image not be mounted.
    Fail,
}

/// One finding.
#[derive(Debug, Serialize)]
pub struct Check {
    group: &'static str,
    name: String,
    state: State,
    detail: String,
    advice: Option<String>,
}

/// All findings, in the order they were made.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    checks: Vec<Check>,
    /// The code of a program, where one was examined.
    pub modules: Vec<Module>,
}

impl Report {
    /// Adds a finding.
    pub fn add(
        &mut self,
        group: &'static str,
        name: &str,
        state: State,
        detail: impl Into<String>,
    ) -> &mut Check {
        let check = Check { group, name: name.to_string(), state, detail: detail.into(), advice: None };
        self.checks.push(check);
        self.checks.last_mut().expect("one was just added")
    }

    /// Whether nothing needed fails.
    pub fn is_ok(&self) -> bool {
        self.checks.iter().all(|check| check.state != State::Fail)
    }

    /// For a person.
    pub fn text(&self) -> String {
        let width = self.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        let mut group = "";
        for check in &self.checks {
            if check.group != group {
                group = check.group;
                let _ = writeln!(text, "{}{group}", if text.is_empty() { "" } else { "\n" });
            }
            let state = match check.state {
                State::Ok => "ok",
                State::Info => "-",
                State::Warn => "warn",
                State::Fail => "FAIL",
            };
            let _ = writeln!(text, "  {state:<4}  {:<width$}  {}", check.name, check.detail);
            if let Some(advice) = &check.advice {
                let _ = writeln!(text, "  {:<4}  {:<width$}  -> {advice}", "", "");
            }
        }
        for module in self.modules.iter().filter(|module| !module.list.is_empty()) {
            let _ = writeln!(text, "\n{}", module.path.display());
            for place in &module.list {
                let function = place.function.as_deref().unwrap_or("?");
                let _ = writeln!(text, "  {:>12}  {function}: {}", place.address, place.tactic);
            }
        }
        let count = |state| self.checks.iter().filter(|check| check.state == state).count();
        let (failed, warned) = (count(State::Fail), count(State::Warn));
        let verdict = match (failed, warned) {
            (0, 0) => "All is fine.".to_string(),
            (0, n) => format!("Fine to run; warnings: {n}."),
            (n, _) => format!("Not fine: {n} failed."),
        };
        let _ = writeln!(text, "\n{verdict}");
        text
    }

    /// For a machine.
    pub fn json(&self) -> String {
        let value = serde_json::json!({ "ok": self.is_ok(), "checks": self.checks, "modules": self.modules });
        format!("{value:#}\n")
    }
}

impl Check {
    /// Adds what to do about it.
    pub fn advise(&mut self, advice: impl Into<String>) {
        self.advice = Some(advice.into());
    }
}
