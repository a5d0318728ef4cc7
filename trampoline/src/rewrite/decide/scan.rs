// SPDX-License-Identifier: GPL-2.0-only
//! All sites of one module, and what is to be done about each.

use core::ops::Range;

use memchr::memmem;

use super::tactic::{self, Refusal, Tactic};
use crate::rewrite::find::decode::Function;
use crate::rewrite::find::extent::Extent;
use crate::rewrite::find::functions::Functions;
use crate::rewrite::find::view::{Segment, View};

/// One `syscall` of a module, or what may be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its address: as the file names it, or where it is mapped.
    pub address: u64,
    /// The function that it is in, if the file names one.
    pub function: Option<String>,
    /// How it is rewritten, or why it is left to the backstop.
    pub tactic: Result<Tactic, Refusal>,
}

impl Site {
    /// Whether it can be rewritten at any time, with other threads running.
    pub fn live_safe(&self) -> bool {
        self.tactic.as_ref().is_ok_and(Tactic::live_safe)
    }
}

/// What [`scan_file`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Every `syscall` instruction of every known function, ascending.
    pub sites: Vec<Site>,
    /// The two bytes inside other instructions: of a number, of a displacement.
    pub data_occurrences: usize,
    /// The two bytes where no function is known: tables in the text, or code that nothing describes. Should they be
    /// called, the backstop sees them.
    pub unknown_occurrences: Vec<u64>,
}

/// The sites of the ELF file whose bytes are `file`; None if it is not one for x86-64.
pub fn scan_file(file: &[u8]) -> Option<Report> {
    let view = View::of_file(file)?;
    let functions = Functions::of_view(&view).with_symbols(file);
    let mut report = scan(&view, &functions);
    for site in &mut report.sites {
        site.function = functions.name(site.address).map(str::to_owned);
    }
    Some(report)
}

/// The sites of a module.
pub fn scan(view: &View, functions: &Functions) -> Report {
    let mut report = Report::default();
    for segment in view.segments.iter().filter(|segment| segment.executable) {
        scan_segment(segment, functions, &mut report);
    }
    refuse_jumped_into(view, &mut report.sites);
    report
}

fn scan_segment(segment: &Segment, functions: &Functions, report: &mut Report) {
    // Candidates of one function follow each other: it is decoded once.
    let mut current: Option<(Extent, Function)> = None;
    for offset in memmem::find_iter(segment.bytes, &tactic::SYSCALL) {
        let address = segment.address + offset as u64;
        let holds =
            |(extent, function): &(Extent, Function)| extent.holds(address) && function.covers(address);
        let same = current.as_ref().is_some_and(holds);
        if !same {
            current = functions.decode_at(address);
        }
        let Some((_, function)) = &mut current else {
            report.unknown_occurrences.push(address);
            continue;
        };
        match tactic::choose_in(function, address) {
            Err(Refusal::NotAnInstruction) => report.data_occurrences += 1,
            tactic => {
                function.occupied.extend(tactic.as_ref().map(Tactic::window));
                report.sites.push(Site { address, function: None, tactic });
            }
        }
    }
}

/// Functions are judged one by one, but compilers split them: a rarely run part, elsewhere, may jump back to any place
/// of the other. So whatever looks like a jump in the whole text counts against the windows that have boundaries
/// inside.
fn refuse_jumped_into(view: &View, sites: &mut [Site]) {
    let inside = |site: &Site| site.tactic.as_ref().ok()?.inside();
    let mut insides: Vec<Range<u64>> = sites.iter().filter_map(inside).collect();
    if insides.is_empty() {
        return;
    }
    insides.sort_by_key(|range| range.start);
    let hit = jumped_into(view, &insides);
    for site in sites {
        if inside(site).is_some_and(|range| hit.contains(&range)) {
            site.tactic = Err(Refusal::JumpedInto);
        }
    }
}

