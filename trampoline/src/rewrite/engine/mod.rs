// SPDX-License-Identifier: GPL-2.0-only
//! What has been rewritten, what has not and why; one at a time.
//!
//! Floors, from the lowest: known_code, lists, patches.
//!
//! # Safety
//! Memory is read where the list of mappings shows code that the application executes.
#![allow(unsafe_code)]

use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::BTreeMap;

use crate::rewrite::address_set::Addresses;
use crate::rewrite::cache::Known;
use crate::rewrite::decide::scan;
use crate::rewrite::decide::tactic::{self, Refusal, Shape, Tactic};
use crate::rewrite::find::functions::Functions;
use crate::rewrite::find::maps::{self, Mapping};
use crate::rewrite::find::module;
use crate::rewrite::outcome::{Counts, Outcome, Settings, SkipReason};
use crate::rewrite::write::batch::Batch;
use crate::rewrite::write::live::{self, Memory, WriteMode};

mod known_code;
mod lists;
mod patches;

use known_code::KNOWN_CODE;
use lists::{is_as_known, Lists};
use patches::Patches;

/// Read without the lock.
static THREADS: AtomicBool = AtomicBool::new(false);

/// Whether the process has made a thread.
pub fn has_threads() -> bool {
    THREADS.load(Ordering::Relaxed)
}

/// Read without the lock.
static FROZEN: AtomicBool = AtomicBool::new(false);

/// Whether nothing is written any more.
pub fn is_frozen() -> bool {
    FROZEN.load(Ordering::Acquire)
}

/// From now on nothing is written any more.
pub fn set_frozen() {
    FROZEN.store(true, Ordering::Release);
}

/// Whether `len` bytes from `address` may hold code that is known to us.
pub fn concerns(address: usize, len: usize) -> bool {
    KNOWN_CODE.meets(address, len)
}

/// Sites skipped alone that are remembered: more than programs have, less than memory that one notices.
const SKIPPED_MAX: usize = 1 << 16;

/// Sites skipped for good, or until what is there changes.
static SKIPPED: Addresses<{ 1 << 14 }> = Addresses::new();

/// Whether nothing can be done about the site at `syscall`.
pub fn is_skipped(syscall: usize) -> bool {
    SKIPPED.contains(syscall)
}

/// The state of the rewriting of this process.
pub struct Engine {
    settings: Settings,
    /// The process's mappings, as last read.
    maps: Vec<Mapping>,
    stale: bool,
    lists: Lists,
    patches: Patches,
    skipped: BTreeMap<u64, SkipReason>,
    /// Sites skipped because the thread that called stood in the window, and the numbers they called.
    caller_inside: Vec<(u64, u64)>,
    threads: bool,
    frozen: bool,
    counts: Counts,
}

/// Which sites are rewritten when many are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// All: nobody else runs this code.
    All,
    /// Those that cannot be once somebody may run this code; nobody does.
    NotLater,
    /// Those that can be at any time: others may run this code.
    AnyTime,
}

impl Engine {
    pub fn new(settings: Settings) -> Self {
        Engine {
            lists: Lists::new(settings.cache.clone()),
            patches: Patches::new(&settings),
            settings,
            maps: Vec::new(),
            stale: true,
            skipped: BTreeMap::new(),
            caller_inside: Vec::new(),
            threads: false,
            frozen: false,
            counts: Counts::default(),
        }
    }

    /// `alone`: no signal handler of the application runs, so that nobody but the caller stands anywhere, if there are
    /// no threads.
    pub fn first_hit(&mut self, syscall: u64, rax: u64, alone: bool) -> Outcome {
        if self.patches.contains(syscall) {
            return Outcome::Rewritten;
        }
        let alone = alone && !self.threads;
        match self.skipped.get(&syscall) {
            // Has become possible since: a handler has returned, a child of fork is alone again.
            Some(SkipReason::OtherThreads) if alone => {}
            Some(&reason) => return Outcome::Skipped(reason),
            None => {}
        }
        if self.frozen {
            return Outcome::Skipped(SkipReason::Frozen);
        }
        if alone {
            self.catch_up(syscall);
        }
        match self.rewrite_one(syscall, rax, alone) {
            Ok(()) => Outcome::Rewritten,
            Err(reason) => {
                self.skip(syscall, reason);
                Outcome::Skipped(reason)
            }
        }
    }

    /// Rewrites the sites that could not be while the thread stood in them: it is at `syscall` now.
    fn catch_up(&mut self, syscall: u64) {
        for (site, rax) in core::mem::take(&mut self.caller_inside) {
            if site == syscall || self.rewrite_elsewhere(site, rax).is_err() {
                self.caller_inside.push((site, rax));
            }
        }
    }

    fn rewrite_elsewhere(&mut self, syscall: u64, rax: u64) -> Result<(), SkipReason> {
        let code = self.code_at(syscall).ok_or(SkipReason::NotFileCode)?;
        let tactic = self.decide(&code, syscall, rax)?;
        self.apply(&Memory::open(true), &code, &tactic, WriteMode::Exclusive)
    }

