// SPDX-License-Identifier: GPL-2.0-only
//! What `--stats` counts and `--trace` prints is what the program did, and changes nothing of it.

use std::path::PathBuf;
use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::process::{Outcome, Run};
use stowaway_tests::user;

/// As in programs/helpers/watched.c.
const PARENTS: u64 = 1000;
const READS: u64 = 30;

struct Watched {
    mounted: Mounted,
    program: String,
    file: String,
}

impl Watched {
    fn new() -> Watched {
        let mounted = Mounted::new(Kind::Basic);
        let program =
            mounted.program("watched", include_str!("../programs/helpers/watched.c")).display().to_string();
        let file = format!("{}/hello.txt", mounted.dir());
        Watched { mounted, program, file }
    }

    /// Where it is written to.
    fn log(&self) -> PathBuf {
        self.mounted.fixture.base.path().join("watched.log")
    }

    fn run(&self, way: &str) -> Run {
        self.mounted.run([&self.program, way, &self.file])
    }

    /// What a run with this variable (its file put in for {}) wrote. The program's own output is checked.
    #[track_caller]
    fn written(&self, variable: &str, value: &str, way: &str, status: &str) -> String {
        let _ = std::fs::remove_file(self.log());
        let value = value.replace("{}", &self.log().display().to_string());
        let outcome = self.run(way).env(variable, value).output();
        let got = (outcome.status.as_str(), outcome.out(), outcome.err());
        assert_eq!(got, (status, String::new(), String::new()), "{way}");
        self.mounted.check();
        std::fs::read_to_string(self.log()).expect("what was watched")
    }
}

/// A family's table.
struct Table {
    head: String,
    rows: Vec<([u64; 8], String)>,
    /// The backend and its counts, of a process that has a kernel.
    doorbell: Option<String>,
}

/// Columns after the total: hook, patched, sigsys, int80; host, kernel, own.
const HOOK: usize = 1;
const PATCHED: usize = 2;
const SIGSYS: usize = 3;
const INT80: usize = 4;
const HOST: usize = 5;
const KERNEL: usize = 6;

fn tables(text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for line in text.lines() {
        if line.starts_with("stowaway: process ") {
            tables.push(Table { head: line.to_string(), rows: Vec::new(), doorbell: None });
        } else if let Some(doorbell) = line.strip_prefix("stowaway: doorbell ") {
            let table = tables.last_mut().expect("a head before the doorbell");
            assert!(table.doorbell.replace(doorbell.to_string()).is_none(), "{text}");
        } else if !line.ends_with("  call") {
            let words: Vec<&str> = line.split_whitespace().collect();
            let numbers: Vec<u64> = words[..8].iter().map(|word| word.parse().expect(line)).collect();
            let table = tables.last_mut().expect("a head before the rows");
            table.rows.push((numbers.try_into().expect(line), words[8..].join(" ")));
        }
    }
    tables
}

impl Table {
    #[track_caller]
    fn row(&self, name: &str) -> [u64; 8] {
        let row = self.rows.iter().find(|(_, other)| other == name);
        row.unwrap_or_else(|| panic!("no {name} in {}: {:?}", self.head, self.rows)).0
    }

    /// Every row adds up, by door and by route, and so does the table.
    #[track_caller]
    fn adds_up(&self) {
        let mut sums = [0; 8];
        for (numbers, name) in &self.rows {
            assert_eq!(numbers[0], numbers[1..5].iter().sum::<u64>(), "{name} by door");
            assert_eq!(numbers[0], numbers[5..].iter().sum::<u64>(), "{name} by route");
            if name != "total" {
                sums.iter_mut().zip(numbers).for_each(|(sum, n)| *sum += n);
            }
        }
        assert_eq!(self.row("total"), sums);
        assert!(self.head.ends_with(&format!(": {} calls", sums[0])), "{}", self.head);
    }

