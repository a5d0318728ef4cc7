// SPDX-License-Identifier: GPL-2.0-only
//! Runs a target in a process of its own, as an ordinary user, and finds the case that ended the process.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{chown, FileExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::search::Search;
use crate::target::Target;

/// First argument of a process that runs a target.
pub const VERB: &str = "--worker";
/// With this in the environment, root's cases run as root.
pub const AS_ROOT: &str = "STOWAWAY_FUZZ_AS_ROOT";
/// A case that takes longer hangs.
const CASE_MOST: Duration = Duration::from_secs(20);
/// nobody and nogroup.
const NOBODY: u32 = 65534;
/// Where a worker keeps the number of its case, and what it says of a failure.
const CASE_FILE: &str = "case";
const FAILURE_FILE: &str = "failure";

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// So many cases, none of which broke anything.
    Passed(u64),
    /// A case broke the target.
    Broken {
        /// Its number.
        case: u64,
        /// What was seen.
        why: String,
        /// Where its input is.
        input: PathBuf,
    },
}

/// Runs `target` for `time`. `keep`: the directory for the input of a failure.
pub fn run(target: &Target, seed: u64, time: Duration, keep: &Path) -> io::Result<Outcome> {
    let work = tempfile::Builder::new().prefix("stowaway-fuzz-").tempdir()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args([VERB, target.name, &seed.to_string(), &time.as_millis().to_string()]);
    command.current_dir(work.path()).env("TMPDIR", work.path()).stdin(Stdio::null()).stdout(Stdio::null());
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if is_root && std::env::var_os(AS_ROOT).is_none() {
        chown(work.path(), Some(NOBODY), Some(NOBODY))?;
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut child = command.spawn().map_err(|error| {
        io::Error::new(error.kind(), format!("as an ordinary user: {error}; with {AS_ROOT}=1 as root"))
    })?;
    let case_file = work.path().join(CASE_FILE);
    let ended = wait(&mut child, &case_file)?;
    let case = case_of(&case_file);
    if ended.is_some_and(|status| status.success()) {
        return Ok(Outcome::Passed(case + 1));
    }
    let said = fs::read_to_string(work.path().join(FAILURE_FILE)).ok();
    let why = said.unwrap_or_else(|| match ended {
        Some(status) => format!("the process ended: {status}"),
        None => format!("no end within {} s", CASE_MOST.as_secs()),
    });
    fs::create_dir_all(keep)?;
    let input = keep.join(format!("{}-{seed}-{case}", target.name));
    fs::write(&input, Search::new(target, seed).input(case))?;
    Ok(Outcome::Broken { case, why, input })
}

/// Waits for the worker's end; None: it stayed at one case for too long, and was killed.
fn wait(child: &mut Child, case_file: &Path) -> io::Result<Option<ExitStatus>> {
    let mut at = (case_of(case_file), Instant::now());
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let case = case_of(case_file);
        if case != at.0 {
            at = (case, Instant::now());
        }
        if at.1.elapsed() > CASE_MOST {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn case_of(file: &Path) -> u64 {
    let bytes = fs::read(file).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u64::from_le_bytes)
}

/// The worker: runs the target in the current directory; the exit status.
pub fn work(target: &Target, seed: u64, time: Duration) -> io::Result<u8> {
    let case_file = File::create(CASE_FILE)?;
    std::panic::set_hook(Box::new(|panic| {
        // What broke, with its place. The loop has the case.
        let _ = fs::write(FAILURE_FILE, panic.to_string());
    }));
    let search = Search::new(target, seed);
    let done = search.run(time, |case| {
        let _ = case_file.write_all_at(&case.to_le_bytes(), 0);
    });
    Ok(u8::from(done.is_err()))
}
