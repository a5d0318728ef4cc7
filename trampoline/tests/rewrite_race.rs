// SPDX-License-Identifier: GPL-2.0-only
//! Sites are rewritten, and put back, while eight threads execute them: no execution is wrong or torn. Each site stands
//! differently across words, cache lines and pages.
//!
//! STOWAWAY_RACE_PATCHES says how often (20,000 by default; a full run is a million). The same run with a part of the
//! protocol left out is `broken_protocols_are_noticed`, for people: whether a processor shows what the manuals forbid to
//! rely on is chance.
#![allow(unsafe_code, missing_docs)]

#[path = "rewrite/entry.rs"]
mod entry;

use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use trampoline::rewrite::decide::tactic;
use trampoline::rewrite::find::view::Body;
use trampoline::rewrite::is_trap;
use trampoline::rewrite::write::emit;
use trampoline::rewrite::write::live::{replace_live, traps_met, Memory, Protocol};

const THREADS: usize = 8;
const PAGE: usize = 4096;
/// What each site asks for: calls whose results differ, so that a mixture of two instructions shows.
const NUMBERS: [i32; 4] = [39, 110, 102, 104]; // getpid, getppid, getuid, getgid
/// Where sites start: across a page, a cache line, a word; and not.
const STARTS: [usize; 12] = [
    PAGE - 1,
    PAGE - 2,
    PAGE - 3,
    PAGE - 4,
    64 * 3 - 1,
    64 * 5 - 2,
    64 * 7 - 3,
    64 * 9 - 4,
    1024 + 5,
    1100 + 6,
    1200 + 7,
    2048,
];

struct Site {
    call: usize,
    number: i32,
    old: [u8; 5],
    new: [u8; 5],
}

/// Memory that is executable, and not writable.
fn code_memory(len: usize) -> usize {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: fresh memory.
    let got = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
    assert_ne!(got, libc::MAP_FAILED);
    got as usize
}

/// `mov eax, number; syscall; ret` at each of the starts, and the stubs of all.
fn sites(memory: &Memory) -> Vec<Site> {
    let (code, stubs) = (code_memory(STARTS.len() * 2 * PAGE), code_memory(PAGE));
    // Whoever leaves the way falls into a trap that nobody takes for ours.
    // SAFETY: memory of this test, which nobody executes yet.
    assert!(unsafe { memory.write(code as u64, &vec![0xcc; STARTS.len() * 2 * PAGE]) });
    // SAFETY: memory of this test, which nobody executes yet.
    assert!(unsafe { memory.write(stubs as u64, &entry::address().to_le_bytes()) });
    let make = |(index, start): (usize, &usize)| {
        let (address, number) = ((code + index * 2 * PAGE + start) as u64, NUMBERS[index % NUMBERS.len()]);
        let mut bytes = vec![0xb8];
        bytes.extend(number.to_le_bytes());
        bytes.extend([0x0f, 0x05, 0xc3]);
        // SAFETY: memory of this test, which nobody executes yet.
        assert!(unsafe { memory.write(address, &bytes) });
        let tactic = tactic::choose(Body { address, bytes: &bytes }, address + 5).expect("a tactic");
        let at = (stubs + (index + 1) * emit::SLOT) as u64;
        let stub = emit::stub(&tactic, &bytes[..5], at, stubs as u64).expect("a stub");
        // SAFETY: memory of this test, which nobody executes yet.
        assert!(unsafe { memory.write(at, &stub.slot) });
        let (old, new) = (bytes[..5].try_into().expect("five"), emit::jmp(&tactic, at).expect("in reach"));
        Site { call: address as usize, number, old, new }
    };
    STARTS.iter().enumerate().map(make).collect()
}

extern "C" fn on_fault(signal: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands a context over.
    let ip = unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize] };
    if signal != libc::SIGSEGV || !is_trap(ip as usize) {
        // SAFETY: ends the process, which has gone astray.
        unsafe { libc::_exit(100 + signal) };
    }
}

fn catch_faults() {
    for signal in [libc::SIGSEGV, libc::SIGILL, libc::SIGTRAP, libc::SIGBUS, libc::SIGFPE] {
        // SAFETY: a handler that does what is safe in one.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_fault as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
        }
    }
}

