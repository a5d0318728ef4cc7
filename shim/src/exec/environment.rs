// SPDX-License-Identifier: GPL-2.0-only
//! The environment of a program that is started: the one that the caller gave, with what keeps the program served (or
//! without it), and with what the program has to know of the old one's kernel.
//!
//! Rules of the place: the application's context, maybe between fork and exec. Texts stand in two mappings, in the
//! caller's buffers, or in memory of the constructor's; nothing is allocated. The given texts are only alleged.

use core::ffi::CStr;

use stowaway_config::{is_for_libc, is_setting, EXEC, EXEC_PATH, KEPT};

use crate::exec::kept::{Kept, Setting};
use crate::exec::plan::Plan;
use crate::process::handoff::{CWD, FDS};
use crate::sys::decimal::Decimal;
use crate::sys::errno::{Errno, Result};
use crate::sys::mem::Pages;
use crate::sys::scratch::PATH_MAX;
use crate::sys::user;

const PRELOAD: &[u8] = b"LD_PRELOAD=";
/// What one program's library tells the next one's is told anew.
const HANDED_ON: [&[u8]; 4] = [EXEC, EXEC_PATH, CWD, FDS];
/// Longer than any name that is looked for.
const HEAD: usize = 32;
/// The kernel takes no longer string (include/uapi/linux/binfmts.h, MAX_ARG_STRLEN).
const TEXT_MAX: usize = 128 << 10;
const WORD: usize = size_of::<usize>();

/// A program that our loader starts.
#[derive(Clone, Copy)]
pub struct Loaded<'a> {
    /// The program, open.
    pub fd: i32,
    /// What the program is called.
    pub execfn: &'a [u8],
    /// Where the program lies in a mount; empty: on the host.
    pub exe: &'a [u8],
}

/// An environment.
pub enum Environment {
    /// As the application gave it, at this address.
    Given(usize),
    /// Made here: a vector of addresses, and the strings that were made for it.
    Made {
        /// The vector.
        vector: Pages,
        /// The strings.
        _texts: Pages,
    },
}

impl Environment {
    /// The environment at `given` (0: an empty one, as for execve) made fit for `plan`. `handed_on`: variables for the new
    /// program, of which 0 is none.
    pub fn new(
        given: usize,
        plan: &Plan,
        loaded: Option<Loaded<'_>>,
        kept: Option<&'static Kept>,
        handed_on: [usize; 2],
    ) -> Result<Environment> {
        let fate = match plan {
            Plan::Untouched => return Ok(Environment::Given(given)),
            // Nothing was asked for: there is nothing of ours in it either.
            Plan::Alone | Plan::WithoutPreload if kept.is_none() => return Ok(Environment::Given(given)),
            Plan::Preload => For::Preload,
            Plan::Load(_) => For::Loader,
            Plan::WithoutPreload => For::NobodyHere,
            Plan::Alone => For::NobodyAnywhere,
        };
        let seen = Seen::look(given, fate)?;
        let mut made = Maker::new(fate, kept, &seen, loaded)?;
        if let Some(loaded) = loaded {
            made.name_program(loaded);
        }
        made.take_given(given, &seen)?;
        made.add(handed_on);
        Ok(Environment::Made { vector: made.vector, _texts: made.texts })
    }

    /// For execve.
    pub fn address(&self) -> usize {
        match self {
            Environment::Given(address) => *address,
            Environment::Made { vector, .. } => vector.address(),
        }
    }
}

/// Whom the environment is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum For {
    /// A program with the library preloaded.
    Preload,
    /// Our loader. What would act on our own dynamic loader and libc gets another name.
    Loader,
    /// A program without the library, whose children may have it again.
    NobodyHere,
    /// A program without the library, and without its settings.
    NobodyAnywhere,
}

impl For {
    /// The settings have to be there.
    fn is_served(self) -> bool {
        matches!(self, For::Preload | For::Loader)
    }
}

