// SPDX-License-Identifier: GPL-2.0-only
//! The loader: the library is executed in the program's place, installs interception, and then maps the program and
//! its dynamic loader and starts them. So no call is missed, not even the dynamic loader's own, and programs that
//! are linked statically are served as well.
//!
//! `execve(libstowaway.so, argv of the program, environment)`: the kernel maps us, our own dynamic loader and libc
//! (`entry.rs` says how), and gives us the very stack that the program is to have. The environment names the program
//! (`STOWAWAY_EXEC`) and holds the settings. Then two C libraries live in the process that know nothing of each
//! other: ours, which has served its purpose when the program starts, and the program's.
//!
//! Rules of the place: `begin` and what it calls run once, alone, before the program, and may use our libc. What
//! `command` calls runs in any exec of the application and may not (see `lib.rs`).
#![allow(unsafe_code)]

mod entry;
mod map;
mod process;
mod stack;

use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::ffi::CString;

use crate::exec::by_loader::exec;
use crate::exec::elf::Elf;
use crate::exec::open;
use crate::exec::request::{self, File, Found, Names, Program, Request};
use crate::lookup::route::AT_FDCWD;
use crate::lookup::self_exe;
use crate::start;
use crate::sys::errno::{self, EEXIST, ENOENT, ENOEXEC};
use crate::sys::host::{self, Ret};
use crate::sys::report::{say, Line};
use crate::sys::scratch::PATH_MAX;
use map::Mapped;
use stack::Initial;

/// As env(1): what was wrong when no program could be started.
const EXIT_OURS: usize = 125;
const EXIT_NOT_EXECUTABLE: usize = 126;
const EXIT_NOT_FOUND: usize = 127;

static IS_LOADER: AtomicBool = AtomicBool::new(false);

/// Whether this process was started by the loader: every call of the program is seen, and nothing of it knows us.
pub fn is_loader() -> bool {
    IS_LOADER.load(Ordering::Relaxed)
}

/// What STOWAWAY_EXEC says.
struct Order {
    /// The program, open.
    fd: Option<i32>,
    /// What it is called.
    name: CString,
    /// Where it lies in a mount.
    exe: Option<&'static [u8]>,
}

impl Order {
    fn find(stack: &Initial) -> Option<Order> {
        let value = |name: &'static [u8]| stack.environment().find_map(|v| v.to_bytes().strip_prefix(name));
        let text = value(stowaway_config::EXEC)?;
        let colon = text.iter().position(|&b| b == b':')?;
        let fd = core::str::from_utf8(&text[..colon]).ok()?.parse().ok();
        let name = CString::new(&text[colon + 1..]).ok()?;
        Some(Order { fd, name, exe: value(stowaway_config::EXEC_PATH) })
    }
}

/// Called by `entry.rs` with the initial stack pointer.
unsafe extern "C" fn begin(sp: *mut usize) -> ! {
    // SAFETY: our dynamic loader hands on what the kernel gave it.
    let mut stack = unsafe { Initial::read(sp) };
    let Some(order) = Order::find(&stack) else {
        say!("this library runs programs by `stowaway run`, or is preloaded: LD_PRELOAD=libstowaway.so PROGRAM");
        exit(EXIT_OURS);
    };
    IS_LOADER.store(true, Ordering::Relaxed);
    start::under_loader();
    let program = match order.fd {
        Some(fd) => {
            self_exe::set(fd, order.exe.unwrap_or_default());
            Elf::read(fd).map(|elf| Program { file: File(fd), elf, arguments: None })
        }
        None => look_up(&order, &mut stack),
    };
    let program = program.unwrap_or_else(|e| fail(&order.name, e));
    process::set_name(&order.name, program.file.0);
    let (image, interpreter) = map_all(&order.name, &program);
    let executable_stack = program.elf.wants_executable_stack();
    drop(program);
    let first = interpreter.as_ref().map_or(image.entry, |i| i.entry);
    describe(&mut stack, &image, interpreter.as_ref());
    // SAFETY: the settings were copied; the variables that go away hold the name.
    let environment = unsafe { stack.restore(stowaway_config::fate, &order.name) };
    process::make_like_new(&stack, &image, environment, executable_stack);
    // SAFETY: everything was made as the kernel makes it.
    unsafe { entry::enter(stack.address(), first) }
}

/// `stowaway run` gives a name only. A script needs more arguments than our stack holds: it is executed anew.
fn look_up(order: &Order, stack: &mut Initial) -> Result<Program, Ret> {
    let path = order.name.as_ptr() as usize;
    let request = Request { dirfd: AT_FDCWD, path, argv: stack.argv(), envp: stack.envp(), flags: 0 };
    let mut names = Names::new(&request)?;
    match request::find(&request, &mut names)? {
        Found::Program(program) if program.arguments.is_none() => {
            self_exe::set(program.file.0, names.exe());
            Ok(program)
        }
        Found::Program(_) => Err(exec(&request, || ())),
        Found::Other(why) => {
            if let Some(why) = why {
                request::warn(names.execfn(), why);
            }
            // SAFETY: as in `begin`.
            unsafe { stack.restore(stowaway_config::fate, &order.name) };
            Err(host::call(libc::SYS_execve, &[path, stack.argv(), stack.envp()]))
        }
    }
}

/// Maps the program and its dynamic loader.
fn map_all(name: &CStr, program: &Program) -> (Mapped, Option<Mapped>) {
    let mut path = [0; PATH_MAX];
    let found = program.elf.interpreter(program.file.0, &mut path);
    let has_interpreter = found.unwrap_or_else(|e| fail(name, e)).is_some();
    let image = map::map(program.file.0, &program.elf).unwrap_or_else(|e| fail(name, e));
    let interpreter = has_interpreter.then(|| {
        let name = CStr::from_bytes_until_nul(&path).unwrap_or(c"");
        let mut exe = [0; PATH_MAX];
        let mut map = || match open::open(AT_FDCWD, name.as_ptr() as usize, 0, &mut exe)?.0 {
            open::Opened::File(file) => map::map(file.0, &Elf::read(file.0)?),
            open::Opened::Unreadable => Err(errno::EACCES),
        };
        map().unwrap_or_else(|e| fail(name, e))
    });
    (image, interpreter)
}

/// The auxiliary values that are the program's and not ours.
fn describe(stack: &mut Initial, image: &Mapped, interpreter: Option<&Mapped>) {
    stack.set(libc::AT_PHDR, image.table);
    stack.set(libc::AT_PHNUM, image.count);
    stack.set(libc::AT_ENTRY, image.entry);
    stack.set(libc::AT_BASE, interpreter.map_or(0, |i| i.base));
}

fn fail(name: &CStr, e: Ret) -> ! {
    let what = match e {
        EEXIST => "its addresses are taken, and it cannot be moved",
        ENOEXEC => "it is no program that this machine can execute",
        e => errno::name(e),
    };
    Line::new().bytes(name.to_bytes()).text(format_args!(": {what}")).print();
    exit(if e == ENOENT { EXIT_NOT_FOUND } else { EXIT_NOT_EXECUTABLE })
}

fn exit(status: usize) -> ! {
    loop {
        host::call(libc::SYS_exit_group, &[status]);
    }
}
