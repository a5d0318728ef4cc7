// SPDX-License-Identifier: GPL-2.0-only
//! Where the time of a program's calls goes: perf samples it, frames are told apart by whose code they are in.
//!
//! Stacks are followed by frame pointers: a call crosses from the program's stack to ours and to the kernel's, and what
//! leads across is the chain that each of them begins with the caller's rbp. (Copies of stacks, for DWARF, hold one of
//! the three.) The ordinary library keeps none, for they cost some percent of a short call: the one that is profiled
//! is built for it. A program or C library that keeps none is seen up to the function that made the call.
//!
//! Floors, from the lowest: build, parts, symbols, trace, show, record.

mod build;
mod parts;
mod record;
mod show;
mod symbols;
mod trace;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{bail, Context, Result};
use clap::Args;

use record::{Allowed, Scratch};
use trace::{Stay, Trace};

/// What is profiled, and how.
#[derive(Args)]
pub struct ProfileOptions {
    /// The flame graph, as SVG
    #[arg(short, long, default_value = "flame.svg", value_name = "FILE")]
    output: PathBuf,
    /// Show waiting in the flame graph, too
    #[arg(long)]
    waits: bool,
    /// Write the folded stacks to this file
    #[arg(long, value_name = "FILE")]
    folded: Option<PathBuf>,
    /// As `stowaway run` takes it; may be given more than once
    #[arg(long, value_name = "IMAGE:PATH")]
    mount: Vec<String>,
    /// As `stowaway run` takes it
    #[arg(long)]
    net: Option<String>,
    /// Samples per second
    #[arg(long, default_value_t = 1999, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    frequency: u32,
    /// libstowaway.so (default: one that is built for this, with frame pointers, below target/profile/)
    #[arg(long)]
    shim: Option<PathBuf>,
    /// Profile the ordinary library: as fast as it is, but stacks end where it or the kernel keeps no frame pointer
    #[arg(long, conflicts_with = "shim")]
    as_built: bool,
    /// The program and its arguments; `stowaway run ...` is one, too
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<String>,
}

pub fn profile(options: &ProfileOptions) -> Result<()> {
    let allowed = Allowed::here()?;
    let library = match options.as_built || options.shim.is_some() {
        true => crate::sides::libraries::find_shim(options.shim.as_deref())?
            .context("libstowaway.so is not built")?,
        false => build::with_frames()?,
    };
    let data = Scratch::new();
    record::record(options, &library, allowed, &data.0)?;
    let trace = Trace::read(&data.0, &library, Path::new(&options.program[0]))?;
    if trace.stays.is_empty() {
        bail!("nothing was recorded: did the program run?");
    }
    print(&trace, allowed);
    let folded = show::folded(&trace.stays, options.waits);
    if let Some(path) = &options.folded {
        std::fs::write(path, &folded).with_context(|| path.display().to_string())?;
    }
    draw(&folded, &options.program.join(" "), &options.output)?;
    println!("\nFlame graph: {}", options.output.display());
    Ok(())
}

fn print(trace: &Trace, allowed: Allowed) {
    let stays: &[Stay] = &trace.stays;
    println!("\nWhere the time of the program's threads went:\n{}", show::table(stays));
    let calls = show::calls(stays);
    if !calls.is_empty() {
        println!("By the kernel's calls:\n{calls}");
    }
    if allowed.kernel {
        println!("How long waits were:\n{}", show::histogram(stays));
    } else {
        println!("Waiting is not seen: kernel.perf_event_paranoid is above 1, and you are not root.");
    }
    let kernel = stays.iter().flat_map(|stay| &stay.stack).any(|frame| frame.room == parts::Room::Kernel);
    if !kernel {
        println!("No frame of the kernel library was seen: the program did not use it, or its symbols were not found.");
    }
    if trace.lost > 0 {
        println!("perf lost {} records.", trace.lost);
    }
}

fn draw(folded: &str, title: &str, output: &Path) -> Result<()> {
    let svg = std::fs::File::create(output).with_context(|| output.display().to_string())?;
    let mut flame = record::flame_command()?;
    let mut child = flame.args([title, "us"]).stdin(Stdio::piped()).stdout(svg).spawn().context("flame")?;
    // It reads all before it writes.
    child.stdin.take().context("no stdin")?.write_all(folded.as_bytes())?;
    let status = child.wait()?;
    if !status.success() {
        bail!("flame: {status}");
    }
    Ok(())
}
