// SPDX-License-Identifier: GPL-2.0-only
//! A kernel that cannot go on is no end of the program.

use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::Mounted;
use stowaway_tests::process::Run;

everyone! {
    fn the_program_goes_on_when_its_kernel_is_out_of_memory() {
        let mounted = Mounted::new(Kind::Basic);
        let program = mounted.program("fills", include_str!("../programs/helpers/fills.c")).display().to_string();
        let other = format!("{}/other", mounted.host());
        let run = mounted.preload(Run::new([program.as_str(), "/mnt/small/big", &other]));
        let run = run.env("STOWAWAY_MOUNT", "none:/mnt/small,type=tmpfs").env("STOWAWAY_MEM", "16M");
        let outcome = run.output();
        let expected = "write: Input/output error\nopen: Input/output error\nhost: 2\n";
        assert_eq!(outcome.expect_exit(0).out(), expected, "{}", outcome.err());
        for text in ["out of memory; give it more", "the kernel has stopped", "__alloc_pages+0x"] {
            assert!(outcome.err().contains(text), "no {text} in {}", outcome.err());
        }
    }
}
