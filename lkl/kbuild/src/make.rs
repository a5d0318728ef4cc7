// SPDX-License-Identifier: GPL-2.0-only
//! Running make, and showing how far it is.

use crate::hash::{add_tree, Hash};
use crate::source::Source;
use crate::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where progress is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Progress {
    /// Nowhere.
    #[default]
    Quiet,
    /// On stderr: one line that is rewritten on a terminal, else a line now and then.
    Shown,
}

impl Progress {
    pub(crate) fn say(self, text: &str) {
        if self == Progress::Shown {
            eprintln!("kernel: {text}");
        }
    }
}

/// (program, Debian package)
const TOOLS: &[(&str, &str)] = &[
    ("make", "make"),
    ("gcc", "gcc"),
    ("ld", "binutils"),
    ("strip", "binutils"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("tar", "tar"),
];

pub(crate) fn check_tools(source: &Source) -> Result<(), Error> {
    let mut missing: Vec<(&str, &str)> = TOOLS.iter().copied().filter(|(tool, _)| !in_path(tool)).collect();
    if source.path.extension().is_some_and(|e| e == "xz") && !in_path("xz") {
        missing.push(("xz", "xz-utils"));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|m| m.0).collect();
    let mut packages: Vec<&str> = missing.iter().map(|m| m.1).collect();
    packages.dedup();
    Err(Error::Missing { what: names.join(", "), packages: packages.join(" ") })
}

fn in_path(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|d| d.join(tool).is_file())
}

fn first_line(tool: &str) -> Result<Vec<u8>, Error> {
    let out =
        Command::new(tool).arg("--version").output().map_err(|e| Error::io("run", Path::new(tool), e))?;
    Ok(out.stdout.split(|b| *b == b'\n').next().unwrap_or_default().to_vec())
}

/// Names everything that decides what comes out.
pub(crate) fn key(overlay: &Path, source: &Source) -> Result<String, Error> {
    let mut h = Hash::new();
    h.add(b"image 3");
    h.add(source.id.as_bytes());
    h.add(&first_line("gcc")?);
    h.add(&first_line("ld")?);
    if crate::with_frames() {
        h.add(b"frames");
    }
    add_tree(&mut h, overlay)?;
    Ok(h.hex())
}

fn make(tree: &Path, obj: &Path) -> Command {
    let mut c = Command::new("make");
    c.arg("-C").arg(tree).arg(format!("O={}", obj.display())).arg("ARCH=lkl");
    if crate::with_frames() {
        c.arg("KCFLAGS=-fno-omit-frame-pointer");
    }
    for var in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "CARGO_MAKEFLAGS", "CROSS_COMPILE", "CFLAGS"] {
        c.env_remove(var);
    }
    // nothing of this machine in what comes out
    c.env("LC_ALL", "C")
        .env("KBUILD_BUILD_USER", "stowaway")
        .env("KBUILD_BUILD_HOST", "stowaway")
        .env("KBUILD_BUILD_TIMESTAMP", "1970-01-01")
        .env("KBUILD_BUILD_VERSION", "1")
        .stdin(Stdio::null());
    c
}

/// Builds `obj/vmlinux`.
pub(crate) fn run(tree: &Path, obj: &Path, progress: Progress) -> Result<(), Error> {
    fs::create_dir_all(obj).map_err(|e| Error::io("create", obj, e))?;
    let log = obj.join("build.log");
    let mut out = File::create(&log).map_err(|e| Error::io("create", &log, e))?;
    configure(tree, obj, &mut out, &log)?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut c = make(tree, obj);
    c.arg(format!("-j{jobs}")).arg("vmlinux");
    watch(c, &mut out, &log, progress)
}

