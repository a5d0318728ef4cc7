// SPDX-License-Identifier: GPL-2.0-only
//! Numbers that a mount gives to its files: device numbers.

use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::{fact_mounted, Mounted};

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
}
