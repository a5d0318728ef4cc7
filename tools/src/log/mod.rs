// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway log`: the kernel's log, from outside.

mod ring;

use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::cli::LogOptions;
use crate::fail::{reason, Failure, EXIT_FAILED};
use crate::look::{instances, Kernel};
use ring::{Record, Ring};

/// How often a log that is followed is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// Prints the log.
pub fn log(options: &LogOptions) -> Result<i32, Failure> {
    let failed = |why: String| Failure::new(EXIT_FAILED, why);
    let found = instances::find(&options.who).map_err(failed)?;
    let mut users =
        Users { instance: found.instance, pids: found.processes.iter().map(|one| one.pid).collect() };
    let kernel = Kernel::open(users.instance, &users.pids).map_err(failed)?;
    let ring = Ring::find(&kernel).map_err(failed)?;
    let mut next = 0;
    loop {
        // Whoever is the last says its last words before it is gone.
        let is_there = users.are_there();
        let records = ring.records(next).map_err(failed)?;
        if let Some(missing) = records.first().map(|one| one.seq - next).filter(|&n| next > 0 && n > 0) {
            eprintln!("stowaway: log: {missing} lines were gone before they could be read");
        }
        next = records.last().map_or(next, |one| one.seq + 1);
        match print(&records) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(0),
            done => done.map_err(|error| failed(format!("standard output: {}", reason(&error))))?,
        }
        if !options.follow || !is_there {
            return Ok(0);
        }
        thread::sleep(PAUSE);
    }
}

fn print(records: &[Record]) -> io::Result<()> {
    let mut text = Vec::new();
    records.iter().for_each(|record| record.write(&mut text));
    let mut out = io::stdout().lock();
    out.write_all(&text)?;
    out.flush()
}

/// The processes of the instance that is followed.
struct Users {
    instance: u64,
    pids: Vec<u32>,
}

impl Users {
    /// Whether any is there. A look at one of them is enough while it lives; they come and go.
    fn are_there(&mut self) -> bool {
        while let Some(&pid) = self.pids.last() {
            if instances::is_user(Path::new("/proc"), pid, self.instance) {
                return true;
            }
            self.pids.pop();
        }
        self.pids = instances::users(self.instance);
        !self.pids.is_empty()
    }
}
