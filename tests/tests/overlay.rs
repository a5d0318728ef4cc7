// SPDX-License-Identifier: GPL-2.0-only
//! overlayfs: an image that stays as it is, below another that takes the changes.

use stowaway_tests::everyone;
use stowaway_tests::fixture::{tool, Kind};
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::process::{Outcome, Run};
use stowaway_tests::user;

const TREE: &str = include_str!("../programs/helpers/tree.py");

/// The fixture's image below, an empty one for the changes, and both as one.
struct Layers {
    mounted: Mounted,
    upper: String,
    merged: String,
}

impl Layers {
    fn new() -> Layers {
        let mounted = Mounted::new(Kind::Basic);
        let base = mounted.fixture.base.path().display().to_string();
        let layers = Layers { upper: format!("{base}/upper"), merged: format!("{base}/merged"), mounted };
        let image = format!("{base}/upper.img");
        std::fs::File::create(&image).and_then(|file| file.set_len(64 << 20)).expect("an image file");
        let owner = format!("root_owner={0}:{0}", user::id());
        tool("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), "-E".as_ref(), owner.as_ref(), image.as_ref()]);
        layers.sh("exec mkdir {U}/changes {U}/work").expect_exit(0);
        layers
    }

    /// All three mounts; `overlay`: the options of the third.
    fn run(&self, overlay: &str, words: &[&str]) -> Outcome {
        let image = self.mounted.fixture.image.display().to_string();
        let (lower, upper, merged) = (self.mounted.dir(), &self.upper, &self.merged);
        let settings = format!("{image}:{lower}:ro;{upper}.img:{upper};none:{merged},type=overlay{overlay}");
        self.mounted.preload(Run::new(words.iter().copied())).env("STOWAWAY_MOUNT", settings).output()
    }

    fn options(&self) -> String {
        format!(",opts=lowerdir={}+upperdir={1}/changes+workdir={1}/work", self.mounted.dir(), self.upper)
    }

    /// `{M}`: both as one, `{U}`: the upper image, `{L}`: the lower one.
    fn sh(&self, script: &str) -> Outcome {
        let script = script
            .replace("{M}", &self.merged)
            .replace("{U}", &self.upper)
            .replace("{L}", &self.mounted.dir());
        self.run(&self.options(), &["bash", "-c", &script])
    }

    #[track_caller]
    fn says(&self, script: &str, expected: &str) {
        let outcome = self.sh(script);
        assert_eq!((outcome.out().as_str(), outcome.err().as_str()), (expected, ""), "{script}");
    }
}

everyone! {
    fn changes_go_to_the_upper_image() {
        let layers = Layers::new();
        layers.says("cat {M}/hello.txt; echo changed > {M}/hello.txt; cat {M}/hello.txt {L}/hello.txt", "Hello, world!\nchanged\nHello, world!\n");
        layers.says("rm {M}/dir/a; echo new > {M}/dir/new; exec ls {M}/dir/a {M}/dir/new 2>&1 | sed 's/.*: N/N/; s|.*/||'", "No such file or directory\nnew\n");
        layers.says("exec stat -c '%F %t %T' {U}/changes/dir/a", "character special file 0 0\n");
        layers.says("mv {M}/big.dat {M}/moved; cmp {M}/moved {L}/big.dat; exec ls {U}/changes", "big.dat\ndir\nhello.txt\nmoved\n");
        layers.says("exec cat {M}/dir/new {M}/hello.txt", "new\nchanged\n");
        assert_eq!(layers.mounted.content("hello.txt"), b"Hello, world!\n");
        assert!(layers.mounted.has("dir/a") && !layers.mounted.has("dir/new"));
        layers.mounted.check();
        tool("e2fsck", &["-fn".as_ref(), format!("{}.img", layers.upper).as_ref()]);
    }

    fn a_tree_is_kept() {
        let layers = Layers::new();
        layers.says("exec mkdir {M}/tree", "");
        let tree = format!("{}/tree", layers.merged);
        for what in ["fill", "check", "change", "check-changed"] {
            let words = ["python3", "-c", TREE, what, &tree, "long", "unicode", "sparse", "links", "symlinks", "modes", "xattr"];
            let outcome = layers.run(&layers.options(), &words);
            let got = (outcome.status.as_str(), outcome.out().to_string(), outcome.err().to_string());
            assert_eq!(got, ("exit 0", String::new(), String::new()), "{what}");
        }
        layers.says("exec diff -r --no-dereference {M}/tree {U}/changes/tree", "");
        tool("e2fsck", &["-fn".as_ref(), format!("{}.img", layers.upper).as_ref()]);
    }

    fn lower_layers_alone_are_read_only() {
        let layers = Layers::new();
        layers.sh("mkdir {U}/other && echo other > {U}/other/file").expect_exit(0);
        let lower = format!(",opts=lowerdir={}:{}/other", layers.mounted.dir(), layers.upper);
        let script = format!("cat {0}/file {0}/hello.txt; exec touch {0}/new", layers.merged);
        let outcome = layers.run(&lower, &["bash", "-c", &script]);
        assert_eq!(outcome.out(), "other\nHello, world!\n");
        assert!(outcome.err().contains("Read-only file system") && our_lines(&outcome).is_empty(), "{}", outcome.err());
    }

    fn layers_that_cannot_be() {
        let layers = Layers::new();
        let line = |overlay: &str| {
            let outcome = layers.run(overlay, &["ls", &layers.merged]);
            let lines = our_lines(&outcome);
            assert!(outcome.status != "exit 0" && lines.len() == 1, "{overlay}: {lines:?}");
            lines[0].clone()
        };
        assert!(line(",opts=lowerdir=/usr").contains("/usr is in no other mount"));
        let lower = layers.mounted.dir();
        assert!(line(&format!(",opts=lowerdir={lower}/../..:{lower}")).contains("in no other mount"));
        assert!(line("").contains("missing 'lowerdir'"));
        let missing = line(&format!(",opts=lowerdir={lower}+upperdir={0}/none+workdir={0}/work", layers.upper));
        assert!(missing.contains("/upper/none'") && !missing.contains("anchor"), "{missing}");
    }
}
