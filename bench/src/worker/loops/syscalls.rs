// SPDX-License-Identifier: GPL-2.0-only
//! The ways in which a worker's thread makes a system call: by libc's names (the host, or the shim), by the kernel
//! library's own entry, or by a `syscall` instruction that counts. All results are the kernel's: -errno for an error.
//!
//! # Safety
//! Calls get buffers that live during the call. The kernel library is entered by threads that have a task of their own.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{bail, Context, Result};
use lkl::{BootConfig, Disk, Engine, Kernel as Library, Source, Task};

/// As the shim's default.
const RAM: usize = 64 << 20;

/// One thread's way in.
pub trait Syscalls: Sized {
    /// For another thread: to be used by the thread that makes it.
    fn attach() -> Result<Self>;
    /// Any call.
    fn call(&self, nr: i64, args: [usize; 6]) -> isize;

    fn read(&self, fd: usize, to: &mut [u8]) -> isize {
        self.call(libc::SYS_read, [fd, to.as_mut_ptr() as usize, to.len(), 0, 0, 0])
    }

    fn write(&self, fd: usize, from: &[u8]) -> isize {
        self.call(libc::SYS_write, [fd, from.as_ptr() as usize, from.len(), 0, 0, 0])
    }

    /// The call that does nothing.
    fn null(&self) -> isize {
        self.call(libc::SYS_getppid, [0; 6])
    }

    /// The result of a call that has to work.
    fn must(&self, name: &str, nr: i64, args: [usize; 6]) -> Result<usize> {
        checked(name, self.call(nr, args))
    }
}

/// A FIFO of whoever serves the directory, open for both; it has no name any more: the way to a pipe of the kernel
/// library through the shim.
pub fn fifo(dir: &OsStr) -> Result<usize> {
    let path = CString::new(Path::new(dir).join("fifo").as_os_str().as_bytes())?;
    let at = path.as_ptr() as usize;
    let flags = (libc::O_RDWR | libc::O_CLOEXEC) as usize;
    Libc.must("mknod", libc::SYS_mknod, [at, (libc::S_IFIFO | 0o600) as usize, 0, 0, 0, 0])?;
    let fd = Libc.must("open", libc::SYS_open, [at, flags, 0, 0, 0, 0]);
    Libc.must("unlink", libc::SYS_unlink, [at, 0, 0, 0, 0, 0])?;
    fd
}

/// The result of the call `name`, or what its error means.
pub fn checked(name: &str, result: isize) -> Result<usize> {
    match usize::try_from(result) {
        Ok(good) => Ok(good),
        Err(_) => bail!("{name}: {}", std::io::Error::from_raw_os_error(-result as i32)),
    }
}

/// By libc's names, where a preloaded library finds them.
pub struct Libc;

impl Syscalls for Libc {
    fn attach() -> Result<Libc> {
        Ok(Libc)
    }

    fn call(&self, nr: i64, [a, b, c, d, e, f]: [usize; 6]) -> isize {
        // SAFETY: callers pass pointers that are valid for the call they name.
        kernel_result(unsafe { libc::syscall(nr, a, b, c, d, e, f) } as isize)
    }

    fn read(&self, fd: usize, to: &mut [u8]) -> isize {
        // SAFETY: the slice is as long as it says.
        kernel_result(unsafe { libc::read(fd as i32, to.as_mut_ptr().cast(), to.len()) })
    }

    fn write(&self, fd: usize, from: &[u8]) -> isize {
        // SAFETY: the slice is as long as it says.
        kernel_result(unsafe { libc::write(fd as i32, from.as_ptr().cast(), from.len()) })
    }

    fn null(&self) -> isize {
        // SAFETY: no arguments.
        unsafe { libc::getppid() as isize }
    }
}

fn kernel_result(returned: isize) -> isize {
    match returned {
        -1 => -(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) as isize),
        other => other,
    }
}

