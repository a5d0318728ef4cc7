// SPDX-License-Identifier: GPL-2.0-only
//! The loader: the library is executed in the program's place, installs interception, and then maps the program and
//! its dynamic loader and starts them. So no call is missed, not even the dynamic loader's own, and programs that
//! are linked statically are served as well.
//!
//! `execve(libstowaway.so, argv of the program, environment)`: the kernel maps us, our own dynamic loader and libc
//! (`asm/entry.S` says how), and gives us the very stack that the program is to have. The environment names the program
//! (`STOWAWAY_EXEC`) and holds the settings. Then two C libraries live in the process that know nothing of each
//! other: ours, which has served its purpose when the program starts, and the program's. `start.rs` has the order of the
//! steps.
//!
//! Rules of the place: everything here runs once, alone, before the program, and may use our libc.
#![allow(unsafe_code)]

mod in_memory;
mod map;
mod no_libc;
mod order;
mod process;
mod relocate;
mod stack;
mod vdso;

use core::ffi::CStr;

use crate::exec::elf::Elf;
use crate::exec::open::{open_path, Opened};
use crate::sys::errno::{Errno, Explained};
use crate::sys::fs;
use crate::sys::host;
use crate::sys::report::{say, Line};
use crate::sys::scratch::PATH_MAX;
pub use relocate::relocate_itself;

use map::Mapped;
use order::Order;
use stack::Initial;

/// As env(1): what was wrong when no program could be started.
const EXIT_OURS: usize = 125;
const EXIT_NOT_EXECUTABLE: usize = 126;
const EXIT_NOT_FOUND: usize = 127;

extern "C" {
    /// Starts the program whose initial stack begins at `sp`, at `entry` (`asm/entry.S`).
    fn stowaway_load_enter(sp: usize, entry: usize) -> !;
}

/// The value of a variable (`NAME=`) on the initial stack.
///
/// # Safety
/// As for [`read_order`].
pub unsafe fn variable(sp: *mut usize, name: &[u8]) -> Option<&'static [u8]> {
    // SAFETY: the caller's promise.
    let stack = unsafe { Initial::read(sp) };
    let found = stack.environment().find_map(|variable| variable.to_bytes().strip_prefix(name));
    found
}

/// Reads the initial stack, and what the environment on it says; ends the process if it says nothing.
///
/// # Safety
/// `sp` is the initial stack pointer of this process, and the stack is as the kernel left it.
pub unsafe fn read_order(sp: *mut usize) -> Loading {
    // SAFETY: the caller's promise.
    let stack = unsafe { Initial::read(sp) };
    let Some(order) = Order::find(&stack) else {
        say!("this library runs programs by `stowaway run`, or is preloaded: LD_PRELOAD=libstowaway.so PROGRAM");
        host::exit_group(EXIT_OURS);
    };
    Loading { stack, order }
}

/// For a program that the library was preloaded into: getauxval(3) says who the program is told that it is.
pub fn tell_ids() {
    // SAFETY: glibc's ld.so keeps the initial stack pointer there, and the vectors stay.
    unsafe {
        let sp = libc::dlsym(libc::RTLD_DEFAULT, c"__libc_stack_end".as_ptr()) as *const *mut usize;
        if !sp.is_null() && !(*sp).is_null() {
            Initial::read(*sp).tell_ids();
        }
    }
}

/// A program that is about to be loaded.
pub struct Loading {
    stack: Initial,
    order: Order,
}

impl Loading {
    /// Finds and maps the program and its dynamic loader, makes the process look as if the host had executed the program,
    /// and starts the program.
    pub fn run(mut self) -> ! {
        let name = self.order.name.clone();
        let (file, elf) = self.order.program(&mut self.stack).unwrap_or_else(|e| fail(&name, e));
        process::set_name(&name, file.raw());
        let (image, interpreter) = map_all(&name, file.raw(), &elf);
        let executable_stack = elf.wants_executable_stack();
        drop((file, elf));
        let first = interpreter.as_ref().map_or(image.entry, |i| i.entry);
        describe(&mut self.stack, &image, interpreter.as_ref());
        // SAFETY: the settings were copied; the variables that go away hold the name.
        let environment = unsafe { self.stack.restore(stowaway_config::is_ours, &name) };
        process::make_like_new(&self.stack, &image, environment, executable_stack);
        // SAFETY: everything was made as the kernel makes it.
        unsafe { stowaway_load_enter(self.stack.address(), first) }
    }
}

/// Maps the program and its dynamic loader.
fn map_all(name: &CStr, fd: i32, elf: &Elf) -> (Mapped, Option<Mapped>) {
    let mut path = [0; PATH_MAX];
    let has_interpreter = elf.interpreter(fd, &mut path).unwrap_or_else(|e| fail(name, e)).is_some();
    let image = map::map(fd, elf).unwrap_or_else(|e| fail(name, e));
    let interpreter = has_interpreter.then(|| {
        let path = CStr::from_bytes_until_nul(&path).unwrap_or(c"");
        map_interpreter(path).unwrap_or_else(|e| fail(path, e))
    });
    (image, interpreter)
}

fn map_interpreter(path: &CStr) -> Result<Mapped, Errno> {
    let mut exe = [0; PATH_MAX];
    match open_path(fs::address(path), &mut exe)? {
        Opened::File(file) => map::map(file.raw(), &Elf::read(file.raw())?),
        Opened::Unreadable => Err(Errno::EACCES),
    }
}

/// The auxiliary values that are the program's and not ours.
fn describe(stack: &mut Initial, image: &Mapped, interpreter: Option<&Mapped>) {
    stack.set(libc::AT_PHDR, image.table);
    stack.set(libc::AT_PHNUM, image.count);
    stack.set(libc::AT_ENTRY, image.entry);
    stack.set(libc::AT_BASE, interpreter.map_or(0, |i| i.base));
    stack.tell_ids();
}

/// Says why no program can be started, and ends the process.
fn fail(name: &CStr, e: Errno) -> ! {
    let mut line = Line::new();
    line.bytes(name.to_bytes());
    match e {
        Errno::EEXIST => line.text(format_args!(": its addresses are taken, and it cannot be moved")),
        Errno::ENOEXEC => line.text(format_args!(": it is no program that this machine can execute")),
        e => line.text(format_args!(": {}", Explained(e))),
    }
    .print();
    host::exit_group(if e == Errno::ENOENT { EXIT_NOT_FOUND } else { EXIT_NOT_EXECUTABLE })
}