    fn skip(&mut self, syscall: u64, reason: SkipReason) {
        if self.skipped.len() < SKIPPED_MAX && self.skipped.insert(syscall, reason).is_none() {
            self.counts.skipped += 1;
        }
        if !matches!(reason, SkipReason::OtherThreads | SkipReason::CallerInside | SkipReason::Frozen) {
            // Should there be no room, it is asked about again and again.
            let _ = SKIPPED.insert(syscall as usize);
        }
    }

    fn rewrite_one(&mut self, syscall: u64, rax: u64, alone: bool) -> Result<(), SkipReason> {
        let code = self.code_at(syscall).ok_or(SkipReason::NotFileCode)?;
        let tactic = self.decide(&code, syscall, rax)?;
        if !alone && !tactic.live_safe() {
            return Err(SkipReason::OtherThreads);
        }
        if tactic.shape == Shape::Behind {
            // The caller itself will go on inside the window.
            self.caller_inside.push((syscall, rax));
            return Err(SkipReason::CallerInside);
        }
        let mode = if alone { WriteMode::Exclusive } else { WriteMode::Live };
        self.apply(&Memory::open(!self.threads), &code, &tactic, mode)?;
        live::settle();
        Ok(())
    }

    /// The mapping of `address`, if it is code that may be rewritten.
    fn code_at(&mut self, address: u64) -> Option<Mapping> {
        if let Some(code) = self.known_code_at(address).filter(|_| !self.stale) {
            return Some(code);
        }
        self.read_maps();
        self.known_code_at(address)
    }

    fn known_code_at(&self, address: u64) -> Option<Mapping> {
        let mapping = |address: u64| self.maps.iter().find(|mapping| mapping.range.contains(&address));
        let (code, own) = (mapping(address)?, mapping(self.settings.entry as u64)?);
        (code.is_rewritable() && code.file != own.file).then(|| code.clone())
    }

    fn read_maps(&mut self) {
        self.maps = maps::read();
        self.stale = false;
        KNOWN_CODE.set(&self.maps);
    }

    fn decide(&mut self, code: &Mapping, syscall: u64, rax: u64) -> Result<Tactic, SkipReason> {
        // With a cache, the first process that meets a module searches all of it, and all others nothing.
        if let Some(tactic) = self.lists.are_kept().then(|| self.listed(code, syscall)).flatten() {
            return Ok(tactic);
        }
        match self.decide_in_memory(code, syscall) {
            Err(SkipReason::Tactic(Refusal::NoFunction)) => {}
            decided => return decided,
        }
        // Static programs have no index of their functions in memory; their file may name them.
        if let Some(tactic) = self.listed(code, syscall) {
            return Ok(tactic);
        }
        let start = code.range.start.max(syscall.saturating_sub(16));
        // SAFETY: within a mapping found readable and constant.
        let before = unsafe { module::bytes(&(start..syscall)) };
        tactic::from_evidence(before, syscall, rax).map_err(SkipReason::Tactic)
    }

    /// What the list of the module says, if the code is as the list has it.
    fn listed(&mut self, code: &Mapping, syscall: u64) -> Option<Tactic> {
        let known = *self.list(code).iter().find(|known| known.tactic.syscall == syscall)?;
        let safe = !self.patches.jump_into(&known.tactic) && is_as_known(code, &known);
        safe.then_some(known.tactic)
    }

    fn decide_in_memory(&self, code: &Mapping, syscall: u64) -> Result<Tactic, SkipReason> {
        let unknown = SkipReason::Tactic(Refusal::NoFunction);
        // SAFETY: the thread that waits for us executes from there.
        let view = unsafe { module::in_memory(&self.maps, code) }.ok_or(unknown)?;
        let originals = self.patches.originals(&code.range);
        let functions = Functions::of_view(&view).with_originals(&originals);
        let (_, function) = functions.decode_at(syscall).ok_or(unknown)?;
        let tactic = tactic::choose_in(&function, syscall).map_err(SkipReason::Tactic)?;
        let Some(inside) = tactic.inside().filter(|_| !self.threads) else { return Ok(tactic) };
        let text = view.text_of(syscall).ok_or(unknown)?;
        if self.patches.jump_into(&tactic) || scan::leads_into(&text, &inside) {
            return Err(SkipReason::Tactic(Refusal::JumpedInto));
        }
        Ok(tactic)
    }

    /// All sites of the module of `code` that can be rewritten.
    fn list(&mut self, code: &Mapping) -> &[Known] {
        let originals = self.patches.originals(&code.range);
        self.lists.of(&self.maps, code, &originals)
    }

    /// Makes the stub and the jmp to it.
    fn apply(
        &mut self,
        memory: &Memory,
        code: &Mapping,
        tactic: &Tactic,
        mode: WriteMode,
    ) -> Result<(), SkipReason> {
        self.patches.apply(&self.maps, memory, code, tactic, mode)?;
        self.is_rewritten(tactic);
        Ok(())
    }

