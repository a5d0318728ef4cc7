// SPDX-License-Identifier: GPL-2.0-only
//! Executes: the kernel is ended, and the host takes over.
#![allow(unsafe_code)]

use crate::exec::become_told;
use crate::exec::elf::Starter;
use crate::exec::environment::{self, Environment, Loaded};
use crate::exec::kept;
use crate::exec::library;
use crate::exec::plan::{decide, Decision, Plan};
use crate::exec::request::{Names, Request};
use crate::exec::resolve::{find, Content, Found, Program};
use crate::instance::limits;
use crate::observe;
use crate::process::{exit, handoff, member, stores};
use crate::signals::actions;
use crate::sys::call::Call;
use crate::sys::errno::{Errno, Result};
use crate::sys::fs;
use crate::sys::host;
use crate::sys::mem::Pages;
use crate::sys::report::Line;
use crate::sys::root;
use crate::sys::scratch::Scratch;
use crate::sys::settings::{is_loader, settings};

/// Flags of execveat(2).
const FLAGS: i32 = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW;

/// Executes what the application asks for. Returns only to say why not.
pub fn exec(call: &Call<'_>, request: &Request) -> Result {
    if request.flags & !FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if kept::get().is_none() && !is_loader() {
        // Nothing was asked for: there is nothing to hand on.
        stores::give_back();
        return call.to_host();
    }
    exec_observed(request, || observe::leave(call))
}

/// Executes `request`; `leave` is called before this program is given up.
pub fn exec_observed(request: &Request, leave: impl FnOnce()) -> Result {
    let mut names = Names::new(request)?;
    let found = find(request, &mut names)?;
    let plan = plan(request, &found, names.execfn())?;
    let id = become_told::variable(names.exe())?;
    let root = root::variable(library::kept().unwrap_or(0) as usize)?;
    let [id, root] = [&id, &root].map(|text| text.as_ref().map_or(0, Pages::address));
    let mut scratch = Scratch::take()?;
    let mut handover = None;
    let mut family = [0; observe::TEXT];
    let is_served = matches!(plan, Plan::Preload | Plan::Load(_));
    let has_family = is_served && observe::describe(&mut family);
    let handed_on = if is_served {
        let family = if has_family { family.as_ptr() as usize } else { 0 };
        let buffers = scratch.buffers();
        handover = member::describe(&mut buffers.link);
        let [cwd, fds] = match handover {
            Some(_) => [buffers.link.as_ptr() as usize, 0],
            None => handoff::variables(buffers),
        };
        [cwd, fds, id, family, root]
    } else {
        [0; environment::HANDED_ON]
    };
    let loaded = match (&plan, &found) {
        (Plan::Load(_), Found::Program(program)) => {
            Some(Loaded { fd: program.file.raw(), execfn: names.execfn(), exe: names.exe() })
        }
        _ => None,
    };
    let environment = Environment::new(request.envp, &plan, loaded, kept::get(), handed_on)?;
    leave();
    if !has_family {
        observe::end();
    }
    stores::give_back();
    let execute = || actions::with_ignored_handed_on(|| execute(request, &found, &plan, &environment));
    let execute = || limits::with_the_programs(execute);
    let execute = || if has_family { observe::hand_over(execute) } else { execute() };
    match handover {
        Some(handover) => member::hand_over(&handover, execute),
        None if is_no_program(&found) => member::try_with_kernel(execute),
        None => exit::without_kernel(execute),
    }
}

/// How the program is served; says so if it is not.
fn plan(request: &Request, found: &Found, name: &[u8]) -> Result<Plan> {
    let mut decision = decide(found)?;
    if matches!(decision.plan, Plan::Load(_)) && is_valgrind(found, request.envp)? {
        let why = "valgrind runs programs itself, and nothing of them can be served";
        decision = Decision { plan: Plan::WithoutPreload, why_not: Some(why) };
    }
    match decision.why_not {
        _ if root::is_in_mount() && is_no_program(found) => Err(Errno::ENOEXEC),
        _ if root::is_in_mount() && !matches!(decision.plan, Plan::Load(_)) => Err(refuse_in_mount(name)),
        Some(why) if settings().is_active() => {
            warn(name, why);
            Ok(decision.plan)
        }
        _ => Ok(decision.plan),
    }
}

