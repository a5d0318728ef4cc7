// SPDX-License-Identifier: GPL-2.0-only
//! Which bytes around a `syscall` become the jmp to its stub. A pure decision: bytes in, window out.
//!
//! A jmp needs five bytes and a `syscall` has two, so neighbours have to move into the stub. What decides is who may
//! stand at, or jump to, a boundary inside the window once it is overwritten:
//!
//! - [`Shape::Single`]: exactly one instruction, right before the `syscall`. Nobody can ever stand inside it, and the
//!   `syscall` stays: a thread asleep in it, or restarted at it, finds what it left. Safe to write at any time.
//! - [`Shape::Before`]: several instructions before the `syscall`, which stays. A thread can stand between them.
//! - [`Shape::Through`]: ends behind the `syscall`, whose own bytes are used. A restarted call would be lost, too.
//! - [`Shape::Behind`]: also moves instructions behind the `syscall`. A thread asleep in it would return into the jmp.
//!
//! All but the first are for when nobody else can stand there.

use core::ops::Range;

use crate::rewrite::find::decode::{Function, Role, Step};
use crate::rewrite::find::view::Body;

/// Length of `jmp rel32`.
pub const JMP_LEN: u64 = 5;
/// Length of `syscall`.
pub const SYSCALL_LEN: u64 = 2;
/// `syscall`.
pub const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// Longest window: four bytes that did not suffice, and one instruction of the longest kind behind the syscall.
pub const WINDOW_MAX: usize = 4 + 2 + 15;

/// Which instructions the window takes in; the head of this file says what each shape costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum Shape {
    Single = 0,
    Before = 1,
    Through = 2,
    Behind = 3,
}

/// How one site is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tactic {
    /// What the window takes in.
    pub shape: Shape,
    /// Where the jmp goes.
    pub start: u64,
    /// Bytes from there to the end of the last instruction moved (or of the `syscall`, when it is within).
    pub len: u8,
    /// Address of the `syscall`.
    pub syscall: u64,
    /// Boundaries inside the window, as a set of offsets from its start.
    pub boundaries: u32,
    /// Whether what moves does the same wherever it stands: no address in it depends on where it is.
    pub position_independent: bool,
}

impl Tactic {
    /// Whether it may be written while other threads run.
    pub fn live_safe(&self) -> bool {
        self.shape == Shape::Single
    }

    /// The bytes that become the jmp, or nothing.
    pub fn window(&self) -> Range<u64> {
        self.start..self.end()
    }

    /// The addresses that nothing may jump to; None if it has no boundaries inside.
    pub fn inside(&self) -> Option<Range<u64>> {
        (self.boundaries != 0).then(|| self.start + 1..self.end())
    }

    /// Address behind the window.
    pub fn end(&self) -> u64 {
        self.start + u64::from(self.len)
    }

    /// Address behind the `syscall`: what the call returns to, as everyone sees it.
    pub fn after(&self) -> u64 {
        self.syscall + SYSCALL_LEN
    }

    /// Bytes of the window and the `syscall` together: what the decision is about.
    pub fn span_len(&self) -> usize {
        (self.end().max(self.after()) - self.start) as usize
    }

    /// The window and the `syscall` together.
    pub fn span(&self) -> Range<u64> {
        self.start..self.start + self.span_len() as u64
    }

    /// Bytes of the window that move in front of the call.
    pub fn before_len(&self) -> usize {
        (self.syscall - self.start) as usize
    }

    /// Bytes of the window that move behind the call.
    pub fn behind_len(&self) -> usize {
        self.end().saturating_sub(self.after()) as usize
    }
}

/// Why a site is left to the backstop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The bytes are data, or a part of another instruction.
    NotAnInstruction,
    /// No function is known to hold these bytes.
    NoFunction,
    /// Nothing that is known of the function leads there: it may be data.
    Unreached,
    /// Something jumps into each possible window.
    JumpedInto,
    /// The function jumps through a table, and only windows with boundaries inside fit.
    IndirectJump,
    /// What stands around it cannot be moved.
    Immovable,
}

impl Refusal {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Refusal::NotAnInstruction => "not an instruction",
            Refusal::NoFunction => "in no known function",
            Refusal::Unreached => "nothing leads there",
            Refusal::JumpedInto => "a jump leads into every possible window",
            Refusal::IndirectJump => "the function jumps through a table",
            Refusal::Immovable => "its neighbours cannot be moved",
        }
    }
}

