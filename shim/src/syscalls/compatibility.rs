// SPDX-License-Identifier: GPL-2.0-only
//! The coverage page (docs/compatibility.md), made from the table's rows. `BLESS=1 cargo test -p stowaway`
//! writes it; the test fails when the page and the table differ.

use std::fmt::Write;
use std::path::Path;

use syscalls::Sysno;

use super::rows::ROWS;
use super::table::Serve;
use crate::observe::Arg;
use crate::sys::errno::Errno;

fn served(serve: Serve) -> &'static str {
    match serve {
        Serve::Host => "host",
        Serve::Fd(_) => "by descriptor",
        Serve::HostFdOnly(_) => "host; ENOSYS on a kernel file",
        Serve::OtherKind(_, Errno::EINVAL) => "host; EINVAL on a kernel file",
        Serve::OtherKind(..) => "host; an error on a kernel file",
        Serve::Own(_) => "host or kernel",
    }
}

/// The kinds that say more than a reader of the page needs are words of less.
fn argument(kind: &Arg) -> String {
    use Arg::*;
    match kind {
        Open | At | Access | Prot | Map | Clone | Socket | Message | Rename => "flags".into(),
        Hex | Command | Whence | How | Family | Epoll => "int".into(),
        Argv | Envp | Stat | Time | Address => "ptr".into(),
        Fill => "buf".into(),
        FillIov => "iov".into(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn page() -> String {
    let mut page = String::from(
        "# Call by call\n\n\
         Made from the table in shim/src/syscalls/rows.rs; do not edit. *By descriptor*: forwarded untouched to whoever \
         owns the\ndescriptor. *Host or kernel*: decided by path, descriptor or socket family. Every call that is \
         not listed is\nthe host's.\n\n\
         | call | number | arguments | served by | note |\n|---|---|---|---|---|\n",
    );
    for row in ROWS.iter().filter(|row| !matches!(row.serve, Serve::Host)) {
        let args: Vec<String> = row.args.iter().map(argument).collect();
        writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            row.nr.name(),
            row.nr as usize,
            args.join(", "),
            served(row.serve),
            row.note
        )
        .unwrap();
    }
    let is_served = |nr: &Sysno| ROWS.iter().any(|row| row.nr == *nr && !matches!(row.serve, Serve::Host));
    let rest: Vec<&str> = Sysno::iter().filter(|nr| !is_served(nr)).map(|nr| nr.name()).collect();
    writeln!(page, "\nThe host's: {}.", rest.join(", ")).unwrap();
    page
}

#[test]
fn page_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page(), "docs/compatibility.md differs from the table: BLESS=1 cargo test -p stowaway");
}

#[test]
fn no_call_has_two_rows() {
    for (i, row) in ROWS.iter().enumerate() {
        assert!(!ROWS[..i].iter().any(|other| other.nr == row.nr), "{} twice", row.nr.name());
    }
}

#[test]
fn the_call_of_each_hook_has_a_row() {
    let hooks = include_str!("hooks.rs");
    let calls = hooks.match_indices("= SYS_").map(|(at, _)| hooks[at + 6..].split('(').next().unwrap());
    let without: Vec<&str> = calls.filter(|call| !ROWS.iter().any(|row| row.nr.name() == *call)).collect();
    assert!(without.is_empty(), "hooks of calls without a row: {without:?}");
    assert!(hooks.matches("= SYS_").count() > 100);
}

#[test]
fn descriptor_arguments_are_descriptors() {
    for row in ROWS {
        if let Serve::Fd(i) | Serve::HostFdOnly(i) | Serve::OtherKind(i, _) = row.serve {
            assert!(matches!(row.args[i], Arg::Fd | Arg::DirFd), "{}", row.nr.name());
        }
    }
}
