// SPDX-License-Identifier: GPL-2.0-only
//! Every `syscall` of the C library and the dynamic linker is found and can be rewritten; data is left alone.
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use trampoline::rewrite::decide::scan::{scan_file, Report};
use trampoline::rewrite::decide::tactic::{choose_in, Refusal, Shape};
use trampoline::rewrite::find::decode::Function;
use trampoline::rewrite::find::view::Body;

const LIBRARIES: [&str; 2] = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
const LIBCRYPTO: &str = "/usr/lib/x86_64-linux-gnu/libcrypto.so.3";

fn report(path: &str) -> Report {
    let file = std::fs::read(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    scan_file(&file).unwrap_or_else(|| panic!("{path}: not an x86-64 ELF file"))
}

/// What objdump, which decodes all of the text from its symbols on, takes for a `syscall`.
fn listed_by_objdump(path: &str) -> Option<BTreeSet<u64>> {
    let output = Command::new("objdump").args(["-d", "--no-show-raw-insn", path]).output().ok()?;
    let text = String::from_utf8(output.stdout).expect("objdump writes text");
    let address = |line: &str| {
        let (address, instruction) = line.trim().split_once(":\t")?;
        (instruction.trim() == "syscall").then(|| u64::from_str_radix(address, 16).expect("an address"))
    };
    Some(text.lines().filter_map(address).collect())
}

#[test]
fn every_site_of_libc_and_the_linker_has_a_tactic() {
    for path in LIBRARIES {
        let report = report(path);
        assert!(report.sites.len() > 40, "{path}: only {} sites", report.sites.len());
        for site in &report.sites {
            assert!(
                site.tactic.is_ok(),
                "{path}: {:#x} in {:?}: {:?}",
                site.address,
                site.function,
                site.tactic
            );
        }
        assert_eq!(report.unknown_occurrences, [], "{path}");
        let live = report.sites.iter().filter(|site| site.live_safe()).count();
        assert!(live * 4 > report.sites.len() * 3, "{path}: only {live} can be written at any time");
    }
}

#[test]
fn the_sites_are_those_that_objdump_lists() {
    for path in LIBRARIES {
        let Some(listed) = listed_by_objdump(path) else {
            eprintln!("skipped: objdump is not installed");
            return;
        };
        let found: BTreeSet<u64> = report(path).sites.iter().map(|site| site.address).collect();
        assert_eq!(found, listed, "{path}");
    }
}

#[test]
fn tables_in_the_text_are_not_code() {
    if !Path::new(LIBCRYPTO).exists() {
        eprintln!("skipped: {LIBCRYPTO} is not installed");
        return;
    }
    let report = report(LIBCRYPTO);
    assert_eq!(report.sites, []);
    // The table of P-256 multiples holds some; what a sweep over the text breaks keys with.
    assert!(!report.unknown_occurrences.is_empty());
}

#[test]
fn what_follows_a_function_counts_if_it_is_reached() {
    let known = Body { address: 0x1000, bytes: &[0x48, 0x8d, 0x05, 0x02, 0, 0, 0, 0xeb, 0x04] };
    // lea rax, [rip + 2]; jmp over the next four bytes, which are what was referred to: a table.
    let beyond = Body {
        address: 0x1009,
        bytes: &[0x0f, 0x05, 0x0f, 0x05, 0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3, 0x0f, 0x05],
    };
    let mut function = Function::decode(known);
    function.run_on(beyond);
    let tactic = choose_in(&function, 0x1012).expect("the call that is reached");
    assert_eq!((tactic.start, tactic.shape), (0x100d, Shape::Single));
    for table in [0x1009, 0x100b, 0x1015] {
        assert_eq!(choose_in(&function, table), Err(Refusal::NotAnInstruction));
        assert!(!function.covers(table));
    }
}

#[test]
fn what_is_no_program_has_no_report() {
    assert_eq!(scan_file(b""), None);
    assert_eq!(scan_file(&[0x7f; 4096]), None);
    let mut cut = std::fs::read(LIBRARIES[1]).expect("the dynamic linker");
    for len in [100_000, 4096, 500, 64] {
        cut.truncate(len);
        // Whatever is left of it: no panic, and no site where there are no bytes.
        let sites = scan_file(&cut).map_or(0, |report| report.sites.len());
        assert!(sites <= 46);
    }
}

#[test]
fn damaged_modules_do_no_harm() {
    let whole = std::fs::read(LIBRARIES[1]).expect("the dynamic linker");
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = |below: usize| {
        // xorshift64: the same damage in every run.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for round in 0..1500 {
        let mut damaged = whole.clone();
        // The headers, the unwind tables and all of it, in turn.
        let (start, len) = [(0, 1024), (0x2d000, 0x4000), (0, whole.len())][round % 3];
        for _ in 0..=random(8) {
            damaged[(start + random(len)).min(whole.len() - 1)] =
                [0, 0xff, 0x7f, 0x80, random(256) as u8][random(5)];
        }
        let sites = scan_file(&damaged).map_or(0, |report| report.sites.len());
        assert!(sites <= 60, "{sites}");
    }
}
