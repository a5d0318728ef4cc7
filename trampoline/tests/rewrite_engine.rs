// SPDX-License-Identifier: GPL-2.0-only
//! The engine at work: on a copy of libc's code mapped beside the real one, then on all of this process.
//!
//! One after the other, in a process with one thread: hence no test harness.
#![allow(unsafe_code, missing_docs)]

#[path = "rewrite/entry.rs"]
mod entry;

use std::ffi::CString;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use goblin::elf::program_header::{PF_W, PT_LOAD};
use goblin::elf::Elf;
use trampoline::rewrite::find::maps;
use trampoline::rewrite::{self, Outcome, Refusal, Settings, Shape, SkipReason};

const LIBC: &str = "/lib/x86_64-linux-gnu/libc.so.6";

fn main() {
    rewrite::start(Settings { entry: entry::address(), ..Settings::default() });
    a_site_is_rewritten_at_its_first_call();
    what_is_not_file_code_is_skipped_alone();
    a_window_that_the_caller_stands_in_waits();
    with_threads_only_safe_windows_are_written();
    new_code_is_completed_when_there_are_threads();
    a_child_of_fork_works_on();
    where_memory_cannot_be_forced_protections_are_restored();
    the_cache_gives_what_the_search_gives();
    all_of_this_process_can_be_rewritten();
    after_a_freeze_nothing_is_written();
    println!("ok: {:?}", rewrite::counts());
}

/// The constant segments of libc, mapped once more; enough for functions that are just a call.
struct Copy {
    base: usize,
    len: usize,
    file: Vec<u8>,
}

impl Copy {
    fn map() -> Copy {
        let file = std::fs::read(LIBC).expect("libc");
        let handle = std::fs::File::open(LIBC).expect("libc");
        let elf = Elf::parse(&file).expect("an ELF file");
        let loads = || elf.program_headers.iter().filter(|header| header.p_type == PT_LOAD);
        let len = loads().map(|header| header.p_vaddr + header.p_memsz).max().expect("segments") as usize;
        let map = |address, len, protection, flags, fd, offset| {
            // SAFETY: room of its own, then within it.
            let got = unsafe { libc::mmap(address, len, protection, flags, fd, offset) };
            assert_ne!(got, libc::MAP_FAILED);
            got as usize
        };
        let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let base = map(std::ptr::null_mut(), len, libc::PROT_NONE, anonymous, -1, 0);
        for header in loads().filter(|header| header.p_flags & PF_W == 0) {
            // PF_R, PF_X are PROT_READ and PROT_EXEC the other way round.
            let protection = (header.p_flags & 4) >> 2 | (header.p_flags & 1) << 2;
            let (start, fixed) = (base + header.p_vaddr as usize, libc::MAP_PRIVATE | libc::MAP_FIXED);
            let fd = handle.as_raw_fd();
            map(start as _, header.p_filesz as usize, protection as i32, fixed, fd, header.p_offset as i64);
        }
        Copy { base, len, file }
    }

    fn symbol(&self, name: &str) -> usize {
        let elf = Elf::parse(&self.file).expect("an ELF file");
        let found = elf.dynsyms.iter().find(|symbol| elf.dynstrtab.get_at(symbol.st_name) == Some(name));
        self.base + found.unwrap_or_else(|| panic!("no {name}")).st_value as usize
    }

    /// The site in a function, and how it would be rewritten.
    fn site(&self, name: &str) -> rewrite::Site {
        let report = rewrite::scan_file(&self.file).expect("a report");
        let start = (self.symbol(name) - self.base) as u64;
        let mut sites = report.sites.into_iter().filter(|site| site.address >= start);
        sites.next().expect("a site")
    }

    fn first_hit(&self, name: &str, rax: usize) -> Outcome {
        rewrite::first_hit(self.base + self.site(name).address as usize + 2, rax)
    }

