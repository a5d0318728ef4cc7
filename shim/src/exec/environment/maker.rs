// SPDX-License-Identifier: GPL-2.0-only
//! Makes an environment: what stays of the given one, and what is added.

use core::ffi::CStr;

use stowaway_config::{EXEC, EXEC_PATH};

use super::given::{Entry, Seen, PRELOAD};
use super::{Environment, For, Loaded, HANDED_ON, WORD};
use crate::exec::kept::{Kept, Setting};
use crate::sys::decimal::Decimal;
use crate::sys::errno::{Errno, Result};
use crate::sys::mem::Pages;
use crate::sys::scratch::PATH_MAX;
use crate::sys::user;

/// An environment under construction.
pub struct Maker {
    fate: For,
    kept: Option<&'static Kept>,
    vector: Pages,
    /// Words in the vector, which is zeroed: the list is ended at any time.
    count: usize,
    texts: Pages,
    /// Bytes of the texts that are in use.
    used: usize,
    /// The new LD_PRELOAD, which stands in the place of the first one; 0: none.
    preload: usize,
    /// Settings that the application gives, a bit each.
    present: u64,
}

impl Maker {
    /// Room for an environment made of what was seen.
    pub fn new(
        fate: For,
        kept: Option<&'static Kept>,
        seen: &Seen,
        loaded: Option<Loaded<'_>>,
    ) -> Result<Maker> {
        let settings = kept.map_or(0, |kept| kept.settings.len());
        let library = kept.map_or(0, |kept| kept.library.as_bytes().len());
        // LD_PRELOAD, two for the loader, what is handed on, the end.
        let words = seen.count + settings + 4 + HANDED_ON;
        let preload = PRELOAD.len() + library + seen.preload_length + 2;
        let names = loaded.map_or(0, |loaded| {
            EXEC.len() + 24 + loaded.execfn.len() + EXEC_PATH.len() + loaded.exe.len() + 2
        });
        let mut made = Maker {
            fate,
            kept,
            vector: Pages::new(words * WORD)?,
            count: 0,
            texts: Pages::new(preload + names)?,
            used: 0,
            preload: 0,
            present: 0,
        };
        made.preload = made.write_preload(seen)?;
        Ok(made)
    }

    /// The environment.
    pub fn finish(self) -> Environment {
        Environment::Made { vector: self.vector, _texts: self.texts }
    }

    fn settings(&self) -> &'static [Setting] {
        self.kept.map_or(&[], |kept| &kept.settings)
    }

    /// Adds an entry.
    fn put(&mut self, entry: usize) {
        let at = self.count * WORD;
        self.vector.bytes()[at..at + WORD].copy_from_slice(&entry.to_ne_bytes());
        self.count += 1;
    }

    /// Appends to the text under construction.
    fn write(&mut self, part: &[u8]) {
        self.texts.bytes()[self.used..self.used + part.len()].copy_from_slice(part);
        self.used += part.len();
    }

    /// Where the next text begins.
    fn next_text(&self) -> usize {
        self.texts.address() + self.used
    }

    /// Says which program our loader starts.
    pub fn name_program(&mut self, loaded: Loaded<'_>) {
        let start = self.next_text();
        let fd = Decimal::new(loaded.fd as usize);
        [EXEC, fd.as_bytes(), b":", loaded.execfn, b"\0"].iter().for_each(|part| self.write(part));
        self.put(start);
        if !loaded.exe.is_empty() {
            let start = self.next_text();
            [EXEC_PATH, loaded.exe, b"\0"].iter().for_each(|part| self.write(part));
            self.put(start);
        }
    }

    /// Puts what stays of the given environment.
    pub fn take_given(&mut self, given: usize, seen: &Seen) -> Result<()> {
        for i in 0..seen.count {
            let entry: usize = user::read(given + i * WORD)?;
            match Entry::of(entry, self.settings())? {
                Entry::Preload => self.put_preload(),
                Entry::Setting(at) if self.fate.is_served() => {
                    self.put(self.settings()[at].replacement(entry)?);
                    self.present |= 1 << at;
                }
                Entry::Setting(_) | Entry::OtherSetting if self.fate == For::NobodyAnywhere => {}
                Entry::HandedOn if self.fate != For::NobodyHere => {}
                _ => self.put(entry),
            }
        }
        Ok(())
    }

    /// Puts the new LD_PRELOAD, once.
    fn put_preload(&mut self) {
        match core::mem::take(&mut self.preload) {
            0 => {}
            text => self.put(text),
        }
    }

    /// Adds what is not there yet.
    pub fn add(&mut self, handed_on: [usize; HANDED_ON]) {
        if !self.fate.is_served() {
            return;
        }
        self.put_preload();
        for (at, setting) in self.settings().iter().enumerate() {
            if self.present & (1 << at) == 0 {
                self.put(setting.text.as_ptr() as usize);
            }
        }
        handed_on.into_iter().filter(|&text| text != 0).for_each(|text| self.put(text));
    }

    /// Writes the new LD_PRELOAD: ours first, where the dynamic loader is to take it, then the given ones but for ours.
    /// The address of the text; 0: there are no entries.
    fn write_preload(&mut self, seen: &Seen) -> Result {
        let start = self.used;
        self.write(PRELOAD);
        let mut entries = 0;
        if let (For::Preload, Some(kept)) = (self.fate, self.kept) {
            self.write(kept.library.as_bytes());
            entries += 1;
        }
        let mut next = seen.preload + PRELOAD.len();
        let end = seen.preload + seen.preload_length;
        let mut item = [0u8; PATH_MAX];
        while seen.preload != 0 && next < end {
            let n = next_item(&mut item, next, end)?;
            next += n + 1;
            let text = CStr::from_bytes_until_nul(&item).map_err(|_| Errno::ENAMETOOLONG)?;
            if n == 0 || self.kept.is_some_and(|kept| kept.is_library(text)) {
                continue;
            }
            if entries > 0 {
                self.write(b":");
            }
            self.write(&item[..n]);
            entries += 1;
        }
        self.write(b"\0");
        if entries == 0 {
            self.used = start;
            return Ok(0);
        }
        Ok(self.texts.address() + start)
    }
}

/// Copies the entry of LD_PRELOAD that begins at `from`; its length. Both separators count (ld.so(8)).
fn next_item(item: &mut [u8; PATH_MAX], from: usize, end: usize) -> Result {
    let left = end - from;
    let n = left.min(item.len() - 1);
    user::read_bytes(&mut item[..n], from)?;
    let length = item[..n].iter().position(|byte| matches!(byte, b' ' | b':')).unwrap_or(n);
    if length == n && n < left {
        return Err(Errno::ENAMETOOLONG);
    }
    item[length] = 0;
    Ok(length)
}
