// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's functions have names for debuggers and profilers.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Child;

use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::Mounted;
use stowaway_tests::process::{kill_group, Run};

/// A program that reads a file of the image, and is killed at the end.
struct Reader {
    mounted: Mounted,
    program: String,
    child: Child,
}

impl Reader {
    fn start(run: impl Fn(&Mounted, [&str; 2]) -> Run) -> Reader {
        let mounted = Mounted::new(Kind::Basic);
        let program =
            mounted.program("reader", include_str!("../programs/helpers/reader.c")).display().to_string();
        let file = format!("{}/hello.txt", mounted.dir());
        let mut child = run(&mounted, [&program, &file]).spawn();
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        Reader { mounted, program, child }
    }

    /// What gdb says of the program's stack when the kernel reads the file; None: gdb is not to be had.
    fn backtrace(&self) -> Option<String> {
        let pid = self.child.id().to_string();
        let files = self.mounted.fixture.base.path().join("symbols");
        let (files, script) = (files.display().to_string(), format!("{}.gdb", files.display()));
        let command = self.mounted.artifacts.command.display().to_string();
        let written = Run::new([command.as_str(), "gdb", &pid, "-o", &files]).output();
        let executable = std::fs::read_link(format!("/proc/{pid}/exe")).expect("a link");
        let loaded = executable.ends_with("libstowaway.so");
        let before = if loaded { "-iex 'set exec-file-mismatch off' PROGRAM " } else { "" };
        assert_eq!(written.expect_exit(0).out(), format!("gdb {before}-p {pid} -x {script}\n"));
        let mut words = vec!["gdb", "-nx", "-batch"];
        for line in ["set confirm off", "set pagination off", "set exec-file-mismatch off"] {
            words.extend(["-iex", line]);
        }
        words.push(&self.program);
        words.extend(["-p", &pid, "-x", &script]);
        // What is left of attaching to a process with threads.
        words.extend(["-ex", "handle SIGSTOP nostop noprint nopass"]);
        // Thread 1 is the program's: while the timer's thread runs the kernel, a call of the program can be served there.
        for line in ["break generic_file_read_iter thread 1", "continue", "backtrace", "delete", "detach"] {
            words.extend(["-ex", line]);
        }
        if !Path::new("/usr/bin/gdb").exists() {
            eprintln!("note: gdb is not installed");
            return None;
        }
        let said = Run::new(words).output();
        if said.err().contains("Operation not permitted") {
            eprintln!("note: gdb may not attach here: {}", said.err());
            return None;
        }
        let text = said.expect_exit(0).out();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        assert!(state != Some('T'), "gdb left the process stopped: {text}");
        Some(text)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        kill_group(&self.child);
        let _ = self.child.wait();
    }
}

/// One stack: the kernel's functions, then the library's, then the program's, each in its order.
#[track_caller]
fn is_whole(text: &str) {
    let mut rest = text;
    for name in ["generic_file_read_iter", "vfs_read", "pread64", "stowaway", "innermost", "between", "main"]
    {
        let at = rest.find(name).unwrap_or_else(|| panic!("no {name} in its place in:\n{text}"));
        rest = &rest[at + name.len()..];
    }
    assert!(!text.contains("Backtrace stopped"), "{text}");
}

everyone! {
    fn gdb_sees_the_whole_stack_of_a_loaded_program() {
        let reader = Reader::start(|mounted, words| mounted.run_by_command(words));
        if let Some(text) = reader.backtrace() {
            is_whole(&text);
        }
    }

    fn gdb_sees_the_whole_stack_under_the_preload() {
        let reader = Reader::start(|mounted, words| mounted.run(words));
        if let Some(text) = reader.backtrace() {
            is_whole(&text);
        }
    }

    fn perf_is_told_the_functions() {
        let reader = Reader::start(|mounted, words| mounted.run(words).env("STOWAWAY_PERF_MAP", "1"));
        let pid = reader.child.id();
        let path = format!("/tmp/perf-{pid}.map");
        let map = std::fs::read_to_string(&path).expect("a map");
        let _ = std::fs::remove_file(&path);
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("maps");
        let hex = |text: &str| u64::from_str_radix(text, 16).expect("a number");
        // perf takes these names for anonymous memory only
        let executable: Vec<(u64, u64)> = maps
            .lines()
            .filter(|line| line.contains(" r-xp 00000000 00:00 0"))
            .filter_map(|line| line.split_once(' ')?.0.split_once('-'))
            .map(|(start, end)| (hex(start), hex(end)))
            .collect();
        for name in ["vfs_read", "generic_file_read_iter", "ext4_file_read_iter", "schedule"] {
            let line = map.lines().find(|line| line.ends_with(&format!(" {name}"))).expect(name);
            let mut words = line.split(' ');
            let (start, len) = (hex(words.next().expect("a start")), hex(words.next().expect("a size")));
            let inside = executable.iter().any(|(from, to)| *from <= start && start + len <= *to);
            assert!(inside && len > 0, "{line} in {maps}");
        }
        assert!(map.lines().count() > 10_000, "{}", map.lines().count());
    }

    fn without_a_kernel_gdb_has_nothing_to_be_told() {
        let mounted = Mounted::new(Kind::Basic);
        let command = mounted.artifacts.command.display().to_string();
        let own = std::process::id().to_string();
        let outcome = Run::new([command.as_str(), "gdb", &own]).output();
        assert_eq!(outcome.status, "exit 1");
        assert!(outcome.err().contains("has no kernel yet"), "{}", outcome.err());
    }
}