/// The tactic for the `syscall` at `address` of the function `body`.
pub fn choose(body: Body, address: u64) -> Result<Tactic, Refusal> {
    choose_in(&Function::decode(body), address)
}

/// The tactic for the `syscall` at `address` of a decoded function.
pub fn choose_in(function: &Function, address: u64) -> Result<Tactic, Refusal> {
    let at = function.step_at(address).ok_or(Refusal::NotAnInstruction)?;
    if function.steps[at].role != Role::Syscall {
        return Err(Refusal::NotAnInstruction);
    }
    if !function.is_reached(at) {
        return Err(Refusal::Unreached);
    }
    let mut worst = Refusal::Immovable;
    for (first, last, shape) in candidates(&function.steps, at) {
        match judge(function, at, first, last, shape) {
            Ok(tactic) => return Ok(tactic),
            Err(refusal) => worst = worst.min(refusal),
        }
    }
    Err(worst)
}

/// Windows long enough around step `at`, as (first step, last step, shape), in order of preference.
fn candidates(steps: &[Step], at: usize) -> Vec<(usize, usize, Shape)> {
    let long_enough = |first: usize, last: usize| steps[last].end() - steps[first].address >= JMP_LEN;
    // How far back instructions can move together with the call.
    let movable = |index: usize| steps[index].role == Role::Plain;
    let back = (0..at).rev().take_while(|&index| movable(index)).take(JMP_LEN as usize);
    let earliest = back.last().unwrap_or(at);
    let mut windows = Vec::new();
    if let Some(first) = (earliest..at).rev().find(|&first| long_enough(first, at - 1)) {
        windows.push((first, at - 1, if first + 1 == at { Shape::Single } else { Shape::Before }));
    }
    if let Some(first) = (earliest..at).rev().find(|&first| long_enough(first, at)) {
        windows.push((first, at, Shape::Through));
    }
    for first in (earliest..=at).rev() {
        if let Some(last) = behind(steps, at).find(|&last| long_enough(first, last)) {
            windows.push((first, last, Shape::Behind));
        }
    }
    windows
}

/// Steps behind `at` that can move together with it.
fn behind(steps: &[Step], at: usize) -> impl Iterator<Item = usize> + '_ {
    let movable = |index: &usize| matches!(steps[*index].role, Role::Plain | Role::Last);
    (at + 1..steps.len()).take_while(movable).take(JMP_LEN as usize)
}

/// Whether steps `first..=last` can become the jmp.
fn judge(f: &Function, at: usize, first: usize, last: usize, shape: Shape) -> Result<Tactic, Refusal> {
    let (start, end) = (f.steps[first].address, f.steps[last].end());
    let whole = f.steps[first..=last].windows(2).all(|pair| pair[0].end() == pair[1].address);
    if !whole || f.occupied.iter().any(|taken| taken.start < end && start < taken.end) {
        return Err(Refusal::Immovable);
    }
    if f.targeted(start + 1, end) {
        return Err(Refusal::JumpedInto);
    }
    if !f.jumps_known() && shape != Shape::Single {
        return Err(Refusal::IndirectJump);
    }
    let boundaries = f.steps[first + 1..=last].iter().fold(0, |set, step| set | 1 << (step.address - start));
    let (len, syscall) = ((end - start) as u8, f.steps[at].address);
    let position_independent = f.steps[first..=last].iter().all(|step| step.position_independent);
    Ok(Tactic { shape, start, len, syscall, boundaries, position_independent })
}

/// The tactic for a `syscall` in code of which no function is known, from what its first call shows: it was executed,
/// with `rax` in the accumulator, and the bytes before it are `mov eax, imm32` with that very number. Data that happens
/// to be run does not look like that.
///
/// `before` are the bytes that end where the `syscall` begins.
pub fn from_evidence(before: &[u8], syscall: u64, rax: u64) -> Result<Tactic, Refusal> {
    let [.., prefix, 0xb8, a, b, c, d] = *before else { return Err(Refusal::NoFunction) };
    // With one of these in front it would be another instruction: REX, operand size, or the second byte of an opcode.
    let other = matches!(prefix, 0x40..=0x4f | 0x66 | 0x67 | 0x0f | 0xf0 | 0xf2 | 0xf3);
    if other || u64::from(u32::from_le_bytes([a, b, c, d])) != rax {
        return Err(Refusal::NoFunction);
    }
    let start = syscall - JMP_LEN;
    Ok(Tactic {
        shape: Shape::Single,
        start,
        len: JMP_LEN as u8,
        syscall,
        boundaries: 0,
        position_independent: true,
    })
}
