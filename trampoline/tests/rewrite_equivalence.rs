// SPDX-License-Identifier: GPL-2.0-only
//! Whatever stands around a `syscall`: rewritten, it does the same. Functions made at random are run as they are and
//! rewritten, and registers, flags, red zone and data compared.
#![allow(unsafe_code, missing_docs)]

#[path = "rewrite/entry.rs"]
mod entry;

use std::arch::global_asm;
use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use trampoline::rewrite::decide::tactic;
use trampoline::rewrite::find::view::Body;
use trampoline::rewrite::write::emit;
use trampoline::rewrite::write::live::Memory;

const GETPID: u8 = 39;
/// Where functions without a tactic are counted, behind the shapes.
const NONE: usize = 4;
/// Bytes of code at most; behind it the data that it refers to.
const CODE_MAX: usize = 2048;

/// What a function is given, and leaves. In the order of the registers' numbers, rsp unused; then the flags.
#[repr(C)]
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    registers: [u64; 16],
    flags: u64,
}

global_asm!(
    // void run_with_state(State *state /*rdi*/, usize code /*rsi*/, usize stack_top /*rdx*/)
    "run_with_state:",
    "push rbx; push rbp; push r12; push r13; push r14; push r15",
    "mov [rip + STATE_HERE], rdi",
    "mov [rip + CODE_HERE], rsi",
    "mov [rip + STACK_HERE], rsp",
    "mov rsp, rdx",
    "mov rax, [rdi]; mov rcx, [rdi + 8]; mov rdx, [rdi + 16]; mov rbx, [rdi + 24]",
    "mov rbp, [rdi + 40]; mov rsi, [rdi + 48]; mov r8, [rdi + 64]; mov r9, [rdi + 72]; mov r10, [rdi + 80]",
    "mov r11, [rdi + 88]; mov r12, [rdi + 96]; mov r13, [rdi + 104]; mov r14, [rdi + 112]; mov r15, [rdi + 120]",
    "mov rdi, [rdi + 56]",
    "call [rip + CODE_HERE]",
    "mov rsp, [rip + STACK_HERE]",
    "pushfq",
    "push rdi",
    "mov rdi, [rip + STATE_HERE]",
    "mov [rdi], rax; mov [rdi + 8], rcx; mov [rdi + 16], rdx; mov [rdi + 24], rbx",
    "mov [rdi + 40], rbp; mov [rdi + 48], rsi; mov [rdi + 64], r8; mov [rdi + 72], r9; mov [rdi + 80], r10",
    "mov [rdi + 88], r11; mov [rdi + 96], r12; mov [rdi + 104], r13; mov [rdi + 112], r14; mov [rdi + 120], r15",
    "pop rax; mov [rdi + 56], rax",
    "pop rax; mov [rdi + 128], rax",
    "pop r15; pop r14; pop r13; pop r12; pop rbp; pop rbx",
    "ret",
    ".pushsection .bss",
    "STATE_HERE: .skip 8",
    "CODE_HERE: .skip 8",
    "STACK_HERE: .skip 8",
    ".popsection",
);

extern "C" {
    fn run_with_state(state: *mut State, code: usize, stack_top: usize);
}

/// One instruction, or two that belong together: its kind, two registers and a number.
type Piece = (u8, u8, u8, u32);

/// Any register but rsp; without rax where the number is in it.
fn register(choice: u8, rax: bool) -> u8 {
    let all: &[u8] = if rax { &[0, 1, 2, 3, 5, 6, 7] } else { &[1, 2, 3, 5, 6, 7] };
    all[usize::from(choice) % all.len()]
}

