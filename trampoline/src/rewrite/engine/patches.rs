// SPDX-License-Identifier: GPL-2.0-only
//! What has been written: stubs, the jumps to them, and what stood there before.
//!
//! # Safety
//! Code is read and written within mappings that were found readable, executable and private, and at windows that the
//! decision found safe.
#![allow(unsafe_code)]

use core::ops::Range;
use std::collections::BTreeMap;

use crate::rewrite::decide::tactic::{Refusal, Tactic, SYSCALL};
use crate::rewrite::find::extent::Original;
use crate::rewrite::find::maps::{self, Mapping};
use crate::rewrite::find::module;
use crate::rewrite::gdb;
use crate::rewrite::outcome::{Settings, SkipReason};
use crate::rewrite::write::batch::Batch;
use crate::rewrite::write::emit::{self, Stub};
use crate::rewrite::write::live::{self, Memory, WriteMode};
use crate::rewrite::write::region::Region;

/// All sites that are rewritten.
pub struct Patches {
    /// Where stubs call.
    entry: u64,
    register_frame: Option<unsafe extern "C" fn(*const u8)>,
    regions: Vec<Region>,
    /// By the address of the `syscall`.
    rewritten: BTreeMap<u64, Rewritten>,
    /// Where instructions in stubs jump to.
    moved_jumps: Vec<u64>,
}

struct Rewritten {
    tactic: Tactic,
    original: Vec<u8>,
}

/// What is to be written for a site.
struct Planned {
    /// The slot of the stub.
    at: u64,
    stub: Stub,
    jmp: [u8; 5],
    /// What stands in the window.
    original: Vec<u8>,
}

impl Patches {
    /// None yet.
    pub fn new(settings: &Settings) -> Self {
        Patches {
            entry: settings.entry as u64,
            register_frame: settings.register_frame,
            regions: Vec::new(),
            rewritten: BTreeMap::new(),
            moved_jumps: Vec::new(),
        }
    }

    /// Whether the site at `syscall` is rewritten.
    pub fn contains(&self, syscall: u64) -> bool {
        self.rewritten.contains_key(&syscall)
    }

    /// What stood in `range` before.
    pub fn originals(&self, range: &Range<u64>) -> Vec<Original> {
        let original = |site: &Rewritten| Original { start: site.tactic.start, bytes: site.original.clone() };
        self.rewritten.range(range.clone()).map(|(_, site)| original(site)).collect()
    }

    /// Whether a jump that was moved to a stub leads to where nothing may jump once `tactic` is written.
    pub fn jump_into(&self, tactic: &Tactic) -> bool {
        let led_to = |inside: Range<u64>| self.moved_jumps.iter().any(|jump| inside.contains(jump));
        tactic.inside().is_some_and(led_to)
    }

    /// Forgets what was written in `range`: the memory is something else now.
    pub fn forget(&mut self, range: &Range<u64>) {
        let meets = |window: Range<u64>| window.start < range.end && range.start < window.end;
        self.rewritten.retain(|_, site| !meets(site.tactic.window()));
        self.regions.retain(|region| !meets(region.range.clone()));
    }

    /// Makes the stub and the jmp to it.
    pub fn apply(
        &mut self,
        maps: &[Mapping],
        memory: &Memory,
        code: &Mapping,
        tactic: &Tactic,
        mode: WriteMode,
    ) -> Result<(), SkipReason> {
        let Planned { at, stub, jmp, original } = self.plan(maps, memory, code, tactic)?;
        let old: [u8; 5] = original[..5].try_into().map_err(|_| SkipReason::OutOfReach)?;
        // SAFETY: a free slot, and a window of private code that nobody stands inside of: tactic and mode say so.
        let written =
            unsafe { memory.write(at, &stub.slot) && live::replace(memory, tactic.start, old, jmp, mode) };
        if !written {
            return Err(SkipReason::Refused);
        }
        self.note(tactic, &stub, original);
        Ok(())
    }

