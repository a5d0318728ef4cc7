// SPDX-License-Identifier: GPL-2.0-only
//! The environment of a program that is started: the one that the caller gave, with what keeps the program
//! served (or without it), and with what it has to know of the old one's kernel.
//!
//! Rules of the place: the application's context, maybe between fork and exec. Texts stand in one mapping, in
//! the buffers, or in memory of the constructor's; nothing is allocated. The given texts are only alleged.

use core::ffi::CStr;

use stowaway_config::is_setting;

use crate::exec::kept::{Kept, Setting};
use crate::lookup::cwd;
use crate::process::handoff;
use crate::sys::errno::{E2BIG, ENAMETOOLONG, ENOMEM};
use crate::sys::host::{self, Ret};
use crate::sys::scratch::{Buffers, PATH_MAX};
use crate::sys::user;

const CWD: &[u8] = b"STOWAWAY_CWD=";
/// Descriptors that the new program inherits and that are the kernel's.
const FDS: &[u8] = b"STOWAWAY_FDS=";
const PRELOAD: &[u8] = b"LD_PRELOAD=";
/// Longer than any name that is looked for.
const HEAD: usize = 32;
/// The kernel takes no longer string (include/uapi/linux/binfmts.h, MAX_ARG_STRLEN).
const TEXT_MAX: usize = 128 << 10;
const WORD: usize = size_of::<usize>();

/// What is done to the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The library and the settings are in it.
    Follow,
    /// As given, but for our entry in LD_PRELOAD, which the program's loader could not take.
    NoPreload,
    /// The same: our own loader starts the program, and adds what it needs.
    Load,
    /// As given.
    Untouched,
    /// Nothing of ours is in it.
    Alone,
}

/// An environment. What it is made of lives in one mapping, and in the buffers.
#[derive(Debug)]
pub struct Environment {
    address: usize,
    bytes: usize,
    given: usize,
}

impl Environment {
    /// As the application gave it.
    pub fn untouched(given: usize) -> Environment {
        Environment { address: 0, bytes: 0, given }
    }

    /// The environment at `given` (0: an empty one, as for execve) made fit for `way`.
    pub fn new(
        given: usize,
        way: Way,
        kept: &'static Kept,
        buffers: &mut Buffers,
    ) -> Result<Environment, Ret> {
        let mut made = Environment::untouched(given);
        if way == Way::Untouched {
            return Ok(made);
        }
        let cwd = way == Way::Follow && current_directory(&mut buffers.path);
        let fds = way == Way::Follow && handoff::describe(&mut buffers.place, FDS, &mut buffers.link);
        let seen = Seen::look(given)?;
        // LD_PRELOAD, the two of above, the end.
        let words = (seen.count + kept.settings.len() + 4) * WORD;
        let text = PRELOAD.len() + kept.library.as_bytes().len() + seen.preload_length + 2;
        made.map(words + text)?;
        let preload = seen.write_preload(kept, way, made.address + words)?;
        let mut out = Out { at: made.address };
        seen.fill(given, &mut out, way, kept, preload)?;
        for text in [cwd.then_some(&buffers.path), fds.then_some(&buffers.place)].into_iter().flatten() {
            out.put(text.as_ptr() as usize)?;
        }
        Ok(made)
    }

    fn map(&mut self, bytes: usize) -> Result<(), Ret> {
        let address = host::map(bytes);
        if address < 0 {
            return Err(ENOMEM);
        }
        (self.address, self.bytes) = (address as usize, bytes);
        Ok(())
    }

    /// For execve.
    pub fn address(&self) -> usize {
        if self.address == 0 {
            self.given
        } else {
            self.address
        }
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        if self.address != 0 {
            host::unmap(self.address, self.bytes);
        }
    }
}

/// Where the next entry goes. The mapping is zeroed: the list is ended at any time.
struct Out {
    at: usize,
}

impl Out {
    fn put(&mut self, entry: usize) -> Result<(), Ret> {
        user::write(self.at, &entry)?;
        self.at += WORD;
        Ok(())
    }
}

/// What an entry is to us.
enum Entry {
    /// LD_PRELOAD.
    Preload,
    /// The settings' number in what was kept.
    Setting(usize),
    /// What one program's library tells the next one's.
    HandedOn,
    /// Another setting, which this process was not started with.
    Ours,
    /// The application's.
    Other,
}

impl Entry {
    fn of(entry: usize, kept: &Kept) -> Result<Entry, Ret> {
        let mut head = [0u8; HEAD];
        let head = match user::read_string(&mut head, entry) {
            Ok(n) => &head[..n],
            Err(ENAMETOOLONG) => &head[..],
            Err(e) => return Err(e),
        };
        if head.starts_with(PRELOAD) {
            return Ok(Entry::Preload);
        }
        if head.starts_with(CWD) || head.starts_with(FDS) {
            return Ok(Entry::HandedOn);
        }
        if let Some(at) = kept.settings.iter().position(|s| head.starts_with(&s.found[..s.name])) {
            return Ok(Entry::Setting(at));
        }
        let name = head.iter().position(|&byte| byte == b'=').map_or(head, |end| &head[..end]);
        Ok(if is_setting(name) { Entry::Ours } else { Entry::Other })
    }
}

