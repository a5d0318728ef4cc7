// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway run`: what it hands to the program, and what it refuses.

mod support;

use std::os::unix::ffi::OsStrExt;

use support::{compile, is_root, Ended, Place};

/// A place with an image that can be opened.
fn place() -> Place {
    let place = Place::new();
    place.write("disk.img", &[0; 8192], 0o644);
    place
}

#[test]
fn the_program_gets_the_settings() {
    let place = place();
    let image = place.path("disk.img");
    let run = |option: &[&str]| {
        let run = ["run", "--mount", "disk.img:/mnt/a", "--mem", "128M"];
        let mut command = place.command();
        command.args(run).args(option).args(["--", "/usr/bin/env"]);
        command.env("STOWAWAY_LOG", "info").env("STOWAWAY_MEM", "32M").env("STOWAWAY_TEST_X", "kept");
        let ended = Ended::of(command.env("LD_PRELOAD", "libm.so.6").output().unwrap());
        assert_eq!(ended.status, Some(0), "{ended:?}");
        let has =
            |line: &str| assert!(ended.stdout.lines().any(|other| other == line), "{line} in {ended:?}");
        has(&format!("STOWAWAY_MOUNT={}:/mnt/a", image.display()));
        has("STOWAWAY_MEM=128M");
        has("STOWAWAY_LOG=info");
        has("STOWAWAY_RUN=1");
        has("STOWAWAY_TEST_X=kept");
        assert!(!ended.stdout.contains("STOWAWAY_LIB="));
        ended.stdout
    };
    let loaded = run(&[]);
    assert!(loaded.starts_with("STOWAWAY_EXEC=:/usr/bin/env\n"), "{loaded}");
    assert!(
        loaded.contains("\nLD_PRELOAD=libm.so.6\n"),
        "the library has no loader that it would act on: {loaded}"
    );
    let preloaded = run(&["--preload"]);
    let line = format!("\nLD_PRELOAD={}:libm.so.6\n", place.library().display());
    assert!(preloaded.contains(&line) && !preloaded.contains("STOWAWAY_EXEC"), "{preloaded}");
}

#[test]
fn a_file_counts_less_than_variables() {
    let place = place();
    place.write("s.toml", b"mount = ['disk.img:/mnt/f']\nmem = '256M'\nlog = 'debug'\n", 0o644);
    let mut command = place.command();
    command.args(["run", "--config", "s.toml", "env"]).env("STOWAWAY_MEM", "32M");
    let ended = Ended::of(command.output().unwrap());
    for line in ["STOWAWAY_MEM=32M", "STOWAWAY_LOG=debug", "disk.img:/mnt/f"] {
        assert!(ended.stdout.contains(line), "{ended:?}");
    }
    assert!(!ended.stdout.contains("STOWAWAY_CONFIG"), "the program need not read it again");
}

#[test]
fn the_status_is_the_programs() {
    let place = place();
    assert_eq!(place.run(&["run", "--", "sh", "-c", "exit 42"]).status, Some(42));
    let ended = place.run(&["run", "sh", "-c", "kill -TERM $$"]);
    assert_eq!(ended.status, None, "ended by a signal");
    let ended = place.run(&["run", "sh", "-c", "echo $0 $1", "a", "--mem"]);
    assert_eq!(ended.stdout, "a --mem\n");
}

#[test]
fn the_program_inherits_plain_signals() {
    let place = place();
    let ended = place.run(&["run", "--", "grep", "SigIgn", "/proc/self/status"]);
    let direct = std::process::Command::new("grep").args(["SigIgn", "/proc/self/status"]).output().unwrap();
    assert_eq!(ended.stdout.as_bytes(), direct.stdout);
}

