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
            let without = [
                "read-1m-first",
                "call-sites",
                "boot",
                "boot-memory",
                "rings-elided-threads",
                "rings-elided-uring",
            ];
            assert!(without.iter().any(|id| row["id"] == *id) || too_few_cpus(side), "{row}");
            continue;
        }
        assert_eq!(side["status"], "ran", "{row}");
        assert_eq!(side["samples"].as_array().unwrap().len(), 2);
        assert!(side["median"].as_f64().unwrap() > 0.0);
    }
    let left = std::fs::read_dir(format!("{dir}/work")).unwrap().count();
    assert_eq!(left, 0, "the work directory is removed");
}

fn too_few_cpus(side: &Value) -> bool {
    side["why"].as_str().is_some_and(|why| why.contains("CPUs"))
}

/// The kernel library does what the host does, in every row about it, and each number has its interval.
#[test]
fn the_library_alone_runs_every_row_about_it() {
    let dir = scratch("kernel");
    let (output, report) =
        smoke(&dir, &["--sides", "native,kernel", "--rows", "null,pipe-,tcp-,sleep,fixed,boot,rings"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(report["schema"], 2);
    let rows: Vec<&Value> =
        report["rows"].as_array().unwrap().iter().filter(|row| row["family"] == "core").collect();
    assert!(rows.len() >= 15);
    for row in rows {
        let side = row["sides"].as_array().unwrap().iter().find(|side| side["side"] == "kernel").unwrap();
        assert!(side["status"] == "ran" || too_few_cpus(side), "{row}");
        if side["status"] == "ran" {
            let interval = &side["interval"];
            let [low, median, high] =
                [&interval["low"], &side["median"], &interval["high"]].map(|n| n.as_f64().unwrap());
            assert!(low <= median && median <= high && side["p99"].as_f64().unwrap() >= median, "{side}");
            let distributed = ["sleep", "fixed"].iter().any(|id| row["id"].as_str().unwrap().starts_with(id));
            assert_eq!(side["tail"]["p999"].is_f64(), distributed, "{row}");
        }
    }
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

#[test]
fn a_comparison_ends_with_what_it_found() {
    let dir = scratch("compare");
    let (_, _) = smoke(&dir, &["--rows", "null", "--sides", "native,kernel"]);
    let a = format!("{dir}/report.json");
    let same = bench(&["compare", &a, &a]);
    let text = String::from_utf8_lossy(&same.stdout).into_owned();
    assert!(same.status.success() && text.contains("kernel") && text.contains("same"), "{text}");
    // The same with every sample of ours twice as long.
    let mut report: Value = serde_json::from_str(&std::fs::read_to_string(&a).unwrap()).unwrap();
    let rows = report["rows"].as_array_mut().unwrap();
    let null = rows.iter_mut().find(|row| row["id"] == "null").unwrap();
    for side in null["sides"].as_array_mut().unwrap().iter_mut().filter(|side| side["side"] == "kernel") {
        for sample in side["samples"].as_array_mut().unwrap() {
            *sample = (sample.as_f64().unwrap() * 1000.0).into();
        }
    }
    let (b, json) = (format!("{dir}/slow.json"), format!("{dir}/changes.json"));
    std::fs::write(&b, report.to_string()).unwrap();
    let slower = bench(&["compare", &a, &b, "--json", &json]);
    assert_eq!(slower.status.code(), Some(2), "{}", String::from_utf8_lossy(&slower.stdout));
    let changes: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let verdicts = changes["changes"].as_array().unwrap().iter().map(|change| &change["verdict"]);
    assert!(verdicts.clone().any(|verdict| verdict == "worse"), "{changes}");
    assert!(bench(&["compare", &a, &b, "--threshold", "1e6"]).status.success());
    assert!(bench(&["compare", &b, &a]).status.success(), "better is no error");
}

#[test]
fn a_revision_that_is_none_is_an_error() {
    let output = bench(&["compare", "nonesuch-revision", "HEAD"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!String::from_utf8_lossy(&output.stderr).is_empty());
}

#[test]
fn the_page_holds_all_it_shows() {
    let dir = scratch("page");
    let (_, _) = smoke(&dir, &["--rows", "null,pipe-1cpu,stat,boot", "--sides", "native,kernel"]);
    let (json, html) = (format!("{dir}/report.json"), format!("{dir}/report.html"));
    let output = bench(&["report", &json, &json, "-o", &html]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = std::fs::read_to_string(&html).unwrap();
    assert!(page.matches("<svg").count() >= 4, "an overview, and a plot for each row");
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    for needle in ["pipe-1cpu", "at most 0.8 times native", "x native", "Linux "] {
        assert!(page.contains(needle), "{needle}");
    }
    // The namespace's name is the only address.
    let fetched = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!fetched.contains("http") && !fetched.contains("<script") && !fetched.contains("src="));
}
