// SPDX-License-Identifier: GPL-2.0-only
//! The coverage page (docs/compatibility.md), made from the table's rows. `BLESS=1 cargo test -p stowaway`
//! writes it; the test fails when the page and the table differ.

use std::fmt::Write;
use std::path::Path;

use syscalls::Sysno;

use super::rows::ROWS;
use super::table::{self, Serve};
use crate::observe::Arg;
use crate::sys::errno::Errno;

fn served(serve: Serve) -> &'static str {
    match serve {
        Serve::Host => "host",
        Serve::Fd(_) | Serve::Watched(_) => "by descriptor",
        Serve::HostFdOnly(_) => "host; ENOSYS on a kernel file",
        Serve::OtherKind(_, Errno::EINVAL) => "host; EINVAL on a kernel file",
        Serve::OtherKind(..) => "host; an error on a kernel file",
        Serve::Kill(..) => "host",
        Serve::Told(_) => "host; as the setting `as` says",
        Serve::Unknown => "ENOSYS",
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
         not listed is\nthe host's. A number that is not known here is ENOSYS while there are mounts.\n\n\
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

/// Calls with a descriptor or a text that is no path of a file, and why a row would be of no use.
const NO_PATHS: &[&str] = &[
    // Texts that are names of something else.
    "add_key",
    "delete_module",
    "fsopen",
    "init_module",
    "memfd_create",
    "mq_open",
    "mq_timedsend",
    "mq_unlink",
    "request_key",
    "setdomainname",
    "sethostname",
    "lsm_set_self_attr",
];

/// Newer than the headers that the test reads.
const NEWER_WITH_PATHS: &[&str] = &[
    "fchmodat2",
    "setxattrat",
    "getxattrat",
    "listxattrat",
    "removexattrat",
    "open_tree_attr",
    "file_getattr",
    "file_setattr",
];

fn has_a_row(name: &str) -> bool {
    ROWS.iter().any(|row| row.nr.name() == name && !matches!(row.serve, Serve::Host))
}

/// The prototypes of include/linux/syscalls.h: name and arguments of each call.
fn prototypes() -> Vec<(String, String)> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/kernel");
    let header = std::fs::read_dir(sources)
        .expect("the kernel's sources are unpacked by the build")
        .map(|entry| entry.unwrap().path().join("include/linux/syscalls.h"))
        .find(|path| path.exists())
        .expect("the header of the kernel");
    let text = std::fs::read_to_string(header).unwrap();
    text.split("asmlinkage long sys_")
        .skip(1)
        .filter_map(|rest| {
            let (name, rest) = rest.split_once('(')?;
            Some((name.to_owned(), rest.split(");").next()?.to_owned()))
        })
        .collect()
}

fn takes_a_path(arguments: &str) -> bool {
    let directories =
        ["int dfd", "int olddfd", "int newdfd", "int from_dfd", "int to_dfd", "int dirfd", "int fs_fd"];
    arguments.replace(" *", "* ").replace("char  __user", "char __user").contains("const char __user*")
        || directories.iter().any(|directory| arguments.contains(directory))
}

#[test]
fn each_call_with_a_path_has_a_row() {
    let prototypes = prototypes();
    let with_paths: Vec<&str> = prototypes
        .iter()
        .filter(|(name, arguments)| takes_a_path(arguments) && Sysno::iter().any(|nr| nr.name() == name))
        .map(|(name, _)| &name[..])
        .chain(NEWER_WITH_PATHS.iter().copied())
        .collect();
    assert!(with_paths.len() > 80, "{with_paths:?}");
    let missing: Vec<&&str> =
        with_paths.iter().filter(|name| !has_a_row(name) && !NO_PATHS.contains(name)).collect();
    assert!(missing.is_empty(), "calls with a path or a directory without a row: {missing:?}");
}

#[test]
fn a_number_of_the_hosts_headers_is_known_or_refused() {
    let header = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h";
    let text = std::fs::read_to_string(header).expect("the headers of the host");
    let calls = text.lines().filter_map(|line| line.strip_prefix("#define __NR_")?.split_once(' '));
    for (name, number) in calls {
        let number: usize = number.trim().parse().unwrap();
        let known = Sysno::new(number).is_some_and(|nr| nr.name() == name);
        assert!(
            known || matches!(table::serve(number), Serve::Unknown),
            "{name}, {number}: neither known nor refused"
        );
    }
    for number in [337, 423, 472, 511, 512, 1 << 30, usize::MAX] {
        assert!(matches!(table::serve(number), Serve::Unknown), "{number}");
    }
}
