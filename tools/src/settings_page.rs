// SPDX-License-Identifier: GPL-2.0-only
//! The page of settings (docs/settings.md), made from the schema in shim/config and from the help of `stowaway run`.
//! `BLESS=1 cargo test -p stowaway-tools settings_page` writes the page; the test fails when the page differs.

use std::fmt::Write;
use std::path::Path;

use clap::{Arg, CommandFactory};
use stowaway_config::{Config, Key, Origin, RawConfig};

use crate::cli::Cli;

const HEAD: &str = "<!-- SPDX-License-Identifier: GPL-2.0-only -->
# Settings

<!-- Made from shim/config and tools/src/cli.rs; do not edit. BLESS=1 cargo test -p stowaway-tools settings_page -->

A setting is an option of `stowaway run`, an environment variable, or a line of a settings file. An option overrides
a variable, and a variable overrides the file. The mounts are one setting: a list replaces a list.

Under plain `LD_PRELOAD`, without the command, the variables and the file are read as well.

| option | variable | in a file | default |
|---|---|---|---|
";

const FOOT: &str = "## A settings file

```toml
mount = [\"disk.img:/mnt/data\", \"other.img:/mnt/other:ro\"]
mem = \"128M\"
net = [\"user\", \"tap:tap0,ip=10.0.0.2/24\"]
kernel_log = \"./kernel.log\"
```

## What happens when a setting is wrong

One line on stderr names the setting, says what is wrong, and lists what is allowed. `stowaway run` then ends with
status 125 and does not start the program. Under plain `LD_PRELOAD`, the program runs without the mounts.

```
$ stowaway run --mem 1M -- true
stowaway: --mem: \"1M\" is too little; allowed is 16M to 16G, such as 64M
```

Stowaway never writes to standard output.
";

/// The definition of an option of `stowaway run`.
fn option(name: &str) -> Arg {
    let command = Cli::command();
    let run = command.find_subcommand("run").expect("a command");
    let long = name.trim_start_matches('-');
    let found = run.get_arguments().find(|arg| arg.get_long() == Some(long));
    found.expect("an option").clone()
}

/// An option with its value, as a person types it.
fn usage(arg: &Arg) -> String {
    let name = format!("--{}", arg.get_long().expect("a name"));
    let value = arg.get_value_names().and_then(|names| names.first()).filter(|_| takes_value(arg));
    match value {
        Some(value) if arg.get_num_args().is_some_and(|count| count.min_values() == 0) => {
            format!("{name}[={value}]")
        }
        Some(value) => format!("{name} {value}"),
        None => name,
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// What the schema allows, in the words of its own error message.
fn allowed(key: Key) -> Option<String> {
    let mut raw = RawConfig::default();
    raw.set(key, b"\x01", Origin::Option);
    let line = raw.validate().err()?.to_string();
    let (_, advice) = line.split_once("; ")?;
    let values = advice.strip_prefix("allowed are ").or(advice.strip_prefix("allowed is "));
    values.map(ToString::to_string)
}

fn yes_or_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_string()
}

/// The value of a setting that nobody set.
fn default(key: Key) -> String {
    let config = Config::default();
    let value = match key {
        Key::BlockEngine => config.block_engine.to_string(),
        Key::Doorbell => config.doorbell.to_string(),
        Key::PerfMap => yes_or_no(config.perf_map),
        Key::Share => yes_or_no(config.share),
        Key::Keeper => yes_or_no(config.keeper),
        Key::Instance => String::new(),
        Key::Follow => yes_or_no(config.follow),
        Key::Stats | Key::Trace if !config.is_watched() => "off".to_string(),
        key => {
            let vars = config.to_env();
            let value = vars.iter().find(|(name, _)| name == key.env());
            value.map(|(_, value)| value.to_string_lossy().into_owned()).unwrap_or_default()
        }
    };
    if value.is_empty() {
        "none".into()
    } else {
        format!("`{value}`")
    }
}

fn section(page: &mut String, arg: &Arg, allowed: Option<String>) {
    let help = arg.get_help().map(ToString::to_string).expect("a help text");
    let long = arg.get_long_help().map_or(help, ToString::to_string);
    write!(page, "## `{}`\n\n", usage(arg)).unwrap();
    for paragraph in long.split("\n\n") {
        write!(page, "{}.\n\n", paragraph.replace('\n', " ").trim_end_matches('.')).unwrap();
    }
    if let Some(allowed) = allowed {
        let place = if takes_value(arg) { "Allowed" } else { "Allowed in a variable or a file" };
        write!(page, "{place}: {allowed}.\n\n").unwrap();
    }
}

fn page() -> String {
    let mut page = String::from(HEAD);
    for key in Key::all().filter(|key| !key.option().is_empty()) {
        let file = Some(key.in_file()).filter(|name| !name.is_empty()).map(|name| format!("`{name}`"));
        let (file, default) = (file.unwrap_or_default(), default(key));
        writeln!(page, "| `{}` | `{}` | {file} | {default} |", key.option(), key.env()).unwrap();
    }
    page.push_str("| `--preload` | | | |\n");
    page.push_str(
        "| | `STOWAWAY_LIB`: path of the library | | beside the command, or `../lib/stowaway` |\n\n",
    );
    for key in Key::all().filter(|key| !key.option().is_empty()) {
        section(&mut page, &option(key.option()), allowed(key));
    }
    section(&mut page, &option("--preload"), None);
    page.push_str(FOOT);
    page
}

#[test]
fn settings_page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/settings.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page(), "docs/settings.md differs: BLESS=1 cargo test -p stowaway-tools settings_page");
}

/// The help says `[default: ...]` by hand.
#[test]
fn defaults_in_the_help_are_those_of_the_schema() {
    for key in Key::all().filter(|key| !key.option().is_empty()) {
        let help = option(key.option()).get_help().map(ToString::to_string).unwrap_or_default();
        if let Some((_, said)) = help.split_once("[default: ") {
            assert_eq!(format!("`{}`", said.trim_end_matches(']')), default(key), "{}", key.option());
        }
    }
}

/// Every option of `run` is on the page: a setting's, or `--preload`.
#[test]
fn every_option_is_a_setting() {
    let command = Cli::command();
    let run = command.find_subcommand("run").expect("a command");
    for long in run.get_arguments().filter_map(|arg| arg.get_long()) {
        let known = Key::all().any(|key| key.option().trim_start_matches('-') == long);
        assert!(known || ["preload", "help"].contains(&long), "--{long}");
    }
}
