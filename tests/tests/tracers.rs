// SPDX-License-Identifier: GPL-2.0-only
//! Tools that look at programs: debuggers, tracers, profilers and checkers work on what is served, and are served
//! themselves. What cannot be served says so, and goes on.

use std::path::Path;

use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::process::{Outcome, Run};
use stowaway_tests::{program, user};

/// A program that copies a file of the image to its output.
struct Copier {
    mounted: Mounted,
    program: String,
    file: String,
}

impl Copier {
    fn new() -> Copier {
        let mounted = Mounted::new(Kind::Basic);
        let program =
            mounted.program("plain", include_str!("../programs/helpers/plain.c")).display().to_string();
        let file = format!("{}/hello.txt", mounted.dir());
        Copier { mounted, program, file }
    }

    /// What a tool that is served says of the program, under the preload and under `stowaway run`; nothing, with a note,
    /// where there is no such tool.
    fn under(&self, tool: &[&str]) -> Vec<Outcome> {
        if !is_installed(tool[0]) {
            return Vec::new();
        }
        let words = [tool, &[&self.program, &self.file]].concat();
        let outcomes =
            vec![self.mounted.run(words.clone()).output(), self.mounted.run_by_command(words).output()];
        self.mounted.check();
        outcomes
    }

    /// As [`under`](Copier::under); the file's content is there, and nothing is said by us.
    #[track_caller]
    fn works_under(&self, tool: &[&str]) {
        for outcome in self.under(tool) {
            outcome.expect_exit(0);
            assert!(outcome.out().contains("Hello, world!"), "{}\n{}", outcome.out(), outcome.err());
            assert_eq!(our_lines(&outcome), [""; 0]);
        }
    }
}

fn is_installed(tool: &str) -> bool {
    let found = ["/usr/bin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(tool).exists());
    if !found {
        user::note(&format!("skipped: {tool} is not installed"));
    }
    found
}

const GDB: [&str; 5] = ["gdb", "-nx", "-batch", "-ex", "set startup-with-shell on"];
const RUN: [&str; 6] = ["-ex", "break main", "-ex", "run", "-ex", "backtrace"];

/// The program was stopped where it was asked to, by nothing else, and came to its end.
#[track_caller]
fn was_run(outcome: &Outcome) {
    let text = format!("{}{}", outcome.out(), outcome.err());
    for part in ["Breakpoint 1, ", "#0  ", "in main", "Hello, world!", "exited normally]"] {
        assert!(text.contains(part), "without {part:?}: {text}");
    }
    assert!(!text.contains("received signal"), "{text}");
}

everyone! {
    fn gdb_runs_a_program() {
        let copier = Copier::new();
        for outcome in copier.under(&[&GDB[..], &RUN, &["-ex", "continue", "--args"]].concat()) {
            was_run(&outcome);
        }
    }

    fn gdb_that_is_not_served_runs_a_program_that_is() {
        let copier = Copier::new();
        if !is_installed("gdb") {
            return;
        }
        let settings = [
            format!("set environment LD_PRELOAD {}", copier.mounted.artifacts.library.display()),
            format!("set environment STOWAWAY_MOUNT {}", copier.mounted.fixture.mount("")),
        ];
        let set = ["-ex", &settings[0], "-ex", &settings[1]];
        let of_program = ["-ex", "continue", "--args", &copier.program, &copier.file];
        was_run(&Run::new([&GDB[..], &set, &RUN, &of_program].concat()).output());
        copier.mounted.check();
    }

    fn gdb_runs_the_command() {
        let copier = Copier::new();
        if !is_installed("gdb") {
            return;
        }
        let command = copier.mounted.artifacts.command.display().to_string();
        let mount = copier.mounted.fixture.mount("");
        let pending = ["-ex", "set breakpoint pending on"];
        let words = ["--args", &command, "run", "--mount", &mount, "--", &copier.program, &copier.file];
        let outcome = Run::new([&GDB[..], &pending, &["-ex", "run"], &words].concat()).output();
        let text = format!("{}{}", outcome.out(), outcome.err());
        assert!(text.contains("Hello, world!") && text.contains("exited normally]"), "{text}");
        assert!(!text.contains("received signal"), "{text}");
        copier.mounted.check();
    }

    fn gdb_runs_programs_with_threads() {
        let copier = Copier::new();
        let source = include_str!("../programs/helpers/reading_threads.c");
        let program = copier.mounted.program("threads", source).display().to_string();
        let words = [&GDB[..], &["-ex", "handle SIGUSR1 nostop noprint", "-ex", "run", "--args", &program, &copier.file]];
        if !is_installed("gdb") {
            return;
        }
        let outcome = copier.mounted.run(words.concat()).output();
        let text = format!("{}{}", outcome.out(), outcome.err());
        assert!(text.lines().any(|line| line == "ok") && text.contains("exited normally]"), "{text}");
        copier.mounted.check();
    }

    fn strace_follows_a_program() {
        Copier::new().works_under(&["strace", "-f", "-o", "/dev/null"]);
        Copier::new().works_under(&["strace", "-o", "/dev/null"]);
        // The child asks for the tracer itself.
        Copier::new().works_under(&["strace", "-D", "-o", "/dev/null"]);
    }

    fn ltrace_follows_a_program() {
        Copier::new().works_under(&["ltrace", "-o", "/dev/null"]);
    }

    fn perf_counts_a_program() {
        Copier::new().works_under(&["perf", "stat", "-e", "task-clock", "-o", "/dev/null"]);
    }

    fn valgrind_runs_a_program_without_us() {
        let copier = Copier::new();
        let other = format!("{}/beside.txt", copier.mounted.host());
        std::fs::write(&other, "beside\n").expect("a file of the host");
        let copier = Copier { file: other, ..copier };
        for outcome in copier.under(&["valgrind", "-q", "--error-exitcode=9"]) {
            outcome.expect_exit(0);
            assert_eq!(outcome.out(), "beside\n", "{}", outcome.err());
            let lines = our_lines(&outcome);
            assert!(lines.len() == 1 && lines[0].contains("valgrind runs"), "{lines:?}");
        }
    }

    fn sanitizers_check_a_program() {
        let mounted = Mounted::new(Kind::Basic);
        let source = include_str!("../programs/helpers/plain.c");
        for (name, option) in [("address", "-fsanitize=address"), ("thread", "-fsanitize=thread"), ("undefined", "-fsanitize=undefined")] {
            let program =
                program::compile_with("cc", mounted.fixture.base.path(), name, source, &[option]).display().to_string();
            let file = format!("{}/hello.txt", mounted.dir());
            // A leak is looked for by a process that shares the program's memory: see docs/limits.md.
            let outcome = mounted.run_by_command([&program, &file]).env("ASAN_OPTIONS", "detect_leaks=0").output();
            assert_eq!((outcome.expect_exit(0).out().as_str(), outcome.err().as_str()), ("Hello, world!\n", ""), "{name}");
            if name != "address" {
                // (AddressSanitizer's library wants to be the first that is preloaded, and says so.)
                let outcome = mounted.run([&program, &file]).output();
                assert_eq!((outcome.expect_exit(0).out().as_str(), outcome.err().as_str()), ("Hello, world!\n", ""), "{name}");
            }
        }
        mounted.check();
    }
}
