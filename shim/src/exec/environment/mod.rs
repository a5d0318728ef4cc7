// SPDX-License-Identifier: GPL-2.0-only
//! The environment of a program that is started: the one that the caller gave, with what keeps the program served (or
//! without it), and with what the program has to know of the old one's kernel.
//!
//! Rules of the place: the application's context, maybe between fork and exec. Texts stand in two mappings, in the
//! caller's buffers, or in memory of the constructor's; nothing is allocated. The given texts are only alleged.

mod given;
mod maker;

use crate::exec::kept::Kept;
use crate::exec::plan::Plan;
use crate::sys::errno::Result;
use crate::sys::mem::Pages;
pub use given::has;
use given::Seen;
use maker::Maker;

const WORD: usize = size_of::<usize>();
/// How many variables are handed on at most.
pub const HANDED_ON: usize = 5;

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
        handed_on: [usize; HANDED_ON],
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
        let seen = Seen::look(given)?;
        let mut made = Maker::new(fate, kept, &seen, loaded)?;
        if let Some(loaded) = loaded {
            made.name_program(loaded);
        }
        made.take_given(given, &seen)?;
        made.add(handed_on);
        Ok(made.finish())
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
    /// Our loader.
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

#[cfg(test)]
mod tests {
    use super::given::{is_text, length};
    use super::*;
    use crate::exec::kept::Setting;
    use crate::sys::scratch::PATH_MAX;
    use crate::sys::{fs, user};
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
        let handed_on = if loaded.is_some() {
            [c"STOWAWAY_CWD=/m".as_ptr() as usize, 0, 0, 0, 0]
        } else {
            [0; HANDED_ON]
        };
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
        assert_eq!(
            made(&["A=1", "STOWAWAY_FDS=3", "STOWAWAY_ID=x"], Plan::Preload),
            [&["A=1"], &ALL[..]].concat()
        );
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
    fn the_loader_gets_what_the_program_is_to_have_and_its_order() {
        let loaded = Loaded { fd: 7, execfn: b"/m/p", exe: b"/m/q" };
        let given = ["LD_PRELOAD=/x/libstowaway.so:b.so", "LD_DEBUG=all", "A=1", "STOWAWAY_EXEC=1:x"];
        let lines = made_for(&given, Plan::Load(fs::owned(-1)), Some(loaded));
        assert_eq!(lines[..2], ["STOWAWAY_EXEC=7:/m/p", "STOWAWAY_EXEC_PATH=/m/q"]);
        assert_eq!(lines[2..5], ["LD_PRELOAD=b.so", "LD_DEBUG=all", "A=1"]);
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
