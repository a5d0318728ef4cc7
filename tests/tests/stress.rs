// SPDX-License-Identifier: GPL-2.0-only
//! Mixed work by threads that come and go, for some seconds; or for as long as `STOWAWAY_STRESS_SECONDS` says, from
//! the seed `STOWAWAY_STRESS_SEED`. Every byte is checked, nothing hangs, and the image is clean.

use std::path::Path;
use std::time::Duration;
use stowaway_tests::everyone;
use stowaway_tests::fixture::{check_image, make_image, tool, Kind, Side};
use stowaway_tests::mounted::{said_ok, Mounted};
use stowaway_tests::process::Run;
use stowaway_tests::user;

/// For each file system.
const SECONDS: u64 = 8;

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}

fn timed(run: Run, seconds: u64) -> Run {
    let mut run = run.env("SECONDS", seconds.to_string());
    run.deadline = Some(Duration::from_secs(seconds + 90));
    run.env("SEED", number("STOWAWAY_STRESS_SEED", 1).to_string())
}

/// The program, natively for a moment, which proves it, then through the shim.
fn stress(mounted: &Mounted) {
    let program = mounted.program("stress", include_str!("../programs/facts/stress.c"));
    let native = mounted.fixture.dir(Side::Native);
    said_ok("natively", &timed(Run::new([program.as_os_str(), native.as_os_str()]), 1).output());
    let seconds = number("STOWAWAY_STRESS_SECONDS", SECONDS);
    let run = mounted.run([program.into_os_string(), mounted.dir().into()]).env("STOWAWAY_NET", "lo");
    let outcome = timed(run, seconds).output();
    said_ok("through the shim", &outcome);
    assert_eq!(outcome.err(), "");
    user::note(&format!("stress: {seconds} s: {}", outcome.out().lines().next().unwrap_or_default()));
}

everyone! {
    fn on_ext4() {
        let mounted = Mounted::new(Kind::Empty);
        make_image(&mounted.fixture.image, &mounted.fixture.dir(Side::Native), 96, 12_288);
        stress(&mounted);
        check_image(&mounted.fixture.image).unwrap_or_else(|why| panic!("{why}"));
    }

    fn on_xfs() {
        if !["/usr/sbin/mkfs.xfs", "/sbin/mkfs.xfs"].iter().any(|maker| Path::new(maker).exists()) {
            return user::note("stress on xfs: not run: mkfs.xfs is not installed");
        }
        if !user::is_root() {
            return user::note("stress on xfs: not run as an ordinary user: mkfs.xfs makes root's file systems");
        }
        let mounted = Mounted::new(Kind::Empty);
        let image = &mounted.fixture.image;
        std::fs::File::create(image).and_then(|file| file.set_len(320 << 20)).expect("an image file");
        tool("mkfs.xfs", &["-q".as_ref(), "-f".as_ref(), image.as_os_str()]);
        stress(&mounted);
        tool("xfs_repair", &["-n".as_ref(), mounted.fixture.image.as_os_str()]);
    }
}
