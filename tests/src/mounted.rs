// SPDX-License-Identifier: GPL-2.0-only
//! One image, ready to be used through the shim by the tests that are not cases.

use crate::artifacts::{self, Artifacts};
use crate::ext4::Image;
use crate::fixture::{check_image, is_in_use, Fixture, Kind, Side, Stock};
use crate::process::{Outcome, Run, DEADLINE};
use crate::program;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A fixture and the products.
pub struct Mounted {
    /// Directory, image and host side.
    pub fixture: Fixture,
    /// Library and command.
    pub artifacts: Artifacts,
    /// What follows the path in the mount setting, such as `:ro`.
    pub options: &'static str,
}

impl Mounted {
    /// A fresh image of a kind; the mount path does not exist on the host.
    pub fn new(kind: Kind) -> Mounted {
        Mounted::make(kind, false)
    }

    /// A mount over a directory of the host, as a mount point is.
    pub fn over_a_directory(kind: Kind) -> Mounted {
        Mounted::make(kind, true)
    }

    fn make(kind: Kind, mountpoint: bool) -> Mounted {
        let stock = Stock::default();
        let fixture = stock.fixture(kind);
        fixture.settle_rooms(mountpoint);
        Mounted { fixture, artifacts: artifacts::get(), options: "" }
    }

    /// The mount path.
    pub fn dir(&self) -> String {
        self.fixture.dir(Side::Image).display().to_string()
    }

    /// The host's directory beside it.
    pub fn host(&self) -> String {
        self.fixture.host(Side::Image).display().to_string()
    }

    /// A command under the plain preload.
    pub fn run<S: Into<OsString>>(&self, words: impl IntoIterator<Item = S>) -> Run {
        self.preload(Run::new(words)).env("STOWAWAY_MOUNT", self.fixture.mount(self.options))
    }

    /// A command started by `stowaway run`.
    pub fn run_by_command<S: Into<OsString>>(&self, words: impl IntoIterator<Item = S>) -> Run {
        let mut all: Vec<OsString> = vec![self.artifacts.command.clone().into(), "run".into()];
        all.extend(["--mount".into(), self.fixture.mount(self.options).into(), "--".into()]);
        all.extend(words.into_iter().map(Into::into));
        let mut run = Run::new(all);
        run.cwd = Some(self.fixture.host(Side::Image));
        run
    }

    /// A command under the plain preload, without any mount.
    pub fn preload(&self, run: Run) -> Run {
        let mut run = run.served(&self.artifacts);
        run.cwd = Some(self.fixture.host(Side::Image));
        run
    }

    /// Compiles a program of `programs/` into the fixture's directory.
    pub fn program(&self, name: &str, source: &str) -> PathBuf {
        let base = self.fixture.base.path();
        std::fs::write(base.join("fact.h"), include_str!("../programs/facts/fact.h")).expect("a header");
        program::compile(base, name, source)
    }

    /// Waits until nobody has the image: a keeper goes on for a moment after its program was killed.
    #[track_caller]
    pub fn wait_until_free(&self) {
        let file = std::fs::File::open(&self.fixture.image).expect("the image");
        let end = std::time::Instant::now() + DEADLINE;
        while is_in_use(&file) {
            assert!(std::time::Instant::now() < end, "the image stays in use");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// The image is whole and was unmounted.
    #[track_caller]
    pub fn check(&self) {
        check_image(&self.fixture.image).unwrap_or_else(|why| panic!("{why}"));
    }

    /// The content of a file of the image, read from the bytes of the image.
    #[track_caller]
    pub fn content(&self, path: &str) -> Vec<u8> {
        Image::open(&self.fixture.image)
            .and_then(|image| image.read_path(path))
            .unwrap_or_else(|error| panic!("{path} in the image: {error}"))
    }

    /// Whether the image has this path.
    pub fn has(&self, path: &str) -> bool {
        Image::open(&self.fixture.image).and_then(|image| image.lookup(path).map(drop)).is_ok()
    }
}

/// Runs a C program that checks one matter and prints `ok`: first natively, which proves the program, then through
/// the shim; afterwards the image is whole.
#[track_caller]
pub fn fact(name: &str, source: &str) -> Outcome {
    fact_on(&Mounted::new(Kind::Basic), name, source)
}

/// A fact on an image of the caller's making.
#[track_caller]
pub fn fact_on(mounted: &Mounted, name: &str, source: &str) -> Outcome {
    let program = mounted.program(name, source);
    let (dir, host) = (mounted.fixture.dir(Side::Native), mounted.fixture.host(Side::Native));
    let mut native = Run::new([program.as_os_str(), dir.as_os_str(), host.as_os_str()]);
    native.cwd = Some(host);
    said_ok("natively", &native.output());
    only_mounted(mounted, &program)
}

/// A fact that has no native twin.
#[track_caller]
pub fn fact_mounted(name: &str, source: &str) -> Outcome {
    let mounted = Mounted::new(Kind::Basic);
    let program = mounted.program(name, source);
    only_mounted(&mounted, &program)
}

#[track_caller]
fn only_mounted(mounted: &Mounted, program: &Path) -> Outcome {
    let outcome =
        mounted.run([program.as_os_str(), mounted.dir().as_ref(), mounted.host().as_ref()]).output();
    said_ok("through the shim", &outcome);
    mounted.check();
    outcome
}

/// A program that printed `ok` at its end and ended well.
#[track_caller]
pub fn said_ok(how: &str, outcome: &Outcome) {
    assert!(
        outcome.status == "exit 0" && outcome.stdout.ends_with(b"ok\n"),
        "{how}: {}\nstdout: {}\nstderr: {}",
        outcome.status,
        outcome.out(),
        outcome.err()
    );
}

/// The lines of standard error that are ours.
pub fn our_lines(outcome: &Outcome) -> Vec<String> {
    outcome.err().lines().filter(|line| line.starts_with("stowaway: ")).map(str::to_string).collect()
}

/// One line of ours, with these words.
#[track_caller]
pub fn line_with(outcome: &Outcome, words: &[&str]) {
    let lines = our_lines(outcome);
    assert_eq!(lines.len(), 1, "{}", outcome.err());
    for word in words {
        assert!(lines[0].contains(word), "no {word} in {}", lines[0]);
    }
}
