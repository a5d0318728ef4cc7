// SPDX-License-Identifier: GPL-2.0-only
//! Facts about what programs may rely on while their calls are caught: one small program each, which must say `ok`
//! natively (that proves the program) and then in every mode, with the same output.
//!
//! What is known not to hold yet stands in `programs/conform/gaps.txt` (see `gaps`).

use crate::fixture::{tool, Kind, Side};
use crate::mounted::{our_lines, said_ok, Mounted};
use crate::process::{Outcome, Run};
use crate::{gaps, program, user};
use std::path::{Path, PathBuf};

/// What does not hold yet.
pub const GAPS: &str = include_str!("../programs/conform/gaps.txt");

/// How a program comes to run with its calls caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// LD_PRELOAD=libstowaway.so PROGRAM
    Preload,
    /// stowaway run -- PROGRAM
    Run,
}

impl Mode {
    /// Both, in the order in which they are tried.
    pub const ALL: [Mode; 2] = [Mode::Preload, Mode::Run];

    /// Its name in the file of gaps.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Preload => "preload",
            Mode::Run => "run",
        }
    }
}

/// Where a program's library lies. It is found by LD_LIBRARY_PATH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the host, beside the program.
    Host,
    /// On the image, and natively in the directory in its place.
    Image,
}

/// A library that comes with a program.
#[derive(Debug, Clone, Copy)]
pub struct Library {
    /// Its file.
    pub name: &'static str,
    /// Its source text.
    pub source: &'static str,
    /// Where it lies when the program runs.
    pub place: Place,
    /// Whether the program is linked with it.
    pub needed: bool,
}

/// One fact.
#[derive(Debug, Clone, Copy)]
pub struct Fact {
    /// Its name, here and in the file of gaps.
    pub name: &'static str,
    /// The program's source text.
    pub source: &'static str,
    /// The compiler.
    pub compiler: &'static str,
    /// Its options, beyond the usual ones.
    pub options: &'static [&'static str],
    /// A library that comes with it.
    pub library: Option<Library>,
    /// Why it is not asked for under the plain preload, where that is so by design.
    pub only_run: Option<&'static str>,
    /// How many lines of ours on stderr belong to it, for an ordinary user and for root.
    pub says: (usize, usize),
    /// Why it is not asked for over a directory of the host at the mount's path, where that is so by design.
    pub only_bare: Option<&'static str>,
}

impl Fact {
    /// A fact with nothing special about it.
    pub const fn new(name: &'static str, source: &'static str) -> Fact {
        Fact {
            name,
            source,
            compiler: "cc",
            options: &[],
            library: None,
            only_run: None,
            says: (0, 0),
            only_bare: None,
        }
    }

