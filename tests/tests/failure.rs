// SPDX-License-Identifier: GPL-2.0-only
//! What a kernel without memory does, and that it is no end of the program.

use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::mounted::Mounted;
use stowaway_tests::process::Run;

everyone! {
    fn a_kernel_without_memory_fails_the_call_and_goes_on() {
        let mounted = Mounted::new(Kind::Basic);
        let program = mounted.program("fills", include_str!("../programs/helpers/fills.c")).display().to_string();
        let other = format!("{}/other", mounted.host());
        let run = mounted.preload(Run::new([program.as_str(), "/mnt/small/big", &other]));
        let run = run.env("STOWAWAY_MOUNT", "none:/mnt/small,type=tmpfs").env("STOWAWAY_MEM", "16M");
        let outcome = run.output();
        let expected = "write: Cannot allocate memory\nopen: Success\nhost: 2\n";
        assert_eq!((outcome.expect_exit(0).out().as_str(), outcome.err().as_str()), (expected, ""));
    }

    fn taking_all_of_one_kind_fails_the_call_and_nothing_else() {
        // What the image, or the memory, has no room for is refused.
        let kinds = [
            "threads", "files", "descriptors", "pipes", "datagrams", "streams", "watches", "locks", "directories", "pages",
            "attributes",
        ];
        for kind in kinds {
            let mounted = Mounted::new(Kind::Basic);
            let program =
                mounted.program("exhausts", include_str!("../programs/helpers/exhausts.c")).display().to_string();
            let run = mounted.run([&program, &mounted.dir(), kind]).env("STOWAWAY_MEM", "16M").env("STOWAWAY_NET", "lo");
            let outcome = run.output();
            let out = outcome.expect_exit(0).out();
            let is_right = match kind {
                "descriptors" | "pipes" | "files" => out == "refused\n",
                _ => out == "refused\n" || out == "enough\n",
            };
            assert!(is_right && !outcome.err().contains("panic"), "{kind}: {out}{}", outcome.err());
            mounted.check();
        }
    }
}
