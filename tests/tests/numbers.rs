// SPDX-License-Identifier: GPL-2.0-only
//! Numbers that a mount gives to its files: device numbers, and times.

use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::{fact, fact_mounted, said_ok, Mounted};
use stowaway_tests::process::Run;

everyone! {
    fn device_numbers() {
        assert_eq!(fact_mounted("devices", include_str!("../programs/facts/devices.c")).err(), "");
    }

    fn device_numbers_are_the_same_in_whatever_order_mounts_are_used() {
        let (one, two) = (Mounted::new(Kind::Basic), Mounted::new(Kind::Basic));
        let dirs = [one.dir(), two.dir(), "/mnt/none-a".to_string(), "/mnt/none-b".to_string()];
        let mounts = format!(
            "{}:{};{}:{};none:{},type=tmpfs;none:{},type=tmpfs",
            one.fixture.image.display(), dirs[0], two.fixture.image.display(), dirs[1], dirs[2], dirs[3]
        );
        let numbers = |order: [usize; 4]| {
            let words = ["stat".to_string(), "-c".to_string(), "%d".to_string()];
            let words = words.into_iter().chain(order.iter().map(|&i| dirs[i].clone()));
            let outcome = one.run(words).env("STOWAWAY_MOUNT", &mounts).output();
            outcome.expect_exit(0);
            let mut numbers = [0u64; 4];
            for (line, place) in outcome.out().lines().zip(order) {
                numbers[place] = line.parse().expect("a number");
            }
            numbers
        };
        let first = numbers([0, 1, 2, 3]);
        for order in [[3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
            assert_eq!(numbers(order), first);
        }
        let distinct: std::collections::HashSet<u64> = first.into_iter().collect();
        assert_eq!(distinct.len(), 4, "{first:?}");
    }

    fn times_of_files() {
        assert_eq!(fact("clocks", include_str!("../programs/facts/clocks.c")).err(), "");
    }

    fn times_of_packets() {
        let mounted = Mounted::new(Kind::Basic);
        let program = mounted.program("stamps", include_str!("../programs/facts/stamps.c"));
        let words = [program.as_os_str(), mounted.dir().as_ref()].map(std::ffi::OsString::from);
        said_ok("natively", &Run::new(words.clone()).output());
        let outcome = mounted.run(words).env("STOWAWAY_NET", "lo").output();
        said_ok("through the shim", &outcome);
    }
}