    /// With options for the compiler.
    pub const fn built(mut self, compiler: &'static str, options: &'static [&'static str]) -> Fact {
        self.compiler = compiler;
        self.options = options;
        self
    }

    /// With a library.
    pub const fn with(mut self, library: Library) -> Fact {
        self.library = Some(library);
        self
    }

    /// Not under the plain preload, and why.
    pub const fn only_run(mut self, why: &'static str) -> Fact {
        self.only_run = Some(why);
        self
    }

    /// Not over a directory of the host, and why.
    pub const fn only_bare(mut self, why: &'static str) -> Fact {
        self.only_bare = Some(why);
        self
    }

    /// With lines of ours: for an ordinary user, for root.
    pub const fn says(mut self, user: usize, root: usize) -> Fact {
        self.says = (user, root);
        self
    }

    /// The fact holds natively and in every mode, but for its gaps.
    #[track_caller]
    pub fn prove(&self) {
        if let Some(missing) = missing(self.compiler) {
            return user::note(&format!("{}: skipped: {missing}", self.name));
        }
        let is_covered = std::env::var_os("STOWAWAY_TEST_GROUND").is_some_and(|ground| !ground.is_empty());
        if let Some(why) = self.only_bare.filter(|_| is_covered) {
            return user::note(&format!("{}: not over a directory of the host: {why}", self.name));
        }
        let stage = Stage::new(self);
        let native = stage.native().output();
        if let Some(why) = native.out().lines().find_map(|line| line.strip_prefix("skipped: ")) {
            return user::note(&format!("{}: skipped: {why}", self.name));
        }
        said_ok(&format!("{} natively", self.name), &native);
        let wrong: Vec<String> =
            Mode::ALL.iter().filter_map(|mode| self.judge(&stage, *mode, &native)).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// What is wrong about the fact in a mode, seen with what is expected.
    fn judge(&self, stage: &Stage, mode: Mode, native: &Outcome) -> Option<String> {
        let (name, how) = (self.name, mode.name());
        if let (Mode::Preload, Some(why)) = (mode, self.only_run) {
            user::note(&format!("{name}: not under the plain preload: {why}"));
            return None;
        }
        gaps::judge(GAPS, name, how, stage.holds(mode, native))
    }
}

fn missing(compiler: &str) -> Option<String> {
    let there = std::env::split_paths("/usr/bin:/bin").any(|dir| dir.join(compiler).is_file());
    (!there).then(|| format!("{compiler} is not installed"))
}

const HEADERS: [(&str, &str); 4] = [
    ("fact.h", include_str!("../programs/facts/fact.h")),
    ("conform.h", include_str!("../programs/conform/conform.h")),
    ("registers.h", include_str!("../programs/conform/registers.h")),
    ("vectors.h", include_str!("../programs/conform/vectors.h")),
];

/// A fact's program and where it runs.
struct Stage<'a> {
    fact: &'a Fact,
    mounted: Mounted,
    program: PathBuf,
}

impl<'a> Stage<'a> {
    fn new(fact: &'a Fact) -> Stage<'a> {
        let mounted = Mounted::new(Kind::Basic);
        let base = mounted.fixture.base.path().to_path_buf();
        for (name, text) in HEADERS {
            std::fs::write(base.join(name), text).expect("a header");
        }
        let mut options: Vec<String> = fact.options.iter().map(|option| option.to_string()).collect();
        if let Some(library) = fact.library {
            let built = build_library(&base, library);
            if library.needed {
                options.push(built.display().to_string());
            }
            if library.place == Place::Image {
                place_on_image(&mounted, &built);
            }
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let program = program::compile_with(fact.compiler, &base, fact.name, fact.source, &options);
        if fact.library.is_some_and(|library| library.place == Place::Image) {
            let library = base.join(fact.library.expect("looked at above").name);
            std::fs::remove_file(library).expect("a library of ours");
        }
        Stage { fact, mounted, program }
    }

    fn words(&self, side: Side) -> [std::ffi::OsString; 3] {
        let fixture = &self.mounted.fixture;
        [self.program.clone().into(), fixture.dir(side).into(), fixture.host(side).into()]
    }

    /// Adds what the fact's surroundings are.
    fn settle(&self, mut run: Run, side: Side) -> Run {
        let place = match self.fact.library.map(|library| library.place) {
            Some(Place::Host) => Some(self.mounted.fixture.base.path().to_path_buf()),
            Some(Place::Image) => Some(self.mounted.fixture.dir(side)),
            None => None,
        };
        run.cwd = Some(self.mounted.fixture.host(side));
        match place {
            Some(place) => run.env("LD_LIBRARY_PATH", place),
            None => run,
        }
    }

    fn native(&self) -> Run {
        self.settle(Run::new(self.words(Side::Native)), Side::Native)
    }

    fn caught(&self, mode: Mode) -> Run {
        let words = self.words(Side::Image);
        match mode {
            Mode::Preload => self.settle(self.mounted.run(words), Side::Image),
            Mode::Run => self.settle(self.mounted.run_by_command(words), Side::Image),
        }
    }

    fn holds(&self, mode: Mode, native: &Outcome) -> Result<(), String> {
        let outcome = self.caught(mode).output();
        let said = format!("{}\nstdout: {}\nstderr: {}", outcome.status, outcome.out(), outcome.err());
        if outcome.status != native.status || outcome.stdout != native.stdout {
            return Err(format!("natively {}\nstdout: {}\nbut here: {said}", native.status, native.out()));
        }
        let expected = if user::is_root() { self.fact.says.1 } else { self.fact.says.0 };
        let ours = our_lines(&outcome);
        if ours.len() != expected {
            return Err(format!("{} lines of ours on stderr, not {expected}: {ours:?}", ours.len()));
        }
        crate::fixture::check_image(&self.mounted.fixture.image)
    }
}

fn build_library(base: &Path, library: Library) -> PathBuf {
    let stem = library.name.trim_end_matches(".so");
    let soname = format!("-Wl,-soname,{}", library.name);
    let built = program::compile_with("cc", base, stem, library.source, &["-shared", "-fPIC", &soname]);
    let named = base.join(library.name);
    std::fs::rename(built, &named).expect("a library of ours");
    named
}

fn place_on_image(mounted: &Mounted, file: &Path) {
    let name = file.file_name().expect("a file").to_os_string();
    std::fs::copy(file, mounted.fixture.dir(Side::Native).join(&name)).expect("a copy");
    let command = format!("write {} {}", file.display(), name.to_string_lossy());
    tool("debugfs", &["-w".as_ref(), "-R".as_ref(), command.as_ref(), mounted.fixture.image.as_os_str()]);
}
