// SPDX-License-Identifier: GPL-2.0-only
//! What has been rewritten, what has not and why; one at a time.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::collections::BTreeMap;

use crate::rewrite::addresses::Addresses;
use crate::rewrite::cache::{self, Known, SPAN_MAX};
use crate::rewrite::emit;
use crate::rewrite::functions::{Functions, Original};
use crate::rewrite::gdb;
use crate::rewrite::maps::{self, Mapping};
use crate::rewrite::module::{self, File};
use crate::rewrite::near::Region;
use crate::rewrite::scan::{self, Site};
use crate::rewrite::tactic::{self, Refusal, Shape, Tactic, SYSCALL};
use crate::rewrite::view::View;
use crate::rewrite::write::{self, Manner, Memory};
use crate::rewrite::{Counts, Outcome, Settings, Why};

/// Read without the lock.
pub static THREADS: AtomicBool = AtomicBool::new(false);

/// The executable mappings as last read, for a look without the lock.
pub struct Code {
    /// More than fit, if greater.
    count: AtomicUsize,
    ranges: [(AtomicUsize, AtomicUsize); CODE_MAX],
}

const CODE_MAX: usize = 128;
pub static CODE: Code = Code {
    count: AtomicUsize::new(0),
    ranges: [const { (AtomicUsize::new(0), AtomicUsize::new(0)) }; CODE_MAX],
};

impl Code {
    /// Whether `len` bytes from `address` may contain some.
    pub fn meets(&self, address: usize, len: usize) -> bool {
        let count = self.count.load(Ordering::Acquire);
        let end = address.saturating_add(len);
        let meets = |range: &(AtomicUsize, AtomicUsize)| {
            range.0.load(Ordering::Relaxed) < end && address < range.1.load(Ordering::Relaxed)
        };
        count > CODE_MAX || self.ranges[..count].iter().any(meets)
    }

    /// With the lock held. A reader meanwhile may see a mixture of two lists, which both hold what was there before
    /// the thread that reads made its call.
    fn set(&self, maps: &[Mapping]) {
        let mut count = 0;
        for mapping in maps.iter().filter(|mapping| mapping.is_executable()) {
            if let Some(slot) = self.ranges.get(count) {
                slot.0.store(mapping.range.start as usize, Ordering::Relaxed);
                slot.1.store(mapping.range.end as usize, Ordering::Relaxed);
            }
            count += 1;
        }
        self.count.store(count, Ordering::Release);
    }
}

/// Sites left alone that are remembered: more than programs have, less than memory that one notices.
const LEFT_MAX: usize = 1 << 16;

/// Sites left for good, or until what is there changes.
static LEFT: Addresses<{ 1 << 14 }> = Addresses::new();

/// Whether nothing can be done about the site at `syscall`.
pub fn is_left(syscall: usize) -> bool {
    LEFT.contains(syscall)
}

/// See the top of the file.
pub struct Engine {
    settings: Settings,
    /// The process's mappings, as last read.
    maps: Vec<Mapping>,
    stale: bool,
    regions: Vec<Region>,
    rewritten: BTreeMap<u64, Rewritten>,
    left: BTreeMap<u64, Why>,
    /// Sites of whole modules, by the start of their code.
    lists: BTreeMap<u64, Vec<Known>>,
    /// Where instructions in stubs jump to.
    moved_jumps: Vec<u64>,
    /// Sites left because the thread that called stood in the window, and the numbers they called.
    stood_in: Vec<(u64, u64)>,
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

struct Rewritten {
    tactic: Tactic,
    original: Vec<u8>,
}

impl Engine {
    pub fn new(settings: Settings) -> Self {
        Engine {
            settings,
            maps: Vec::new(),
            stale: true,
            regions: Vec::new(),
            rewritten: BTreeMap::new(),
            left: BTreeMap::new(),
            lists: BTreeMap::new(),
            moved_jumps: Vec::new(),
            stood_in: Vec::new(),
            threads: false,
            frozen: false,
            counts: Counts::default(),
        }
    }