// stowaway_bench_counted(nr, a, b, c, d, e, f): the host call, counted.
//   in    rdi nr, rsi, rdx, rcx, r8, r9, [rsp+8] arguments; out rax
//   As lkl::RawSyscall wants it: it touches no other memory, so that a clone returns on its new stack.
std::arch::global_asm!(
    ".text",
    ".p2align 4",
    ".globl stowaway_bench_counted",
    ".hidden stowaway_bench_counted",
    ".type stowaway_bench_counted,@function",
    "stowaway_bench_counted:",
    ".cfi_startproc",
    "lock inc qword ptr [rip + {calls}]",
    "mov rax, rdi",
    "mov rdi, rsi",
    "mov rsi, rdx",
    "mov rdx, rcx",
    "mov r10, r8",
    "mov r8, r9",
    "mov r9, [rsp + 8]",
    "syscall",
    "ret",
    ".cfi_endproc",
    ".size stowaway_bench_counted, . - stowaway_bench_counted",
    calls = sym CALLS,
);

extern "C" {
    #[link_name = "stowaway_bench_counted"]
    fn counted(nr: i64, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize;
}

static CALLS: AtomicU64 = AtomicU64::new(0);

/// Host calls made so far through [`Counted`], and by the kernel library.
pub fn host_calls() -> u64 {
    CALLS.load(Ordering::Relaxed)
}

/// The host, by an instruction of our own.
pub struct Counted;

impl Syscalls for Counted {
    fn attach() -> Result<Counted> {
        Ok(Counted)
    }

    fn call(&self, nr: i64, [a, b, c, d, e, f]: [usize; 6]) -> isize {
        // SAFETY: callers pass pointers that are valid for the call they name.
        unsafe { counted(nr, a, b, c, d, e, f) }
    }
}

/// The kernel library, in this process.
pub struct Direct {
    kernel: &'static Library,
    task: *mut Task,
}

impl Direct {
    /// Boots it; once per process.
    pub fn boot() -> Result<Direct> {
        let config = BootConfig { mem_bytes: RAM, kernel_log_fd: None, cmdline: c"" };
        lkl::sys::set_gate(counted);
        lkl::boot(&config).map_err(|error| anyhow::anyhow!("{error}"))?;
        Direct::attach()
    }

    /// How often the doorbell did that.
    pub fn counted(&self, what: lkl::Count) -> u64 {
        self.kernel.counted(what)
    }

    /// Mounts the image, and opens its root as that descriptor.
    pub fn mount(&self, image: &CStr, engine: Engine, root: i32) -> Result<()> {
        // Descriptors of the image and of the engine: out of the way.
        const AT_FD: i32 = 700;
        let disk = Disk::open(image, true, AT_FD).map_err(|error| anyhow::anyhow!("image: {error:?}"))?;
        let fstype = lkl::probe_fs(&disk)?.context("no file system")?;
        let mount = || {
            self.kernel.set_block_engine(engine, AT_FD)?;
            // SAFETY: the task is this thread's.
            unsafe {
                let number = self.kernel.attach_disk(self.task, &disk)?;
                let flags = libc::MS_RDONLY;
                self.kernel.mount(self.task, Source::Disk(number), c"/mnt", fstype, flags, c"", root)
            }
        };
        mount().map_err(|error: lkl::Errno| anyhow::anyhow!("mount: {error}"))
    }

    /// Brings lo up.
    pub fn loopback(&self) -> Result<()> {
        // SAFETY: the task is this thread's.
        unsafe { self.kernel.loopback_up(self.task) }.map_err(|error| anyhow::anyhow!("lo: {error}"))
    }
}

impl Syscalls for Direct {
    fn attach() -> Result<Direct> {
        let kernel = Library::get().context("the kernel is not booted")?;
        let task = Task::new(kernel).map_err(|error| anyhow::anyhow!("task: {error}"))?;
        Ok(Direct { kernel, task: task.as_ptr() })
    }

    fn call(&self, nr: i64, args: [usize; 6]) -> isize {
        // SAFETY: the task is this thread's; callers pass pointers that are valid for the call they name.
        unsafe { self.kernel.call(self.task, nr, &args, -1) }
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        // SAFETY: the thread makes no more calls with it.
        unsafe { self.kernel.release(self.task) }
    }
}
