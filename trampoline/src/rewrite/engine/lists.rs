// SPDX-License-Identifier: GPL-2.0-only
//! The sites of whole modules: from the cache, from the module's file, or from memory.
//!
//! # Safety
//! Memory is read where the engine's list of mappings shows code that the application has just mapped, or executes.
#![allow(unsafe_code)]

use core::ops::Range;
use std::collections::BTreeMap;

use crate::rewrite::cache::{self, Known, SPAN_MAX};
use crate::rewrite::decide::scan::{self, Site};
use crate::rewrite::find::extent::Original;
use crate::rewrite::find::functions::Functions;
use crate::rewrite::find::maps::Mapping;
use crate::rewrite::find::module::{self, MappedFile};
use crate::rewrite::find::view::View;

/// Lists by the start of the module's code, each made when it is first asked for.
pub struct Lists {
    /// Where lists are kept between runs.
    cache: Option<Vec<u8>>,
    by_code: BTreeMap<u64, Vec<Known>>,
}

impl Lists {
    /// Empty.
    pub fn new(cache: Option<Vec<u8>>) -> Self {
        Lists { cache, by_code: BTreeMap::new() }
    }

    /// Whether lists are kept between runs.
    pub fn are_kept(&self) -> bool {
        self.cache.is_some()
    }

    /// All sites of the module of `code` that can be rewritten. `originals`: what stood in `code` before.
    pub fn of(&mut self, maps: &[Mapping], code: &Mapping, originals: &[Original]) -> &[Known] {
        let key = code.range.start;
        if !self.by_code.contains_key(&key) {
            let sites = self.find(maps, code, originals);
            self.by_code.insert(key, sites);
        }
        &self.by_code[&key]
    }

    /// Forgets the lists of code that begins in `range`.
    pub fn forget(&mut self, range: &Range<u64>) {
        self.by_code.retain(|start, _| !range.contains(start));
    }

    fn find(&self, maps: &[Mapping], code: &Mapping, originals: &[Original]) -> Vec<Known> {
        // SAFETY: the application has just mapped it, or executes from there.
        let mapped = unsafe { module::in_memory(maps, code) };
        let id = mapped.as_ref().and_then(|view| Some((view.build_id()?, view.bias)));
        let place = self.cache.as_deref().zip(id);
        if let Some(known) = place.and_then(|(directory, (id, bias))| cache::load(directory, id, bias)) {
            return known;
        }
        let Some(known) = list_file(code) else {
            return mapped.map(|view| list_memory(&view, originals)).unwrap_or_default();
        };
        if let Some((directory, (id, bias))) = place {
            // If it fails, the next process searches again.
            let _ = cache::save(directory, id, bias, &known);
        }
        known
    }
}

fn list_file(code: &Mapping) -> Option<Vec<Known>> {
    let file = MappedFile::of(code)?;
    let mut view = View::of_file(file.bytes())?;
    view.move_to(code.range.start, code.offset)?;
    let mut report = scan::scan(&view, &Functions::of_view(&view));
    if !report.unknown_occurrences.is_empty() {
        report = scan::scan(&view, &Functions::of_view(&view).with_symbols(file.bytes()));
    }
    Some(known(&view, &report.sites))
}

fn list_memory(view: &View, originals: &[Original]) -> Vec<Known> {
    let functions = Functions::of_view(view).with_originals(originals);
    known(view, &scan::scan(view, &functions).sites)
}

/// Whether the bytes in memory are those that the decision was based on.
pub fn is_as_known(code: &Mapping, known: &Known) -> bool {
    let span = known.tactic.span();
    let within = code.range.start <= span.start && span.end <= code.range.end;
    // SAFETY: within a mapping found readable; who writes to it is us.
    within && unsafe { module::bytes(&span) } == known.span()
}

fn known(view: &View, sites: &[Site]) -> Vec<Known> {
    let known = |site: &Site| {
        let tactic = site.tactic.ok()?;
        let mut bytes = [0; SPAN_MAX];
        bytes.get_mut(..tactic.span_len())?.copy_from_slice(view.slice(tactic.span())?);
        Some(Known { tactic, bytes })
    };
    sites.iter().filter_map(known).collect()
}