/// Which of the ascending ranges `insides` anything that looks like a jump leads into.
fn jumped_into(view: &View, insides: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut hit = Vec::new();
    for segment in view.segments.iter().filter(|segment| segment.executable) {
        for_each_jump(segment, |target| {
            let next = insides.partition_point(|range| range.end <= target);
            if let Some(range) = insides.get(next).filter(|range| range.contains(&target)) {
                hit.push(range.clone());
            }
        });
    }
    hit
}

/// Calls `found` with the target of all that looks like `jmp rel32`, `jcc rel32` or `call rel32`, at any byte. (Jumps of
/// 8-bit reach stay within their function, which is decoded properly.)
fn for_each_jump(segment: &Segment, mut found: impl FnMut(u64)) {
    let mut previous = 0;
    for (offset, window) in segment.bytes.windows(5).enumerate() {
        let opcode = window[0];
        let jump = is_jump(previous, opcode);
        previous = opcode;
        if jump {
            let distance = i32::from_le_bytes([window[1], window[2], window[3], window[4]]);
            let end = segment.address + offset as u64 + 5;
            found(end.wrapping_add_signed(i64::from(distance)));
        }
    }
}

/// Whether a 4-byte distance follows: `call`, `jmp`, `jcc`.
fn is_jump(previous: u8, opcode: u8) -> bool {
    matches!(opcode, 0xe8 | 0xe9) || (previous == 0x0f && opcode & 0xf0 == 0x80)
}

/// Whether anything in `text` that looks like a jump leads into `inside`. Answers for one window what
/// `jumped_into` answers for many, and fast: it is asked while the application waits for its call.
pub fn leads_into(text: &Segment, inside: &Range<u64>) -> bool {
    let span = (inside.end - inside.start) as u32;
    // Distance from the window's inside to the end of a jump whose distance stands at offset 0. Only 32 bits of it
    // count, as a jump has no more.
    let base = text.address.wrapping_add(4).wrapping_sub(inside.start) as u32;
    (0..4).any(|phase| {
        let bytes = text.bytes.get(phase..).unwrap_or_default();
        bytes.chunks(4096).enumerate().any(|(index, chunk)| {
            let offset = phase + index * 4096;
            let leads = |at: usize, word: &[u8]| {
                let distance = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
                base.wrapping_add((offset + at * 4) as u32).wrapping_add(distance) < span
            };
            let words = || chunk.chunks_exact(4).enumerate();
            // All of the chunk first, without branches: that is done many at a time.
            let some = words().fold(false, |some, (at, word)| some | leads(at, word));
            some && words().any(|(at, word)| leads(at, word) && follows_jump(text.bytes, offset + at * 4))
        })
    })
}

/// Whether what stands before `offset` takes a distance.
fn follows_jump(bytes: &[u8], offset: usize) -> bool {
    let before = |back: usize| offset.checked_sub(back).and_then(|at| bytes.get(at)).copied().unwrap_or(0);
    is_jump(before(2), before(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_search_finds_what_the_plain_one_does() {
        // A text of jumps of all kinds to each other, between bytes that look like some.
        let mut bytes = Vec::new();
        for index in 0u32..5000 {
            let opcodes: [&[u8]; 4] = [&[0xe8], &[0xe9], &[0x0f, 0x84], &[0x0f]];
            bytes.extend(opcodes[(index % 4) as usize]);
            bytes.extend((index.wrapping_mul(0x9e37_79b9) % 40_000).wrapping_sub(20_000).to_le_bytes());
            bytes.extend(vec![0x90; (index % 3) as usize]);
        }
        let text = Segment { address: 0x40_1000, offset: 0, bytes: &bytes, executable: true };
        let mut found = 0;
        for start in (text.address..text.range().end).step_by(7) {
            let inside = start..start + 6;
            let mut plain = false;
            for_each_jump(&text, |target| plain |= inside.contains(&target));
            assert_eq!(leads_into(&text, &inside), plain, "{inside:x?}");
            found += usize::from(plain);
        }
        assert!(found > 100 && found < 5000, "{found}");
    }
}
