// SPDX-License-Identifier: GPL-2.0-only
//! File systems on several images, `IMAGE+IMAGE:PATH`: made by their own tools, filled, compared and changed in other
//! kernels, checked by their own checkers.

use std::fs::File;
use std::path::PathBuf;
use stowaway_tests::everyone;
use stowaway_tests::fixture::tool;
use stowaway_tests::made::place;
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::process::{Outcome, Run};
use stowaway_tests::user;

const TREE: &str = include_str!("../programs/helpers/tree.py");

/// Images beside each other.
struct Images<'a> {
    mounted: &'a Mounted,
}

impl Images<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.mounted.fixture.base.path().join(name)
    }

    fn make(&self, name: &str, mebibytes: u64) {
        File::create(self.path(name)).and_then(|file| file.set_len(mebibytes << 20)).expect("an image file");
    }

    /// A command of the host; words that are names of images become their paths.
    fn host(&self, line: &str) -> String {
        let script = format!("cd {} && {line}", self.mounted.fixture.base.path().display());
        tool("sh", &["-ec".as_ref(), script.as_ref()])
    }

    /// The same with loop devices $A, $B, $C for images, for tools that want block devices. False: the host has none.
    fn on_loops(&self, names: &[&str], line: &str) -> bool {
        let mut script = String::from("trap 'losetup -d $all' EXIT; all=; ");
        for (variable, name) in ["A", "B", "C"].iter().zip(names) {
            script +=
                &format!("{variable}=$(losetup -f --show {name}) || exit 77; all=\"$all ${variable}\"; ");
        }
        script += line;
        let base = self.mounted.fixture.base.path();
        let path = "/usr/bin:/bin:/usr/sbin:/sbin";
        let done = std::process::Command::new("sh")
            .args(["-ec", &script])
            .env("PATH", path)
            .current_dir(base)
            .output()
            .expect("sh");
        if done.status.code() == Some(77) {
            user::note("the host has no loop devices");
            return false;
        }
        assert!(
            done.status.success(),
            "{line}: {}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        true
    }

    /// A program with these images, joined by +, and what follows the path.
    fn run(&self, images: &str, options: &str, words: &[&str]) -> Outcome {
        let paths: Vec<String> =
            images.split('+').map(|name| self.path(name).display().to_string()).collect();
        let mount = format!("{}:{}{options}", paths.join("+"), self.mounted.dir());
        self.mounted.preload(Run::new(words.iter().copied())).env("STOWAWAY_MOUNT", mount).output()
    }

    #[track_caller]
    fn tree(&self, images: &str, what: &str) {
        let dir = self.mounted.dir();
        let words = [
            "python3", "-c", TREE, what, &dir, "long", "unicode", "sparse", "links", "symlinks", "modes",
            "xattr",
        ];
        let outcome = self.run(images, "", &words);
        let got = (outcome.status.as_str(), outcome.out().to_string(), outcome.err().to_string());
        assert_eq!(got, ("exit 0", String::new(), String::new()), "{what} on {images}");
    }

    /// Our line about a mount that fails.
    #[track_caller]
    fn refused(&self, images: &str) -> String {
        let outcome = self.run(images, "", &["ls", &self.mounted.dir()]);
        assert_ne!(outcome.status, "exit 0", "{images}: {}", outcome.out());
        let lines = our_lines(&outcome);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].clone()
    }
}

