// SPDX-License-Identifier: GPL-2.0-only
//! The harness itself works: every row runs on the native side with tiny counts, and the JSON says
//! so. Nothing here looks at a time.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench")).args(args).output().expect("bench starts")
}

/// A directory of one test, under cargo's own.
fn scratch(name: &str) -> String {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir.to_str().unwrap().to_string()
}

fn smoke(dir: &str, more: &[&str]) -> (Output, Value) {
    let json = format!("{dir}/report.json");
    let work = format!("{dir}/work");
    std::fs::create_dir(&work).unwrap();
    let mut args = vec!["run", "--smoke", "--reps", "2", "--batch-ms", "1", "--dir", &work, "--json", &json];
    args.extend(more);
    let output = bench(&args);
    let text = std::fs::read_to_string(&json).unwrap_or_else(|_| {
        panic!("no report: {}", String::from_utf8_lossy(&output.stderr));
    });
    (output, serde_json::from_str(&text).unwrap())
}

#[test]
fn every_row_runs_natively() {
    let dir = scratch("native");
    let (output, report) = smoke(&dir, &["--sides", "native"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(report["smoke"], true);
    assert!(!report["environment"]["kernel"].as_str().unwrap().is_empty());
    let rows = report["rows"].as_array().unwrap();
    assert!(rows.len() >= 14);
    for row in rows {
        let [side] = row["sides"].as_array().unwrap().as_slice() else { panic!("one side: {row}") };
        assert_eq!(side["side"], "native");
        if side["status"] == "not-run" {
            assert!(row["id"] == "read-1m-first" || row["id"] == "call-sites", "{row}");
            continue;
        }
        assert_eq!(side["status"], "ran", "{row}");
        assert_eq!(side["samples"].as_array().unwrap().len(), 2);
        assert!(side["median"].as_f64().unwrap() > 0.0);
    }
    let left = std::fs::read_dir(format!("{dir}/work")).unwrap().count();
    assert_eq!(left, 0, "the work directory is removed");
}

#[test]
fn a_side_that_cannot_run_says_why() {
    let dir = scratch("gaps");
    let (_, report) = smoke(&dir, &["--rows", "fstat,start-untouched"]);
    for side in report["rows"].as_array().unwrap().iter().flat_map(|row| row["sides"].as_array().unwrap()) {
        let told = side["why"].as_str().is_some_and(|why| !why.is_empty());
        assert!(side["status"] == "ran" || told, "{side}");
    }
}

#[test]
fn markdown_has_a_line_per_row() {
    let dir = scratch("markdown");
    let (output, _) = smoke(&dir, &["--rows", "stat", "--sides", "native", "--markdown"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with('|')).count(), 2 + 2, "{text}");
}

#[test]
fn unknown_rows_are_errors() {
    let output = bench(&["run", "--rows", "nonesuch"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("nonesuch"));
}
