// SPDX-License-Identifier: GPL-2.0-only
//! Bytes in, patch out: what becomes of the code around a `syscall`, and of what only looks like one.
#![allow(missing_docs)]

use trampoline::rewrite::decide::tactic::{choose, from_evidence, Refusal, Shape, Tactic};
use trampoline::rewrite::find::view::Body;
use trampoline::rewrite::write::emit;

/// Where the function, the entry's word and the stub are in all cases.
const CODE: u64 = 0x40_1000;
const ENTRY_WORD: u64 = 0x50_0000;
const STUB: u64 = 0x50_0040;

/// One case: the function, where in it the site is, and what it becomes: the window's shape, the window with the jmp in
/// it, and the stub up to its filling.
struct Case {
    name: &'static str,
    code: &'static str,
    site: u64,
    shape: Shape,
    patched: &'static str,
    stub: &'static str,
}

const CASES: &[Case] = include!("golden/cases.in");

/// Functions of which a site is left alone.
const REFUSED: &[(&str, &str, u64, Refusal)] = &[
    ("0f 05 in a number", "b8 0f 05 00 00 c3", 1, Refusal::NotAnInstruction),
    ("0f 05 in a displacement", "48 8b 05 0f 05 00 00 c3", 3, Refusal::NotAnInstruction),
    ("0f 05 across two instructions", "b0 0f 05 00 00 00 00 c3", 1, Refusal::NotAnInstruction),
    ("too short to hold a jmp", "0f 05 c3", 0, Refusal::Immovable),
    ("a call right before, a landing mark behind", "e8 00 00 00 00 0f 05 f3 0f 1e fa", 5, Refusal::Immovable),
    ("behind bytes that are no instruction", "06 b8 27 00 00 00 0f 05 c3", 6, Refusal::NotAnInstruction),
    // jmp over a table of two bytes; mov eax, 39; syscall; ret
    ("a table that reads like a call", "eb 02 0f 05 b8 27 00 00 00 0f 05 c3", 2, Refusal::Unreached),
    ("a table behind a function", "b8 27 00 00 00 0f 05 c3 b8 27 00 00 00 0f 05 c3", 13, Refusal::Unreached),
    (
        "a loop into each window",
        // 1: xor edi, edi; 2: xor eax, eax; 3: syscall; 4: test eax, eax; je 2; jne 3; js 4
        "31 ff 31 c0 0f 05 85 c0 74 f8 75 f8 78 f8 c3",
        4,
        Refusal::JumpedInto,
    ),
    (
        "a jump through who knows what",
        // je over: jmp rdx; over: mov edi, 1; xor eax, eax; syscall; ret
        "74 02 ff e2 bf 01 00 00 00 31 c0 0f 05 c3",
        11,
        Refusal::IndirectJump,
    ),
    (
        "a second syscall in the way",
        // syscall; xor eax, eax; syscall
        "0f 05 31 c0 0f 05",
        0,
        Refusal::Immovable,
    ),
];

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// The window after the write, and the stub's code.
fn patch(code: &[u8], tactic: &Tactic) -> (String, String) {
    let start = (tactic.start - CODE) as usize;
    let mut window = code[start..start + usize::from(tactic.len)].to_vec();
    let stub = emit::stub(tactic, &window, STUB, ENTRY_WORD).expect("it fits");
    window[..5].copy_from_slice(&emit::jmp(tactic, STUB).expect("it reaches"));
    let code_len = stub.slot[..emit::PUSH_END].iter().rposition(|&byte| byte != 0xcc).expect("code") + 1;
    assert_eq!(stub.slot[emit::AFTER..], tactic.after().to_le_bytes());
    let push_end = usize::from(stub.slot[emit::PUSH_END]);
    assert_eq!(stub.slot[push_end - 6..push_end - 4], [0xff, 0x35]);
    assert_eq!(stub.slot[push_end..push_end + 2], [0xff, 0x15]);
    (hex(&window), hex(&stub.slot[..code_len]))
}

#[test]
fn sites_become_what_they_should() {
    for case in CASES {
        let code = bytes(case.code);
        let tactic = choose(Body { address: CODE, bytes: &code }, CODE + case.site)
            .unwrap_or_else(|refusal| panic!("{}: {refusal:?}", case.name));
        assert_eq!(tactic.shape, case.shape, "{}", case.name);
        let (patched, stub) = patch(&code, &tactic);
        assert_eq!(patched, case.patched, "{}: the window", case.name);
        assert_eq!(stub, case.stub, "{}: the stub", case.name);
    }
}

#[test]
fn what_is_unsafe_is_left_alone() {
    for (name, code, site, refusal) in REFUSED {
        let code = bytes(code);
        let choice = choose(Body { address: CODE, bytes: &code }, CODE + site);
        assert_eq!(choice, Err(*refusal), "{name}");
    }
}

#[test]
fn unknown_code_shows_itself() {
    let decide = |before: &str, rax| from_evidence(&bytes(before), CODE + 0x100, rax);
    let tactic = decide("90 b8 27 00 00 00", 0x27).expect("mov eax, 39");
    assert_eq!((tactic.shape, tactic.start, tactic.len), (Shape::Single, CODE + 0xfb, 5));
    // Another number; mov r8d; a 16-bit mov; the beginning of the mapping; other code; a 64-bit number's end.
    for before in ["90 b8 28 00 00 00", "41 b8 27 00 00 00", "66 b8 27 00 00 00", "b8 27 00 00 00"] {
        assert_eq!(decide(before, 0x27), Err(Refusal::NoFunction), "{before}");
    }
    assert_eq!(decide("48 c7 c0 27 00 00 00", 0x27), Err(Refusal::NoFunction));
    assert_eq!(decide("90 b8 27 00 00 00", 0x1_0000_0027), Err(Refusal::NoFunction));
}