/// Executes all sites until told to stop; how many executions that were, and how many of them were wrong. Counts in
/// `begun` once it has executed each.
fn execute(sites: &[Site], expected: &[isize], stop: &AtomicBool, begun: &AtomicUsize) -> (usize, usize) {
    let (mut done, mut wrong) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        for (site, &expected) in sites.iter().zip(expected) {
            // SAFETY: a function without arguments.
            let got = unsafe { std::mem::transmute::<usize, extern "C" fn() -> isize>(site.call)() };
            done += 1;
            wrong += usize::from(got != expected);
        }
        if done == sites.len() {
            begun.fetch_add(1, Ordering::Relaxed);
        }
    }
    (done, wrong)
}

fn await_that(holds: impl Fn() -> bool) {
    while !holds() {
        std::thread::yield_now();
    }
}

/// The whole race, in this process. What it ends with is for [`run`].
fn race(patches: usize, protocol: &Protocol) -> ! {
    catch_faults();
    let memory = Memory::open(false);
    let sites = sites(&memory);
    // SAFETY: calls without arguments.
    let expected: Vec<isize> =
        sites.iter().map(|site| unsafe { libc::syscall(i64::from(site.number)) as isize }).collect();
    let stop = AtomicBool::new(false);
    let [executions, wrong, begun] = [const { AtomicUsize::new(0) }; 3];
    let mut refused = 0;
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let (done, bad) = execute(&sites, &expected, &stop, &begun);
                executions.fetch_add(done, Ordering::Relaxed);
                wrong.fetch_add(bad, Ordering::Relaxed);
            });
        }
        // On a busy machine a thread starts late: the race begins when all have executed the sites as they are, and goes
        // on when one has executed them as they become.
        await_that(|| begun.load(Ordering::Relaxed) == THREADS);
        for patch in 0..patches {
            if patch == sites.len() {
                await_that(|| entry::calls() > 0);
            }
            let site = &sites[patch % sites.len()];
            let forth = patch / sites.len() % 2 == 0;
            let (old, new) = if forth { (site.old, site.new) } else { (site.new, site.old) };
            // SAFETY: one instruction, which the threads above execute; whether they bear it is what is tested.
            let replaced = unsafe { replace_live(&memory, site.call as u64, old, new, protocol) };
            refused += usize::from(!replaced);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (executions, wrong, stubs) = (executions.into_inner(), wrong.into_inner(), entry::calls());
    let traps = traps_met();
    println!("{patches} patches, {refused} refused; {executions} executions, {stubs} by stub, {traps} met a trap, {wrong} wrong");
    let by_both = stubs > 0 && stubs < executions;
    std::process::exit(i32::from(wrong > 0 || refused > 0 || !by_both));
}

/// Runs the race in a process of its own, which may crash.
fn run(patches: usize, leave_out: &str) -> ExitStatus {
    let own = std::env::current_exe().expect("our own path");
    let mut command = Command::new(own);
    command.args(["--exact", "the_race_itself", "--ignored", "--nocapture"]);
    command.env("STOWAWAY_RACE", leave_out).env("STOWAWAY_RACE_PATCHES", patches.to_string());
    let output = command.output().expect("ourselves");
    for line in String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.contains("patches")) {
        println!("leaving out {leave_out}: {line}");
    }
    output.status
}

fn patches() -> usize {
    std::env::var("STOWAWAY_RACE_PATCHES").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

#[test]
fn no_execution_is_wrong_while_its_site_is_rewritten() {
    let status = run(patches(), "nothing");
    assert!(status.success(), "{status}");
}

#[test]
#[ignore = "shows what a broken protocol does to this processor; it may do nothing"]
fn broken_protocols_are_noticed() {
    for part in ["trap", "barriers"] {
        println!("leaving out {part}: {}", run(patches(), part));
    }
}

#[test]
#[ignore = "run by the others, in a process of its own"]
fn the_race_itself() {
    let Ok(part) = std::env::var("STOWAWAY_RACE") else { return };
    race(patches(), &Protocol { trap: part != "trap", barriers: part != "barriers" });
}
