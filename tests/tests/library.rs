// SPDX-License-Identifier: GPL-2.0-only
//! What the built library must not contain, because of where it runs: amid a call of somebody else's program, with
//! only xmm0-15 saved, and perhaps with another C library's FS.

use std::process::Command;

use stowaway_tests::artifacts;

/// Who may use AVX: the entry, to save it for other handlers, and what is bracketed by xsave.
const MAY_USE_AVX: [&str; 2] = ["stowaway_entry", "memchr"];

/// Copies of libc's, which use whatever vectors the CPU has; and whatever keeps state behind FS on the way of a call.
const OURS: [&str; 8] = ["memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen", "memchr", "read"];

fn output_of(program: &str, arguments: &[&str]) -> String {
    let library = artifacts::get().library;
    let output = Command::new(program).args(arguments).arg(library).output().expect("binutils are installed");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether a mnemonic is of AVX or AVX-512: VEX and EVEX encodings all begin with a v, but for those on masks.
fn is_avx(mnemonic: &str) -> bool {
    let on_masks = ["kmov", "kand", "kor", "kxor", "knot", "ktest", "kshift", "kunpck", "kadd"];
    let not_vector = ["verr", "verw", "vmcall", "vmfunc"];
    (mnemonic.starts_with('v') && !not_vector.contains(&mnemonic))
        || on_masks.iter().any(|start| mnemonic.starts_with(start))
}

/// Lines `FUNCTION: INSTRUCTION` of the library's AVX instructions.
fn avx_instructions(listing: &str) -> Vec<String> {
    let mut function = "";
    let mut found = Vec::new();
    for line in listing.lines() {
        if let Some(name) = line.strip_suffix(">:").and_then(|line| line.split('<').nth(1)) {
            function = name;
        } else if let Some(mnemonic) = line.split('\t').nth(1).and_then(|text| text.split(' ').next()) {
            if is_avx(mnemonic) {
                found.push(format!("{function}: {mnemonic}"));
            }
        }
    }
    found
}

#[test]
fn no_newer_vectors_than_sse() {
    let found = avx_instructions(&output_of("objdump", &["-d", "--no-show-raw-insn"]));
    // The entry saves and restores 16 ymm, 32 zmm and 8 masks: if they are not seen, nothing is.
    let in_entry = found.iter().filter(|line| line.starts_with("stowaway_entry")).count();
    assert!(in_entry >= 2 * (16 + 32 + 8), "{in_entry} in the entry");
    let elsewhere: Vec<_> =
        found.iter().filter(|line| !MAY_USE_AVX.iter().any(|name| line.contains(name))).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
}

#[test]
fn copies_are_our_own() {
    let undefined = output_of("nm", &["-D", "--undefined-only"]);
    let names: Vec<&str> =
        undefined.lines().filter_map(|line| line.split_whitespace().last()?.split('@').next()).collect();
    assert!(names.contains(&"dlsym"), "{names:?}");
    let taken: Vec<_> = OURS.iter().filter(|name| names.contains(name)).collect();
    assert!(taken.is_empty(), "of the C library: {taken:?}");
    let exported = output_of("nm", &["-D", "--defined-only"]);
    let leaked = exported.lines().find(|line| line.ends_with(" memcpy") || line.ends_with(" memset"));
    assert_eq!(leaked, None, "everybody's copies would be ours");
}
