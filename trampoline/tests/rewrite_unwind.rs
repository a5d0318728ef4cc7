// SPDX-License-Identifier: GPL-2.0-only
//! A walk over the stack from behind a stub is whole: libgcc's, with the table registered; and gdb's, which is told
//! about stubs by itself.
#![allow(unsafe_code, missing_docs)]

use std::arch::global_asm;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use trampoline::rewrite::{self, Settings};

static DEPTH: AtomicUsize = AtomicUsize::new(0);
static SEEN: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];

global_asm!(
    ".type walking_entry,@function",
    "walking_entry:",
    ".cfi_startproc",
    // getppid is walked from; all else is passed on.
    "pushfq",
    ".cfi_adjust_cfa_offset 8",
    "cmp eax, 110",
    "je 2f",
    "popfq",
    ".cfi_adjust_cfa_offset -8",
    "syscall",
    "ret",
    "2:",
    ".cfi_adjust_cfa_offset 8",
    "push rbp",
    ".cfi_adjust_cfa_offset 8",
    ".cfi_rel_offset rbp, 0",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "and rsp, -16",
    "call {walk}",
    "leave",
    ".cfi_def_cfa rsp, 16",
    "popfq",
    ".cfi_adjust_cfa_offset -8",
    "mov eax, 1234",
    "ret",
    ".cfi_endproc",
    ".size walking_entry, . - walking_entry",
    walk = sym walk_from_here,
);

extern "C" {
    fn walking_entry();
    fn __register_frame(table: *const u8);
    fn _Unwind_Backtrace(trace: extern "C" fn(usize, usize) -> i32, argument: usize) -> i32;
    fn _Unwind_GetIP(context: usize) -> usize;
}

extern "C" fn note(context: usize, _: usize) -> i32 {
    let depth = DEPTH.fetch_add(1, Ordering::Relaxed);
    if let Some(slot) = SEEN.get(depth) {
        // SAFETY: the context that the unwinder hands over.
        slot.store(unsafe { _Unwind_GetIP(context) }, Ordering::Relaxed);
    }
    0
}

#[no_mangle]
extern "C" fn walk_from_here() {
    // SAFETY: walks the stack with a callback that does not unwind.
    unsafe { _Unwind_Backtrace(note, 0) };
}

#[inline(never)]
fn caller_of_the_site() -> i32 {
    // SAFETY: takes nothing.
    std::hint::black_box(unsafe { libc::getppid() })
}

fn walk() {
    let entry = walking_entry as *const () as usize;
    rewrite::start(Settings { entry, register_frame: Some(__register_frame), ..Settings::default() });
    rewrite::all();
    assert_eq!(caller_of_the_site(), 1234, "getppid goes through its stub");
    let seen: Vec<usize> =
        SEEN.iter().map(|slot| slot.load(Ordering::Relaxed)).take_while(|&ip| ip != 0).collect();
    let at = |start: usize, len: usize| seen.iter().position(|ip| (start..start + len).contains(ip));
    let site = at(libc::getppid as *const () as usize, 32).expect("the site");
    let stub = site - 1;
    let caller = at(caller_of_the_site as *const () as usize, 128).expect("who called the site");
    assert_eq!(at(entry, 128), Some(stub - 1), "the entry, called by the stub: {seen:x?}");
    assert_eq!(caller, site + 1, "{seen:x?}");
    assert!(at(walk as *const () as usize, 8192).is_some_and(|at| at > caller), "{seen:x?}");
}

fn walk_in_gdb() {
    let own = std::env::current_exe().expect("our own path");
    let start = ["set debuginfod enabled off", "break walk_from_here", "run", "bt", "finish", "stepi 4"];
    // From the entry's return on, at each instruction of the stub.
    let steps = ["bt", "stepi"].repeat(3);
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch"]).args(start.iter().chain(&steps).flat_map(|command| ["-ex", command]));
    let Ok(output) = gdb.arg("--args").arg(own).arg("walk").output() else {
        eprintln!("skipped: gdb is not installed");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !text.contains("#0") {
        eprintln!("skipped: gdb cannot run programs here: {}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let traces: Vec<&str> = text.split("\n#0").skip(1).collect();
    assert_eq!(traces.len(), 4, "{text}");
    let order = ["walking_entry", "stowaway_stubs", "getppid", "caller_of_the_site", "main"];
    for (index, trace) in traces.iter().enumerate() {
        let expected = &order[usize::from(index > 0)..];
        let places: Vec<Option<usize>> = expected.iter().map(|name| trace.find(name)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{index}: {places:?}: {text}");
    }
}

fn main() {
    if std::env::args().any(|argument| argument == "walk") {
        return walk();
    }
    walk_in_gdb();
    walk();
    println!("ok");
}