/// What an entry is to us.
enum Entry {
    /// LD_PRELOAD.
    Preload,
    /// Acts on a dynamic loader or libc.
    ForLibc,
    /// The settings' number in what was kept.
    Setting(usize),
    /// What one program's library tells the next one's.
    HandedOn,
    /// Another setting, which this process was not started with.
    OtherSetting,
    /// The application's.
    Other,
}

/// The first bytes of a string; NUL behind a short one.
fn head(entry: usize) -> Result<[u8; HEAD]> {
    let mut head = [0; HEAD];
    match user::read_string(&mut head, entry) {
        Ok(_) | Err(Errno::ENAMETOOLONG) => Ok(head),
        Err(e) => Err(e),
    }
}

impl Entry {
    fn of(entry: usize, settings: &[Setting]) -> Result<Entry> {
        let head = head(entry)?;
        if head.starts_with(PRELOAD) {
            return Ok(Entry::Preload);
        }
        if HANDED_ON.iter().any(|name| head.starts_with(name)) {
            return Ok(Entry::HandedOn);
        }
        if let Some(at) = settings.iter().position(|s| head.starts_with(&s.found[..s.name])) {
            return Ok(Entry::Setting(at));
        }
        let end = head.iter().position(|&byte| matches!(byte, b'=' | 0)).unwrap_or(HEAD);
        Ok(match () {
            () if is_setting(&head[..end]) => Entry::OtherSetting,
            () if is_for_libc(&head) => Entry::ForLibc,
            () => Entry::Other,
        })
    }
}

impl Setting {
    /// What stands for the application's entry of this name: the entry, unless it is the one that this process was
    /// started with. That one is meant from the directory where this process was started.
    fn replacement(&self, entry: usize) -> Result {
        if self.text.as_bytes() != self.found && is_text(entry, &self.found)? {
            return Ok(self.text.as_ptr() as usize);
        }
        Ok(entry)
    }
}

/// Whether the string at `address` is `text`.
fn is_text(mut address: usize, text: &[u8]) -> Result<bool> {
    let mut piece = [0u8; HEAD];
    for chunk in text.chunks(HEAD) {
        let piece = &mut piece[..chunk.len()];
        match user::read_string(piece, address) {
            Err(Errno::ENAMETOOLONG) if piece == chunk => address += chunk.len(),
            Err(Errno::ENAMETOOLONG) | Ok(_) => return Ok(false),
            Err(e) => return Err(e),
        }
    }
    Ok(user::read::<u8>(address)? == 0)
}

/// The length of a string. E2BIG: longer than any that the kernel takes.
fn length(address: usize) -> Result {
    let mut piece = [0u8; 256];
    let mut n = 0;
    while n < TEXT_MAX {
        match user::read_string(&mut piece, address + n) {
            Ok(last) => return Ok(n + last),
            Err(Errno::ENAMETOOLONG) => n += piece.len(),
            Err(e) => return Err(e),
        }
    }
    Err(Errno::E2BIG)
}

/// The given environment at a first look.
struct Seen {
    count: usize,
    /// The LD_PRELOAD that counts for ld.so, the last one (elf/rtld.c, process_envvars); 0: there is none.
    preload: usize,
    /// Its length.
    preload_length: usize,
    /// Bytes of the variables that get another name.
    renamed_bytes: usize,
}

impl Seen {
    fn look(given: usize, fate: For) -> Result<Seen> {
        let mut seen = Seen { count: 0, preload: 0, preload_length: 0, renamed_bytes: 0 };
        if given == 0 {
            return Ok(seen);
        }
        loop {
            let entry: usize = user::read(given + seen.count * WORD)?;
            if entry == 0 {
                break;
            }
            let head = head(entry)?;
            if head.starts_with(PRELOAD) {
                seen.preload = entry;
            } else if fate == For::Loader && is_for_libc(&head) {
                seen.renamed_bytes += KEPT.len() + length(entry)? + 1;
            }
            seen.count += 1;
        }
        if seen.preload != 0 {
            seen.preload_length = length(seen.preload)?;
        }
        Ok(seen)
    }
}