/// Whether the host will hardly execute it: a text without `#!`, say (ENOEXEC).
fn is_no_program(found: &Found) -> bool {
    matches!(found, Found::Program(program) if matches!(program.content, Content::Other))
}

/// Whether a tool of valgrind's is executed: a static program, which finds its launcher's name in the environment
/// (coregrind/launcher-linux.c). It lays out all of its address space, and makes the calls of its program in the program's
/// place.
fn is_valgrind(found: &Found, envp: usize) -> Result<bool> {
    let Found::Program(Program { file, content: Content::Elf(elf), .. }) = found else { return Ok(false) };
    Ok(elf.starter(file.raw())? == Starter::None && environment::has(envp, b"VALGRIND_LAUNCHER=")?)
}

/// The host has another root than the program: what is not served from the first instruction on would run there.
#[cold]
fn refuse_in_mount(name: &[u8]) -> Errno {
    let why = "with a root in a mount, programs are executed by `stowaway run` alone, and none that cannot be served (ENOSYS)";
    Line::new().bytes(name).text(format_args!(": {why}")).print();
    Errno::ENOSYS
}

/// Says that the program is not for us.
pub fn warn(name: &[u8], why: &str) {
    Line::new().bytes(name).text(format_args!(": {why}: it runs without what is mounted here")).print();
}

fn execute(request: &Request, found: &Found, plan: &Plan, environment: &Environment) -> Result {
    let envp = environment.address();
    let Found::Program(program) = found else { return on_host(request, envp) };
    match plan {
        Plan::Load(library) => {
            let r = with_library(library.raw(), program, request, envp);
            // No dynamic loader of ours here (another root): then nothing of this program can be served.
            let gone = [Errno::ENOENT, Errno::EACCES, Errno::ELIBBAD, Errno::ENOEXEC];
            if !r.is_err_and(|e| gone.contains(&e)) || root::is_in_mount() {
                return r;
            }
            warn(b"exec", "the library's own loader cannot be started here");
            on_host(request, request.envp)
        }
        // The script is opened again by its interpreter, which does not know of mounts.
        Plan::Alone | Plan::Untouched | Plan::WithoutPreload if program.script_in_mount.is_some() => {
            let script = program.script_in_mount.as_ref().map_or(-1, fs::OwnedFd::raw);
            fs::set_cloexec(script, false);
            let r = by_descriptor(script, request.argv, envp);
            fs::set_cloexec(script, true);
            r
        }
        _ if program.is_in_mount => by_descriptor(program.file.raw(), argv(program, request), envp),
        _ => on_host(request, envp),
    }
}

fn argv(program: &Program, request: &Request) -> usize {
    program.arguments.as_ref().map_or(request.argv, Pages::address)
}

/// The library is executed, and finds the program open at its descriptor.
fn with_library(library: i32, program: &Program, request: &Request, envp: usize) -> Result {
    let kept = library::kept().filter(|_| root::is_changed());
    let keep = |keep: bool| {
        kept.into_iter().chain([program.file.raw()]).for_each(|fd| fs::set_cloexec(fd, !keep));
    };
    keep(true);
    let r = by_descriptor(library, argv(program, request), envp);
    keep(false);
    r
}

/// The host executes what the application asked for.
fn on_host(request: &Request, envp: usize) -> Result {
    let Request { dirfd, path, argv, flags, .. } = *request;
    // SAFETY: the application's own call.
    unsafe { host::call(libc::SYS_execveat, &[dirfd as usize, path, argv, envp, flags as usize]) }
}

/// The host executes an open file.
fn by_descriptor(fd: i32, argv: usize, envp: usize) -> Result {
    let flags = libc::AT_EMPTY_PATH as usize;
    // SAFETY: as above, of the file that the application's path leads to.
    unsafe { host::call(libc::SYS_execveat, &[fd as usize, fs::address(c""), argv, envp, flags]) }
}