    /// The calls that the program says it makes.
    #[track_caller]
    fn has_the_calls(&self) {
        self.adds_up();
        let parents = self.row("getppid");
        assert_eq!((parents[0], parents[HOST]), (PARENTS, PARENTS), "{:?}", self.rows);
        // A site is met by a trap once, and is rewritten then.
        assert_eq!((parents[SIGSYS], parents[PATCHED]), (1, PARENTS - 1), "{:?}", self.rows);
        let old = self.row("(int 0x80)");
        assert_eq!((old[0], old[INT80]), (PARENTS / 100, PARENTS / 100), "{:?}", self.rows);
        let reads = self.row("pread64");
        assert!((READS..READS + 8).contains(&reads[0]), "{reads:?}");
        assert_eq!(reads[KERNEL], READS, "{:?}", self.rows);
        let (_, counts) =
            self.doorbell.as_ref().and_then(|line| line.split_once(": ")).expect("a kernel ran");
        assert!(counts
            .split(", ")
            .all(|count| count.split_once(' ').is_some_and(|(n, _)| n.parse::<u64>().is_ok())));
        // A program that our own loader starts has no names of ours.
        assert_eq!(reads[HOOK], if Run::is_by_run() { 0 } else { READS }, "{:?}", self.rows);
    }
}

fn lines_with<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.contains(word)).collect()
}

/// `[pid N] name(...) = ... <who, how>` and nothing else.
#[track_caller]
fn is_whole(line: &str) {
    let rest = line.strip_prefix("[pid ").unwrap_or_else(|| panic!("{line}"));
    let (pid, call) = rest.split_once("] ").unwrap_or_else(|| panic!("{line}"));
    assert!(pid.parse::<u32>().is_ok(), "{line}");
    let (call, end) = call.rsplit_once(" <").unwrap_or_else(|| panic!("{line}"));
    assert!(call.contains('(') && call.contains(") = "), "{line}");
    let (who, how) =
        end.strip_suffix('>').and_then(|end| end.split_once(", ")).unwrap_or_else(|| panic!("{line}"));
    assert!(
        ["host", "kernel", "own"].contains(&who) && ["hook", "patched", "sigsys"].contains(&how),
        "{line}"
    );
}

/// The calls of a list, but for those that depend on what else is in the memory.
fn names<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    const OTHER: [&str; 7] = ["brk", "mmap", "munmap", "mremap", "madvise", "mprotect", "getrandom"];
    let name = |line: &str| {
        let call = line.split_once('(')?.0;
        let name = call.rsplit(' ').next()?;
        // Of twins in the host's table libc's names and libc itself do not take the same.
        let name = match name {
            "open" => "openat",
            "stat" | "lstat" | "fstat" => "newfstatat",
            name => name,
        };
        (!OTHER.contains(&name)).then(|| name.to_string())
    };
    lines.filter_map(name).collect()
}

/// What strace sees of a program from our constructor on, we see.
#[track_caller]
fn misses_nothing(mounted: &Mounted, words: &[&str]) {
    let base = mounted.fixture.base.path();
    let (theirs, ours) = (base.join("strace.log"), base.join("ours.log"));
    let _ = std::fs::remove_file(&ours);
    let strace = ["strace", "-o", &theirs.display().to_string()];
    let native = Run::new([&strace[..], words].concat()).output();
    let run = mounted.preload(Run::new(words.iter().copied())).env("STOWAWAY_TRACE", &ours).output();
    assert_eq!((native.status, native.stdout), (run.status, run.stdout), "{words:?}");
    let read = |path: &PathBuf| std::fs::read_to_string(path).expect("a list of calls");
    let (theirs, ours) = (read(&theirs), read(&ours));
    // What is no call begins with + or -; a call cut in two has its end elsewhere.
    let theirs = names(theirs.lines().filter(|line| !line.starts_with(['+', '-', '<'])));
    // Children are not strace's matter here.
    let pid = ours.split_once("] ").expect("a line").0;
    let ours = names(ours.lines().filter(|line| line.starts_with(pid)));
    assert!(ours.len() > 3, "{words:?}: {ours:?}");
    let from = theirs.len().saturating_sub(ours.len());
    assert_eq!(ours, theirs[from..], "{words:?}");
}

