// SPDX-License-Identifier: GPL-2.0-only
//! Each recipe of `examples/` works, and so do the tour (`make demo`) and the commands of README.md. The scripts check
//! their results themselves.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use stowaway_tests::process::Run;
use stowaway_tests::{artifacts, everyone, user};

const COMMON: &str = include_str!("../../examples/common.sh");
/// The status of a script that lacks a command (as automake has it).
const SKIPPED: &str = "exit 77";
/// A recipe is to be quick; this is for a machine that does much else.
const DEADLINE: Duration = Duration::from_secs(240);
/// How long the last process of an example may take to clean up.
const CLEAN: Duration = Duration::from_secs(20);

macro_rules! examples {
    ($($name:ident: $file:literal;)*) => {
        const FILES: &[&str] = &[$($file),*];

        everyone! {
            $(fn $name() { run($file, include_str!(concat!("../../examples/", $file))); })*

            fn the_tour() { run("demo.sh", include_str!("../../tools/demo.sh")); }

            fn sixty_seconds() { the_readme_as_typed(include_str!("../../README.md")); }
        }
    };
}

examples! {
    bbr_mptcp_nft: "bbr-mptcp-nft.sh";
    build_an_image: "build-an-image.sh";
    database: "database.sh";
    git: "git.sh";
    killed: "killed.sh";
    laboratory: "laboratory.sh";
    loopback_network: "loopback-network.sh";
    lossy_network: "lossy-network.sh";
    make: "make.sh";
    mount_a_server: "mount-a-server.sh";
    network_of_its_own: "network-of-its-own.sh";
    ordinary_user: "ordinary-user.sh";
    overlay: "overlay.sh";
    partition: "partition.sh";
    parts: "parts.sh";
    profile: "profile.sh";
    qcow2: "qcow2.sh";
    root_in_an_image: "root-in-an-image.sh";
    shared_read_only: "shared-read-only.sh";
    shell_and_pipelines: "shell-and-pipelines.sh";
    trace_and_stats: "trace-and-stats.sh";
    two_kernels_one_link: "two-kernels-one-link.sh";
    two_programs_one_network: "two-programs-one-network.sh";
    two_terminals: "two-terminals.sh";
    untar: "untar.sh";
    wireguard: "wireguard.sh";
    work_on_an_image: "work-on-an-image.sh";
}

/// Runs a script from a copy, which an ordinary user may read wherever the checkout is.
fn run(file: &str, text: &str) {
    let place = tempfile::tempdir().expect("a directory");
    open_to_all(place.path());
    for (name, text) in [("common.sh", COMMON), (file, text)] {
        fs::write(place.path().join(name), text).expect("a script");
    }
    let products = products(place.path());
    let tmp = place.path().join("tmp");
    fs::create_dir(&tmp).expect("a directory");
    open_to_all(&tmp);
    let mut example = Run::new(["bash".into(), place.path().join(file)])
        .env("STOWAWAY_BIN_DIR", products)
        .env("TMPDIR", &tmp)
        .env("HOME", "/");
    example.deadline = Some(DEADLINE);
    let outcome = example.output();
    let said = format!("{}{}", outcome.out(), outcome.err());
    if outcome.status == SKIPPED {
        return user::note(&format!("examples/{file}: {}", said.trim_end()));
    }
    assert_eq!(outcome.status, "exit 0", "{said}");
    // The server of a qcow2 image ends, and removes its socket, a moment after the program.
    let end = Instant::now() + CLEAN;
    while !left(&tmp).is_empty() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(left(&tmp), Vec::<OsString>::new(), "{file} left something");
}

/// The first commands of README.md that use the build print what README.md says.
fn the_readme_as_typed(text: &str) {
    let blocks: Vec<&str> = text.split("```\n").skip(1).step_by(2).collect();
    let first = blocks.iter().position(|block| block.starts_with("export PATH=")).expect("the commands");
    let place = tempfile::tempdir().expect("a directory");
    let target = place.path().join("target");
    fs::create_dir(&target).expect("a directory");
    fs::rename(products(place.path()), target.join("release")).expect("the products");
    let mut typed = Run::new(["bash", "-c", &format!("exec 2>&1\n{}", blocks[first])]).env("HOME", "/");
    typed.cwd = Some(place.path().to_path_buf());
    let outcome = typed.output();
    outcome.expect_exit(0);
    // Columns are for terminals.
    let words = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
    assert_eq!(words(&outcome.out()), words(blocks[first + 1]));
}

fn left(directory: &Path) -> Vec<OsString> {
    fs::read_dir(directory)
        .expect("the directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect()
}

/// The products where every user can read them: some examples become an ordinary user.
fn products(place: &Path) -> std::path::PathBuf {
    let found = artifacts::get();
    let bin = place.join("bin");
    fs::create_dir(&bin).expect("a directory");
    for file in [&found.library, &found.command] {
        fs::copy(file, bin.join(file.file_name().expect("a name"))).expect("a copy");
    }
    bin
}

/// Anybody may write: the script may change who it is.
fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o1777)).expect("a directory of ours");
}

#[test]
fn every_script_is_run() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut names: Vec<String> = fs::read_dir(directory)
        .expect("the examples")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .filter(|name| name != "common.sh")
        .collect();
    names.sort();
    assert_eq!(names, FILES);
}
