// SPDX-License-Identifier: GPL-2.0-only
//! What the scenarios share.  A process boots one kernel: each scenario runs in a child of its
//! own, the same test binary told so by an environment variable.
//!
//! # Safety
//! Tasks are the calling threads'; pointers among the arguments are valid, or wrong on purpose where EFAULT is expected.
#![allow(unsafe_code)]
#![allow(dead_code)] // not every scenario needs everything

use lkl::{boot, BootConfig, Disk, Errno, Kernel, Source, Task};
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::process::Command;

const CHILD: &str = "LKL_TEST_CHILD";

/// Runs `body` in a process of its own; `name` is the test's own path.
pub fn alone(name: &str, body: fn()) {
    if std::env::var_os(CHILD).is_some() {
        body();
        return;
    }
    let out = child(name).output().expect("run the test binary");
    let text = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    print!("{text}");
    assert!(out.status.success(), "{name}: {}", out.status);
}

/// The command that runs the test `name` alone.
pub fn child(name: &str) -> Command {
    let mut c = Command::new(std::env::current_exe().expect("own name"));
    c.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, "1");
    c
}

/// Is this the child?
pub fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// A booted kernel and the calling thread's task.
#[derive(Clone, Copy)]
pub struct Thread {
    pub k: &'static Kernel,
    pub t: *mut Task,
}

/// Boots with 64 MiB; LKL_TEST_LOG=1 shows the kernel's log.
pub fn start() -> Thread {
    start_with(64 << 20)
}

pub fn start_with(mem_bytes: usize) -> Thread {
    let log = std::env::var_os("LKL_TEST_LOG").map(|_| 2);
    catch_faults();
    let cmdline = CString::new(std::env::var("LKL_TEST_CMDLINE").unwrap_or_default()).unwrap();
    let cfg = BootConfig { mem_bytes, kernel_log_fd: log, cmdline: &cmdline };
    boot(&cfg).expect("boot").set_block_engine(block_engine(), 800).expect("engine");
    Thread::new()
}

/// LKL_TEST_BLOCK_ENGINE; what all suites run with.
pub fn block_engine() -> lkl::Engine {
    match std::env::var("LKL_TEST_BLOCK_ENGINE").as_deref() {
        Err(_) | Ok("auto") => lkl::Engine::Auto,
        Ok("inline") => lkl::Engine::Inline,
        Ok("io_uring") => lkl::Engine::IoUring,
        Ok("threads") => lkl::Engine::Threads,
        Ok(other) => panic!("LKL_TEST_BLOCK_ENGINE={other}"),
    }
}

/// As the shim does: a fault in a user copy goes on at its fixup.
fn catch_faults() {
    extern "C" fn on_fault(sig: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel passes a siginfo and a ucontext to an SA_SIGINFO handler.
        let (context, address) =
            unsafe { (&mut *context.cast::<libc::ucontext_t>(), (*info).si_addr() as usize) };
        let ip = context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize;
        let failed = |k: &Kernel| k.fault_fixup(ip).is_none() && k.stop_at_fault(sig, address, context);
        if Kernel::get().is_some_and(failed) {
            return;
        }
        let ip = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
        match Kernel::get().and_then(|k| k.fault_fixup(*ip as usize)) {
            Some(to) => *ip = to as i64,
            None => {
                let at = format!("fault outside user copies at {ip:#x}\n");
                // SAFETY: the process is about to end.
                unsafe {
                    libc::write(2, at.as_ptr().cast(), at.len());
                    if let Some(k) = Kernel::get() {
                        eprintln!(
                            "in kernel: {} +{:#x}",
                            k.contains(*ip as usize),
                            (*ip as usize).wrapping_sub(k.text().start)
                        );
                        k.dump_log(2);
                    }
                    libc::_exit(99);
                }
            }
        }
    }
    // SAFETY: a handler that stays within what is async-signal-safe.
    unsafe {
        let mut sa: libc::sigaction = std::mem::zeroed();
        sa.sa_sigaction = on_fault as *const () as usize;
        sa.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK;
        for sig in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
            libc::sigaction(sig, &sa, std::ptr::null_mut());
        }
    }
}

impl Thread {
    /// A task for the calling thread.
    pub fn new() -> Thread {
        let k = Kernel::get().expect("booted");
        Thread { k, t: Task::new(k).expect("task").as_ptr() }
    }

    pub fn raw_at(&self, nr: i64, args: &[usize], want_fd: i32) -> isize {
        let mut a = [0; 6];
        a[..args.len()].copy_from_slice(args);
        // SAFETY: the task is this thread's; tests pass valid pointers, or want EFAULT.
        unsafe { self.k.call(self.t, nr, &a, want_fd) }
    }

    pub fn raw(&self, nr: i64, args: &[usize]) -> isize {
        self.raw_at(nr, args, -1)
    }

    pub fn call(&self, nr: i64, args: &[usize]) -> Result<usize, Errno> {
        lkl::sys::check(self.raw(nr, args))
    }

    pub fn open(&self, dirfd: i32, path: &str, flags: i32) -> Result<i32, Errno> {
        let path = CString::new(path).unwrap();
        let args = [dirfd as usize, path.as_ptr() as usize, flags as usize, 0o644];
        self.call(libc::SYS_openat, &args).map(|fd| fd as i32)
    }

