// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway pages`: man pages and shell completions, made from the definition of the command line. `make install`
//! calls it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_complete::aot::{generate_to, Bash, Fish, Zsh};
use clap_mangen::Man;

use crate::cli::{Cli, PagesOptions};
use crate::fail::{reason, Failure, EXIT_FAILED};

/// Writes all of them under a directory that is laid out as PREFIX/share.
pub fn pages(options: &PagesOptions) -> Result<i32, Failure> {
    let under = |folder: &str| -> Result<PathBuf, Failure> {
        let path = options.directory.join(folder);
        fs::create_dir_all(&path).map_err(|error| failed(&path, &error))?;
        Ok(path)
    };
    let man = under("man/man1")?;
    man_pages(&man).map_err(|error| failed(&man, &error))?;

    let mut command = Cli::command();
    let name = command.get_name().to_string();
    let bash = under("bash-completion/completions")?;
    let made = generate_to(Bash, &mut command, &name, &bash).map_err(|error| failed(&bash, &error))?;
    // bash-completion looks for a file with the command's own name.
    fs::rename(&made, bash.join(&name)).map_err(|error| failed(&made, &error))?;
    let zsh = under("zsh/site-functions")?;
    generate_to(Zsh, &mut command, &name, &zsh).map_err(|error| failed(&zsh, &error))?;
    let fish = under("fish/vendor_completions.d")?;
    generate_to(Fish, &mut command, &name, &fish).map_err(|error| failed(&fish, &error))?;
    Ok(0)
}

/// stowaway(1), and a page for each command that a person types, such as stowaway-run(1).
fn man_pages(directory: &Path) -> io::Result<()> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let name = command.get_name().to_string();
    man_page(command.clone(), &name, directory)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        man_page(sub.clone(), &format!("{name}-{}", sub.get_name()), directory)?;
    }
    Ok(())
}

fn man_page(command: Command, name: &str, directory: &Path) -> io::Result<()> {
    let mut page = Vec::new();
    Man::new(command.display_name(name.to_string()))
        .title(name.to_uppercase())
        .source(concat!("stowaway ", env!("CARGO_PKG_VERSION")))
        .manual("Stowaway")
        .render(&mut page)?;
    fs::write(directory.join(format!("{name}.1")), page)
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::new(EXIT_FAILED, format!("{}: {}", path.display(), reason(error)))
}
