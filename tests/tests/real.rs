// SPDX-License-Identifier: GPL-2.0-only
//! Programs of the distribution at work: see `stowaway_tests::real`.

use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::Mounted;
use stowaway_tests::process::Run;
use stowaway_tests::program::compile_with;
use stowaway_tests::real::{Mode, Real, GAPS};
use stowaway_tests::{everyone, gaps};

macro_rules! reals {
    ($($name:ident: $interpreter:literal $file:literal $(. $method:ident ($($argument:expr),*))*;)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        everyone! {
            $(fn $name() {
                let text = include_str!(concat!("../programs/real/", $file));
                Real::new(stringify!($name), $interpreter, text)$(.$method($($argument),*))*.prove();
            })*

            fn public_keys() {
                two_thousand_public_keys();
            }
        }
    };
}

const JAVA: (&str, &str) = ("Small.java", include_str!("../programs/real/Small.java"));

reals! {
    bash: "bash" "bash.sh";
    dash: "dash" "dash.sh";
    python: "python3" "python.py";
    python_pools: "python3" "pools.py";
    perl: "perl" "perl.pl";
    node: "node" "node.js";
    java: "bash" "java.sh".needs(&["java", "javac"]).with(&[JAVA]);
    gcc: "bash" "gcc.sh".needs(&["gcc", "make"]);
    archives: "bash" "archives.sh".needs(&["xz", "gzip", "tar"]);
    openssl: "bash" "openssl.sh".needs(&["openssl"]).no_tick("s_client gives up when a signal interrupts its select");
    redis: "bash" "redis.sh".needs(&["redis-server", "redis-cli", "redis-benchmark"]);
    nginx: "bash" "nginx.sh".needs(&["nginx", "python3"]);
    sqlite: "bash" "sqlite.sh".needs(&["sqlite3"]);
    sqlite_on_the_image: "bash" "sqlite.sh".needs(&["sqlite3"]).writes();
    git: "bash" "git.sh".needs(&["git"]);
    go: "bash" "go.sh".needs(&["fzf"]);
    busybox: "bash" "busybox.sh".needs(&["busybox"]);
}

/// In one process, by libcrypto: tables amid its text must stay what they are.
fn two_thousand_public_keys() {
    let mounted = Mounted::new(Kind::Empty);
    let source = include_str!("../programs/real/keys.c");
    let program = compile_with("cc", mounted.fixture.base.path(), "keys", source, &["-lcrypto"]);
    let native = Run::new([&program]).output();
    assert_eq!((native.status.as_str(), native.out().lines().count()), ("exit 0", 2000), "{}", native.err());
    for caught in [mounted.run([&program]), mounted.run_by_command([&program])] {
        let outcome = caught.output();
        assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""));
        let wrong = native.out().lines().zip(outcome.out().lines()).filter(|(a, b)| a != b).count();
        assert_eq!(wrong, 0, "keys differ");
        assert_eq!(native.stdout, outcome.stdout);
    }
}

#[test]
fn every_gap_is_about_a_program() {
    gaps::check(GAPS, NAMES, &Mode::ALL.map(Mode::name));
}