everyone! {
    fn btrfs() {
        let Some(mounted) = place("btrfs", &["mkfs.btrfs", "btrfs"]) else { return };
        let images = Images { mounted: &mounted };
        for profile in ["raid1", "raid0"] {
            for name in ["a", "b", "c"] {
                images.make(name, 192);
            }
            images.host(&format!("mkfs.btrfs -q -f -d {profile} -m {profile} a b c"));
            if !user::is_root() {
                assert_eq!(images.run("a+b+c", "", &["ls", "-A", &mounted.dir()]).expect_exit(0).out(), "");
                user::note("btrfs: only looked at as an ordinary user: mkfs.btrfs makes root's file systems");
                continue;
            }
            images.tree("a+b+c", "fill");
            images.tree("c+a+b", "check");
            images.tree("b+c+a", "change");
            images.tree("a+b+c", "check-changed");
            // Given back and taken again around each child.
            let script = format!("cd {}; for n in 1 2 3; do cp large copy$n; cmp large copy$n; done; rm copy*; exec ls -d .", mounted.dir());
            let outcome = images.run("a+b+c", "", &["bash", "-c", &script]);
            assert_eq!((outcome.out().as_str(), outcome.err().as_str()), (".\n", ""));
            images.on_loops(&["a", "b", "c"], "btrfs check --readonly $A");
            let line = images.refused("a");
            assert!(line.contains("IMAGE+IMAGE") && line.contains("opts=degraded"), "{line}");
            if profile == "raid1" {
                let outcome = images.run("a+b", ":ro,opts=degraded", &["ls", &mounted.dir()]);
                assert!(outcome.expect_exit(0).out().contains("large"));
            }
        }
    }

    fn ext4_with_its_journal_elsewhere() {
        let Some(mounted) = place("ext4_with_its_journal_elsewhere", &["mkfs.ext4"]) else { return };
        if !user::is_root() {
            return user::note("ext4_with_its_journal_elsewhere: mkfs.ext4 wants a block device, which only root makes");
        }
        let images = Images { mounted: &mounted };
        images.make("data", 64);
        images.make("journal", 16);
        if !images.on_loops(&["journal"], "mke2fs -q -O journal_dev -b 4096 $A; mkfs.ext4 -q -F -b 4096 -J device=$A data") {
            return;
        }
        for what in ["fill", "check", "change", "check-changed"] {
            images.tree("data+journal", what);
        }
        images.host("e2fsck -fn -j journal data");
        assert!(images.refused("data").contains("IMAGE+JOURNAL"));
        let line = images.refused("data+journal+journal");
        assert!(line.contains("its journal"), "{line}");
        // A process that is killed leaves the journal to be replayed, from the other image.
        let script = "import os, signal, sys\nos.fsync(os.open(sys.argv[1] + '/new', os.O_CREAT))\nos.kill(os.getpid(), signal.SIGKILL)\n";
        images.run("data+journal", "", &["env", "STOWAWAY_KEEPER=no", "python3", "-c", script, &mounted.dir()]);
        let outcome = images.run("data+journal", "", &["ls", &format!("{}/new", mounted.dir())]);
        assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""));
        images.host("e2fsck -fn -j journal data");
    }

    fn xfs_with_its_log_and_realtime_device_elsewhere() {
        let test = "xfs_with_its_log_and_realtime_device_elsewhere";
        let Some(mounted) = place(test, &["mkfs.xfs", "xfs_repair", "xfs_io"]) else { return };
        if !user::is_root() {
            return user::note(&format!("{test}: mkfs.xfs wants block devices, which only root makes"));
        }
        let images = Images { mounted: &mounted };
        for (name, mebibytes) in [("data", 320), ("log", 64), ("realtime", 128)] {
            images.make(name, mebibytes);
        }
        if !images.on_loops(&["data", "log", "realtime"], "mkfs.xfs -q -f -l logdev=$B -r rtdev=$C $A") {
            return;
        }
        let all = "data+log+realtime";
        for what in ["fill", "check", "change", "check-changed"] {
            images.tree(all, what);
        }
        let file = format!("{}/on-realtime", mounted.dir());
        images.run(all, "", &["xfs_io", "-f", "-c", "chattr +r", "-c", "pwrite -q -S 0x5a 0 3000000", &file]).expect_exit(0);
        let listed = images.run(all, "", &["xfs_io", "-c", "lsattr", &file]);
        assert!(listed.out().starts_with('r'), "{}", listed.out());
        let kept = std::fs::read(images.path("realtime")).expect("the image");
        assert!(kept.iter().filter(|&&byte| byte == 0x5a).count() >= 3_000_000);
        images.on_loops(&["data", "log", "realtime"], "xfs_repair -n -l $B -r $C $A");
        // Read-only, the log and the realtime device are opened for reading alone, and nothing is written.
        let sums = || images.host("sha256sum data log realtime");
        let before = sums();
        let outcome = images.run(all, ":ro", &["xfs_io", "-r", "-c", "pread -q 0 3000000", &file]);
        assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""));
        let outcome = images.run(all, ":ro", &["touch", &file]);
        assert!(outcome.err().contains("Read-only file system"), "{}", outcome.err());
        assert_eq!(sums(), before);
        assert!(images.refused("data").contains("IMAGE+LOG"));
        let line = images.refused("data+log");
        assert!(line.contains("its log, its realtime device"), "{line}");
    }

    fn erofs_with_its_chunks_elsewhere() {
        let Some(mounted) = place("erofs_with_its_chunks_elsewhere", &["mkfs.erofs"]) else { return };
        let images = Images { mounted: &mounted };
        std::fs::create_dir(images.path("tree")).expect("a directory");
        std::fs::write(images.path("tree/file"), b"some text\n".repeat(50_000)).expect("a file");
        images.host("mkfs.erofs --quiet --chunksize=4096 --blobdev=chunks small tree");
        let file = format!("{}/file", mounted.dir());
        let outcome = images.run("small+chunks", "", &["cmp", &file, &images.path("tree/file").display().to_string()]);
        assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""));
        assert!(images.refused("small").contains("IMAGE+IMAGE"));
    }

    fn each_of_them_is_a_plain_disk() {
        let Some(mounted) = place("each_of_them_is_a_plain_disk", &["mkfs.btrfs"]) else { return };
        let images = Images { mounted: &mounted };
        images.make("a", 128);
        images.make("b", 128);
        images.host("mkfs.btrfs -q -m raid1 -d raid1 a b && gzip -1 b");
        let line = images.refused("a+b.gz");
        assert!(line.contains("b.gz: is compressed with gzip; of several images each has to be a plain disk"), "{line}");
    }

    fn one_that_is_cut_short_or_there_twice() {
        let test = "one_that_is_cut_short_or_there_twice";
        let Some(mounted) = place(test, &["mkfs.btrfs", "mkfs.xfs"]) else { return };
        let images = Images { mounted: &mounted };
        for (name, mebibytes) in [("btrfs", 128), ("xfs", 320)] {
            images.make(name, mebibytes);
        }
        images.host("mkfs.btrfs -q btrfs && mkfs.xfs -q xfs && cp btrfs btrfs2 && cp xfs xfs2");
        for (name, words) in [("btrfs", ["btrfstune -u", "one at a time"]), ("xfs", ["opts=nouuid", "xfs_admin -U"])] {
            let (one, two) = (images.path(name).display().to_string(), images.path(&format!("{name}2")).display().to_string());
            let dir = mounted.dir();
            let run = mounted.run(["ls", &dir, &format!("{dir}2")]).env("STOWAWAY_MOUNT", format!("{one}:{dir};{two}:{dir}2"));
            let lines = our_lines(&run.output());
            assert!(lines.len() == 1 && words.iter().all(|word| lines[0].contains(word)), "{lines:?}");
        }
        images.host("truncate -s 64M btrfs; truncate -s 200M xfs");
        for name in ["btrfs", "xfs"] {
            let line = images.refused(name);
            assert!(line.contains("cut short") && !line.contains("a device is missing"), "{line}");
        }
    }

    fn what_does_not_belong_together() {
        let Some(mounted) = place("what_does_not_belong_together", &["mkfs.vfat", "mkfs.xfs"]) else { return };
        let images = Images { mounted: &mounted };
        images.make("fat", 16);
        images.make("xfs", 320);
        images.make("more", 16);
        images.host("mkfs.vfat fat && mkfs.xfs -q xfs");
        assert!(images.refused("fat+more").contains("on one image"));
        assert!(images.refused("xfs+more").contains("nothing belongs behind the +"));
        assert!(images.refused("fat+nothing").contains("on one image"));
        let line = images.refused("nothing+more");
        assert!(line.contains("nothing") && line.contains("cannot open the image"), "{line}");
    }
}