/// Appends `piece` to `code`, in which jumps to the end are noted by the place of their distance.
fn append(code: &mut Vec<u8>, jumps: &mut Vec<usize>, &(kind, first, second, number): &Piece, rax: bool) {
    let (r, s) = (register(first, rax), register(second, rax));
    let pair = 0xc0 | s << 3 | r;
    let (small, condition) = (number as u8, number as u8 & 15);
    let zone = (number as u8 % 15 + 1).wrapping_mul(8).wrapping_neg();
    // With a low byte that needs no prefix, and is not the number's.
    let low = if rax { r & 3 } else { r & 2 | 1 };
    let data = |at: usize| ((CODE_MAX - at) as u32 + number % 64 * 8).to_le_bytes();
    match kind % 20 {
        0 | 1 => code.extend([&[0xb8 + r][..], &number.to_le_bytes()].concat()), // mov r32, imm32
        2 => code.extend([0x31, pair]),                                          // xor r32, s32
        3 => code.extend([0x48, 0x01, pair]),                                    // add r64, s64
        4 => code.extend([0x48, 0x8d, 0x40 | r << 3 | s, small]),                // lea r64, [s + disp8]
        5 => code.extend([0x48, 0x8b, 0x44 | r << 3, 0x24, zone]),               // mov r64, [rsp - zone]
        6 => code.extend([0x48, 0x89, 0x44 | r << 3, 0x24, zone]),               // mov [rsp - zone], r64
        7 => code.extend([0x48, 0x83, 0xf8 | r, small]),                         // cmp r64, imm8
        8 => code.extend([0x48, 0x0f, 0x40 | condition, 0xc0 | r << 3 | s]),     // cmovcc r64, s64
        9 => code.extend([0x50 | s, 0x58 | r]),                                  // push s64; pop r64
        10 => code.extend([&[0x8b, 0x05 | r << 3][..], &data(code.len() + 6)].concat()), // mov r32, [rip + x]
        11 => code.extend([&[0x48, 0x89, 0x05 | r << 3][..], &data(code.len() + 7)].concat()), // mov [rip + x], r64
        12 => {
            code.extend([0x70 | condition, 0]); // jcc to the end
            jumps.push(code.len() - 1);
        }
        13 => code.push(0x90),
        14 => code.extend([0x66, 0x90]),
        15 => code.extend([0x0f, 0x1f, 0x40, 0x00]),
        16 => code.extend([0x0f, 0x90 | condition, 0xc0 | low]), // setcc
        17 => code.extend([0x48, 0xff, 0xc0 | r]),               // inc r64
        18 => code.extend([0x48, 0x0f, 0xaf, 0xc0 | r << 3 | s]), // imul r64, s64
        _ => code.extend([0xf3, 0x0f, 0x1e, 0xfa]),              // endbr64
    }
}

/// A function around a getpid, and where in it the `syscall` is.
fn function(ahead: &[Piece], setter: u8, between: &[Piece], behind: &[Piece]) -> (Vec<u8>, usize) {
    let (mut code, mut jumps) = (Vec::new(), Vec::new());
    ahead.iter().for_each(|piece| append(&mut code, &mut jumps, piece, true));
    match setter % 4 {
        0 => code.extend([0xb8, GETPID, 0, 0, 0]),
        1 => code.extend([0x6a, GETPID, 0x58]), // push 39; pop rax
        2 => code.extend([0x31, 0xc0, 0xb0, GETPID]), // xor eax, eax; mov al, 39
        _ => code.extend([0x48, 0xc7, 0xc0, GETPID, 0, 0, 0]),
    }
    between.iter().for_each(|piece| append(&mut code, &mut jumps, piece, false));
    let site = code.len();
    code.extend([0x0f, 0x05]);
    behind.iter().for_each(|piece| append(&mut code, &mut jumps, piece, true));
    // Out of reach for a short jump, the end is the next instruction.
    for at in jumps {
        code[at] = u8::try_from(code.len() - at - 1).ok().filter(|&distance| distance < 0x80).unwrap_or(0);
    }
    code.push(0xc3);
    (code, site)
}

/// Memory for the code, its data, its stub and its stack.
struct Bench {
    memory: Memory,
    code: usize,
    stub: usize,
    stack: Vec<u64>,
}

