// SPDX-License-Identifier: GPL-2.0-only
//! The stub of one site, and the jmp to it: a pure function of the window's bytes and of where the stub goes.
//!
//! ```text
//!       <instructions moved from in front of the syscall>
//!       lea  rsp, [rsp - 128]        the red zone is the application's; lea, as flags are, too
//! L:    push qword ptr [rip + after] where the call returns to, as everyone sees it
//! P:    call qword ptr [rip + entry]
//! C:    pop  rcx                     the same, where the kernel leaves it
//!       lea  rsp, [rsp + 128]
//! E:    <instructions moved from behind the syscall>
//!       jmp  <behind the window>
//! 55:   P, the offset behind the push, for the unwinding expression (cfi.rs)
//! after: .quad
//! ```
//!
//! Every stub fills one slot, aligned to its length, so that what unwinds finds `after` from any address in it. The
//! entry's address is in the first slot of the region that the stubs are in.

use iced_x86::{ConditionCode, Decoder, DecoderOptions, Instruction, OpKind, Register};

use crate::rewrite::decide::tactic::{Tactic, JMP_LEN};

/// Length and alignment of a stub: one cache line.
pub const SLOT: usize = 64;
/// Offset of `after`.
pub const AFTER: usize = 56;
/// Offset of the byte that says where the push ends.
pub const PUSH_END: usize = 55;

/// `lea rsp, [rsp - 128]`.
const OVER_RED_ZONE: [u8; 5] = [0x48, 0x8d, 0x64, 0x24, 0x80];
/// `lea rsp, [rsp + 128]`.
const BACK_OVER_RED_ZONE: [u8; 8] = [0x48, 0x8d, 0xa4, 0x24, 0x80, 0, 0, 0];
/// `push qword ptr [rip + disp32]`.
const PUSH: [u8; 2] = [0xff, 0x35];
/// `call qword ptr [rip + disp32]`.
const CALL: [u8; 2] = [0xff, 0x15];
const POP_RCX: u8 = 0x59;
const JMP: u8 = 0xe9;

/// A stub ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stub {
    /// The whole slot.
    pub slot: [u8; SLOT],
    /// What now jumps from the stub instead of from the window: where to.
    pub jumps: Vec<u64>,
}

/// The stub for the site of `tactic`, whose window holds `window`, in the slot at `at`. `entry_word` is the address of
/// the word that holds the entry's. None if something is out of reach from there, or does not fit.
pub fn stub(tactic: &Tactic, window: &[u8], at: u64, entry_word: u64) -> Option<Stub> {
    let mut out = Assembler { at, code: Vec::with_capacity(SLOT), jumps: Vec::new() };
    let behind_at = window.len().checked_sub(tactic.behind_len())?;
    out.moved(window.get(..tactic.before_len())?, tactic.start, tactic.position_independent)?;
    out.code.extend(OVER_RED_ZONE);
    out.relative(&PUSH, at + AFTER as u64)?;
    let push_end = out.code.len() as u8;
    out.relative(&CALL, entry_word)?;
    out.code.push(POP_RCX);
    out.code.extend(BACK_OVER_RED_ZONE);
    out.moved(&window[behind_at..], tactic.after(), tactic.position_independent)?;
    out.relative(&[JMP], tactic.end().max(tactic.after()))?;
    let mut slot = [0xcc; SLOT];
    slot.get_mut(..PUSH_END)?.get_mut(..out.code.len())?.copy_from_slice(&out.code);
    slot[PUSH_END] = push_end;
    slot[AFTER..].copy_from_slice(&tactic.after().to_le_bytes());
    Some(Stub { slot, jumps: out.jumps })
}

/// The jmp at the window's start to the stub at `to`.
pub fn jmp(tactic: &Tactic, to: u64) -> Option<[u8; JMP_LEN as usize]> {
    let distance = distance(tactic.start + JMP_LEN, to)?.to_le_bytes();
    Some([JMP, distance[0], distance[1], distance[2], distance[3]])
}

fn distance(from: u64, to: u64) -> Option<i32> {
    i32::try_from(to.wrapping_sub(from) as i64).ok()
}

struct Assembler {
    at: u64,
    code: Vec<u8>,
    jumps: Vec<u64>,
}

impl Assembler {
    fn here(&self) -> u64 {
        self.at + self.code.len() as u64
    }

    /// `opcode` with the distance to `to`.
    fn relative(&mut self, opcode: &[u8], to: u64) -> Option<()> {
        let end = self.here() + opcode.len() as u64 + 4;
        self.code.extend(opcode);
        self.code.extend(distance(end, to)?.to_le_bytes());
        Some(())
    }

    /// The instructions `bytes` from `from`, so that they do here what they did there.
    fn moved(&mut self, bytes: &[u8], from: u64, position_independent: bool) -> Option<()> {
        if position_independent {
            self.code.extend(bytes);
            return Some(());
        }
        let mut decoder = Decoder::with_ip(64, bytes, from, DecoderOptions::NONE);
        while decoder.can_decode() {
            let start = decoder.position();
            let instruction = decoder.decode();
            let bytes = &bytes[start..decoder.position()];
            if instruction.is_invalid() {
                return None;
            }
            if instruction.op_count() > 0 && instruction.op0_kind() == OpKind::NearBranch64 {
                self.jump(&instruction)?;
            } else if instruction.is_ip_rel_memory_operand() {
                let at = decoder.get_constant_offsets(&instruction).displacement_offset();
                self.rip_relative(bytes, at, &instruction)?;
            } else {
                self.code.extend(bytes);
            }
        }
        Some(())
    }

    /// A jump there becomes a jump here, of the long form.
    fn jump(&mut self, jump: &Instruction) -> Option<()> {
        let to = jump.near_branch_target();
        self.jumps.push(to);
        match jump.condition_code() {
            ConditionCode::None if jump.is_jmp_short_or_near() => self.relative(&[JMP], to),
            ConditionCode::None => None,
            // In the order of the instruction set's condition codes, from 1.
            condition => self.relative(&[0x0f, 0x80 + (condition as u8 - 1)], to),
        }
    }

    /// `bytes`, with the distance at offset `at` made one from here.
    fn rip_relative(&mut self, bytes: &[u8], at: usize, instruction: &Instruction) -> Option<()> {
        if instruction.memory_base() != Register::RIP {
            return None;
        }
        let distance = distance(self.here() + bytes.len() as u64, instruction.ip_rel_memory_address())?;
        let here = self.code.len();
        self.code.extend(bytes);
        self.code.get_mut(here + at..here + at + 4)?.copy_from_slice(&distance.to_le_bytes());
        Some(())
    }
}