/// An environment under construction.
struct Maker {
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
    fn new(fate: For, kept: Option<&'static Kept>, seen: &Seen, loaded: Option<Loaded<'_>>) -> Result<Maker> {
        let settings = kept.map_or(0, |kept| kept.settings.len());
        let library = kept.map_or(0, |kept| kept.library.as_bytes().len());
        // LD_PRELOAD, two for the loader, two that are handed on, the end.
        let words = seen.count + settings + 6;
        let preload = KEPT.len() + PRELOAD.len() + library + seen.preload_length + 2;
        let names = loaded.map_or(0, |loaded| {
            EXEC.len() + 24 + loaded.execfn.len() + EXEC_PATH.len() + loaded.exe.len() + 2
        });
        let mut made = Maker {
            fate,
            kept,
            vector: Pages::new(words * WORD)?,
            count: 0,
            texts: Pages::new(preload + names + seen.renamed_bytes)?,
            used: 0,
            preload: 0,
            present: 0,
        };
        made.preload = made.write_preload(seen)?;
        Ok(made)
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
    fn name_program(&mut self, loaded: Loaded<'_>) {
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
    fn take_given(&mut self, given: usize, seen: &Seen) -> Result<()> {
        for i in 0..seen.count {
            let entry: usize = user::read(given + i * WORD)?;
            match Entry::of(entry, self.settings())? {
                Entry::Preload => self.put_preload(),
                Entry::ForLibc if self.fate == For::Loader => self.rename(entry)?,
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
    fn add(&mut self, handed_on: [usize; 2]) {
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

    /// Adds a variable under another name, so that it does not act on our own dynamic loader.
    fn rename(&mut self, entry: usize) -> Result<()> {
        let start = self.next_text();
        self.write(KEPT);
        let room = &mut self.texts.bytes()[self.used..];
        // ENOMEM: the string grew since it was measured.
        let len = user::read_string(room, entry).map_err(|e| {
            if e == Errno::ENAMETOOLONG {
                Errno::ENOMEM
            } else {
                e
            }
        })?;
        self.used += len + 1;
        self.put(start);
        Ok(())
    }

    /// Writes the new LD_PRELOAD: ours first, where the dynamic loader is to take it, then the given ones but for ours.
    /// The address of the text; 0: there are no entries.
    fn write_preload(&mut self, seen: &Seen) -> Result {
        let start = self.used;
        if self.fate == For::Loader {
            self.write(KEPT);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs;
    use std::ffi::CString;

    fn kept() -> Kept {
        let setting = |text: &str, found: &str| Setting {
            text: CString::new(text).unwrap(),
            found: found.into(),
            name: found.find('=').unwrap() + 1,
        };
        Kept {
            library: c"/x/libstowaway.so".into(),
            id: None,
            named: None,
            settings: vec![
                setting("STOWAWAY_MOUNT=/h/a:/m", "STOWAWAY_MOUNT=a:/m"),
                setting("STOWAWAY_MEM=32M", "STOWAWAY_MEM=32M"),
            ],
        }
    }

    fn made_for(given: &[&str], plan: Plan, loaded: Option<Loaded<'_>>) -> Vec<String> {
        let texts: Vec<CString> = given.iter().map(|text| CString::new(*text).unwrap()).collect();
        let list: Vec<usize> = texts.iter().map(|text| text.as_ptr() as usize).chain([0]).collect();
        let address = if given.is_empty() { 0 } else { list.as_ptr() as usize };
        let handed_on = if loaded.is_some() { [c"STOWAWAY_CWD=/m".as_ptr() as usize, 0] } else { [0; 2] };
        let kept = Some(&*Box::leak(Box::new(kept())));
        let made = Environment::new(address, &plan, loaded, kept, handed_on).unwrap();
        let mut found = Vec::new();
        while let Ok(entry @ 1..) = user::read::<usize>(made.address() + found.len() * WORD) {
            let mut text = [0; PATH_MAX];
            let n = user::read_string(&mut text, entry).unwrap();
            found.push(String::from_utf8(text[..n].to_vec()).unwrap());
        }
        found
    }

    fn made(given: &[&str], plan: Plan) -> Vec<String> {
        made_for(given, plan, None)
    }

    const ALL: [&str; 3] = ["LD_PRELOAD=/x/libstowaway.so", "STOWAWAY_MOUNT=/h/a:/m", "STOWAWAY_MEM=32M"];

    #[test]
    fn a_cleaned_environment_has_it_again() {
        assert_eq!(made(&[], Plan::Preload), ALL);
        assert_eq!(made(&["A=1", "STOWAWAY_FDS=3"], Plan::Preload), [&["A=1"], &ALL[..]].concat());
    }

    #[test]
    fn ours_comes_first_and_once() {
        for given in ["libm.so.6:/x/libstowaway.so b.so", "/x/libstowaway.so:libm.so.6 :b.so:libstowaway.so"]
        {
            let lines = made(&["LD_PRELOAD=old.so", "A=1", &format!("LD_PRELOAD={given}")], Plan::Preload);
            assert_eq!(lines[..2], ["LD_PRELOAD=/x/libstowaway.so:libm.so.6:b.so", "A=1"], "{given}");
            assert_eq!(lines.len(), 4);
        }
    }

    #[test]
    fn what_the_application_sets_counts() {
        let given = ["STOWAWAY_MEM=64M", "STOWAWAY_LOG=off", "STOWAWAY_MOUNT=a:/mm"];
        assert_eq!(made(&given, Plan::Preload)[..3], given);
        assert_eq!(made(&["STOWAWAY_MOUNT=a:/m"], Plan::Preload)[0], ALL[1]);
    }

    #[test]
    fn left_alone_it_has_nothing_of_ours() {
        let given =
            ["LD_PRELOAD=/x/libstowaway.so:b.so", "STOWAWAY_MEM=1", "STOWAWAY_LOG=off", "STOWAWAY_CWD=/"];
        let more = [&given[..], &["STOWAWAY_TEST_X=1", "B"]].concat();
        assert_eq!(made(&more, Plan::Alone), ["LD_PRELOAD=b.so", "STOWAWAY_TEST_X=1", "B"]);
        assert_eq!(made(&["LD_PRELOAD=/x/libstowaway.so", "C=1"], Plan::Alone), ["C=1"]);
        assert_eq!(made(&given, Plan::WithoutPreload)[..2], ["LD_PRELOAD=b.so", "STOWAWAY_MEM=1"]);
        assert_eq!(made(&given, Plan::Untouched), given);
    }

    #[test]
    fn the_loader_gets_what_acts_on_libc_under_another_name() {
        let loaded = Loaded { fd: 7, execfn: b"/m/p", exe: b"/m/q" };
        let given = ["LD_PRELOAD=/x/libstowaway.so:b.so", "LD_DEBUG=all", "A=1", "STOWAWAY_EXEC=1:x"];
        let lines = made_for(&given, Plan::Load(fs::owned(-1)), Some(loaded));
        assert_eq!(lines[..2], ["STOWAWAY_EXEC=7:/m/p", "STOWAWAY_EXEC_PATH=/m/q"]);
        assert_eq!(lines[2..5], ["STOWAWAY_KEPT_LD_PRELOAD=b.so", "STOWAWAY_KEPT_LD_DEBUG=all", "A=1"]);
        assert_eq!(lines[5..], [ALL[1], ALL[2], "STOWAWAY_CWD=/m"]);
    }

    #[test]
    fn long_texts_are_compared_whole() {
        let long = "x".repeat(100);
        let address = CString::new(format!("{long}y")).unwrap();
        let at = address.as_ptr() as usize;
        assert_eq!(is_text(at, format!("{long}y").as_bytes()), Ok(true));
        assert_eq!(is_text(at, format!("{long}z").as_bytes()), Ok(false));
        assert_eq!(is_text(at, long.as_bytes()), Ok(false));
        assert_eq!(is_text(at, format!("{long}yy").as_bytes()), Ok(false));
        assert_eq!(length(at), Ok(101));
    }
}