impl Setting {
    /// What stands for the application's entry of this name: the same, unless it is the one that this process
    /// was started with; that one is meant from the directory where it was started.
    fn replacement(&self, entry: usize) -> Result<usize, Ret> {
        let text = self.text.as_ptr() as usize;
        if self.text.as_bytes() == self.found {
            return Ok(entry);
        }
        Ok(if is_text(entry, &self.found)? { text } else { entry })
    }
}

/// Whether the string at `address` is `text`.
fn is_text(mut address: usize, text: &[u8]) -> Result<bool, Ret> {
    let mut piece = [0u8; HEAD];
    for chunk in text.chunks(HEAD) {
        let piece = &mut piece[..chunk.len()];
        match user::read_string(piece, address) {
            Err(ENAMETOOLONG) if piece == chunk => address += chunk.len(),
            Err(ENAMETOOLONG) | Ok(_) => return Ok(false),
            Err(e) => return Err(e),
        }
    }
    Ok(user::read::<u8>(address)? == 0)
}

/// The given environment at a first look.
struct Seen {
    count: usize,
    /// The LD_PRELOAD that counts for ld.so, the last one (elf/rtld.c, process_envvars); 0: there is none.
    preload: usize,
    /// Its length.
    preload_length: usize,
}

impl Seen {
    fn look(given: usize) -> Result<Seen, Ret> {
        let mut seen = Seen { count: 0, preload: 0, preload_length: 0 };
        if given == 0 {
            return Ok(seen);
        }
        loop {
            let entry: usize = user::read(given + seen.count * WORD)?;
            if entry == 0 {
                break;
            }
            let mut head = [0u8; PRELOAD.len()];
            match user::read_string(&mut head, entry) {
                Err(ENAMETOOLONG) if head == PRELOAD => seen.preload = entry,
                Err(ENAMETOOLONG) | Ok(_) => {}
                Err(e) => return Err(e),
            }
            seen.count += 1;
        }
        if seen.preload != 0 {
            seen.preload_length = length(seen.preload)?;
        }
        Ok(seen)
    }

    /// Puts what of the given environment stays, and what is added to it. `preload`: the new LD_PRELOAD, or 0.
    fn fill(
        &self,
        given: usize,
        out: &mut Out,
        way: Way,
        kept: &'static Kept,
        preload: usize,
    ) -> Result<(), Ret> {
        let mut present = 0u64;
        let mut placed = preload == 0;
        for i in 0..self.count {
            let entry: usize = user::read(given + i * WORD)?;
            match Entry::of(entry, kept)? {
                Entry::Preload if placed => {}
                Entry::Preload => {
                    placed = true;
                    out.put(preload)?;
                }
                Entry::Ours | Entry::Setting(_) if way == Way::Alone => {}
                Entry::HandedOn if way != Way::NoPreload => {}
                Entry::Setting(at) if way == Way::Follow => {
                    out.put(kept.settings[at].replacement(entry)?)?;
                    present |= 1 << at;
                }
                _ => out.put(entry)?,
            }
        }
        if way != Way::Follow {
            return Ok(());
        }
        if !placed {
            out.put(preload)?;
        }
        let missing = kept.settings.iter().enumerate().filter(|(at, _)| present & (1 << at) == 0);
        missing.map(|(_, setting)| setting.text.as_ptr() as usize).try_for_each(|text| out.put(text))
    }

    /// The address of the new LD_PRELOAD, written at `room`; 0: none.
    fn write_preload(&self, kept: &Kept, way: Way, room: usize) -> Result<usize, Ret> {
        let mut out = room;
        let mut put = |bytes: &[u8]| -> Result<(), Ret> {
            user::write_bytes(out, bytes)?;
            out += bytes.len();
            Ok(())
        };
        put(PRELOAD)?;
        let mut entries = 0;
        if way == Way::Follow && !kept.library.is_empty() {
            put(kept.library.as_bytes())?;
            entries += 1;
        }
        let mut rest = self.preload + PRELOAD.len();
        let end = self.preload + self.preload_length;
        let mut item = [0u8; PATH_MAX];
        while self.preload != 0 && rest < end {
            let n = next_item(&mut item, rest, end)?;
            rest += n + 1;
            let text = CStr::from_bytes_until_nul(&item).map_err(|_| ENAMETOOLONG)?;
            if n == 0 || kept.is_library(text) {
                continue;
            }
            if entries > 0 {
                put(b":")?;
            }
            put(&item[..n])?;
            entries += 1;
        }
        put(b"\0")?;
        Ok(if entries == 0 { 0 } else { room })
    }
}

