// SPDX-License-Identifier: GPL-2.0-only
//! Cases as data: `cases/*.toml`, a file per group. A case is a list of commands run one after another on a fresh
//! fixture, first natively, then through the shim; stdout, stderr and exit status of each, and the trees they leave,
//! must agree.

use crate::fixture::Kind;
use crate::words;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;

/// Who runs a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Users {
    /// Root and an ordinary user.
    #[default]
    All,
    /// Root alone.
    Root,
    /// An ordinary user alone.
    User,
}

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The cases, in the order of the file.
    pub case: Vec<Case>,
}

/// One case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Unique within its group.
    pub name: String,
    /// Commands, run in turn.
    pub run: Vec<Step>,
    /// What the directory and the image hold.
    #[serde(default = "basic")]
    pub fixture: Kind,
    /// Compare lines sorted: the order is that of readdir.
    #[serde(default)]
    pub unsorted: bool,
    /// The output shows sizes in blocks: numbers count only where the host has the image's block size.
    #[serde(default)]
    pub blocks: bool,
    /// Numbers of the output belong to the file system at hand.
    #[serde(default)]
    pub no_numbers: bool,
    /// Mount read-only. There is no native twin: each step says what to expect.
    #[serde(default)]
    pub ro: bool,
    /// Whether to run it natively as well and compare.
    #[serde(default = "yes")]
    pub native: bool,
    /// Make the mount point on the host.
    #[serde(default)]
    pub mountpoint: bool,
    /// Who runs it.
    #[serde(default)]
    pub users: Users,
    /// Programs beyond coreutils that the case needs; without them it is not run, and that is said.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Do not compare the trees (the command leaves random names or bytes).
    #[serde(default)]
    pub ignore_tree: bool,
    /// Do not compare where holes are (say why in a comment).
    #[serde(default)]
    pub ignore_holes: bool,
}

/// One command of a case.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Step {
    /// Just the command line.
    Line(String),
    /// A command line with its surroundings, or with an expected result.
    Full(FullStep),
}

/// A command line and what goes with it.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FullStep {
    /// The command line: words and quotes as in a shell, and `{D}`, `{H}`, `{L}`.
    pub cmd: String,
    /// Standard input.
    pub stdin: Option<String>,
    /// File mode mask, in octal.
    pub umask: Option<String>,
    /// Additions to the environment.
    pub env: BTreeMap<String, String>,
    /// Expected exit status, where there is no native twin.
    pub status: Option<i32>,
    /// Expected standard output, whole.
    pub stdout: Option<String>,
    /// Expected parts of standard error. Without any it must be empty when a status is expected.
    pub stderr_has: Vec<String>,
}

fn basic() -> Kind {
    Kind::Basic
}

fn yes() -> bool {
    true
}

impl Step {
    /// The step with all its fields.
    pub fn full(&self) -> FullStep {
        match self {
            Step::Line(line) => FullStep { cmd: line.clone(), ..FullStep::default() },
            Step::Full(step) => step.clone(),
        }
    }
}

/// Puts the directories of a side into a text of a case.
pub fn substitute(text: &str, dir: &str, host: &str) -> String {
    text.replace("{D}", dir).replace("{H}", host).replace("{L}", &"L".repeat(255))
}

/// Reads a file of cases.
pub fn parse(name: &str, text: &str) -> Group {
    let group: Group = toml::from_str(text).unwrap_or_else(|error| panic!("cases/{name}.toml: {error}"));
    let mut seen = std::collections::BTreeSet::new();
    for case in &group.case {
        assert!(seen.insert(&case.name), "cases/{name}.toml: two cases named {}", case.name);
    }
    group
}

/// The programs that a command line runs: its first word, and what stands behind the usual wrappers or in a
/// shell's line.
pub fn programs(line: &str) -> Vec<String> {
    let words: Vec<String> =
        words::split(line).iter().map(|word: &OsString| word.to_string_lossy().into()).collect();
    let mut found = vec![words[0].clone()];
    if words[0] == "bash" || words[0] == "sh" {
        for part in words.last().map_or("", String::as_str).split(['|', ';', '&', '(', '\n']) {
            found.extend(part.split_whitespace().next().map(str::to_string));
        }
    }
    let wrapped = match words[0].as_str() {
        "env" | "timeout" | "nice" | "nohup" | "stdbuf" | "chroot" => {
            words.iter().skip(1).find(|word| is_name(word))
        }
        _ => None,
    };
    found.extend(wrapped.cloned());
    found
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase()) && !word.contains(['=', '/'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_a_line() {
        assert_eq!(programs("ls -l {D}"), ["ls"]);
        assert_eq!(programs("env -C {D} cat hello.txt"), ["env", "cat"]);
        assert_eq!(programs("bash -c 'cat {D}/a | sort; wc -l'"), ["bash", "cat", "sort", "wc"]);
        assert_eq!(programs("timeout 5 head x"), ["timeout", "head"]);
    }
}