    /// Some site whose window has a boundary inside.
    fn first_hit_of_several(&self) -> Outcome {
        let report = rewrite::scan_file(&self.file).expect("a report");
        let site = report.sites.iter().find(|site| !site.live_safe()).expect("such a site");
        rewrite::first_hit(self.base + site.address as usize + 2, 0)
    }

    fn call(&self, name: &str) -> isize {
        // SAFETY: functions without arguments that use nothing but their own code.
        unsafe { std::mem::transmute::<usize, extern "C" fn() -> isize>(self.symbol(name))() }
    }
}

impl Copy {
    /// Calls it, which cannot fail.
    fn expect(&self, name: &str) {
        assert!(self.call(name) >= 0);
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        rewrite::unmapped(self.base, self.len);
        // SAFETY: mapped by us.
        unsafe { libc::munmap(self.base as _, self.len) };
    }
}

fn calls_of(what: impl FnOnce()) -> usize {
    let before = entry::calls();
    what();
    entry::calls() - before
}

fn a_site_is_rewritten_at_its_first_call() {
    let copy = Copy::map();
    let protections = || maps::read().into_iter().map(|mapping| mapping.protection).collect::<Vec<_>>();
    let own = std::os::unix::process::parent_id() as isize;
    assert_eq!(calls_of(|| assert_eq!(copy.call("getppid"), own)), 0);
    assert_eq!(copy.first_hit("getppid", 110), Outcome::Rewritten);
    assert_eq!(calls_of(|| assert_eq!(copy.call("getppid"), own)), 1);
    let before = protections();
    // Asked again, nothing happens; another site is another matter, in the same region.
    assert_eq!(copy.first_hit("getppid", 110), Outcome::Rewritten);
    assert_eq!(copy.first_hit("getuid", 102), Outcome::Rewritten);
    assert_eq!(protections(), before, "no protection changes");
    assert_eq!(calls_of(|| copy.expect("getuid")), 1);
    assert!(maps::read().iter().all(|mapping| mapping.protection != 7), "nothing is writable and executable");
}

fn what_is_not_file_code_is_skipped_alone() {
    // SAFETY: fresh memory.
    let code = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_EXEC, flags, -1, 0) as usize
    };
    assert!(!rewrite::is_skipped(code + 100));
    assert_eq!(rewrite::first_hit(code + 100, 39), Outcome::Skipped(SkipReason::NotFileCode));
    assert!(rewrite::is_skipped(code + 100));
    rewrite::unmapped(code, 4096);
    assert!(!rewrite::is_skipped(code + 100));
    // The bytes in a number are no call, whoever says so.
    let copy = Copy::map();
    let report = rewrite::scan_file(&copy.file).expect("a report");
    assert!(report.data_occurrences > 0);
    let text =
        copy.file.windows(2).enumerate().filter(|(_, pair)| pair == b"\x0f\x05").map(|(at, _)| at as u64);
    let sites: Vec<u64> = report.sites.iter().map(|site| site.address).collect();
    let data = text.filter(|at| !sites.contains(at) && (0x26000..0x17b000).contains(at));
    for at in data {
        let outcome = rewrite::first_hit(copy.base + at as usize + 2, 0);
        assert_eq!(outcome, Outcome::Skipped(SkipReason::Tactic(Refusal::NotAnInstruction)), "{at:#x}");
    }
    // Our own code: the entry must stay what it is.
    assert_eq!(rewrite::first_hit(entry::address() + 64, 0), Outcome::Skipped(SkipReason::NotFileCode));
}

fn a_window_that_the_caller_stands_in_waits() {
    let copy = Copy::map();
    let report = rewrite::scan_file(&copy.file).expect("a report");
    let shape = |site: &&rewrite::Site| site.tactic.is_ok_and(|tactic| tactic.shape == Shape::Behind);
    let site = report.sites.iter().find(shape).expect("a window that takes in what follows").address as usize;
    let hit = || rewrite::first_hit(copy.base + site + 2, 0);
    assert_eq!(hit(), Outcome::Skipped(SkipReason::CallerInside));
    assert_eq!(hit(), Outcome::Skipped(SkipReason::CallerInside));
    let elsewhere = copy.base + copy.site("getppid").address as usize + 2;
    assert_eq!(rewrite::first_hit_in_handler(elsewhere, 110), Outcome::Rewritten);
    assert_eq!(
        hit(),
        Outcome::Skipped(SkipReason::CallerInside),
        "what the handler interrupted may stand there"
    );
    assert_eq!(copy.first_hit("getuid", 102), Outcome::Rewritten);
    assert_eq!(hit(), Outcome::Rewritten);
}

