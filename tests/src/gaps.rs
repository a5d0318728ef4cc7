// SPDX-License-Identifier: GPL-2.0-only
//! Known gaps, as data: a line is a name, a mode, who (`root`, `user`, or `all`), and why. `both` stands for `preload` and
//! `run`, `all` for every mode. A line that is no longer true fails its test, so that such a file can only shrink.

use crate::user;

/// One line.
#[derive(Debug, Clone, Copy)]
pub struct Gap<'a> {
    /// Of a fact or a program.
    pub name: &'a str,
    /// In which mode it does not hold.
    pub mode: &'a str,
    /// For whom.
    pub who: &'a str,
    /// For which reason.
    pub why: &'a str,
}

/// The lines of a file of gaps.
pub fn parse(text: &str) -> Vec<Gap<'_>> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let gaps = lines.map(|line| {
        let mut fields = line.splitn(4, char::is_whitespace);
        let mut next = || fields.next().unwrap_or_else(|| panic!("{line:?}: a gap has four fields")).trim();
        Gap { name: next(), mode: next(), who: next(), why: next() }
    });
    gaps.collect()
}

/// Why something is known not to hold for us in a mode.
pub fn find<'a>(text: &'a str, name: &str, mode: &str) -> Option<&'a str> {
    let us = if user::is_root() { "root" } else { "user" };
    let of_mode = |gap: &Gap| match gap.mode {
        "all" => true,
        "both" => mode == "preload" || mode == "run",
        one => one == mode,
    };
    let of_us = |gap: &Gap| gap.name == name && of_mode(gap) && (gap.who == us || gap.who == "all");
    parse(text).into_iter().find(of_us).map(|gap| gap.why)
}

/// What is wrong about a result, seen with what is expected: a failure that is no gap, or a gap that is closed.
pub fn judge(text: &str, name: &str, mode: &str, result: Result<(), String>) -> Option<String> {
    match (result, find(text, name, mode)) {
        (Ok(()), None) => None,
        (Err(_), Some(why)) => {
            user::note(&format!("{name} ({mode}): a known gap: {why}"));
            None
        }
        (Ok(()), Some(_)) => Some(format!("{name} ({mode}): holds now; take its line out of gaps.txt")),
        (Err(wrong), None) => Some(format!("{name} ({mode}): {wrong}")),
    }
}

/// Every line is about something that exists.
pub fn check(text: &str, names: &[&str], modes: &[&str]) {
    for gap in parse(text) {
        assert!(names.contains(&gap.name), "{}: no such name", gap.name);
        assert!(
            ["both", "all"].contains(&gap.mode) || modes.contains(&gap.mode),
            "{}: {}",
            gap.name,
            gap.mode
        );
        assert!(["root", "user", "all"].contains(&gap.who), "{}: {}", gap.name, gap.who);
        assert!(!gap.why.is_empty(), "{}: why?", gap.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let text = "# comment\n\none both all why it is so\ntwo run user x\nthree all root y\n";
        assert_eq!(parse(text).len(), 3);
        assert_eq!(find(text, "one", "preload"), Some("why it is so"));
        assert_eq!(find(text, "one", "tick"), None);
        assert_eq!(find(text, "two", "run").is_some(), !user::is_root());
        assert_eq!(find(text, "three", "tick").is_some(), user::is_root());
    }

    #[test]
    fn a_closed_gap_and_a_new_one_are_wrong() {
        let text = "one run all why";
        assert!(judge(text, "one", "run", Err(String::new())).is_none());
        assert!(judge(text, "one", "run", Ok(())).is_some());
        assert!(judge(text, "one", "preload", Err(String::new())).is_some());
        assert!(judge(text, "one", "preload", Ok(())).is_none());
    }
}
