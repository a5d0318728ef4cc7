// SPDX-License-Identifier: GPL-2.0-only
//! The edges of our memory.

use stowaway_tests::everyone;
use stowaway_tests::mounted::fact;

everyone! {
    fn what_goes_beyond_the_programs_memory() {
        assert_eq!(fact("overrun", include_str!("../programs/facts/overrun.c")).err(), "");
    }
}
