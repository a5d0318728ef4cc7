// SPDX-License-Identifier: GPL-2.0-only
//! `make install` and `make uninstall`, by a user that owns nothing but an empty folder.

use std::fs;
use std::path::Path;
use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::Mounted;
use stowaway_tests::process::{Outcome, Run};
use stowaway_tests::{artifacts, everyone, user};

const INSTALLED: [&str; 15] = [
    "bin/stowaway",
    "lib/stowaway/libstowaway.so",
    "share/bash-completion/completions/stowaway",
    "share/fish/vendor_completions.d/stowaway.fish",
    "share/man/man1/stowaway-doctor.1",
    "share/man/man1/stowaway-gdb.1",
    "share/man/man1/stowaway-log.1",
    "share/man/man1/stowaway-mkimage.1",
    "share/man/man1/stowaway-ps.1",
    "share/man/man1/stowaway-run.1",
    "share/man/man1/stowaway-serve.1",
    "share/man/man1/stowaway-switch.1",
    "share/man/man1/stowaway-top.1",
    "share/man/man1/stowaway.1",
    "share/zsh/site-functions/_stowaway",
];

/// Every file under a directory, sorted, relative to it.
fn files(directory: &Path) -> Vec<String> {
    let mut all: Vec<String> = walkdir::WalkDir::new(directory)
        .into_iter()
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| !entry.file_type().is_dir())
        .map(|entry| entry.path().strip_prefix(directory).expect("inside").display().to_string())
        .collect();
    all.sort();
    all
}

/// A folder with the Makefile and what it needs to know of the build.
struct Installation {
    place: tempfile::TempDir,
}

impl Installation {
    fn new() -> Installation {
        let place = tempfile::tempdir().expect("a directory");
        fs::write(place.path().join("Makefile"), include_str!("../../Makefile")).expect("a Makefile");
        Installation { place }
    }

    fn make(&self, target: &str, more: &[String]) -> Outcome {
        let built = artifacts::get().command.parent().expect("a directory").display().to_string();
        let words = ["make", "--no-print-directory", target].map(String::from);
        // Of a variable that is given twice, make takes the last.
        let built = [format!("BUILT={built}")];
        let mut make = Run::new([&words[..], &built[..], more].concat()).env("HOME", "/");
        make.cwd = Some(self.place.path().to_path_buf());
        make.output()
    }
}

/// What the man pages say, if there is a reader of man pages.
fn read_the_pages(share: &Path) {
    if !Path::new("/usr/bin/man").exists() {
        return user::note("the man pages were not read: man is not installed");
    }
    for page in ["stowaway.1", "stowaway-run.1", "stowaway-mkimage.1"] {
        let path = share.join("man/man1").join(page);
        let outcome =
            Run::new(["man".into(), "-l".into(), path.into_os_string()]).env("MANWIDTH", "80").output();
        outcome.expect_exit(0);
        assert_eq!(outcome.err(), "", "{page}");
        assert!(outcome.out().contains("SYNOPSIS"), "{page}: {}", outcome.out());
    }
}

everyone! {
    fn installs_and_leaves_nothing() {
        let mounted = Mounted::new(Kind::Basic);
        let installation = Installation::new();
        let prefix = installation.place.path().join("prefix");
        fs::create_dir(&prefix).expect("a directory");
        let to = [format!("PREFIX={}", prefix.display())];
        installation.make("install", &to).expect_exit(0);
        assert_eq!(files(&prefix), INSTALLED);

        // The command finds its library without being told, also through a link in another folder.
        let link = installation.place.path().join("linked");
        std::os::unix::fs::symlink(prefix.join("bin/stowaway"), &link).expect("a link");
        for command in [prefix.join("bin/stowaway"), link] {
            let mount = mounted.fixture.mount("");
            let words = [command.into_os_string(), "run".into(), "--mount".into(), mount.into()];
            let ls = ["--".into(), "cat".into(), format!("{}/hello.txt", mounted.dir()).into()];
            let outcome = Run::new([&words[..], &ls[..]].concat()).output();
            outcome.expect_exit(0);
            assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("Hello, world!\n", ""));
        }
        mounted.check();
        read_the_pages(&prefix.join("share"));

        installation.make("uninstall", &to).expect_exit(0);
        assert!(fs::read_dir(&prefix).expect("the prefix").next().is_none(), "{:?}", files(&prefix));
    }

    fn uninstall_leaves_what_is_not_ours() {
        let installation = Installation::new();
        let root = installation.place.path().join("root");
        let to = [format!("DESTDIR={}", root.display()), "PREFIX=/usr".into()];
        fs::create_dir_all(root.join("usr/share/man/man1")).expect("a directory");
        fs::write(root.join("usr/share/man/man1/other.1"), "another program's").expect("a file");
        installation.make("install", &to).expect_exit(0);
        assert!(root.join("usr/bin/stowaway").exists());
        installation.make("uninstall", &to).expect_exit(0);
        assert_eq!(files(&root), ["usr/share/man/man1/other.1"]);
    }

    fn a_missing_build_is_named() {
        let installation = Installation::new();
        let outcome = installation.make("install", &["BUILT=nowhere".into(), "PREFIX=prefix".into()]);
        outcome.expect_exit(2);
        assert!(outcome.err().contains("nowhere/stowaway is missing: run make build first"), "{}", outcome.err());
        assert!(!installation.place.path().join("prefix").exists());
    }
}