    /// As [`Engine::apply`], when the batch is written.
    fn apply_later(
        &mut self,
        memory: &Memory,
        code: &Mapping,
        tactic: &Tactic,
        batch: &mut Batch,
    ) -> Result<(), SkipReason> {
        self.patches.apply_later(&self.maps, memory, code, tactic, batch)?;
        self.is_rewritten(tactic);
        Ok(())
    }

    fn is_rewritten(&mut self, tactic: &Tactic) {
        self.skipped.remove(&tactic.syscall);
        self.counts.rewritten[tactic.shape as usize] += 1;
    }

    /// Rewrites `which` sites of all mapped code in `range`. The caller's own call came from `from`, or 0.
    fn complete(&mut self, range: Range<u64>, which: Which, from: u64) {
        if self.frozen {
            return;
        }
        self.read_maps();
        let within = |mapping: &&Mapping| mapping.range.start < range.end && range.start < mapping.range.end;
        let codes: Vec<u64> = self.maps.iter().filter(within).map(|mapping| mapping.range.start).collect();
        let memory = Memory::open(!self.threads);
        for start in codes {
            if let Some(code) = self.known_code_at(start) {
                self.complete_code(&memory, &code, which, from);
            }
        }
        live::settle();
    }

    fn complete_code(&mut self, memory: &Memory, code: &Mapping, which: Which, from: u64) {
        let wanted = |known: &&Known| {
            let of_kind = match which {
                Which::All => true,
                Which::NotLater => !known.tactic.live_safe(),
                Which::AnyTime => known.tactic.live_safe(),
            };
            let caller_inside = known.tactic.shape == Shape::Behind && known.tactic.syscall == from;
            of_kind
                && !caller_inside
                && code.range.contains(&known.tactic.start)
                && code.range.contains(&known.tactic.syscall)
        };
        let all: Vec<Known> = self.list(code).iter().filter(wanted).copied().collect();
        if which == Which::AnyTime {
            return self.apply_each(&all, code, |engine, tactic| {
                engine.apply(memory, code, tactic, WriteMode::Live)
            });
        }
        let mut batch = Batch::default();
        let before = self.counts;
        self.apply_each(&all, code, |engine, tactic| engine.apply_later(memory, code, tactic, &mut batch));
        if !batch.write(memory) {
            self.patches.take_back(&batch, memory);
            self.counts.rewritten = before.rewritten;
            self.apply_each(&all, code, |engine, tactic| {
                engine.apply(memory, code, tactic, WriteMode::Exclusive)
            });
        }
    }

    /// Does `apply` to each of `all` that is not rewritten yet, and can be.
    fn apply_each(
        &mut self,
        all: &[Known],
        code: &Mapping,
        mut apply: impl FnMut(&mut Engine, &Tactic) -> Result<(), SkipReason>,
    ) {
        for known in all {
            let tactic = &known.tactic;
            if self.patches.contains(tactic.syscall) || self.patches.jump_into(tactic) {
                continue;
            }
            let unknown = Err(SkipReason::Tactic(Refusal::NotAnInstruction));
            let applied = if is_as_known(code, known) { apply(self, tactic) } else { unknown };
            if let Err(reason) = applied {
                self.skip(tactic.syscall, reason);
            }
        }
    }

    pub fn before_first_thread(&mut self, syscall: u64) {
        if !self.threads {
            self.complete(0..u64::MAX, self.which(), syscall);
            self.threads = true;
            THREADS.store(true, Ordering::Relaxed);
        }
    }

    /// What has to be done about code that nobody runs yet.
    fn which(&self) -> Which {
        if self.settings.eager {
            Which::All
        } else {
            Which::NotLater
        }
    }

    pub fn all(&mut self) {
        self.complete(0..u64::MAX, if self.threads { Which::AnyTime } else { Which::All }, 0);
    }

    pub fn mapped(&mut self, range: Range<u64>) {
        self.unmapped(range.clone());
        if self.threads || self.settings.eager {
            self.complete(range, self.which(), 0);
        }
    }

    pub fn unmapped(&mut self, range: Range<u64>) {
        self.stale = true;
        self.patches.forget(&range);
        self.skipped.retain(|syscall, _| !range.contains(syscall));
        self.caller_inside.retain(|(syscall, _)| !range.contains(syscall));
        self.lists.forget(&range);
        SKIPPED.remove(range.clone());
        live::forget(range);
    }

    pub fn all_but(&mut self, syscall: u64, alone: bool) {
        let which = if alone && !self.threads { Which::All } else { Which::AnyTime };
        self.complete(0..u64::MAX, which, syscall);
    }

    pub fn freeze(&mut self, syscall: u64, alone: bool) {
        self.all_but(syscall, alone);
        self.frozen = true;
    }

    pub fn alone_again(&mut self) {
        self.threads = false;
        THREADS.store(false, Ordering::Relaxed);
    }

    pub fn counts(&self) -> Counts {
        Counts { traps: live::traps_met(), ..self.counts }
    }
}
