// SPDX-License-Identifier: GPL-2.0-only
//! Two git revisions, each built in a worktree of its own below `target/bench/`, measured in turns by its own harness.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{bail, Context, Result};

use crate::machine::{interrupt, timed};
use crate::report::compare::OURS;
use crate::report::results::Results;
use crate::rows::Side;

/// What both are asked to measure.
pub struct Plan<'a> {
    pub rows: &'a [String],
    /// How often each has its turn.
    pub turns: u32,
    /// What else `run` is told.
    pub more: &'a [&'a str],
}

/// A revision, built.
pub struct Revision {
    pub commit: String,
    program: PathBuf,
}

impl Revision {
    pub fn build(name: &str) -> Result<Revision> {
        let commit = git(["rev-parse", "--verify", "--end-of-options", &format!("{name}^{{commit}}")])?;
        let target = target();
        let tree = target.join("bench").join(&commit);
        if !tree.join("Cargo.toml").exists() {
            // One that was removed by hand is still on git's list.
            git(["worktree", "prune"])?;
            git([
                OsStr::new("worktree"),
                "add".as_ref(),
                "--detach".as_ref(),
                tree.as_ref(),
                commit.as_ref(),
            ])?;
        }
        let built = tree.join("target");
        share_kernels(&built)?;
        eprintln!("bench: building {name} ({})", &commit[..12]);
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args([
            "build",
            "--release",
            "--locked",
            "-p",
            "stowaway",
            "-p",
            "stowaway-tools",
            "-p",
            "bench",
        ]);
        let status =
            cargo.current_dir(&tree).env("CARGO_TARGET_DIR", &built).stdin(Stdio::null()).status()?;
        if !status.success() {
            bail!("{name}: cargo build: {status}");
        }
        Ok(Revision { commit, program: built.join("release/bench") })
    }

    /// The sides that are ours, of those that its harness has.
    fn sides(&self) -> Result<String> {
        let listed = Command::new(&self.program).arg("list").stdin(Stdio::null()).output()?.stdout;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let has = |side: &Side| listed.lines().any(|line| line.trim_start().starts_with(side.name()));
        let names: Vec<&str> = OURS.iter().filter(|side| has(side)).map(|side| side.name()).collect();
        Ok(names.join(","))
    }

    /// One turn.
    fn measure(&self, plan: &Plan, json: &Path) -> Result<Results> {
        let mut command = Command::new(&self.program);
        command
            .arg("run")
            .args(plan.more)
            .args(["--sides", &self.sides()?])
            .arg("--json")
            .arg(json)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if !plan.rows.is_empty() {
            command.arg("--rows").arg(plan.rows.join(","));
        }
        let _ = std::fs::remove_file(json);
        // A side that failed is in the file.
        let status = command.status().with_context(|| self.program.display().to_string())?;
        interrupt::check()?;
        Results::read(json).with_context(|| format!("{}: {status}", &self.commit[..12]))
    }
}

/// The results of both, in turns of A B, B A, A B...
pub fn measure(revisions: &[Revision; 2], plan: &Plan) -> Result<[Results; 2]> {
    let json = std::env::temp_dir().join(format!("stowaway-bench.{}.json", std::process::id()));
    let mut all: [Option<Results>; 2] = [None, None];
    for turn in 0..plan.turns as usize {
        for at in [turn % 2, 1 - turn % 2] {
            let [name, commit] = [["A", "B"][at], &revisions[at].commit[..12]];
            eprintln!("bench: turn {} of {}, {name} ({commit})", turn + 1, plan.turns);
            let mut more = revisions[at].measure(plan, &json)?;
            more.condense();
            match &mut all[at] {
                Some(results) => results.append(more),
                none => *none = Some(more),
            }
        }
    }
    let _ = std::fs::remove_file(&json);
    let [Some(a), Some(b)] = all else { bail!("no turns") };
    Ok([a, b])
}

/// Makes a target directory. Kernels are kept by what they are made from, so all of them share those.
pub fn share_kernels(built: &Path) -> Result<()> {
    std::fs::create_dir_all(built)?;
    let kernels = built.join("kernel");
    if kernels.symlink_metadata().is_err() {
        std::os::unix::fs::symlink(target().join("kernel"), &kernels)?;
    }
    Ok(())
}

/// The workspace's, as an absolute path.
pub fn target() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = named.unwrap_or_else(|| workspace().join("target"));
    std::path::absolute(&target).unwrap_or(target)
}

pub fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

fn git<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Result<String> {
    let mut git = Command::new("git");
    git.args(args).current_dir(workspace()).env("PATH", timed::SEARCH_PATH).stdin(Stdio::null());
    let output = git.output().context("git")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_string())
}