/// Copies the entry of LD_PRELOAD that begins at `from`; its length. Both separators count (ld.so(8)).
fn next_item(item: &mut [u8; PATH_MAX], from: usize, end: usize) -> Result<usize, Ret> {
    let left = end - from;
    let n = left.min(item.len() - 1);
    user::read_bytes(&mut item[..n], from)?;
    let length = item[..n].iter().position(|byte| matches!(byte, b' ' | b':')).unwrap_or(n);
    if length == n && n < left {
        return Err(ENAMETOOLONG);
    }
    item[length] = 0;
    Ok(length)
}

/// The length of a string.
fn length(address: usize) -> Result<usize, Ret> {
    let mut piece = [0u8; 256];
    let mut n = 0;
    while n < TEXT_MAX {
        match user::read_string(&mut piece, address + n) {
            Ok(last) => return Ok(n + last),
            Err(ENAMETOOLONG) => n += piece.len(),
            Err(e) => return Err(e),
        }
    }
    Err(E2BIG)
}

/// Writes STOWAWAY_CWD=..., if the current directory lies in a mount.
fn current_directory(text: &mut [u8; PATH_MAX]) -> bool {
    cwd::remember();
    let Some(name) = cwd::name().filter(|name| CWD.len() + name.len() < PATH_MAX) else { return false };
    text[..CWD.len()].copy_from_slice(CWD);
    text[CWD.len()..CWD.len() + name.len()].copy_from_slice(name);
    text[CWD.len() + name.len()] = 0;
    true
}

#[cfg(test)]
mod tests {
    use super::*;
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

    fn made(given: &[&str], way: Way) -> Vec<String> {
        let texts: Vec<CString> = given.iter().map(|text| CString::new(*text).unwrap()).collect();
        let list: Vec<usize> = texts.iter().map(|text| text.as_ptr() as usize).chain([0]).collect();
        let mut buffers = Buffers { path: [0; PATH_MAX], place: [0; PATH_MAX], link: [0; PATH_MAX] };
        let address = if given.is_empty() { 0 } else { list.as_ptr() as usize };
        let made = Environment::new(address, way, Box::leak(Box::new(kept())), &mut buffers).unwrap();
        let mut found = Vec::new();
        while let Ok(entry @ 1..) = user::read::<usize>(made.address() + found.len() * WORD) {
            let mut text = [0; PATH_MAX];
            let n = user::read_string(&mut text, entry).unwrap();
            found.push(String::from_utf8(text[..n].to_vec()).unwrap());
        }
        found
    }

    const ALL: [&str; 3] = ["LD_PRELOAD=/x/libstowaway.so", "STOWAWAY_MOUNT=/h/a:/m", "STOWAWAY_MEM=32M"];

    #[test]
    fn a_cleaned_environment_has_it_again() {
        assert_eq!(made(&[], Way::Follow), ALL);
        assert_eq!(made(&["A=1", "STOWAWAY_FDS=3"], Way::Follow), [&["A=1"], &ALL[..]].concat());
    }

    #[test]
    fn ours_comes_first_and_once() {
        for given in ["libm.so.6:/x/libstowaway.so b.so", "/x/libstowaway.so:libm.so.6 :b.so:libstowaway.so"]
        {
            let lines = made(&["LD_PRELOAD=old.so", "A=1", &format!("LD_PRELOAD={given}")], Way::Follow);
            assert_eq!(lines[..2], ["LD_PRELOAD=/x/libstowaway.so:libm.so.6:b.so", "A=1"], "{given}");
            assert_eq!(lines.len(), 4);
        }
    }

    #[test]
    fn what_the_application_sets_counts() {
        let given = ["STOWAWAY_MEM=64M", "STOWAWAY_LOG=off", "STOWAWAY_MOUNT=a:/mm"];
        assert_eq!(made(&given, Way::Follow)[..3], given);
        assert_eq!(made(&["STOWAWAY_MOUNT=a:/m"], Way::Follow)[0], ALL[1]);
    }

    #[test]
    fn left_alone_it_has_nothing_of_ours() {
        let given =
            ["LD_PRELOAD=/x/libstowaway.so:b.so", "STOWAWAY_MEM=1", "STOWAWAY_LOG=off", "STOWAWAY_CWD=/"];
        let more = [&given[..], &["STOWAWAY_TEST_X=1", "B"]].concat();
        assert_eq!(made(&more, Way::Alone), ["LD_PRELOAD=b.so", "STOWAWAY_TEST_X=1", "B"]);
        assert_eq!(made(&["LD_PRELOAD=/x/libstowaway.so", "C=1"], Way::Alone), ["C=1"]);
        assert_eq!(made(&given, Way::NoPreload)[..2], ["LD_PRELOAD=b.so", "STOWAWAY_MEM=1"]);
        assert_eq!(made(&given, Way::Untouched), given);
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
