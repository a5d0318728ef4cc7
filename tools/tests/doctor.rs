// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway doctor`: what it says of programs, and that its verdict is its exit status.

mod support;

use support::{compile, is_root, Place};

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
fn images_that_cannot_be_mounted() {
    let place = Place::new();
    place.write("zeros", &[0; 1 << 20], 0o644);
    place.write("secret", &[0; 8192], 0o000);
    place.write("luks", &[b"LUKS\xba\xbe", &[1; 9000][..]].concat(), 0o644);
    std::fs::create_dir(place.path("dir")).unwrap();
    let missing = place.path("missing.img").display().to_string();
    for (name, words) in [
        ("zeros", "only zeros"),
        ("luks", "is a LUKS volume (encrypted); cryptsetup open"),
        ("zeros+missing", "missing: no such image"),
        ("missing#1", "missing: no such image"),
        ("missing[/lost+found]", "missing: no such image"),
        (&missing, "missing.img: no such image; stowaway mkimage makes one"),
        ("./dir", "dir: is a directory, not an image; stowaway mkimage makes an image of one"),
        ("/dev/null", "is neither a file nor a block device"),
        ("./secret", "secret: Permission denied"),
    ] {
        if name == "./secret" && is_root() {
            continue;
        }
        let ended = place.run(&["doctor", name]);
        let mut lines = ended.stdout.lines().skip_while(|line| *line != "Image");
        let failed = lines.find(|line| line.trim_start().starts_with("FAIL")).unwrap_or_default();
        assert!(failed.contains(words) && ended.status == Some(1), "{name}: {ended:?}");
    }
}

#[test]
fn call_sites() {
    let place = Place::new();
    let ended = place.run(&["doctor", "ls"]);
    assert!(ended.stdout.contains("libc.so.6"), "{ended:?}");
    assert!(ended.stdout.contains("sites are rewritten"), "{ended:?}");
    let ended = place.run(&["doctor", "--json", "--verbose", "ls"]);
    let value: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let modules = value["modules"].as_array().unwrap();
    let libc = modules.iter().find(|m| m["path"].as_str().unwrap().ends_with("libc.so.6")).unwrap();
    let number = |name: &str| libc[name].as_u64().unwrap();
    assert!(number("sites") > 300 && number("at_any_time") > 200, "{libc}");
    assert_eq!(libc["list"].as_array().unwrap().len() as u64, number("sites"));
    // Data that looks like a call, and code that nobody described: said, and not counted as sites.
    let source = place.write(
        "table.c",
        b"__attribute__((section(\".text\"))) const unsigned char table[] = {1, 0x0f, 0x05, 2, 0x0f, 0x05};\n\
          int main(void) { return table[0] - 1; }\n",
        0o644,
    );
    compile(&["-w"], &source, &place.path("table"));
    let ended = place.run(&["doctor", "--json", "./table"]);
    let value: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let number = |name: &str| value["modules"][0][name].as_u64().unwrap();
    assert_eq!((number("sites"), number("data") + number("unknown")), (0, 2), "{ended:?}");
    assert_eq!(value["modules"][0].get("list"), None);
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
