// SPDX-License-Identifier: GPL-2.0-only
//! Programs of the distribution at work: see `stowaway_tests::real`.

use std::collections::BTreeMap;
use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::Mounted;
use stowaway_tests::process::Run;
use stowaway_tests::program::compile_with;
use stowaway_tests::real::{Mode, Real, GAPS};
use stowaway_tests::{everyone, gaps, user};

macro_rules! reals {
    ($($name:ident: $interpreter:literal $file:literal $(. $method:ident ($($argument:expr),*))*;)*) => {
        const NAMES: &[&str] = &["calls_from_exec_on", $(stringify!($name)),*];

        everyone! {
            $(fn $name() {
                let text = include_str!(concat!("../programs/real/", $file));
                Real::new(stringify!($name), $interpreter, text)$(.$method($($argument),*))*.prove();
            })*

            fn public_keys() {
                two_thousand_public_keys();
            }

            fn calls_from_exec_on() {
                every_call_from_exec_on();
            }
        }
    };
}

const JAVA: (&str, &str) = ("Small.java", include_str!("../programs/real/Small.java"));

const GO: (&str, &str) = ("Go.go", include_str!("../programs/real/Go.go"));

reals! {
    bash: "bash" "bash.sh";
    dash: "dash" "dash.sh";
    python: "python3" "python.py";
    python_pools: "python3" "pools.py";
    perl: "perl" "perl.pl";
    node: "node" "node.js";
    java: "bash" "java.sh".needs(&["java", "javac"]).with(&[JAVA]);
    gcc: "bash" "gcc.sh".needs(&["gcc", "make"]);
    archives: "bash" "archives.sh".needs(&["xz", "gzip", "tar"]);
    openssl: "bash" "openssl.sh".needs(&["openssl"]).no_tick("s_client gives up when a signal interrupts its select");
    redis: "bash" "redis.sh".needs(&["redis-server", "redis-cli", "redis-benchmark"]);
    nginx: "bash" "nginx.sh".needs(&["nginx", "python3"]);
    sqlite: "bash" "sqlite.sh".needs(&["sqlite3"]);
    sqlite_on_the_image: "bash" "sqlite.sh".needs(&["sqlite3"]).writes();
    git: "bash" "git.sh".needs(&["git"]);
    go: "bash" "go.sh".needs(&["fzf"]);
    go_static: "bash" "go_static.sh".needs(&["go"]).with(&[GO]);
    sudo: "bash" "sudo.sh".needs(&["sudo"]).says(2, 0);
    busybox: "bash" "busybox.sh".needs(&["busybox"]);
}

/// In one process, by libcrypto: tables amid its text must stay what they are.
fn two_thousand_public_keys() {
    let mounted = Mounted::new(Kind::Empty);
    let source = include_str!("../programs/real/keys.c");
    let program = compile_with("cc", mounted.fixture.base.path(), "keys", source, &["-lcrypto"]);
    let native = Run::new([&program]).output();
    assert_eq!((native.status.as_str(), native.out().lines().count()), ("exit 0", 2000), "{}", native.err());
    for caught in [mounted.run([&program]), mounted.run_by_command([&program])] {
        let outcome = caught.output();
        assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""));
        let wrong = native.out().lines().zip(outcome.out().lines()).filter(|(a, b)| a != b).count();
        assert_eq!(wrong, 0, "keys differ");
        assert_eq!(native.stdout, outcome.stdout);
    }
}

/// Under `stowaway run` nothing is missed: what strace sees natively behind the execve is what `--trace` prints.
fn every_call_from_exec_on() {
    let mounted = Mounted::new(Kind::Empty);
    if !std::path::Path::new("/usr/bin/strace").is_file() {
        return user::note("calls_from_exec_on: skipped: strace is not installed");
    }
    let lists =
        [&["true"][..], &["cat", "/etc/passwd"], &["ls", "-l", "/etc"], &["python3", "-c", "print(1)"]];
    let missed: Vec<String> = lists.iter().filter_map(|words| missed_calls(&mounted, words).err()).collect();
    let result = if missed.is_empty() { Ok(()) } else { Err(missed.join("\n")) };
    if let Some(wrong) = gaps::judge(GAPS, "calls_from_exec_on", "run", result) {
        panic!("{wrong}");
    }
}

/// The names of calls in a list of strace's or of ours, with how often each was made. What depends on the address
/// space's layout and on libc's names against libc itself (which take twins) is left out or taken together.
fn counts(text: &str) -> BTreeMap<String, usize> {
    const LEFT_OUT: [&str; 6] = ["brk", "mmap", "munmap", "mremap", "madvise", "getrandom"];
    let mut counts = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with(['+', '-', '<'])) {
        let Some(name) = line.split('(').next().and_then(|call| call.rsplit(' ').next()) else { continue };
        let name = match name {
            "open" => "openat",
            "stat" | "lstat" | "fstat" => "newfstatat",
            name => name,
        };
        if !LEFT_OUT.contains(&name) && !name.is_empty() {
            *counts.entry(name.to_string()).or_default() += 1;
        }
    }
    counts
}

fn missed_calls(mounted: &Mounted, words: &[&str]) -> Result<(), String> {
    let base = mounted.fixture.base.path();
    let (theirs, ours) = (base.join("strace.log"), base.join("ours.log"));
    let _ = std::fs::remove_file(&ours);
    let (theirs_name, trace) = (theirs.display().to_string(), format!("--trace={}", ours.display()));
    let native = Run::new([&["strace", "-o", &theirs_name], words].concat()).output();
    let command = mounted.artifacts.command.display().to_string();
    let run = Run::new([&[&command, "run", &trace, "--"], words].concat()).output();
    assert_eq!((native.status, native.stdout), (run.status, run.stdout), "{words:?}");
    let read = |path| std::fs::read_to_string(path).expect("a list of calls");
    let (mut theirs, ours) = (counts(&read(&theirs)), counts(&read(&ours)));
    // The one that starts it all is the command's.
    if let Some(first) = theirs.get_mut("execve") {
        *first -= 1;
    }
    let missed = |(name, count): (&String, &usize)| {
        let seen = ours.get(name).copied().unwrap_or(0);
        (seen < *count).then(|| format!("{name}: {seen} of {count}"))
    };
    let missed: Vec<String> = theirs.iter().filter_map(missed).collect();
    if missed.is_empty() {
        Ok(())
    } else {
        Err(format!("{words:?}: seen only {}", missed.join(", ")))
    }
}

#[test]
fn every_gap_is_about_a_program() {
    gaps::check(GAPS, NAMES, &Mode::ALL.map(Mode::name));
}
