// SPDX-License-Identifier: GPL-2.0-only
//! How to unwind out of a stub: one table entry for all of a region, exact at every instruction of every stub in it.
//!
//! From the address of an instruction the expressions find its slot, in it the offset P of the call and the word
//! `after` (emit.rs). The stack pointer of the application is the stub's, plus 128 between the two `lea`s, plus 8
//! between push and pop. The linker's own tables for the PLT are made the same way.

use core::ops::Range;

use super::emit::{AFTER, PUSH_END, SLOT};

// DWARF 5, 7.7.1 and 7.24; registers of the x86-64 psABI: 7 is rsp, 16 the return address.
const RSP: u8 = 0x77;
const RIP: u8 = 0x80;
const CONST1U: u8 = 0x08;
const CONST1S: u8 = 0x09;
const DUP: u8 = 0x12;
const SWAP: u8 = 0x16;
const AND: u8 = 0x1a;
const MINUS: u8 = 0x1c;
const PLUS: u8 = 0x22;
const PLUS_CONST: u8 = 0x23;
const SHL: u8 = 0x24;
const GE: u8 = 0x2a;
const LT: u8 = 0x2d;
const LIT3: u8 = 0x33;
const LIT7: u8 = 0x37;
const DEREF_SIZE: u8 = 0x94;
const DEF_CFA_EXPRESSION: u8 = 0x0f;
const EXPRESSION: u8 = 0x10;
const RETURN_ADDRESS: u8 = 16;

const SLOT_MASK: u8 = (SLOT as u8).wrapping_neg();
/// Added to offsets, so that differences are never negative: consumers do not agree on the sign of these numbers.
const BIAS: u8 = SLOT as u8;

/// rsp + 128 * (P - 6 <= offset < P + 15) + 8 * (P <= offset < P + 7), where the push is 6 bytes, the call 6, the pop 1
/// and the second `lea` 8.
#[rustfmt::skip]
const CFA: &[u8] = &[
    RSP, 0, //
    RIP, 0, CONST1U, SLOT as u8 - 1, AND, PLUS_CONST, BIAS, // offset
    RIP, 0, CONST1S, SLOT_MASK, AND, PLUS_CONST, PUSH_END as u8, DEREF_SIZE, 1, MINUS, // - P
    DUP, DUP, CONST1U, BIAS - 6, GE, SWAP, CONST1U, BIAS + 15, LT, AND, LIT7, SHL, //
    SWAP, DUP, CONST1U, BIAS, GE, SWAP, CONST1U, BIAS + 7, LT, AND, LIT3, SHL, //
    PLUS, PLUS,
];

/// Where the return address stands: in the slot's last word.
const AFTER_WORD: &[u8] = &[RIP, 0, CONST1S, SLOT_MASK, AND, PLUS_CONST, AFTER as u8];

/// `.eh_frame` for the stubs in `region`, with its terminator.
pub fn eh_frame(region: &Range<u64>) -> Vec<u8> {
    let mut table = entry(common().as_slice());
    let mut body = ((table.len() + 4) as u32).to_le_bytes().to_vec();
    body.extend(region.start.to_le_bytes());
    body.extend((region.end - region.start).to_le_bytes());
    body.push(0); // no augmentation data
    table.extend(entry(&body));
    table.extend([0; 4]);
    table
}

/// Length, contents, padding to 8 (which are DW_CFA_nop).
fn entry(body: &[u8]) -> Vec<u8> {
    let len = (4 + body.len()).next_multiple_of(8) - 4;
    let mut entry = (len as u32).to_le_bytes().to_vec();
    entry.extend(body);
    entry.resize(4 + len, 0);
    entry
}

/// The part that entries have in common: here, everything but the addresses.
fn common() -> Vec<u8> {
    let mut body = vec![0; 4];
    // Version; augmentation "zR": one byte, addresses are absolute words; code in bytes, data in words downwards.
    body.extend(*b"\x01zR\0\x01\x78");
    body.extend([RETURN_ADDRESS, 1, 0]);
    body.extend([DEF_CFA_EXPRESSION, CFA.len() as u8]);
    body.extend(CFA);
    body.extend([EXPRESSION, RETURN_ADDRESS, AFTER_WORD.len() as u8]);
    body.extend(AFTER_WORD);
    body
}
