// SPDX-License-Identifier: GPL-2.0-only
//! Messages to the person: one line each on the process's first stderr, never on stdout, never into an image. Where the
//! first stderr is a file of a mount, or takes nothing: on the terminal, or in the log file.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::ffi::CString;

use once_cell::sync::OnceCell;

use crate::sys::errno::Result;
use crate::sys::fs;

/// The host descriptor that messages go to: 2 until a private copy was made (the application may put one of
/// its own files at 2).
static STDERR: AtomicI32 = AtomicI32::new(2);
/// Descriptor 2 is a file of the kernel library, which messages must not reach.
static TWO_IS_KERNELS: AtomicBool = AtomicBool::new(false);

/// A line built on the stack: a message may be due where nothing may be allocated.
pub struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl Line {
    /// Starts a line with the project's name.
    pub fn new() -> Line {
        let mut line = Line { bytes: [0; 512], len: 0 };
        let _ = line.write_str("stowaway: ");
        line
    }

    /// Appends bytes that need not be UTF-8 (paths), as far as there is room.
    pub fn bytes(&mut self, from: &[u8]) -> &mut Line {
        // One byte is kept for the newline.
        let n = from.len().min(self.bytes.len() - 1 - self.len);
        self.bytes[self.len..self.len + n].copy_from_slice(&from[..n]);
        self.len += n;
        self
    }

    /// Appends formatted text.
    pub fn text(&mut self, args: fmt::Arguments<'_>) -> &mut Line {
        let _ = self.write_fmt(args);
        self
    }

    /// Ends the line and writes it.
    pub fn print(&mut self) {
        self.bytes[self.len] = b'\n';
        let (fd, line) = (stderr_fd(), &self.bytes[..=self.len]);
        if !((fd != 2 || is_two_the_hosts()) && fs::write_all(fd, line)) {
            write_elsewhere(line);
        }
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.bytes(s.as_bytes());
        Ok(())
    }
}

/// Where a message goes when descriptor 2 is a file of a mount, which may be what the message is about, or is closed, full or without
/// a reader. The person may sit at the terminal of the process; else messages are kept in the log file.
fn write_elsewhere(line: &[u8]) {
    let append = libc::O_WRONLY | libc::O_APPEND | libc::O_NOCTTY;
    let written = |to: Result<fs::OwnedFd>| to.is_ok_and(|to| fs::write_all(to.raw(), line));
    let _ = written(fs::open(c"/dev/tty", append, 0))
        || LOG_FILE.get().is_some_and(|path| written(fs::open(path, append | libc::O_CREAT, 0o666)));
}

/// The file that the kernel's log is kept in, if the settings name one.
static LOG_FILE: OnceCell<CString> = OnceCell::new();

/// Names the log file.
pub fn set_log_file(path: CString) {
    let _ = LOG_FILE.set(path);
}

/// Prints one line: `say!("{}: {}", what, why)`.
macro_rules! say {
    ($($arg:tt)*) => { $crate::sys::report::Line::new().text(format_args!($($arg)*)).print() };
}
pub(crate) use say;

/// Prints one line once per place and process.
macro_rules! say_once {
    ($($arg:tt)*) => {{
        static SAID: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);
        if !SAID.swap(true, core::sync::atomic::Ordering::Relaxed) {
            $crate::sys::report::say!($($arg)*);
        }
    }};
}
pub(crate) use say_once;

/// Where messages go now.
pub fn stderr_fd() -> i32 {
    STDERR.load(Ordering::Relaxed)
}

/// Messages go to this descriptor from now on: a copy of the first stderr (`fdtable::keep_stderr`).
pub fn set_stderr(fd: i32) {
    STDERR.store(fd, Ordering::Relaxed);
}

/// Whether descriptor 2 is a file of the host.
pub fn is_two_the_hosts() -> bool {
    !TWO_IS_KERNELS.load(Ordering::Relaxed)
}

/// The descriptor table says whose descriptor 2 is.
pub fn set_two_is_the_hosts(is_hosts: bool) {
    TWO_IS_KERNELS.store(!is_hosts, Ordering::Relaxed);
}

/// The `log` back end: everything of our crates that is more than a message to the user.
pub struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            Line::new().text(format_args!("{}: {}", record.level(), record.args())).print();
        }
    }

    fn flush(&self) {}
}
