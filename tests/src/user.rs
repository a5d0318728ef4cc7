// SPDX-License-Identifier: GPL-2.0-only
//! Everything runs twice where it can: as who we are, and, when that is root, once more as an ordinary user.
#![allow(unsafe_code)]

use crate::artifacts;
use crate::process::patiently;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The ordinary user: `nobody`.
const ORDINARY: u32 = 65_534;

/// Our effective user id.
pub fn id() -> u32 {
    // SAFETY: geteuid has no arguments and cannot fail.
    unsafe { libc::geteuid() }
}

/// Whether we are root.
pub fn is_root() -> bool {
    id() == 0
}

/// Whether this is the second run, as the ordinary user, started by a run as root.
pub fn is_again() -> bool {
    std::env::var_os("STOWAWAY_TEST_AGAIN").is_some()
}

/// Says something that is seen even when the test passes: what was skipped is never silent.
pub fn note(text: &str) {
    // Not eprintln!, which the test runner keeps to itself.
    let _ = writeln!(std::io::stderr(), "note: {text}");
}

/// Declares tests that run as the user we are and, when that is root, as an ordinary user as well.
#[macro_export]
macro_rules! everyone {
    ($($(#[$meta:meta])* fn $name:ident() $body:block)*) => {
        mod this_user {
            #[allow(unused_imports)]
            use super::*;
            $($(#[$meta])* #[test] fn $name() $body)*
        }
        mod ordinary_user {
            $(#[test] fn $name() {
                $crate::user::again(concat!("this_user::", stringify!($name)));
            })*
        }
    };
}

/// Runs a test of this same program as the ordinary user.
pub fn again(test: &str) {
    if !is_root() {
        note(&format!("{test} is the ordinary user's run already: we are uid {}", id()));
        return;
    }
    if std::env::var_os("STOWAWAY_TEST_RUNNER").is_some() {
        note(&format!("{test}: not run as an ordinary user: a loop mount needs root"));
        return;
    }
    let copies = copies();
    let mut command = Command::new(copies.join("tests"));
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("STOWAWAY_BIN_DIR", copies)
        .env("STOWAWAY_TEST_AGAIN", "1")
        .env("RUST_BACKTRACE", "0")
        .env("HOME", "/")
        .current_dir("/")
        .gid(ORDINARY)
        .uid(ORDINARY);
    let done = patiently(|| command.output()).expect("a copy of this test program");
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    for line in said.lines().filter(|line| line.starts_with("note: ") && !line.contains("RUST_BACKTRACE")) {
        note(&line["note: ".len()..]);
    }
    assert!(said.contains("1 passed") || !done.status.success(), "{test} did not run: {said}");
    assert!(done.status.success(), "as uid {ORDINARY}: {said}");
}

/// Copies of the products and of this test program that an ordinary user may read (a checkout may be private).
pub(crate) fn copies() -> &'static PathBuf {
    static COPIES: OnceLock<PathBuf> = OnceLock::new();
    COPIES.get_or_init(|| {
        let products = artifacts::get();
        let directory = std::env::temp_dir().join(format!("stowaway-tests-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory for copies");
        let copy = |from: &std::path::Path, name: &str| {
            std::fs::copy(from, directory.join(name)).expect("a copy of an artifact");
        };
        copy(&products.library, "libstowaway.so");
        copy(&products.command, "stowaway");
        let emulator = products.library.with_file_name("libsoftuintr.so");
        if emulator.is_file() {
            copy(&emulator, "libsoftuintr.so");
        }
        copy(&std::env::current_exe().expect("our own path"), "tests");
        // SAFETY: the handler is a plain function without arguments, called once at exit.
        unsafe { libc::atexit(remove_copies) };
        directory
    })
}

extern "C" fn remove_copies() {
    let directory = std::env::temp_dir().join(format!("stowaway-tests-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(directory);
}