fn with_threads_only_safe_windows_are_written() {
    let copy = Copy::map();
    assert!(copy.site("getppid").live_safe());
    in_child(|| {
        rewrite::before_first_thread(0);
        let late = Copy::map();
        assert_eq!(late.first_hit_of_several(), Outcome::Skipped(SkipReason::OtherThreads));
        assert_eq!(late.first_hit("getppid", 110), Outcome::Rewritten);
        rewrite::reset_in_child();
        assert_eq!(late.first_hit_of_several(), Outcome::Rewritten);
        // What was there before the first thread is done.
        assert_eq!(copy.first_hit_of_several(), Outcome::Rewritten);
    });
}

fn new_code_is_completed_when_there_are_threads() {
    in_child(|| {
        rewrite::before_first_thread(0);
        let done = || rewrite::counts().rewritten;
        let before = done();
        let copy = Copy::map();
        rewrite::mapped(copy.base, copy.len);
        let after = done();
        assert!(after[1] + after[2] + after[3] > before[1] + before[2] + before[3] + 60);
        assert_eq!(after[0], before[0], "those that can wait do");
        assert_eq!(copy.first_hit_of_several(), Outcome::Rewritten);
    });
}

fn a_child_of_fork_works_on() {
    let copy = Copy::map();
    assert_eq!(copy.first_hit("getppid", 110), Outcome::Rewritten);
    in_child(|| {
        assert_eq!(calls_of(|| copy.expect("getppid")), 1);
        assert_eq!(copy.first_hit("getgid", 104), Outcome::Rewritten);
        assert_eq!(calls_of(|| copy.expect("getgid")), 1);
    });
    assert_eq!(calls_of(|| copy.expect("getgid")), 0, "the child's code is the child's");
}

fn where_memory_cannot_be_forced_protections_are_restored() {
    in_child(|| {
        // An ordinary user's process that may not be dumped: its /proc/self/mem is root's.
        // SAFETY: changes this process alone.
        unsafe {
            assert!(libc::geteuid() != 0 || libc::setresuid(65534, 65534, 65534) == 0);
            assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 0), 0);
        }
        assert!(std::fs::File::open("/proc/self/mem").is_err(), "it can be opened: nothing is tested");
        // A region of this process's own.
        rewrite::start(Settings { entry: entry::address(), ..Settings::default() });
        let copy = Copy::map();
        // A mapping may be two now, but each page is what it was.
        let protections = || {
            let mut all: Vec<u32> = maps::read().into_iter().map(|mapping| mapping.protection).collect();
            all.dedup();
            all
        };
        assert_eq!(copy.first_hit("getppid", 110), Outcome::Rewritten);
        let before = protections();
        assert_eq!(copy.first_hit("getuid", 102), Outcome::Rewritten);
        assert_eq!(copy.first_hit_of_several(), Outcome::Rewritten);
        assert_eq!(protections(), before);
        assert_eq!(calls_of(|| copy.expect("getppid")), 1);
        assert_eq!(calls_of(|| copy.expect("getuid")), 1);
        rewrite::before_first_thread(0);
        assert_eq!(
            copy.first_hit("getgid", 104),
            Outcome::Skipped(SkipReason::Refused),
            "not while others may run it"
        );
    });
}

