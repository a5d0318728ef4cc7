// SPDX-License-Identifier: GPL-2.0-only
//! execve(2): the kernel does not survive it (it lives in the memory that goes away), so the images are
//! unmounted first. The new program finds its settings in the environment and starts its own kernel.

use crate::calls::Call;
use crate::errno::{EACCES, ENOMEM, ENOSYS};
use crate::host::{self, Ret};
use crate::path::{self, with_path, AT_FDCWD};
use crate::report::{say, say_once};
use crate::scratch::{Buffers, Scratch, PATH_MAX};
use crate::section::section;
use crate::{cwd, inherit, life, user, world};

/// execve(2)
pub fn execve(c: &Call<'_>) -> Ret {
    run(AT_FDCWD as usize, c.args[0], c.args[1], c.args[2], 0)
}

/// execveat(2)
pub fn execveat(c: &Call<'_>) -> Ret {
    run(c.args[0], c.args[1], c.args[2], c.args[3], c.args[4])
}

fn run(dirfd: usize, path: usize, argv: usize, envp: usize, flags: usize) -> Ret {
    let follow = flags & libc::AT_SYMLINK_NOFOLLOW as usize == 0;
    with_path(dirfd, path, follow, |spot| {
        if !spot.is_host() {
            return from_mount(spot, argv, envp);
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
        launch(directory, spot.path, argv, envp, flags)
    })
}

/// Unmounts and hands over to the host's execveat. Returns only if that fails.
fn launch(dirfd: usize, path: usize, argv: usize, envp: usize, flags: usize) -> Ret {
    let mut scratch = match Scratch::take() {
        Ok(scratch) => scratch,
        Err(e) => return e,
    };
    let environment = match Environment::new(envp, scratch.buffers()) {
        Ok(environment) => environment,
        Err(e) => return e,
    };
    let was_up = world::is_up();
    life::unmount_for_exec();
    let r = host::call(libc::SYS_execveat, &[dirfd, path, argv, environment.address(envp), flags]);
    if was_up {
        world::end_failed();
        say!("exec failed after the mounts were given up: calls into them fail with EIO from now on");
    }
    r
}

const CWD: &[u8] = b"STOWAWAY_CWD=";
/// Descriptors that the new program inherits and that are the kernel's.
const FDS: &[u8] = b"STOWAWAY_FDS=";

/// The environment with what the new program has to know of the old one's kernel.
struct Environment {
    address: usize,
    bytes: usize,
}

impl Environment {
    /// Texts of the added variables live in `buffers`.
    fn new(envp: usize, buffers: &mut Buffers) -> Result<Environment, Ret> {
        let none = Environment { address: 0, bytes: 0 };
        let cwd = current_directory(&mut buffers.path);
        let fds = inherit::describe(&mut buffers.place, FDS, &mut buffers.link);
        if envp == 0 || (!cwd && !fds) {
            return Ok(none);
        }
        const WORD: usize = size_of::<usize>();
        let mut count = 0;
        while user::read::<usize>(envp + count * WORD)? != 0 {
            count += 1;
        }
        let bytes = (count + 3) * WORD;
        let address = host::map(bytes);
        if address < 0 {
            return Err(ENOMEM);
        }
        let made = Environment { address: address as usize, bytes };
        let mut out = made.address;
        let mut put = |entry: usize| -> Result<(), Ret> {
            user::write(out, &entry)?;
            out += WORD;
            Ok(())
        };
        for i in 0..count {
            let entry: usize = user::read(envp + i * WORD)?;
            if !names(entry, CWD) && !names(entry, FDS) {
                put(entry)?;
            }
        }
        if cwd {
            put(buffers.path.as_ptr() as usize)?;
        }
        if fds {
            put(buffers.place.as_ptr() as usize)?;
        }
        Ok(made)
    }

    fn address(&self, given: usize) -> usize {
        if self.address == 0 {
            given
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

/// Whether the string at `entry` begins with `name`.
fn names(entry: usize, name: &[u8]) -> bool {
    let mut head = [0u8; CWD.len()];
    let head = &mut head[..name.len()];
    user::read_bytes(head, entry).is_ok() && head == name
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

/// A program on an image: copied into a memfd, which the host can execute.
fn from_mount(spot: &path::Spot, argv: usize, envp: usize) -> Ret {
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
    let r = launch(memfd as usize, c"".as_ptr() as usize, argv, envp, libc::AT_EMPTY_PATH as usize);
    host::close(memfd as i32);
    r
}

/// Copies a kernel file to a host descriptor. A directory or device is no program.
fn fill(door: &mut crate::section::Door<'_>, file: usize, to: usize) -> Ret {
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