/// The configuration is made anew only when the overlay's changed: a new one costs a full build.
fn configure(tree: &Path, obj: &Path, out: &mut File, log: &Path) -> Result<(), Error> {
    let from = tree.join("arch/lkl");
    let mut h = Hash::new();
    for f in ["configs/lkl_defconfig", "Kconfig"] {
        let path = from.join(f);
        h.add(&fs::read(&path).map_err(|e| Error::io("read", &path, e))?);
    }
    let stamp = obj.join("config.stamp");
    if obj.join(".config").exists() && fs::read(&stamp).is_ok_and(|s| s == h.hex().as_bytes()) {
        return Ok(());
    }
    let mut c = make(tree, obj);
    c.arg("lkl_defconfig");
    watch(c, out, log, Progress::Quiet)?;
    let read = |path: &Path| fs::read_to_string(path).map_err(|e| Error::io("read", path, e));
    let (wanted, made) = (read(&from.join("configs/lkl_defconfig"))?, read(&obj.join(".config"))?);
    if let Some(line) = dropped(&wanted, &made) {
        return Err(Error::Io(format!(
            "lkl_defconfig: {line} has no effect: what the option depends on is not set"
        )));
    }
    fs::write(&stamp, h.hex()).map_err(|e| Error::io("write", &stamp, e))
}

/// The first option of the default configuration that the configuration does not have: Kconfig drops such a line without a word.
fn dropped<'a>(wanted: &'a str, made: &str) -> Option<&'a str> {
    let made: Vec<&str> = made.lines().collect();
    wanted.lines().find(|line| line.starts_with("CONFIG_") && !made.contains(line))
}

/// Runs make with its output in the log, counting objects.
fn watch(mut c: Command, out: &mut File, log: &Path, progress: Progress) -> Result<(), Error> {
    let err = out.try_clone().map_err(|e| Error::io("open", log, e))?;
    let mut child =
        c.stdout(Stdio::piped()).stderr(err).spawn().map_err(|e| Error::io("run", Path::new("make"), e))?;
    let mut meter = Meter::new(progress);
    if let Some(pipe) = child.stdout.take() {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let _ = writeln!(out, "{line}");
            meter.line(&line);
        }
    }
    let status = child.wait().map_err(|e| Error::io("wait for", Path::new("make"), e))?;
    meter.end();
    if status.success() {
        return Ok(());
    }
    Err(Error::Make { log: log.to_path_buf(), tail: tail(log) })
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

pub(crate) fn strip(from: &Path, to: &Path) -> Result<(), Error> {
    let status = Command::new("strip")
        .arg("-s")
        .arg(from)
        .arg("-o")
        .arg(to)
        .status()
        .map_err(|e| Error::io("run", Path::new("strip"), e))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Io(format!("strip failed on {}", from.display())))
}

struct Meter {
    progress: Progress,
    tty: bool,
    objects: usize,
    start: Instant,
    shown: Instant,
}

impl Meter {
    fn new(progress: Progress) -> Meter {
        let now = Instant::now();
        Meter { progress, tty: std::io::stderr().is_terminal(), objects: 0, start: now, shown: now }
    }

    fn line(&mut self, line: &str) {
        let Some((what, file)) = line.trim_start().split_once(' ') else { return };
        if what != "CC" && what != "AS" {
            return;
        }
        self.objects += 1;
        let pause = Duration::from_millis(if self.tty { 100 } else { 10_000 });
        if self.progress == Progress::Quiet || self.shown.elapsed() < pause {
            return;
        }
        self.shown = Instant::now();
        let (n, s) = (self.objects, self.start.elapsed().as_secs());
        let file = file.trim();
        if self.tty {
            eprint!("\r\x1b[Kkernel: {n} objects, {s} s: {file}");
        } else {
            eprintln!("kernel: {n} objects, {s} s: {file}");
        }
    }

    fn end(&self) {
        if self.progress == Progress::Quiet {
            return;
        }
        let start = if self.tty { "\r\x1b[K" } else { "" };
        eprintln!("{start}kernel: {} objects in {} s", self.objects, self.start.elapsed().as_secs());
    }
}

#[cfg(test)]
mod tests {
    use super::dropped;

    #[test]
    fn an_option_without_effect_is_found() {
        let wanted = "# a comment\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"x\"\n";
        assert_eq!(dropped(wanted, "CONFIG_A=y\nCONFIG_C=\"x\"\n"), None);
        assert_eq!(dropped(wanted, "# CONFIG_A is not set\nCONFIG_C=\"x\"\n"), Some("CONFIG_A=y"));
    }
}