#[track_caller]
fn refused(outcome: &Outcome, status: &str, words: &[&str]) {
    let lines = our_lines(outcome);
    assert_eq!((outcome.status.as_str(), lines.len()), (status, 1), "{}", outcome.err());
    assert!(words.iter().all(|word| lines[0].contains(word)), "{}", lines[0]);
}

everyone! {
    fn counts_at_every_end() {
        let watched = Watched::new();
        for (way, status) in [
            ("return", "exit 0"), ("_exit", "exit 0"), ("exit", "exit 0"), ("signal", "signal 15"), ("exec", "exit 0"),
        ] {
            let text = watched.written("STOWAWAY_STATS", "{}", way, status);
            let tables = tables(&text);
            assert_eq!(tables.len(), 1, "{way}: {text}");
            let name = if way == "exec" { "(true): " } else { "(watched): " };
            assert!(tables[0].head.contains(name), "{}", tables[0].head);
            tables[0].has_the_calls();
        }
    }

    fn counts_of_a_forked_child_are_its_parents() {
        let watched = Watched::new();
        let text = watched.written("STOWAWAY_STATS", "{}", "fork", "exit 0");
        let tables = tables(&text);
        assert_eq!(tables.len(), 1, "{text}");
        tables[0].adds_up();
        assert!(tables[0].head.contains("(watched) and 1 other: "), "{}", tables[0].head);
        assert_eq!(tables[0].row("getppid")[0], PARENTS + 7);
    }

    fn nothing_that_the_program_closes_is_ours() {
        let watched = Watched::new();
        for way in ["closes", "close_range"] {
            let text = watched.written("STOWAWAY_STATS", "{}", way, "exit 0");
            tables(&text)[0].has_the_calls();
            let text = watched.written("STOWAWAY_TRACE", "{},getppid", way, "exit 0");
            assert_eq!(text.lines().count() as u64, PARENTS, "{way}");
        }
    }

    fn lines_as_strace_writes_them() {
        let watched = Watched::new();
        let text = watched.written("STOWAWAY_TRACE", "{}", "return", "exit 0");
        text.lines().for_each(is_whole);
        let open = format!("\"{}\", O_RDONLY|O_CLOEXEC) = ", watched.file);
        let opened = lines_with(&text, &open);
        assert_eq!(opened.len(), 1, "{text}");
        // Whatever the suite was started with is open too.
        let (_, fd) = opened[0].split_once(" = ").expect("a result");
        let (fd, _) = fd.split_once(" <kernel, ").expect("who served it");
        let read = format!("] pread64({fd}, \"H\", 1, 0) = 1 <kernel, ");
        assert_eq!(lines_with(&text, &read).len() as u64, READS);
        assert_eq!(lines_with(&text, "] getppid() = ").len() as u64, PARENTS);
        assert_eq!(lines_with(&text, &format!("] close({fd}) = 0 <kernel, ")).len(), 1);
        let last = text.lines().last().expect("lines");
        assert!(last.contains("] exit_group(0) = ? <own, "), "{last}");
    }

    fn names_classes_and_worlds_choose() {
        let watched = Watched::new();
        let text = watched.written("STOWAWAY_TRACE", "{},kernel", "return", "exit 0");
        assert_eq!(text.lines().count() as u64, READS + 2, "{text}");
        assert_eq!(lines_with(&text, "<kernel, ").len() as u64, READS + 2);
        let text = watched.written("STOWAWAY_TRACE", "{},file,kernel", "return", "exit 0");
        assert_eq!(text.lines().count(), 1, "{text}");
        let text = watched.written("STOWAWAY_TRACE", "{},process", "exec", "exit 0");
        let exec = "] execve(\"/bin/true\", [\"true\"], 0x";
        assert_eq!(lines_with(&text, exec).len(), 1, "{text}");
        assert_eq!(text.lines().count(), lines_with(&text, " = ? <").len(), "{text}");
    }

    fn pointers_that_are_none() {
        let watched = Watched::new();
        let text = watched.written("STOWAWAY_TRACE", "{}", "bad", "exit 0");
        text.lines().for_each(is_whole);
        for line in [
            "] write(1, 0x1, 5) = -1 EFAULT (Bad address) <host, ",
            "] openat(AT_FDCWD, 0xffffffffffffffff, O_RDONLY) = -1 EFAULT (Bad address) <",
            "] nanosleep(0x1, NULL) = -1 EFAULT",
        ] {
            assert_eq!(lines_with(&text, line).len(), 1, "no {line} in {text}");
        }
    }

    fn threads_and_handlers() {
        let watched = Watched::new();
        let text = watched.written("STOWAWAY_TRACE", "{},getppid,getuid", "crowd", "exit 0");
        text.lines().for_each(is_whole);
        assert_eq!(lines_with(&text, "] getppid() = ").len() as u64, 4 * PARENTS);
        assert!(!lines_with(&text, "] getuid() = ").is_empty(), "the timer's handler was not seen");
        let text = watched.written("STOWAWAY_STATS", "{}", "crowd", "exit 0");
        let tables = tables(&text);
        tables[0].adds_up();
        assert_eq!(tables[0].row("getppid")[0], 4 * PARENTS);
    }

    fn on_stderr_and_without_a_mount() {
        let watched = Watched::new();
        let stowaway = watched.mounted.artifacts.command.display().to_string();
        let words = [stowaway.as_str(), "run", "--stats", "--trace=stderr,process", "--", "sh", "-c", "true; /bin/echo hello"];
        let outcome = Run::new(words).output();
        assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 0", "hello\n"), "{}", outcome.err());
        let err = outcome.err();
        assert_eq!(lines_with(&err, "exit_group(0) = ? <").len(), 2, "the shell's and echo's: {err}");
        let (traced, counted): (Vec<&str>, Vec<&str>) = err.lines().partition(|line| line.starts_with("[pid "));
        traced.iter().for_each(|line| is_whole(line));
        let tables = tables(&counted.join("\n"));
        tables.iter().for_each(Table::adds_up);
        assert_eq!(tables.len(), 1, "{err}");
        assert!(tables[0].head.contains("(sh) and 1 other: "), "{err}");
    }

    fn strace_sees_no_more() {
        let mounted = Mounted::new(Kind::Empty);
        if !Run::new(["sh", "-c", "command -v strace"]).output().status.ends_with(" 0") {
            return user::note("strace_sees_no_more: there is no strace");
        }
        misses_nothing(&mounted, &["cat", "/etc/passwd"]);
        misses_nothing(&mounted, &["ls", "-l", "/etc"]);
        misses_nothing(&mounted, &["find", "/etc/apt"]);
        misses_nothing(&mounted, &["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=3000", "status=none"]);
        misses_nothing(&mounted, &["perl", "-e", "print scalar(stat('/etc/passwd')), `true`"]);
    }

    fn wrong_values() {
        let watched = Watched::new();
        let stowaway = watched.mounted.artifacts.command.display().to_string();
        for (name, value, word) in [
            ("STOWAWAY_TRACE", "stderr,nonsense", "nonsense"),
            ("STOWAWAY_TRACE", "/no/such/directory/x", "/no/such/directory/x"),
            ("STOWAWAY_STATS", "/no/such/directory/x", "/no/such/directory/x"),
            ("STOWAWAY_STATS", "often", "often"),
        ] {
            let run = Run::new([stowaway.as_str(), "run", "--", "true"]).env(name, value);
            refused(&run.output(), "exit 125", &[name, word]);
            let status = if Run::is_by_run() { "exit 125" } else { "exit 0" };
            refused(&watched.mounted.preload(Run::new(["true"])).env(name, value).output(), status, &[name, word]);
        }
    }
}