#[test]
fn bad_settings_name_their_key() {
    let place = place();
    let cases: [(&[&str], &[&str]); 9] = [
        (&["--mem", "1M"], &["--mem: ", "16M to 16G"]),
        (&["--mem", "big"], &["--mem: ", "not a size"]),
        (&["--net", "eth0"], &["--net: ", "none, lo"]),
        (&["--log", "loud"], &["--log: ", "trace"]),
        (&["--kernel-log", "stdout"], &["--kernel-log: ", "off, stderr or a file"]),
        (&["--mount", "disk.img:mnt"], &["--mount: ", "relative PATH"]),
        (&["--mount", "disk.img:/m,size=1"], &["--mount: ", "unknown option"]),
        (&["--mount", "disk.img:/m", "--mount", "none:/m,type=tmpfs"], &["--mount: ", "two mounts on"]),
        (&["--config", "none.toml"], &["--config: none.toml: No such file"]),
    ];
    for (options, words) in cases {
        place.run(&[&["run"], options, &["--", "true"]].concat()).failed(125, words);
    }
    for (name, value) in [("STOWAWAY_MEM", "x"), ("STOWAWAY_MOUNTS", "x"), ("STOWAWAY_CONFIG", "/")] {
        let output = place.command().args(["run", "true"]).env(name, value).output().unwrap();
        Ended::of(output).failed(125, &[name]);
    }
    place.write("s.toml", b"memory = '1G'\n", 0o644);
    place.run(&["run", "--config", "s.toml", "true"]).failed(125, &["memory in s.toml", "no such setting"]);
}

#[test]
fn a_wrong_command_line_is_125_too() {
    let place = place();
    for args in [&["run"][..], &["run", "--"], &["run", "--what", "true"], &["run", "--mem"]] {
        let ended = place.run(args);
        assert_eq!(ended.status, Some(125), "{ended:?}");
        assert!(ended.stderr.starts_with("stowaway: "), "{ended:?}");
    }
    assert_eq!(place.run(&["walk"]).status, Some(2));
    assert_eq!(place.run(&["run", "--help"]).status, Some(0));
}

#[test]
fn bad_images() {
    let place = place();
    place.write("empty.img", b"", 0o644);
    std::fs::create_dir(place.path("dir")).unwrap();
    let mount = |image: &str| place.run(&["run", "--mount", &format!("{image}:/m"), "true"]);
    mount("no.img").failed(125, &["no.img: no such image"]);
    mount("dir").failed(125, &["dir: is a directory"]);
    mount("empty.img").failed(125, &["empty.img: is empty"]);
    mount("/dev/null").failed(125, &["/dev/null: is neither a file nor a block device"]);
    mount("disk.img/x").failed(125, &["Not a directory"]);
    if !is_root() {
        place.write("secret.img", &[0; 8192], 0o000);
        mount("secret.img").failed(125, &["secret.img: Permission denied"]);
        place.write("locked.img", &[0; 8192], 0o444);
        mount("locked.img").failed(125, &["cannot be written", ":ro"]);
        assert_eq!(place.run(&["run", "--mount", "locked.img:/m:ro", "true"]).status, Some(0));
    }
    let name = std::ffi::OsStr::from_bytes(b"\xff.img:/m");
    std::fs::copy(place.path("disk.img"), place.path("").join(std::ffi::OsStr::from_bytes(b"\xff.img")))
        .unwrap();
    let output = place.command().args(["run", "--mount"]).arg(name).arg("true").output().unwrap();
    assert_eq!(Ended::of(output).status, Some(0), "a name that is not UTF-8");
}

#[test]
fn programs_that_are_not_there_or_not_executable() {
    let place = place();
    place.write("plain", b"#!/bin/sh\n", 0o644);
    place.run(&["run", "--", "no-such-program"]).failed(127, &["no-such-program: not found in PATH"]);
    place.run(&["run", "--", "./none"]).failed(127, &["./none: no such program"]);
    place.run(&["run", "--", "./plain"]).failed(126, &["./plain: is not executable"]);
    place.run(&["run", "--", "/tmp"]).failed(126, &["/tmp: is a directory"]);
    place.run(&["run", "--", ""]).failed(127, &["empty"]);
    place
        .run(&["run", "--preload", "--mount", "disk.img:/m", "--", "/m/program"])
        .failed(126, &["is on an image", "--preload"]);
}

