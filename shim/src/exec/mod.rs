// SPDX-License-Identifier: GPL-2.0-only
//! execve(2): the kernel does not survive it (it lives in the memory that goes away), so the images are
//! unmounted first. The new program finds its settings in the environment and starts its own kernel.
//!
//! Whatever environment the application gives to a program, what kept this one served is in it (see
//! `environment.rs`), unless the settings or the program itself forbid it (`target.rs`).

pub mod by_loader;
pub mod elf;
pub mod kept;
pub mod library;
pub mod loader_env;
pub mod memfd;
pub mod open;
pub mod pages;
pub mod preload_env;
pub mod privileged;
pub mod request;
pub mod script;
pub mod target;

use core::ffi::CStr;

use crate::calls::Call;
use crate::instance::boot;
use crate::instance::enter::section;
use crate::lookup::route::{self, with_path, AT_FDCWD};
use crate::process::fork;
use crate::sys::errno::{EACCES, ENAMETOOLONG, ENOMEM, ENOSYS};
use crate::sys::host::{self, Ret};
use crate::sys::report::{say, say_once, Line};
use crate::sys::scratch::Scratch;
use crate::sys::settings::settings;
use crate::sys::user;
use crate::{loader, observe};
use kept::Kept;
use preload_env::{Environment, Way};
use target::Obstacle;

/// execve(2)
pub fn execve(c: &Call<'_>) -> Ret {
    run(c, AT_FDCWD as usize, c.args[0], c.args[1], c.args[2], 0)
}

/// execveat(2)
pub fn execveat(c: &Call<'_>) -> Ret {
    run(c, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4])
}

fn run(call: &Call<'_>, dirfd: usize, path: usize, argv: usize, envp: usize, flags: usize) -> Ret {
    if loader::is_loader() && settings().follow {
        let request = crate::exec::request::Request { dirfd: dirfd as i32, path, argv, envp, flags };
        return by_loader::exec(&request, || observe::leave(call));
    }
    let follow = flags & libc::AT_SYMLINK_NOFOLLOW as usize == 0;
    with_path(dirfd, path, follow, |spot| {
        if !spot.is_host() {
            return from_mount(call, spot, path, argv, envp);
        }
        // What can be seen to fail is not worth an unmount; execvp tries one directory after another.
        let directory = spot.dirfd as usize;
        if flags & libc::AT_EMPTY_PATH as usize == 0 {
            let check = [directory, spot.path, libc::X_OK as usize, libc::AT_EACCESS as usize];
            let r = host::call(libc::SYS_faccessat2, &check);
            if r < 0 && r != ENOSYS {
                return r;
            }
        }
        launch(&Start { call, dirfd: directory, path: spot.path, flags, argv, envp, name: path })
    })
}

/// A program to start.
struct Start<'a> {
    call: &'a Call<'a>,
    dirfd: usize,
    path: usize,
    flags: usize,
    argv: usize,
    envp: usize,
    /// The path as the application gave it.
    name: usize,
}

/// Unmounts and hands over to the host's execveat. Returns only if that fails.
fn launch(start: &Start<'_>) -> Ret {
    let mut scratch = match Scratch::take() {
        Ok(scratch) => scratch,
        Err(e) => return e,
    };
    let (environment, by_loader) = match kept::get() {
        Some(kept) => {
            let way = way(start, kept);
            match Environment::new(start.envp, way, kept, scratch.buffers()) {
                Ok(environment) => (environment, way == Way::Load),
                Err(e) => return e,
            }
        }
        None => (Environment::untouched(start.envp), false),
    };
    if by_loader {
        let Start { dirfd, path, argv, flags, .. } = *start;
        let envp = environment.address();
        let request = crate::exec::request::Request { dirfd: dirfd as i32, path, argv, envp, flags };
        return by_loader::exec(&request, || observe::leave(start.call));
    }
    observe::leave(start.call);
    let was_up = boot::is_up();
    fork::unmount_for_exec();
    let args = [start.dirfd, start.path, start.argv, environment.address(), start.flags];
    let r = host::call(libc::SYS_execveat, &args);
    if was_up {
        boot::end_failed();
        say!("exec failed after the mounts were given up: calls into them fail with EIO from now on");
    }
    r
}

