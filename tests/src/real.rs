// SPDX-License-Identifier: GPL-2.0-only
//! Programs of the distribution at work, by a script each: what they write and how they end is the same natively and
//! in every mode. A script reads in `$R` and writes in `$W`; `$P` has the files that come with it.

use crate::fixture::{check_image, Kind, Side};
use crate::mounted::{our_lines, Mounted};
use crate::process::{Outcome, Run};
use crate::{gaps, program, user};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What does not hold yet.
pub const GAPS: &str = include_str!("../programs/real/gaps.txt");

/// How a script's programs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// LD_PRELOAD, `$R` on the image.
    Preload,
    /// `stowaway run`, `$R` on the image.
    Run,
    /// LD_PRELOAD, and a signal every millisecond.
    Tick,
    /// LD_PRELOAD with a mount that nobody uses. Not in the ordinary user's run: once is enough.
    Idle,
}

impl Mode {
    /// All, in the order in which they are tried.
    pub const ALL: [Mode; 4] = [Mode::Preload, Mode::Run, Mode::Tick, Mode::Idle];

    /// Its name in the file of gaps.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Preload => "preload",
            Mode::Run => "run",
            Mode::Tick => "tick",
            Mode::Idle => "idle",
        }
    }
}

/// One script.
#[derive(Debug, Clone, Copy)]
pub struct Real {
    /// Its name, here and in the file of gaps.
    pub name: &'static str,
    /// What reads it.
    pub interpreter: &'static str,
    /// Its text.
    pub text: &'static str,
    /// Commands without which it is skipped.
    pub needs: &'static [&'static str],
    /// More files: name and text.
    pub files: &'static [(&'static str, &'static str)],
    /// `$W` is on the image, too.
    pub writes: bool,
    /// Why the tick is left out, if it is.
    pub no_tick: Option<&'static str>,
    /// How many lines of ours belong to it, for an ordinary user and for root.
    pub says: (usize, usize),
}

impl Real {
    /// A script with nothing special about it.
    pub const fn new(name: &'static str, interpreter: &'static str, text: &'static str) -> Real {
        Real { name, interpreter, text, needs: &[], files: &[], writes: false, no_tick: None, says: (0, 0) }
    }

    /// With commands that have to be there.
    pub const fn needs(mut self, commands: &'static [&'static str]) -> Real {
        self.needs = commands;
        self
    }

    /// With files that come with it.
    pub const fn with(mut self, files: &'static [(&'static str, &'static str)]) -> Real {
        self.files = files;
        self
    }

    /// Writes on the image.
    pub const fn writes(mut self) -> Real {
        self.writes = true;
        self
    }

    /// Without the tick, and why.
    pub const fn no_tick(mut self, why: &'static str) -> Real {
        self.no_tick = Some(why);
        self
    }

    /// With lines of ours: for an ordinary user, for root.
    pub const fn says(mut self, user: usize, root: usize) -> Real {
        self.says = (user, root);
        self
    }

    /// The programs do the same in every mode, but for the gaps.
    #[track_caller]
    pub fn prove(&self) {
        let missing = |command: &&&str| {
            !std::env::split_paths("/usr/bin:/bin:/usr/sbin:/sbin").any(|dir| dir.join(command).is_file())
        };
        if let Some(command) = [self.interpreter].iter().chain(self.needs).find(missing) {
            return user::note(&format!("{}: skipped: {command} is not installed", self.name));
        }
        let room = Room::new(self);
        let native = room.native();
        let wrong: Vec<String> =
            Mode::ALL.iter().filter_map(|mode| self.judge(&room, *mode, &native)).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn judge(&self, room: &Room, mode: Mode, native: &Outcome) -> Option<String> {
        if let (Mode::Tick, Some(why)) = (mode, self.no_tick) {
            user::note(&format!("{}: without the tick: {why}", self.name));
            return None;
        }
        gaps::judge(GAPS, self.name, mode.name(), room.same(mode, native))
    }
}

/// Where a script runs.
struct Room<'a> {
    real: &'a Real,
    mounted: Mounted,
    base: PathBuf,
    tick: PathBuf,
}

impl<'a> Room<'a> {
    fn new(real: &'a Real) -> Room<'a> {
        let mut mounted = Mounted::new(Kind::Basic);
        mounted.options = if real.writes { "" } else { ":ro" };
        let base = mounted.fixture.base.path().join("p");
        std::fs::create_dir(&base).expect("a new directory");
        let own = (real.name, real.text);
        for (name, text) in real.files.iter().chain([&own]) {
            std::fs::write(base.join(name), text).expect("a script");
        }
        let tick = include_str!("../programs/real/tick.c");
        let tick = program::compile_with("cc", &base, "tick", tick, &["-shared", "-fPIC"]);
        Room { real, mounted, base, tick }
    }

    /// The script's command, reading and writing there.
    fn settle(&self, run: Run, read: &Path, write: &Path) -> Run {
        let mut run = run.env("R", read).env("W", write).env("P", &self.base);
        run.cwd = Some(self.base.clone());
        run.deadline = Some(Duration::from_secs(60));
        run
    }

    fn words(&self) -> [PathBuf; 2] {
        [self.real.interpreter.into(), self.base.join(self.real.name)]
    }

    /// Where the script writes.
    fn target(&self, side: Side, way: &str) -> PathBuf {
        let fixture = &self.mounted.fixture;
        if self.real.writes {
            return fixture.dir(side).join(way);
        }
        let directory = fixture.host(side).join(way);
        std::fs::create_dir(&directory).expect("a new directory");
        directory
    }

    fn native(&self) -> Outcome {
        let (read, write) = (self.mounted.fixture.dir(Side::Native), self.target(Side::Native, "native"));
        plain(self.settle(Run::new(self.words()), &read, &write).output(), &read, &write)
    }

    fn caught(&self, mode: Mode) -> Outcome {
        let fixture = &self.mounted.fixture;
        let side = if mode == Mode::Idle { Side::Native } else { Side::Image };
        let (read, write) = (fixture.dir(side), self.target(side, mode.name()));
        let run = match mode {
            Mode::Run => self.mounted.run_by_command(self.words()),
            Mode::Preload | Mode::Idle => self.mounted.run(self.words()),
            Mode::Tick => {
                let mut both = self.mounted.artifacts.library.clone().into_os_string();
                both.push(":");
                both.push(&self.tick);
                self.mounted.run(self.words()).env("LD_PRELOAD", both)
            }
        };
        plain(self.settle(run, &read, &write).output(), &read, &write)
    }

    fn same(&self, mode: Mode, native: &Outcome) -> Result<(), String> {
        let outcome = self.caught(mode);
        let text = |outcome: &Outcome| {
            format!("{}\nstdout: {}\nstderr: {}", outcome.status, outcome.out(), outcome.err())
        };
        if (&outcome.status, &outcome.stdout) != (&native.status, &native.stdout) {
            return Err(format!("natively {}\nbut here: {}", text(native), text(&outcome)));
        }
        let expected = if user::is_root() { self.real.says.1 } else { self.real.says.0 };
        let ours = our_lines(&outcome);
        if ours.len() != expected {
            return Err(format!("{} lines of ours on stderr, not {expected}: {ours:?}", ours.len()));
        }
        if self.real.writes {
            check_image(&self.mounted.fixture.image)?;
        }
        Ok(())
    }
}

/// Output without the names of the side's directories.
fn plain(mut outcome: Outcome, read: &Path, write: &Path) -> Outcome {
    let text =
        outcome.out().replace(&write.display().to_string(), "$W").replace(&read.display().to_string(), "$R");
    outcome.stdout = text.into_bytes();
    outcome
}