#[test]
fn programs_that_cannot_take_the_library() {
    let place = place();
    let source = place.write("main.c", b"int main(void) { return 0; }\n", 0o644);
    compile(&["-static"], &source, &place.path("static"));
    compile(&[], &source, &place.path("dynamic"));
    assert_eq!(place.run(&["run", "--preload", "./dynamic"]).status, Some(0));
    let refused = place.run(&["run", "--preload", "./static"]);
    refused.failed(125, &["./static: statically linked: cannot be preloaded"]);
    assert_eq!(place.run(&["run", "./static"]).status, Some(0));

    place.write("script", format!("#!{}\n", place.path("static").display()).as_bytes(), 0o755);
    place
        .run(&["run", "--preload", "./script"])
        .failed(125, &["./script (by its interpreter", "statically linked"]);
    place.write("lost", b"#!/no/such/interpreter\n", 0o755);
    place.run(&["run", "./lost"]).failed(126, &["its interpreter /no/such/interpreter cannot be executed"]);
    place.write("text", b"echo hello\n", 0o755);
    place.run(&["run", "./text"]).failed(126, &["neither an ELF program nor a script"]);
    place.write("empty", b"", 0o755);
    place.run(&["run", "./empty"]).failed(126, &["neither an ELF program"]);
    place.write("circle", format!("#!{}\n", place.path("circle").display()).as_bytes(), 0o755);
    place.run(&["run", "./circle"]).failed(126, &["nested too deep"]);
}

#[test]
fn foreign_and_broken_binaries() {
    let place = place();
    let source = place.write("main.c", b"int main(void) { return 0; }\n", 0o644);
    compile(&[], &source, &place.path("dynamic"));
    let binary = std::fs::read(place.path("dynamic")).unwrap();
    let changed = |at: usize, byte: u8| {
        let mut bytes = binary.clone();
        bytes[at] = byte;
        place.write("changed", &bytes, 0o755);
        place.run(&["run", "--preload", "./changed"])
    };
    changed(4, 1).failed(125, &["32-bit"]);
    changed(18, 0xb7).failed(125, &["another machine", "AARCH64"]);
    changed(16, 1).failed(125, &["not a program"]);
    changed(39, 0xff).failed(125, &["not a program", "cut off"]);
    place.write("cut", &binary[..60], 0o755);
    place.run(&["run", "--preload", "./cut"]).failed(125, &["not a program", "cut off"]);

    let loader = b"/lib64/ld-linux-x86-64.so.2";
    let at = binary.windows(loader.len()).position(|window| window == loader).unwrap();
    let musl = b"/lib/ld-musl-x86_64.so.1\0\0\0";
    let with_loader = [&binary[..at], &musl[..], &binary[at + loader.len()..]].concat();
    place.write("musl", &with_loader, 0o755);
    place.run(&["run", "--preload", "./musl"]).failed(125, &["linked with musl"]);
}

#[test]
fn setuid_programs() {
    let place = place();
    let program = if is_root() {
        let program = place.path("setuid");
        std::fs::copy("/bin/true", &program).unwrap();
        std::os::unix::fs::chown(&program, Some(65534), Some(65534)).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o4755)).unwrap();
        program
    } else {
        // Every Debian has it.
        "/usr/bin/passwd".into()
    };
    let ended = place.run(&["run", "--preload", program.to_str().unwrap()]);
    ended.failed(125, &["setuid", "LD_PRELOAD is ignored"]);
}

#[test]
fn the_library_must_be_one() {
    let place = place();
    for (library, word) in [("none.so", "No such file"), ("disk.img", "not a 64-bit x86 shared library")] {
        let output = place.command().args(["run", "true"]).env("STOWAWAY_LIB", library).output().unwrap();
        Ended::of(output).failed(125, &["STOWAWAY_LIB: ", word]);
    }
    let spaced = place.path("a b.so");
    std::fs::copy(place.library(), &spaced).unwrap();
    let with = |library: &std::path::Path, options: &[&str]| {
        let mut command = place.command();
        command.arg("run").args(options).arg("true").env("STOWAWAY_LIB", library);
        Ended::of(command.output().unwrap())
    };
    with(&spaced, &["--preload"]).failed(125, &["space or colon"]);
    assert_eq!(with(&spaced, &[]).status, Some(0));
    let old = place.path("libold.so");
    compile(&["-shared", "-fPIC"], &place.write("old.c", b"int old;\n", 0o644), &old);
    with(&old, &[]).failed(125, &["libold.so", "cannot be executed"]);
    assert_eq!(with(&old, &["--preload"]).status, Some(0));
}
