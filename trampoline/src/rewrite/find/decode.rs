// SPDX-License-Identifier: GPL-2.0-only
//! One function, decoded: where its instructions begin, and what can be jumped to.
//!
//! Decoding starts where a function is known to start and never in the middle of bytes that merely look like a
//! call: 31 % of all `0f 05` are data or parts of other instructions.

use core::ops::Range;

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, OpKind, Register};

use super::view::Body;

/// Longest jump table read.
const TABLE_MAX: u64 = 2048;
/// Instructions between the sum and the jump at most.
const SUM_REACH: u8 = 4;

/// One instruction of a [`Function`].
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Its address.
    pub address: u64,
    /// Its length in bytes.
    pub len: u8,
    /// What it is to a window that wants to move it.
    pub role: Role,
    /// Whether its bytes do the same wherever they stand.
    pub position_independent: bool,
}

impl Step {
    /// Address behind it.
    pub fn end(&self) -> u64 {
        self.address + u64::from(self.len)
    }
}

/// What an instruction is to a window that wants to move it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `syscall`.
    Syscall,
    /// Moves anywhere, and goes on behind itself (perhaps: a conditional jump).
    Plain,
    /// Moves, but what stands behind it is not reached through it: `jmp`, `ret`.
    Last,
    /// Stays where it is: calls (their return address is seen), traps, landing marks, loops of 8-bit reach.
    Fixed,
    /// Stays, and may go to any place of the function: `jmp rax`.
    Indirect,
    /// Stays, and nothing goes on behind it: `ud2`, `hlt`, far returns.
    Barrier,
}

impl Role {
    /// Whether control can go on behind such an instruction.
    pub fn falls_through(self) -> bool {
        matches!(self, Role::Syscall | Role::Plain | Role::Fixed)
    }
}

/// A decoded function.
#[derive(Debug, Default)]
pub struct Function {
    /// Its instructions, ascending; without gaps in what is known of it.
    pub steps: Vec<Step>,
    /// Addresses that a jump, a call or an address taken refers to; sorted. Not only those inside.
    pub targets: Vec<u64>,
    /// Where its jumps lead.
    jumps: Vec<u64>,
    /// Whether it has an indirect jump whose targets nobody lists.
    pub indirect: bool,
    /// Whether it has jumps through tables that [`Function::add_tables`] has not seen to yet.
    tables_wanted: bool,
    /// Addresses taken: where such tables may be.
    taken: Vec<u64>,
    /// How many more instructions the sum of a table's address and an entry is looked for in a jump's register.
    sum: Option<(Register, u8)>,
    /// Windows that are taken: no other may reach into them.
    pub occupied: Vec<Range<u64>>,
    /// Where decoding stopped at bytes that are no instruction.
    pub broken_at: Option<u64>,
}

impl Function {
    /// Decodes `body` from its start to its end.
    pub fn decode(body: Body) -> Self {
        let mut function = Function::default();
        let mut decoder = Decoder::with_ip(64, body.bytes, body.address, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            if instruction.is_invalid() {
                function.broken_at = Some(instruction.ip());
                break;
            }
            function.push(&instruction);
        }
        function.sort();
        function
    }

    fn sort(&mut self) {
        self.targets.sort_unstable();
        self.targets.dedup();
    }

