// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway doctor`: what it says of programs, and that its verdict is its exit status.

mod support;

use support::{compile, Place};

#[test]
fn json_and_text_agree() {
    let place = Place::new();
    let text = place.run(&["doctor", "sh"]);
    let json = place.run(&["doctor", "--json", "sh"]);
    assert_eq!(text.status, json.status);
    let value: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(value["ok"], text.status == Some(0));
    let checks = value["checks"].as_array().unwrap();
    for name in ["syscall user dispatch", "vm.mmap_min_addr", "to build", "loads", "verdict"] {
        assert!(checks.iter().any(|check| check["name"] == name), "{name} in {json:?}");
        assert!(text.stdout.contains(name), "{name} in {text:?}");
    }
}

#[test]
fn programs() {
    let place = Place::new();
    let source = place.write("main.c", b"int main(void) { return 0; }\n", 0o644);
    compile(&["-static"], &source, &place.path("static"));
    let ended = place.run(&["doctor", "./static"]);
    assert_eq!(ended.status, Some(1));
    assert!(ended.stdout.contains("statically linked: cannot be preloaded"), "{ended:?}");
    let ended = place.run(&["doctor", "sh"]);
    assert!(ended.stdout.contains("can be run with a kernel inside"), "{ended:?}");
    assert!(ended.stdout.contains("(glibc)"), "{ended:?}");
    let ended = place.run(&["doctor", "no-such-program"]);
    assert_eq!(ended.status, Some(1));
    assert!(ended.stdout.contains("no-such-program: not found in PATH"), "{ended:?}");
}

#[test]
fn a_missing_library_fails() {
    let place = Place::new();
    let output = place.command().arg("doctor").env("STOWAWAY_LIB", "/no/libstowaway.so").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("FAIL  libstowaway.so"), "{text}");
    assert!(output.stderr.is_empty());
}
