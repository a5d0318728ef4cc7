// SPDX-License-Identifier: GPL-2.0-only
//! Decides how the program of an exec is served.

use crate::exec::elf;
use crate::exec::elf::{Elf, Starter};
use crate::exec::library;
use crate::exec::open::{self, Opened};
use crate::exec::privileged::Rights;
use crate::exec::resolve::{Content, Found, Program};
use crate::sys::errno::{Errno, Result};
use crate::sys::fs::OwnedFd;
use crate::sys::scratch::Scratch;
use crate::sys::settings::{is_loader, settings};
use crate::sys::tracer;

/// How a program is served, which is what becomes of its environment.
pub enum Plan {
    /// By LD_PRELOAD: the library and the settings are in the environment.
    Preload,
    /// By our own loader: the library, open, is executed in the program's place.
    Load(OwnedFd),
    /// Not: the environment is as given, but for our entry in LD_PRELOAD, which the program's loader could not take.
    WithoutPreload,
    /// Not: the environment is as given.
    Untouched,
    /// Not, because the settings say so: nothing of ours is in the environment.
    Alone,
}

/// A plan, and why the program is not served, if the user has to know.
pub struct Decision {
    /// The plan.
    pub plan: Plan,
    /// Why not.
    pub why_not: Option<&'static str>,
}

impl Decision {
    fn yes(plan: Plan) -> Decision {
        Decision { plan, why_not: None }
    }

    fn no(plan: Plan, why: &'static str) -> Decision {
        Decision { plan, why_not: Some(why) }
    }
}

const OUT_OF_REACH: &str = "the library is out of reach here";

/// Decides for what the application executes.
pub fn decide(found: &Found) -> Result<Decision> {
    if !settings().follow {
        return Ok(Decision::yes(Plan::Alone));
    }
    decide_followed(found)
}

/// Decides for what is to be served. The settings say nothing of the program that `stowaway run` starts.
pub fn decide_followed(found: &Found) -> Result<Decision> {
    let program = match found {
        Found::Program(program) => program,
        // A dynamic loader can map what we cannot read; ours cannot.
        Found::Unreadable if is_loader() => {
            return Ok(Decision::no(Plan::Untouched, "it cannot be read, only executed"))
        }
        Found::Unreadable => return Ok(preload()),
    };
    match &program.content {
        Content::Other if is_loader() => Ok(Decision::yes(Plan::Untouched)),
        Content::Other => Ok(preload()),
        Content::Foreign => Ok(Decision::no(Plan::WithoutPreload, "it is for another machine")),
        Content::Elf(elf) => decide_for_elf(program, elf),
    }
}

fn preload() -> Decision {
    match library::can_be_preloaded() {
        true => Decision::yes(Plan::Preload),
        false => Decision::no(Plan::WithoutPreload, OUT_OF_REACH),
    }
}

fn decide_for_elf(program: &Program, elf: &Elf) -> Result<Decision> {
    let rights = Rights::new(program.file.raw(), &program.status);
    if can_have_preload() && elf.starter(program.file.raw())? == Starter::Glibc {
        return Ok(match rights.and_then(|rights| rights.secure_mode()) {
            Some(why) => Decision::no(Plan::Untouched, why),
            None => preload(),
        });
    }
    if let Some(why) = rights.and_then(|rights| rights.change()) {
        return Ok(Decision::no(Plan::Untouched, why));
    }
    if let Some(why) = check_interpreter(program.file.raw(), elf)? {
        return Ok(Decision::no(Plan::Untouched, why));
    }
    // None: another root, without /proc or without the library.
    let Some(library) = library::open() else { return Ok(Decision::no(Plan::Untouched, OUT_OF_REACH)) };
    if library::is_same(library.raw(), program.file.raw()) {
        // `stowaway run` inside of a program that we serve: the settings are in its environment.
        return Ok(Decision::yes(Plan::Untouched));
    }
    Ok(Decision::yes(Plan::Load(library)))
}

/// Whether a program of glibc's gets the library by LD_PRELOAD. A tracer looks for the program where the host put it: under
/// our loader it would take the library for the program.
fn can_have_preload() -> bool {
    !is_loader() || tracer::is_attached() && library::can_be_preloaded()
}

/// Looks whether our loader can map the program's dynamic loader; why not, or the errno that the kernel has for it.
fn check_interpreter(fd: i32, elf: &Elf) -> Result<Option<&'static str>> {
    let mut scratch = Scratch::take()?;
    let buffers = scratch.buffers();
    if elf.interpreter(fd, &mut buffers.path)?.is_none() {
        return Ok(None);
    }
    match open::open_path(buffers.path.as_ptr() as usize, &mut buffers.link)? {
        Opened::Unreadable => Ok(Some("its dynamic loader cannot be read, only executed")),
        Opened::File(interpreter) => {
            elf::may_execute(interpreter.raw())?;
            let headers = Elf::read(interpreter.raw());
            headers.map_err(|e| if e == Errno::ENOEXEC { Errno::ELIBBAD } else { e }).map(|_| None)
        }
    }
}
