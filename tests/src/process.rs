// SPDX-License-Identifier: GPL-2.0-only
//! Runs one command with a deadline: everything it leaves (children too) is killed when time is up, and a command
//! that hangs is a result, not a hung suite.
#![allow(unsafe_code)]

use crate::artifacts::Artifacts;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// No command of the suite may take longer.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A command to run. The environment starts empty but for the few names every program wants.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Program and arguments.
    pub words: Vec<OsString>,
    /// Names added to the environment.
    pub env: Vec<(OsString, OsString)>,
    /// Bytes for standard input; none means /dev/null.
    pub stdin: Option<Vec<u8>>,
    /// Current directory on the host.
    pub cwd: Option<PathBuf>,
    /// File mode mask; the suite's default is 022.
    pub umask: Option<u32>,
    /// Deadline, where the usual one does not fit.
    pub deadline: Option<Duration>,
    /// What is put before the words.
    pub before: Vec<OsString>,
}

/// Starts a program that may be a copy just made: another test's fork may hold the copy open for writing until its exec ("text file busy").
pub fn patiently<T>(mut start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut tries = 0;
    loop {
        match start() {
            Err(e) if e.kind() == io::ErrorKind::ExecutableFileBusy && tries < 250 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            done => return done,
        }
    }
}

/// A process that is ended with the value.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Bytes written to standard output.
    pub stdout: Vec<u8>,
    /// Bytes written to standard error; after a hang, what the command was doing (`hang::report`).
    pub stderr: Vec<u8>,
    /// `exit 0`, `signal 15`, or `hang`.
    pub status: String,
}

impl Outcome {
    /// Standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Panics with everything known unless the command ended with this exit status.
    #[track_caller]
    pub fn expect_exit(&self, code: i32) -> &Outcome {
        assert_eq!(self.status, format!("exit {code}"), "stdout: {}\nstderr: {}", self.out(), self.err());
        self
    }
}

impl Run {
    /// A command from its words.
    pub fn new<S: Into<OsString>>(words: impl IntoIterator<Item = S>) -> Run {
        Run { words: words.into_iter().map(Into::into).collect(), ..Run::default() }
    }

    /// Whether [`Run::served`] goes through `stowaway run`.
    pub fn is_by_run() -> bool {
        std::env::var_os("STOWAWAY_TEST_BY_RUN").is_some()
    }

    /// The command served by the library: preloaded, or, if `STOWAWAY_TEST_BY_RUN` says so, through `stowaway run`.
    pub fn served(mut self, artifacts: &Artifacts) -> Run {
        if !Run::is_by_run() {
            return match std::env::var("STOWAWAY_TEST_DOORBELL").as_deref() {
                Err(_) => self.env("LD_PRELOAD", &artifacts.library),
                Ok("uintr") => self.env("LD_PRELOAD", artifacts.with_emulator()),
                Ok(other) => self.env("LD_PRELOAD", &artifacts.library).env("STOWAWAY_DOORBELL", other),
            };
        }
        self.before = vec![artifacts.command.clone().into_os_string(), "run".into(), "--".into()];
        self
    }

    /// Adds a name to the environment.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Run {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Gives standard input.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Run {
        self.stdin = Some(bytes.into());
        self
    }

    /// The command as std knows it, its own process group leader, input and output not yet set.
    pub fn command(&self) -> Command {
        let mut words = self.before.iter().chain(&self.words);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).env_clear();
        command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("LC_ALL", "C").env("TZ", "UTC");
        if let Some(level) = std::env::var_os("STOWAWAY_TEST_LOG") {
            command.env("STOWAWAY_LOG", level);
        }
        if let Some(engine) = std::env::var_os("STOWAWAY_TEST_BLOCK_ENGINE") {
            command.env("STOWAWAY_BLOCK_ENGINE", engine);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        let umask = self.umask.unwrap_or(0o022);
        command.process_group(0);
        // SAFETY: umask, signal and sigprocmask are async-signal-safe, and the closure touches nothing of the parent.
        unsafe {
            command.pre_exec(move || {
                libc::umask(umask as libc::mode_t);
                signals_as_new();
                Ok(())
            });
        }
        command
    }

    /// Starts it with pipes on all three and leaves it running.
    pub fn spawn(&self) -> Child {
        let stdin = if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut command = self.command();
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        patiently(|| command.spawn())
            .unwrap_or_else(|error| panic!("cannot start {:?}: {error}", self.words[0]))
    }

    /// Runs it to its end, or to the deadline.
    pub fn output(&self) -> Outcome {
        let mut child = self.spawn();
        let stdin = child.stdin.take();
        let bytes = self.stdin.clone().unwrap_or_default();
        let feeder = std::thread::spawn(move || {
            if let Some(mut pipe) = stdin {
                // A program may well end before it has read everything.
                let _ = pipe.write_all(&bytes);
            }
        });
        let outcome = finish(child, self.deadline.unwrap_or(DEADLINE));
        let _ = feeder.join();
        outcome
    }
}

/// Every signal back to its default and none blocked: a suite started in the background of a script inherits SIGINT
/// and SIGQUIT as ignored, and so would the commands. Called between fork and exec.
fn signals_as_new() {
    for number in 1..=64 {
        // SAFETY: async-signal-safe; those that cannot be set (9, 19, libc's own) fail, which is what is wanted.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    // SAFETY: the set is initialised by sigemptyset before it is used.
    unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// Collects the output of a started command and waits for its end; kills its whole group at the deadline.
pub fn finish(mut child: Child, deadline: Duration) -> Outcome {
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let end = Instant::now() + deadline;
    let status = wait_until(&mut child, end);
    let hang = if status.is_none() { crate::hang::report(child.id()) } else { String::new() };
    // What it left running must not hold the pipes open for ever.
    let quiet = Instant::now() + Duration::from_secs(5);
    while status.is_some() && !(stdout.is_finished() && stderr.is_finished()) && Instant::now() < quiet {
        std::thread::sleep(Duration::from_millis(1));
    }
    kill_group(&child);
    let _ = child.wait();
    let mut stderr = stderr.join().unwrap_or_default();
    stderr.extend(hang.into_bytes());
    Outcome {
        stdout: stdout.join().unwrap_or_default(),
        stderr,
        status: status.map_or_else(|| "hang".to_string(), describe),
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "gone".to_string(),
    }
}

/// Waits for the end of a child without polling; `None` at the deadline.
pub fn wait_until(child: &mut Child, end: Instant) -> Option<ExitStatus> {
    // SAFETY: pidfd_open takes two numbers and returns a new descriptor.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) } as i32;
    assert!(fd >= 0, "pidfd_open: {}", std::io::Error::last_os_error());
    // SAFETY: the descriptor is new and ours.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, valid for the call.
        let ready = unsafe { libc::poll(&mut poll, 1, left.as_millis() as i32) };
        if ready > 0 {
            return child.wait().ok();
        }
        if left.is_zero() {
            return None;
        }
    }
}

/// Kills a process (SIGKILL). One that is no more is none.
pub fn kill(pid: i32) {
    // SAFETY: kill takes two numbers.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Kills what is left of the child's process group.
pub fn kill_group(child: &Child) {
    // SAFETY: kill takes two numbers; the group is the child's own (see `command`). An empty group is ESRCH.
    unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
}