    /// `alone`: no signal handler of the application runs, so that nobody but the caller stands anywhere, if there are
    /// no threads.
    pub fn first_hit(&mut self, syscall: u64, rax: u64, alone: bool) -> Outcome {
        if self.rewritten.contains_key(&syscall) {
            return Outcome::Rewritten;
        }
        let alone = alone && !self.threads;
        match self.left.get(&syscall) {
            // Has become possible since: a handler has returned, a child of fork is alone again.
            Some(Why::NotAlone) if alone => {}
            Some(&why) => return Outcome::Left(why),
            None => {}
        }
        if self.frozen {
            return Outcome::Left(Why::Frozen);
        }
        if alone {
            self.catch_up(syscall);
        }
        match self.rewrite_one(syscall, rax, alone) {
            Ok(()) => Outcome::Rewritten,
            Err(why) => {
                self.leave(syscall, why);
                Outcome::Left(why)
            }
        }
    }

    /// Rewrites the sites that could not be while the thread stood in them: it is at `syscall` now.
    fn catch_up(&mut self, syscall: u64) {
        for (site, rax) in core::mem::take(&mut self.stood_in) {
            if site == syscall || self.rewrite_elsewhere(site, rax).is_err() {
                self.stood_in.push((site, rax));
            }
        }
    }

    fn rewrite_elsewhere(&mut self, syscall: u64, rax: u64) -> Result<(), Why> {
        let code = self.code_at(syscall).ok_or(Why::NotFileCode)?;
        let tactic = self.decide(&code, syscall, rax)?;
        self.apply(&Memory::open(true), &code, &tactic, Manner::Alone)
    }

    fn leave(&mut self, syscall: u64, why: Why) {
        if self.left.len() < LEFT_MAX && self.left.insert(syscall, why).is_none() {
            self.counts.left += 1;
        }
        if !matches!(why, Why::NotAlone | Why::StoodIn | Why::Frozen) {
            // Should there be no room, it is asked about again and again.
            let _ = LEFT.insert(syscall as usize);
        }
    }

    fn rewrite_one(&mut self, syscall: u64, rax: u64, alone: bool) -> Result<(), Why> {
        let code = self.code_at(syscall).ok_or(Why::NotFileCode)?;
        let tactic = self.decide(&code, syscall, rax)?;
        if !alone && !tactic.live_safe() {
            return Err(Why::NotAlone);
        }
        if tactic.shape == Shape::Behind {
            // The caller itself will go on inside the window.
            self.stood_in.push((syscall, rax));
            return Err(Why::StoodIn);
        }
        let manner = if alone { Manner::Alone } else { Manner::Live };
        self.apply(&Memory::open(!self.threads), &code, &tactic, manner)?;
        write::settle();
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
        CODE.set(&self.maps);
    }

    fn decide(&mut self, code: &Mapping, syscall: u64, rax: u64) -> Result<Tactic, Why> {
        // With a cache, the first process that meets a module searches all of it, and all others nothing.
        if let Some(tactic) = self.settings.cache.is_some().then(|| self.listed(code, syscall)).flatten() {
            return Ok(tactic);
        }
        match self.decide_in_memory(code, syscall) {
            Err(Why::Tactic(Refusal::NoFunction)) => {}
            decided => return decided,
        }
        // Static programs have no index of their functions in memory; their file may name them.
        if let Some(tactic) = self.listed(code, syscall) {
            return Ok(tactic);
        }
        let start = code.range.start.max(syscall.saturating_sub(16));
        // SAFETY: within a mapping found readable and constant.
        let before = unsafe { module::bytes(&(start..syscall)) };
        tactic::from_evidence(before, syscall, rax).map_err(Why::Tactic)
    }

    /// What the list of the module says, if the code is as the list has it.
    fn listed(&mut self, code: &Mapping, syscall: u64) -> Option<Tactic> {
        let known = *self.list(code).iter().find(|known| known.tactic.syscall == syscall)?;
        let landed_in = |inside: Range<u64>| self.moved_jumps.iter().any(|jump| inside.contains(jump));
        let safe = !known.tactic.inside().is_some_and(landed_in) && is_as_known(code, &known);
        safe.then_some(known.tactic)
    }