/// What is done for the program to be served as this one is.
fn way(start: &Start<'_>, kept: &Kept) -> Way {
    if !settings().follow {
        return Way::Alone;
    }
    let empty = start.flags & libc::AT_EMPTY_PATH as usize != 0 && user::read::<u8>(start.path) == Ok(0);
    let why = target::obstacle(start.dirfd, start.path, empty);
    let (why, way) = match why {
        // Without a path to the library (a chroot) there is nothing to preload.
        None if is_there(&kept.library) => return Way::Follow,
        None => ("the library is out of reach here", Way::NoPreload),
        // What no dynamic loader of glibc's starts, ours does.
        Some(Obstacle::Static | Obstacle::Musl) => return Way::Load,
        Some(why @ Obstacle::Foreign) => (why.text(), Way::NoPreload),
        Some(why) => (why.text(), Way::Untouched),
    };
    if settings().is_active() {
        warn(start.name, why);
    }
    way
}

fn is_there(library: &CStr) -> bool {
    let args = [AT_FDCWD as usize, library.as_ptr() as usize, libc::R_OK as usize];
    host::call(libc::SYS_faccessat, &args) == 0
}

fn warn(name: usize, why: &str) {
    let mut text = [0u8; 256];
    let length = match user::read_string(&mut text, name) {
        Ok(n) => n,
        Err(ENAMETOOLONG) => text.len(),
        Err(_) => 0,
    };
    let name: &[u8] = if length == 0 { b"a program by its descriptor" } else { &text[..length] };
    Line::new().bytes(name).text(format_args!(": {why}: it runs without what is mounted here")).print();
}

/// A program on an image: copied into a memfd, which the host can execute.
fn from_mount(call: &Call<'_>, spot: &route::Spot, name: usize, argv: usize, envp: usize) -> Ret {
    let memfd = host::call(libc::SYS_memfd_create, &[c"stowaway-program".as_ptr() as usize, 0]);
    if memfd < 0 {
        return memfd;
    }
    let r = section(|door| {
        let (dirfd, path) = match spot.kernel_at(door) {
            Ok(place) => place,
            Err(e) => return e,
        };
        let access = [dirfd, path, libc::X_OK as usize, libc::AT_EACCESS as usize, 0, 0];
        let r = door.call(libc::SYS_faccessat2, &access);
        if r < 0 {
            return r;
        }
        let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
        let file = door.call(libc::SYS_openat, &[dirfd, path, flags, 0, 0, 0]);
        if file < 0 {
            return file;
        }
        let r = fill(door, file as usize, memfd as usize);
        door.call(libc::SYS_close, &[file as usize, 0, 0, 0, 0, 0]);
        r
    });
    if r < 0 {
        host::close(memfd as i32);
        return r;
    }
    // A script is opened again by its interpreter through /dev/fd, so the memfd stays open over the exec
    // there; for a program it need not.
    let mut magic = [0u8; 2];
    host::call(libc::SYS_pread64, &[memfd as usize, magic.as_mut_ptr() as usize, 2, 0]);
    if &magic != b"#!" {
        let cloexec = libc::FD_CLOEXEC as usize;
        host::call(libc::SYS_fcntl, &[memfd as usize, libc::F_SETFD as usize, cloexec]);
    }
    let (path, flags) = (c"".as_ptr() as usize, libc::AT_EMPTY_PATH as usize);
    let r = launch(&Start { call, dirfd: memfd as usize, path, flags, argv, envp, name });
    host::close(memfd as i32);
    r
}

/// Copies a kernel file to a host descriptor. A directory or device is no program.
fn fill(door: &mut crate::instance::enter::Door<'_>, file: usize, to: usize) -> Ret {
    const CHUNK: usize = 256 << 10;
    let buffer = host::map(CHUNK);
    if buffer < 0 {
        return ENOMEM;
    }
    let buffer = buffer as usize;
    let mut result = 0;
    loop {
        let n = door.call(libc::SYS_read, &[file, buffer, CHUNK, 0, 0, 0]);
        if n <= 0 {
            if n < 0 {
                say_once!("exec of a file in a mount: it cannot be read");
                result = EACCES;
            }
            break;
        }
        if host::call(libc::SYS_write, &[to, buffer, n as usize]) != n {
            result = ENOMEM;
            break;
        }
    }
    host::unmap(buffer, CHUNK);
    result
}