    /// As [`Patches::apply`], with [`WriteMode::Exclusive`], when the batch is written.
    pub fn apply_later(
        &mut self,
        maps: &[Mapping],
        memory: &Memory,
        code: &Mapping,
        tactic: &Tactic,
        batch: &mut Batch,
    ) -> Result<(), SkipReason> {
        let Planned { at, stub, jmp, original } = self.plan(maps, memory, code, tactic)?;
        // SAFETY: as in apply(); and nobody runs anything of the mapping.
        unsafe { batch.add((at, stub.slot), (tactic.start, jmp)) };
        self.note(tactic, &stub, original);
        Ok(())
    }

    /// The batch could not be written: nothing of it is there.
    pub fn take_back(&mut self, batch: &Batch, memory: &Memory) {
        let mut originals = BTreeMap::new();
        let is_of_it = |site: &Rewritten| batch.jumps_from(site.tactic.start);
        self.rewritten.retain(|_, site| {
            if is_of_it(site) {
                originals.insert(site.tactic.start, site.original.clone());
            }
            !is_of_it(site)
        });
        batch.take_back(memory, |at| originals.get(&at)?.get(..5)?.try_into().ok());
    }

    /// Takes a slot, and says what is to be written.
    fn plan(
        &mut self,
        maps: &[Mapping],
        memory: &Memory,
        code: &Mapping,
        tactic: &Tactic,
    ) -> Result<Planned, SkipReason> {
        let window = tactic.window();
        let span = tactic.span();
        if span.start < code.range.start || span.end > code.range.end || self.overlaps(&window) {
            return Err(SkipReason::Tactic(Refusal::Immovable));
        }
        // SAFETY: within a mapping found readable; who writes to it is us.
        let bytes = unsafe { module::bytes(&span) }.to_vec();
        if bytes[tactic.before_len()..][..SYSCALL.len()] != SYSCALL {
            return Err(SkipReason::Tactic(Refusal::NotAnInstruction));
        }
        let original = &bytes[..usize::from(tactic.len)];
        let (region, at) = self.slot(maps, memory, window.start)?;
        let entry_word = self.regions[region].entry_word();
        let stub = emit::stub(tactic, original, at, entry_word).ok_or(SkipReason::OutOfReach)?;
        let jmp = emit::jmp(tactic, at).ok_or(SkipReason::OutOfReach)?;
        self.regions[region].take();
        Ok(Planned { at, stub, jmp, original: original.to_vec() })
    }

    fn note(&mut self, tactic: &Tactic, stub: &Stub, original: Vec<u8>) {
        self.moved_jumps.extend(&stub.jumps);
        self.rewritten.insert(tactic.syscall, Rewritten { tactic: *tactic, original });
    }

    fn overlaps(&self, window: &Range<u64>) -> bool {
        let near = window.start.saturating_sub(64)..window.end + 64;
        self.rewritten.range(near).any(|(_, site)| {
            let taken = site.tactic.window();
            taken.start < window.end && window.start < taken.end
        })
    }

    /// A region within reach of `address`, and a free slot in it.
    fn slot(&mut self, maps: &[Mapping], memory: &Memory, address: u64) -> Result<(usize, u64), SkipReason> {
        let free = |region: &Region| region.in_reach(address).then(|| region.next()).flatten();
        let found = self.regions.iter().enumerate().find_map(|(at, region)| Some((at, free(region)?)));
        if let Some(found) = found {
            return Ok(found);
        }
        let entry = self.entry;
        let known = Region::make(maps, address, entry, memory);
        // Where what we knew to be free is not any more.
        let region = known.or_else(|| Region::make(&maps::read(), address, entry, memory));
        let region = region.ok_or(SkipReason::OutOfReach)?;
        let next = region.next().ok_or(SkipReason::OutOfReach)?;
        let table = gdb::describe(&region.range);
        if let Some(register) = self.register_frame {
            // SAFETY: a table that ends as it should, and stays.
            unsafe { register(table.as_ptr()) };
        }
        self.regions.push(region);
        Ok((self.regions.len() - 1, next))
    }
}