    pub fn close(&self, fd: i32) -> Result<usize, Errno> {
        self.call(libc::SYS_close, &[fd as usize])
    }

    pub fn write(&self, fd: i32, bytes: &[u8]) -> Result<usize, Errno> {
        self.call(libc::SYS_write, &[fd as usize, bytes.as_ptr() as usize, bytes.len()])
    }

    pub fn read(&self, fd: i32, max: usize) -> Result<Vec<u8>, Errno> {
        let mut buf = vec![0; max];
        let n = self.call(libc::SYS_read, &[fd as usize, buf.as_mut_ptr() as usize, max])?;
        buf.truncate(n);
        Ok(buf)
    }

    pub fn read_file(&self, dirfd: i32, path: &str) -> Result<Vec<u8>, Errno> {
        let fd = self.open(dirfd, path, libc::O_RDONLY)?;
        let mut all = Vec::new();
        loop {
            let part = self.read(fd, 65536)?;
            if part.is_empty() {
                self.close(fd)?;
                return Ok(all);
            }
            all.extend(part);
        }
    }

    pub fn write_file(&self, dirfd: i32, path: &str, bytes: &[u8]) -> Result<(), Errno> {
        let fd = self.open(dirfd, path, libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[self.write(fd, rest)?..];
        }
        self.call(libc::SYS_fsync, &[fd as usize])?;
        self.close(fd).map(drop)
    }

    /// Attaches and mounts an image on `path`, root descriptor `fd`.
    pub fn mount_image(&self, image: &Path, path: &str, fd: i32, read_only: bool) -> Result<(), Errno> {
        self.mount_disk(&open_disk(image, read_only).map_err(|e| e.errno())?, path, fd)
    }

    pub fn mount_disk(&self, disk: &Disk, path: &str, fd: i32) -> Result<(), Errno> {
        let fstype = lkl::probe_fs(disk)?.expect("a known file system");
        let flags = if disk.read_only() { libc::MS_RDONLY } else { 0 };
        let path = CString::new(path).unwrap();
        // SAFETY: the task is this thread's.
        unsafe {
            let n = self.k.attach_disk(self.t, disk)?;
            self.k.mount(self.t, Source::Disk(n), &path, fstype, flags, c"", fd)
        }
    }

    pub fn mount_none(&self, fstype: &CStr, path: &CStr, fd: i32) -> Result<(), Errno> {
        // SAFETY: the task is this thread's.
        unsafe { self.k.mount(self.t, Source::None(0), path, fstype, 0, c"", fd) }
    }

    pub fn shutdown(&self) -> Result<(), Errno> {
        // SAFETY: the task is this thread's.
        unsafe { self.k.shutdown(self.t) }
    }

    pub fn release(self) {
        // SAFETY: the thread makes no more calls with it.
        unsafe { self.k.release(self.t) }
    }
}

pub fn open_disk(image: &Path, read_only: bool) -> Result<Disk, lkl::DiskError> {
    let path = CString::new(image.as_os_str().as_encoded_bytes()).unwrap();
    Disk::open(&path, read_only, 700)
}

/// A directory of the test's own, emptied.
pub fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("scratch directory");
    dir
}

/// Runs a host program; its output if it succeeds.
pub fn host(program: &str, args: &[&str]) -> Result<String, String> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let out =
        Command::new(program).args(args).env("PATH", path).output().map_err(|e| format!("{program}: {e}"))?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    if out.status.success() {
        Ok(text)
    } else {
        Err(format!("{program} {args:?}: {}\n{text}", out.status))
    }
}

pub fn must(program: &str, args: &[&str]) -> String {
    host(program, args).unwrap_or_else(|e| panic!("{e}"))
}

/// An ext4 image of `mib` MiB, filled from a small directory.
pub fn ext4_image(dir: &Path, mib: u64) -> PathBuf {
    let image = dir.join("ext4.img");
    make_file(&image, mib);
    let tree = sample_tree(dir);
    must("mkfs.ext4", &["-q", "-F", "-d", tree.to_str().unwrap(), image.to_str().unwrap()]);
    image
}

pub fn make_file(path: &Path, mib: u64) {
    let f = std::fs::File::create(path).unwrap();
    f.set_len(mib << 20).unwrap();
}

/// hello.txt, dir/deep.txt and big.bin (1 MiB, compressible but not trivial).
pub fn sample_tree(dir: &Path) -> PathBuf {
    let tree = dir.join("tree");
    std::fs::create_dir_all(tree.join("dir")).unwrap();
    std::fs::write(tree.join("hello.txt"), "hello from the host\n").unwrap();
    std::fs::write(tree.join("dir/deep.txt"), "deep\n").unwrap();
    std::fs::write(tree.join("big.bin"), sample_bytes(1 << 20)).unwrap();
    tree
}

pub fn sample_bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| ((i / 16).wrapping_mul(2_654_435_761) >> 8) as u8).collect()
}

pub fn check_ext4(image: &Path) {
    must("e2fsck", &["-fn", image.to_str().unwrap()]);
}