impl Bench {
    fn new() -> Bench {
        let map = |address: usize, protection| {
            let flags =
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | if address == 0 { 0 } else { libc::MAP_FIXED };
            // SAFETY: fresh memory, and within it.
            unsafe {
                libc::mmap(address as _, if address == 0 { 3 * 4096 } else { 4096 }, protection, flags, -1, 0)
                    as usize
            }
        };
        let code = map(0, libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC);
        Bench { memory: Memory::open(false), code, stub: code + 8192, stack: vec![0; 512] }
    }

    /// Runs the function; what it leaves in registers, red zone and data.
    fn run(&mut self, seed: u64) -> (State, Vec<u64>, Vec<u8>) {
        let value = |index: u64| seed.rotate_left(index as u32 * 5).wrapping_mul(index | 1);
        let mut state = State { registers: std::array::from_fn(|index| value(index as u64)), flags: 0 };
        (0u64..).zip(&mut self.stack).for_each(|(index, word)| *word = value(index));
        let data: Vec<u8> = (0..1024u64).map(|index| value(index) as u8).collect();
        // SAFETY: memory of this test, which nobody executes now.
        assert!(unsafe { self.memory.write((self.code + CODE_MAX) as u64, &data) });
        let top = self.stack.as_mut_ptr_range().end as usize - 64;
        // SAFETY: the function keeps to its registers, its red zone and its data.
        unsafe { run_with_state(&mut state, self.code, top) };
        state.flags &= 0x8d5; // the arithmetic ones
                              // The return address, and the red zone below it.
        let end = self.stack.len() - 8;
        // SAFETY: the data, just behind the code.
        let data = unsafe { std::slice::from_raw_parts((self.code + CODE_MAX) as *const u8, 1024) };
        (state, self.stack[end - 1 - 16..end].to_vec(), data.to_vec())
    }

    /// Puts the function there, runs it, rewrites it, runs it again. The shape of the window, if there is one.
    fn compare(&mut self, code: &[u8], site: usize, seed: u64) -> Result<usize, TestCaseError> {
        let address = self.code as u64;
        // SAFETY: memory of this test, which nobody executes now.
        assert!(unsafe { self.memory.write(address, code) });
        let body = Body { address, bytes: code };
        let Ok(tactic) = tactic::choose(body, address + site as u64) else { return Ok(NONE) };
        let before = self.run(seed);
        let start = (tactic.start - address) as usize;
        let window = &code[start..start + usize::from(tactic.len)];
        let (word, at) = (self.stub as u64, (self.stub + emit::SLOT) as u64);
        let stub = emit::stub(&tactic, window, at, word).expect("a stub");
        let jmp = emit::jmp(&tactic, at).expect("in reach");
        // SAFETY: memory of this test, which nobody executes now.
        let written = unsafe {
            self.memory.write(word, &entry::address().to_le_bytes())
                && self.memory.write(at, &stub.slot)
                && self.memory.write(tactic.start, &jmp)
        };
        assert!(written);
        let after = self.run(seed);
        prop_assert_eq!(before, after, "{:x?}: {:02x?}", tactic, code);
        Ok(tactic.shape as usize)
    }
}

#[test]
fn rewritten_functions_do_the_same() {
    let mut runner = TestRunner::new(Config { cases: 4096, failure_persistence: None, ..Config::default() });
    let pieces = |most: usize| vec(any::<Piece>(), 0..=most);
    let cases = (pieces(6), any::<u8>(), pieces(3), pieces(6), any::<u64>());
    let bench = std::cell::RefCell::new(Bench::new());
    let shapes: [Cell<u32>; 5] = Default::default();
    let result = runner.run(&cases, |(ahead, setter, between, behind, seed)| {
        let (code, site) = function(&ahead, setter, &between, &behind);
        let count = &shapes[bench.borrow_mut().compare(&code, site, seed)?];
        count.set(count.get() + 1);
        Ok(())
    });
    println!("single, before, through, behind, none: {shapes:?}; {} calls by stubs", entry::calls());
    result.expect("rewritten, one does something else");
    assert!(shapes[..4].iter().all(|count| count.get() > 20), "a shape was not met: {shapes:?}");
    assert!(entry::calls() > 1000);
}
