// SPDX-License-Identifier: GPL-2.0-only
//! Cancelled threads.

use stowaway_tests::everyone;
use stowaway_tests::mounted::fact;

everyone! {
    fn threads_are_cancelled_where_they_wait() {
        let outcome = fact("cancel", include_str!("../programs/facts/cancel.c"));
        assert_eq!(outcome.err(), "");
    }
}