    fn decide_in_memory(&self, code: &Mapping, syscall: u64) -> Result<Tactic, Why> {
        let unknown = Why::Tactic(Refusal::NoFunction);
        // SAFETY: the thread that waits for us executes from there.
        let view = unsafe { module::in_memory(&self.maps, code) }.ok_or(unknown)?;
        let originals = self.originals(&code.range);
        let functions = Functions::of_view(&view).with_originals(&originals);
        let (_, function) = functions.decode_at(syscall).ok_or(unknown)?;
        let tactic = tactic::choose_in(&function, syscall).map_err(Why::Tactic)?;
        let Some(inside) = tactic.inside().filter(|_| !self.threads) else { return Ok(tactic) };
        let text = view.text_of(syscall).ok_or(unknown)?;
        let moved = self.moved_jumps.iter().any(|target| inside.contains(target));
        if moved || scan::leads_into(&text, &inside) {
            return Err(Why::Tactic(Refusal::JumpedInto));
        }
        Ok(tactic)
    }

    fn originals(&self, range: &Range<u64>) -> Vec<Original> {
        let original = |site: &Rewritten| Original { start: site.tactic.start, bytes: site.original.clone() };
        self.rewritten.range(range.clone()).map(|(_, site)| original(site)).collect()
    }

    /// All sites of the module of `code` that can be rewritten.
    fn list(&mut self, code: &Mapping) -> &[Known] {
        let key = code.range.start;
        if !self.lists.contains_key(&key) {
            let sites = self.find_list(code);
            self.lists.insert(key, sites);
        }
        &self.lists[&key]
    }

    fn find_list(&self, code: &Mapping) -> Vec<Known> {
        // SAFETY: the application has just mapped it, or executes from there.
        let mapped = unsafe { module::in_memory(&self.maps, code) };
        let id = mapped.as_ref().and_then(|view| Some((view.build_id()?, view.bias)));
        let place = self.settings.cache.as_deref().zip(id);
        if let Some(known) = place.and_then(|(directory, (id, bias))| cache::load(directory, id, bias)) {
            return known;
        }
        let Some(known) = self.list_file(code) else {
            return mapped.map(|view| self.list_memory(code, &view)).unwrap_or_default();
        };
        if let Some((directory, (id, bias))) = place {
            // If it fails, the next process searches again.
            let _ = cache::save(directory, id, bias, &known);
        }
        known
    }

    fn list_file(&self, code: &Mapping) -> Option<Vec<Known>> {
        let file = File::of(code)?;
        let mut view = View::of_file(file.bytes())?;
        view.move_to(code.range.start, code.offset)?;
        let mut report = scan::scan(&view, &Functions::of_view(&view));
        if !report.unknown_occurrences.is_empty() {
            report = scan::scan(&view, &Functions::of_view(&view).with_symbols(file.bytes()));
        }
        Some(known(&view, &report.sites))
    }

    fn list_memory(&self, code: &Mapping, view: &View) -> Vec<Known> {
        let originals = self.originals(&code.range);
        let functions = Functions::of_view(view).with_originals(&originals);
        known(view, &scan::scan(view, &functions).sites)
    }

    /// Makes the stub and the jmp to it.
    fn apply(&mut self, memory: &Memory, code: &Mapping, tactic: &Tactic, manner: Manner) -> Result<(), Why> {
        let window = tactic.window();
        let span = window.start..window.start + tactic.span_len() as u64;
        if span.start < code.range.start || span.end > code.range.end || self.overlaps(&window) {
            return Err(Why::Tactic(Refusal::Immovable));
        }
        // SAFETY: within a mapping found readable; who writes to it is us.
        let bytes = unsafe { module::bytes(&span) }.to_vec();
        if bytes[tactic.before_len()..][..SYSCALL.len()] != SYSCALL {
            return Err(Why::Tactic(Refusal::NotAnInstruction));
        }
        let original = &bytes[..usize::from(tactic.len)];
        let (region, at) = self.slot(memory, window.start)?;
        let entry_word = self.regions[region].entry_word();
        let stub = emit::stub(tactic, original, at, entry_word).ok_or(Why::OutOfReach)?;
        let jmp = emit::jmp(tactic, at).ok_or(Why::OutOfReach)?;
        let old: [u8; 5] = original[..5].try_into().map_err(|_| Why::OutOfReach)?;
        if !memory.write(at, &stub.slot) || !write::replace(memory, window.start, old, jmp, manner) {
            return Err(Why::Refused);
        }
        self.regions[region].take();
        self.moved_jumps.extend(&stub.jumps);
        self.left.remove(&tactic.syscall);
        self.counts.rewritten[tactic.shape as usize] += 1;
        self.rewritten.insert(tactic.syscall, Rewritten { tactic: *tactic, original: original.to_vec() });
        Ok(())
    }

