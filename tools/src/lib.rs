// SPDX-License-Identifier: GPL-2.0-only
//! The `stowaway` command: runs a program with a Linux kernel inside it, examines machine and program, makes
//! and serves images.
//!
//! Floors, from the lowest: fail, cli, elf, host, sys, listener, packages, library, program, image_file, mkimage, look, gdb, serve, switch, doctor, ps,
//! log, top, instance, rules, run, pages, settings_page.
#![deny(unsafe_code)]

mod cli;
mod doctor;
mod elf;
mod fail;
mod gdb;
mod host;
mod image_file;
mod instance;
mod library;
mod listener;
mod log;
mod look;
mod mkimage;
mod packages;
mod pages;
mod program;
mod ps;
mod rules;
mod run;
#[doc(hidden)]
pub mod serve;
#[cfg(test)]
mod settings_page;
#[doc(hidden)]
pub mod switch;
mod sys;
mod top;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::Parser;

use cli::{Cli, Command};
use fail::{Failure, EXIT_RUN, EXIT_USAGE};

/// Does what the command line says; the exit status.
pub fn command() -> i32 {
    let args: Vec<OsString> = std::env::args_os().collect();
    let done = match Cli::try_parse_from(&args) {
        Ok(cli) => match cli.command {
            Command::Run(options) => run::run(*options),
            Command::Doctor(options) => doctor::doctor(&options),
            Command::Mkimage(options) => mkimage::mkimage(&options),
            Command::Gdb(options) => gdb::gdb(&options),
            Command::Serve(options) => serve::serve(&options),
            Command::Switch(options) => switch::switch(&options),
            Command::Ps(options) => ps::ps(&options),
            Command::Log(options) => log::log(&options),
            Command::Top(options) => top::top(&options),
            Command::Rules(options) => rules::rules(&options),
            Command::Pages(options) => pages::pages(&options),
        },
        Err(error) => return usage(&error, &args),
    };
    done.unwrap_or_else(|failure| failure.report())
}

/// Help, or what is wrong with the command line.
fn usage(error: &clap::Error, args: &[OsString]) -> i32 {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return i32::from(error.print().is_err());
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // Nothing to say beyond the help itself, which goes to stderr then.
        let _ = error.print();
        return EXIT_USAGE;
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    // As env(1): 125 says that the fault is not the program's.
    let status = if args.get(1).is_some_and(|arg| arg == "run") { EXIT_RUN } else { EXIT_USAGE };
    Failure::new(status, text.trim_end().to_string()).report()
}
