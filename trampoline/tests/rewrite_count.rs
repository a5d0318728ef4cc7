// SPDX-License-Identifier: GPL-2.0-only
//! The example, and what it shows: a site comes by signal once, and from then on by its stub.
#![allow(missing_docs)]

use std::process::Command;

#[test]
fn each_site_comes_by_signal_once() {
    let own = std::env::current_exe().expect("our own path");
    let example =
        own.parent().and_then(|deps| deps.parent()).expect("the build's directory").join("examples/count");
    if !example.exists() {
        eprintln!("skipped: examples are not built; cargo test without --test builds them");
        return;
    }
    let output = Command::new(example).output().expect("the example");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let rows = text.lines().filter_map(|line| {
        let numbers: Vec<usize> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        <[usize; 3]>::try_from(numbers).ok()
    });
    let rows: Vec<[usize; 3]> = rows.collect();
    // read, close, openat, fstat and the like: libc has a few sites for each.
    assert!(rows.len() >= 4, "{text}");
    for [number, signal, stub] in rows {
        assert!(signal <= 4 && signal + stub < 10_000, "call {number}: {text}");
        assert!(stub > 50 || signal + stub <= 4, "call {number}: {text}");
    }
}