    fn overlaps(&self, window: &Range<u64>) -> bool {
        let near = window.start.saturating_sub(64)..window.end + 64;
        self.rewritten.range(near).any(|(_, site)| {
            let taken = site.tactic.window();
            taken.start < window.end && window.start < taken.end
        })
    }

    /// A region within reach of `address`, and a free slot in it.
    fn slot(&mut self, memory: &Memory, address: u64) -> Result<(usize, u64), Why> {
        let free = |region: &Region| region.in_reach(address).then(|| region.next()).flatten();
        let found = self.regions.iter().enumerate().find_map(|(at, region)| Some((at, free(region)?)));
        if let Some(found) = found {
            return Ok(found);
        }
        let entry = self.settings.entry as u64;
        let known = Region::make(&self.maps, address, entry, memory);
        // Where what we knew to be free is not any more.
        let region = known.or_else(|| Region::make(&maps::read(), address, entry, memory));
        let region = region.ok_or(Why::OutOfReach)?;
        let next = region.next().ok_or(Why::OutOfReach)?;
        let table = gdb::describe(&region.range);
        if let Some(register) = self.settings.register_frame {
            // SAFETY: a table that ends as it should, and stays.
            unsafe { register(table.as_ptr()) };
        }
        self.regions.push(region);
        Ok((self.regions.len() - 1, next))
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
        write::settle();
    }

    fn complete_code(&mut self, memory: &Memory, code: &Mapping, which: Which, from: u64) {
        let wanted = |known: &&Known| {
            let of_kind = match which {
                Which::All => true,
                Which::NotLater => !known.tactic.live_safe(),
                Which::AnyTime => known.tactic.live_safe(),
            };
            let stood_in = known.tactic.shape == Shape::Behind && known.tactic.syscall == from;
            of_kind
                && !stood_in
                && code.range.contains(&known.tactic.start)
                && code.range.contains(&known.tactic.syscall)
        };
        let all: Vec<Known> = self.list(code).iter().filter(wanted).copied().collect();
        let manner = if which == Which::AnyTime { Manner::Live } else { Manner::Alone };
        for known in all {
            let tactic = &known.tactic;
            let landed_in = |inside: Range<u64>| self.moved_jumps.iter().any(|jump| inside.contains(jump));
            if self.rewritten.contains_key(&tactic.syscall) || tactic.inside().is_some_and(landed_in) {
                continue;
            }
            let unknown = Err(Why::Tactic(Refusal::NotAnInstruction));
            let applied =
                if is_as_known(code, &known) { self.apply(memory, code, tactic, manner) } else { unknown };
            if let Err(why) = applied {
                self.leave(tactic.syscall, why);
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
        let meets = |window: Range<u64>| window.start < range.end && range.start < window.end;
        self.rewritten.retain(|_, site| !meets(site.tactic.window()));
        self.left.retain(|syscall, _| !range.contains(syscall));
        self.stood_in.retain(|(syscall, _)| !range.contains(syscall));
        self.lists.retain(|start, _| !range.contains(start));
        self.regions.retain(|region| !meets(region.range.clone()));
        LEFT.remove(range.clone());
        write::forget(range);
    }

    pub fn freeze(&mut self) {
        self.frozen = true;
    }

    pub fn alone_again(&mut self) {
        self.threads = false;
        THREADS.store(false, Ordering::Relaxed);
    }

    pub fn counts(&self) -> Counts {
        Counts { traps: write::traps_met(), ..self.counts }
    }
}

/// Whether the bytes in memory are those that the decision was based on.
fn is_as_known(code: &Mapping, known: &Known) -> bool {
    let span = known.tactic.start..known.tactic.start + known.span().len() as u64;
    let within = code.range.start <= span.start && span.end <= code.range.end;
    // SAFETY: within a mapping found readable; who writes to it is us.
    within && unsafe { module::bytes(&span) } == known.span()
}

fn known(view: &View, sites: &[Site]) -> Vec<Known> {
    let known = |site: &Site| {
        let tactic = site.tactic.ok()?;
        let mut bytes = [0; SPAN_MAX];
        let span = tactic.start..tactic.start + tactic.span_len() as u64;
        bytes.get_mut(..tactic.span_len())?.copy_from_slice(view.slice(span)?);
        Some(Known { tactic, bytes })
    };
    sites.iter().filter_map(known).collect()
}
