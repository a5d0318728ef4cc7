// SPDX-License-Identifier: GPL-2.0-only
//! The instances that are shown: all that there are, or one. They come and go.

use std::collections::BTreeMap;

use super::sample::{Looks, Sample, View};
use super::source::Source;
use crate::look::instances::{self, Instance};
use crate::ps;

/// What is known of an instance from one turn to the next.
struct Known {
    source: Result<Source, String>,
    before: Option<Sample>,
    looks: Looks,
}

/// An instance at this turn. Err: it cannot be looked into; its heading, and why.
pub type Shown = Result<View, [String; 2]>;

/// The instances.
pub struct Watched {
    /// The one that was asked for.
    only: Option<u64>,
    known: BTreeMap<u64, Known>,
}

impl Watched {
    /// All instances, or that which a process uses or that has a name.
    pub fn new(who: Option<&str>) -> Result<Watched, String> {
        let only = who.map(|who| instances::find(who).map(|one| one.instance)).transpose()?;
        Ok(Watched { only, known: BTreeMap::new() })
    }

    /// Whether one was asked for: then its end is the end.
    pub fn is_one(&self) -> bool {
        self.only.is_some()
    }

    /// A look at each CPU.
    pub fn look(&mut self) {
        for known in self.known.values_mut() {
            if let Ok(look) =
                known.source.as_ref().map_err(drop).and_then(|source| source.look().map_err(drop))
            {
                known.looks.add(&look);
            }
        }
    }

    /// What there is now, and what happened since the last turn.
    pub fn turn(&mut self) -> Result<Vec<Shown>, String> {
        let mut all = instances::all()?;
        all.retain(|one| self.only.is_none_or(|only| only == one.instance));
        self.known.retain(|number, _| all.iter().any(|one| one.instance == *number));
        Ok(all.iter().map(|one| self.show(one)).collect())
    }

    fn show(&mut self, instance: &Instance) -> Shown {
        let known = self.known.entry(instance.instance).or_insert_with(|| Known {
            source: Source::open(instance),
            before: None,
            looks: Looks::default(),
        });
        let sampled = known.source.as_ref().map_err(String::clone).and_then(Source::sample);
        let now = sampled.map_err(|why| [ps::heading(instance), why])?;
        let looks = std::mem::take(&mut known.looks);
        let before = known.before.replace(now.clone());
        Ok(View::new(instance, before.as_ref().unwrap_or(&now), &now, &looks))
    }
}
