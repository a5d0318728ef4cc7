// SPDX-License-Identifier: GPL-2.0-only
//! ELF files: which `syscall` instructions they have, and how each would be rewritten.

use trampoline::rewrite::decide::tactic::{
    choose, choose_in, from_evidence, Tactic, JMP_LEN, SYSCALL, WINDOW_MAX,
};
use trampoline::rewrite::find::decode::Function;
use trampoline::rewrite::find::view::{Body, View};
use trampoline::rewrite::write::emit::{jmp, stub, SLOT};
use trampoline::rewrite::{scan_file, Site};

use crate::target::Target;

/// Whole files.
pub const SCAN: Target = Target {
    name: "elf_scan_and_decide",
    seeds: files,
    words: &[&SYSCALL, b"\x7fELF"],
    most: 1 << 20,
    read: scan,
};

/// One function: its first half decoded as known, the second as what follows.
pub const DECIDE: Target = Target {
    name: "patch_decision",
    seeds: functions,
    words: &[&SYSCALL, b"\xb8\0\0\0\0\x0f\x05", b"\xe9", b"\x0f\x84", b"\xff\xe0"],
    most: 512,
    read: decide,
};

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
/// Where functions are put.
const ADDRESS: u64 = 0x40_0000;

/// A program that has no sites, and the loader, which has all kinds.
fn files() -> Vec<Vec<u8>> {
    let files = ["/bin/true", LOADER].iter().filter_map(|file| std::fs::read(file).ok());
    files.filter(|file| file.len() <= SCAN.most).collect()
}

/// What stands around the sites of the loader.
fn functions() -> Vec<Vec<u8>> {
    const AROUND: u64 = 48;
    let Ok(file) = std::fs::read(LOADER) else { return vec![SYSCALL.to_vec()] };
    let (Some(report), Some(view)) = (scan_file(&file), View::of_file(&file)) else { return Vec::new() };
    let around = |site: &Site| view.slice(site.address - AROUND..site.address + AROUND).map(<[u8]>::to_vec);
    report.sites.iter().filter_map(around).collect()
}

fn decide(code: &[u8]) {
    let (known, beyond) = code.split_at(code.len() / 2);
    let mut function = Function::decode(Body { address: ADDRESS, bytes: known });
    function.run_on(Body { address: ADDRESS + known.len() as u64, bytes: beyond });
    for at in occurrences(code) {
        let address = ADDRESS + at as u64;
        let alone = choose(Body { address: ADDRESS, bytes: code }, address);
        for tactic in [alone, choose_in(&function, address)].into_iter().flatten() {
            assert_eq!(tactic.syscall, address);
            assert!(
                tactic.start >= ADDRESS && tactic.span().end <= ADDRESS + code.len() as u64,
                "{tactic:x?}"
            );
            let window = (tactic.start - ADDRESS) as usize..(tactic.end() - ADDRESS) as usize;
            make(&tactic, &code[window]);
        }
        if let Ok(tactic) = from_evidence(&code[..at], address, 0) {
            assert_eq!((tactic.end(), tactic.syscall), (address, address));
        }
    }
}

/// Where the two bytes stand.
fn occurrences(code: &[u8]) -> impl Iterator<Item = usize> + '_ {
    code.windows(SYSCALL.len()).enumerate().filter(|(_, pair)| *pair == SYSCALL).map(|(at, _)| at)
}

fn scan(file: &[u8]) {
    let (Some(report), Some(view)) = (scan_file(file), View::of_file(file)) else { return };
    let mut behind = 0;
    for site in &report.sites {
        assert!(site.address >= behind, "sites ascend");
        behind = site.address + SYSCALL.len() as u64;
        if let Ok(tactic) = &site.tactic {
            check(&view, site, tactic);
        }
    }
}

/// What the writing relies on.
fn check(view: &View, site: &Site, tactic: &Tactic) {
    assert_eq!(tactic.syscall, site.address);
    assert!((JMP_LEN as usize..=WINDOW_MAX).contains(&usize::from(tactic.len)), "{tactic:x?}");
    let text = view.text_of(tactic.start).expect("a window in code");
    let (window, span) = (tactic.window(), tactic.span());
    assert!(span.end <= text.range().end, "{tactic:x?} reaches past its segment");
    let at = (tactic.syscall - tactic.start) as usize;
    assert_eq!(view.slice(span).expect("its bytes")[at..][..SYSCALL.len()], SYSCALL);
    let bytes = view.slice(window).expect("the window's bytes");
    make(tactic, bytes);
}

/// The stub for a window that holds `bytes`.
fn make(tactic: &Tactic, bytes: &[u8]) {
    let near = (tactic.start & !(SLOT as u64 - 1)).wrapping_add(1 << 20);
    if let Some(stub) = stub(tactic, bytes, near, near + SLOT as u64) {
        assert_eq!(stub.slot[SLOT - 8..], tactic.after().to_le_bytes());
        assert!(jmp(tactic, near).is_some());
    }
}