    /// Decodes on into `beyond`, which follows the function without being known to be part of it: only what control
    /// demonstrably reaches, by running on or by a jump. What is merely referred to may be a table.
    pub fn run_on(&mut self, beyond: Body) {
        let mut decoder = Decoder::with_ip(64, beyond.bytes, beyond.address, DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        while let Some(next) = self.reached_from(decoder.ip(), beyond) {
            if decoder.set_position((next - beyond.address) as usize).is_err() || !decoder.can_decode() {
                break;
            }
            decoder.set_ip(next);
            decoder.decode_out(&mut instruction);
            if instruction.is_invalid() {
                self.broken_at = Some(instruction.ip());
                break;
            }
            self.push(&instruction);
        }
        self.sort();
    }

    /// The first address from `ip` on that control reaches.
    fn reached_from(&self, ip: u64, beyond: Body) -> Option<u64> {
        if self.runs_on() {
            return Some(ip);
        }
        let end = beyond.address + beyond.bytes.len() as u64;
        let reached = self.jumps.iter().copied().filter(|jump| (ip..end).contains(jump)).min();
        reached.filter(|_| self.broken_at.is_none())
    }

    /// Whether windows with boundaries inside can be judged: all jumps are known, or will be with
    /// [`Function::add_tables`].
    pub fn jumps_known(&self) -> bool {
        !self.indirect && !self.tables_wanted
    }

    /// Adds the targets of jump tables. Compilers make them of 4-byte distances from the table's own address, which
    /// the function takes; `entry` reads one, and gives the place in code that it leads to, if it leads to code.
    /// What follows a table may be read as more of it: a target too many only makes us more careful.
    pub fn add_tables(&mut self, entry: impl Fn(u64, u64) -> Option<u64>) {
        if !core::mem::take(&mut self.tables_wanted) {
            return;
        }
        let before = self.targets.len();
        for &table in &self.taken {
            let entries = (0..TABLE_MAX).map_while(|index| entry(table, index));
            self.targets.extend(entries.clone());
            self.jumps.extend(entries);
        }
        self.indirect |= self.targets.len() == before;
        self.sort();
    }

    fn push(&mut self, instruction: &Instruction) {
        let role = role(instruction);
        self.follow_sum(instruction);
        if role == Role::Indirect {
            self.note_indirect(instruction);
        }
        let mut position_independent = true;
        if instruction.op_count() > 0 && instruction.op0_kind() == OpKind::NearBranch64 {
            position_independent = false;
            if !instruction.is_call_near() {
                self.jumps.push(instruction.near_branch_target());
            }
            self.targets.push(instruction.near_branch_target());
        }
        if instruction.is_ip_rel_memory_operand() {
            position_independent = false;
            // An address taken may be jumped to; data in code is not to be moved either.
            self.targets.push(instruction.ip_rel_memory_address());
            self.taken.push(instruction.ip_rel_memory_address());
        }
        self.steps.push(Step {
            address: instruction.ip(),
            len: instruction.len() as u8,
            role,
            position_independent,
        });
    }

    /// `add reg, reg`: what compilers put between a table and the jump through it.
    fn follow_sum(&mut self, instruction: &Instruction) {
        self.sum = match (instruction.code(), self.sum) {
            (Code::Add_r64_rm64 | Code::Add_rm64_r64, _) if instruction.op1_kind() == OpKind::Register => {
                Some((instruction.op0_register(), SUM_REACH))
            }
            (_, Some((register, left))) if left > 1 => Some((register, left - 1)),
            _ => None,
        };
    }

    /// An indirect jump is through a table, to another function (by the module's table of imports), or to who knows
    /// where.
    fn note_indirect(&mut self, jump: &Instruction) {
        let by_register = jump.op0_kind() == OpKind::Register;
        if by_register && self.sum.is_some_and(|(sum, _)| sum == jump.op0_register()) {
            self.tables_wanted = true;
        } else if !jump.is_ip_rel_memory_operand() {
            self.indirect = true;
        }
    }

    /// Index of the instruction that starts at `address`.
    pub fn step_at(&self, address: u64) -> Option<usize> {
        self.steps.binary_search_by_key(&address, |step| step.address).ok()
    }

    /// Whether the byte at `address` is one of an instruction's.
    pub fn covers(&self, address: u64) -> bool {
        let next = self.steps.partition_point(|step| step.address <= address);
        next.checked_sub(1).is_some_and(|at| address < self.steps[at].end())
    }

    /// Whether the straight run of instructions that holds step `at` begins where the function does, or where a jump
    /// leads. Data between instructions does not, even if it can be read as some.
    pub fn is_reached(&self, at: usize) -> bool {
        let led_to = |step: usize| step == 0 || self.jumps.contains(&self.steps[step].address);
        let goes_on_into = |step: usize| {
            let (before, step) = (&self.steps[step - 1], &self.steps[step]);
            before.role.falls_through() && before.end() == step.address
        };
        // Back to the first that a jump leads to, unless nothing goes on into one before that.
        (0..=at).rev().find_map(|step| {
            if led_to(step) {
                Some(true)
            } else {
                (!goes_on_into(step)).then_some(false)
            }
        }) == Some(true)
    }

    /// Whether something refers to an address in `from..to`.
    pub fn targeted(&self, from: u64, to: u64) -> bool {
        let first = self.targets.partition_point(|&target| target < from);
        self.targets.get(first).is_some_and(|&target| target < to)
    }

    /// Whether control may run out of the last instruction into what follows.
    pub fn runs_on(&self) -> bool {
        self.broken_at.is_none() && self.steps.last().is_some_and(|step| step.role.falls_through())
    }
}

fn role(instruction: &Instruction) -> Role {
    match instruction.code() {
        Code::Syscall => return Role::Syscall,
        Code::Endbr64 | Code::Endbr32 => return Role::Fixed,
        Code::Retnq | Code::Retnq_imm16 => return Role::Last,
        Code::Hlt => return Role::Barrier,
        _ => {}
    }
    match instruction.flow_control() {
        FlowControl::Next => Role::Plain,
        FlowControl::ConditionalBranch if instruction.is_jcc_short_or_near() => Role::Plain,
        FlowControl::UnconditionalBranch if instruction.is_jmp_short_or_near() => Role::Last,
        FlowControl::IndirectBranch => Role::Indirect,
        FlowControl::UnconditionalBranch | FlowControl::Return | FlowControl::Exception => Role::Barrier,
        _ => Role::Fixed,
    }
}