fn the_cache_gives_what_the_search_gives() {
    let place = std::env::temp_dir().join(format!("sites-{}", std::process::id()));
    let settings = Settings {
        entry: entry::address(),
        cache: Some(place.as_os_str().as_bytes().to_vec()),
        ..Settings::default()
    };
    let files = || std::fs::read_dir(&place).map_or(0, |files| files.count());
    let result = place.with_extension("result");
    // All that a run has to say: what it rewrote.
    let rewritten = |how: &str| {
        in_child(|| {
            rewrite::start(settings.clone());
            let start = Instant::now();
            rewrite::all();
            println!("{how}: {:?}", start.elapsed());
            std::fs::write(&result, format!("{:?}", rewrite::counts().rewritten)).expect("written");
        });
        std::fs::read_to_string(&result).expect("read")
    };
    let searched = rewritten("all sites, searched");
    assert!(files() >= 2, "libc and the dynamic linker");
    assert_eq!(rewritten("all sites, from the cache"), searched);
    for file in std::fs::read_dir(&place).expect("the cache") {
        let path = file.expect("a file").path();
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[9] ^= 1;
        std::fs::write(&path, bytes).expect("written");
    }
    assert_eq!(rewritten("all sites, from a damaged cache"), searched);
    for how in ["before the first thread, from the cache", "before the first thread, searched"] {
        in_child(|| {
            let cache = settings.cache.clone().filter(|_| how.ends_with("cache"));
            rewrite::start(Settings { cache, ..settings.clone() });
            let start = Instant::now();
            rewrite::before_first_thread(0);
            println!("{how}: {:?}, {:?}", rewrite::counts().rewritten, start.elapsed());
        });
    }
    std::fs::remove_dir_all(&place).and(std::fs::remove_file(&result)).expect("removed");
}

/// Runs `what` in a child, which has to come to its end.
fn in_child(what: impl FnOnce()) {
    let held = rewrite::hold();
    // SAFETY: one thread.
    let child = unsafe { libc::fork() };
    drop(held);
    if child == 0 {
        what();
        std::process::exit(0);
    }
    let mut status = 0;
    // SAFETY: our child.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child failed");
}

fn all_of_this_process_can_be_rewritten() {
    let start = Instant::now();
    rewrite::all();
    let took = start.elapsed();
    let counts = rewrite::counts();
    println!("{:?} sites in {took:?}", counts.rewritten);
    assert!(counts.rewritten.iter().sum::<usize>() > 500);
    // From here on every call of libc comes by: those of std, of threads, of a child, of a signal's return.
    let calls = calls_of(|| {
        let mut threads = Vec::new();
        for index in 0..8u64 {
            threads.push(std::thread::spawn(move || (0..1000).map(|round| round ^ index).sum::<u64>()));
        }
        assert!(threads.into_iter().all(|thread| thread.join().is_ok()));
        assert!(std::fs::read_to_string("/proc/self/status").expect("status").contains("Name:"));
        let echo = std::process::Command::new("/bin/echo").arg("hello").output().expect("echo");
        assert_eq!(echo.stdout, b"hello\n");
        a_signal_returns();
    });
    assert!(calls > 100, "only {calls} calls came by");
    measure();
}

extern "C" fn on_signal(_: i32) {}

fn a_signal_returns() {
    let calls = calls_of(|| {
        // SAFETY: a handler that does nothing.
        unsafe {
            libc::signal(libc::SIGUSR1, on_signal as *const () as usize);
            libc::raise(libc::SIGUSR1);
        }
    });
    assert!(calls >= 2, "rt_sigaction, the kill, rt_sigreturn");
}

fn measure() {
    const ROUNDS: u32 = 200_000;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        // SAFETY: takes nothing.
        unsafe { libc::getppid() };
    }
    println!("getppid through a stub: {:?}", start.elapsed() / ROUNDS);
}

fn after_a_freeze_nothing_is_written() {
    rewrite::freeze(0, false);
    assert!(rewrite::is_frozen());
    // What is there already was rewritten.
    let copy = Copy::map();
    assert_eq!(copy.first_hit("getppid", 110), Outcome::Skipped(SkipReason::Frozen));
    let name = CString::new("still").expect("no NUL");
    // SAFETY: a name.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }, 0);
}
