// SPDX-License-Identifier: GPL-2.0-only
//! Tools that ask /proc what is mounted know the mounts.

use stowaway_tests::everyone;
use stowaway_tests::fixture::{tool, Kind};
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::process::{Outcome, Run};
use stowaway_tests::user;

/// The mounts of the settings, in a shell.
fn sh(mounted: &Mounted, settings: &str, script: &str) -> Outcome {
    mounted.preload(Run::new(["bash", "-c", script])).env("STOWAWAY_MOUNT", settings).output()
}

#[track_caller]
fn says(outcome: &Outcome, expected: &str) {
    assert_eq!((outcome.out().as_str(), outcome.err().as_str()), (expected, ""));
}

/// An image of another file system, beside the fixture's.
fn image_of(mounted: &Mounted, fstype: &str, bytes: u64) -> String {
    let image = mounted.fixture.base.path().join(format!("{fstype}.img"));
    std::fs::File::create(&image).and_then(|file| file.set_len(bytes)).expect("an image file");
    tool(&format!("mkfs.{fstype}"), &["-q".as_ref(), "-f".as_ref(), image.as_os_str()]);
    image.display().to_string()
}

everyone! {
    fn tools_know_the_mount() {
        let mounted = Mounted::new(Kind::Basic);
        let (image, dir) = (mounted.fixture.image.display().to_string(), mounted.dir());
        let run = |words: &[&str]| mounted.run(words.iter().copied()).output();
        says(&run(&["mountpoint", &dir]), &format!("{dir} is a mountpoint\n"));
        assert_eq!(run(&["mountpoint", "-q", &format!("{dir}/dir")]).status, "exit 32");
        let found = run(&["findmnt", "-n", "-o", "SOURCE,FSTYPE,TARGET", &dir]);
        assert_eq!(found.out().split_whitespace().collect::<Vec<_>>(), [&image, "ext4", &dir], "{}", found.err());
        says(&run(&["findmnt", "-n", "-o", "TARGET", "-T", &format!("{dir}/dir/a")]), &format!("{dir}\n"));
        says(&run(&["df", "--output=source,target", &format!("{dir}/dir")]), &run(&["df", "--output=source,target", &dir]).out());
        let lists = |words: &[&str]| {
            let outcome = run(words);
            let lines: Vec<String> = outcome.out().lines().filter(|line| line.contains(&dir)).map(String::from).collect();
            assert!(lines.len() == 1 && lines[0].contains(&image), "{words:?}: {lines:?} {}", outcome.err());
            lines[0].clone()
        };
        lists(&["df"]);
        lists(&["df", "-h"]);
        // A setuid program gains rights as another user, and is not served.
        assert!(!user::is_root() || lists(&["mount"]).starts_with(&format!("{image} on {dir} type ext4 (rw,")));
        let script = "import os, sys\nprint(os.path.ismount(sys.argv[1]), os.path.ismount(sys.argv[1] + '/dir'))";
        says(&run(&["python3", "-c", script, &dir]), "True False\n");
        mounted.check();
    }

    fn each_kind_of_mount_has_its_line() {
        let mounted = Mounted::new(Kind::Basic);
        let base = mounted.fixture.base.path().display().to_string();
        let copy = format!("{base}/a b#c.img");
        std::fs::copy(&mounted.fixture.image, &copy).expect("a copy");
        let image = copy.replace('#', "\\#");
        // `stowaway run` looks for the images first.
        let missing = if Run::is_by_run() { String::new() } else { format!(";{base}/missing.img:{base}/x") };
        let settings =
            format!("none:{base}/m m/dir,type=proc;none:{base}/t,type=tmpfs;{image}:{base}/m m:ro{missing}");
        let script = format!("cat /proc/self/mounts /proc/self/mountinfo | grep -F {base}/");
        let outcome = sh(&mounted, &settings, &script);
        let out = outcome.out();
        let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split(' ').collect()).collect();
        assert_eq!(lines.len(), 6, "{out}");
        let shown = copy.replace(' ', "\\040").replace('#', "\\043");
        assert_eq!(lines[0][..3], ["none", &format!("{base}/t"), "tmpfs"]);
        assert_eq!(lines[1][..3], [&shown, &format!("{base}/m\\040m"), "ext4"]);
        assert_eq!(lines[2][..3], ["none", &format!("{base}/m\\040m/dir"), "proc"]);
        // mountinfo: what is mounted inside of another mount has that as its parent.
        assert!(lines[5][1] == lines[4][0] && lines[4][1] != "0", "{out}");
        assert!(lines[1][3].starts_with("ro,") && lines[4][5].starts_with("ro,"), "{out}");
        // The image that is not there has no line, and is named.
        let lines = our_lines(&outcome);
        assert_eq!(lines.len(), usize::from(!missing.is_empty()), "{}", outcome.err());
        assert!(lines.iter().all(|line| line.contains("missing.img")), "{lines:?}");
    }

    fn a_process_has_what_its_kernel_has() {
        let mounted = Mounted::new(Kind::Basic);
        let dir = mounted.dir();
        // A shell, its children, and what they have open over an exec.
        let script = format!("exec 5</proc/self/mounts; mountpoint -q {dir} && grep -c {dir} <&5; (grep -c {dir} /proc/$$/mounts /proc/$BASHPID/mounts) | sed 's/.*://'; env -i /usr/bin/mountpoint -q {dir} && echo yes");
        says(&sh(&mounted, &mounted.fixture.mount(""), &script), "1\n1\n1\nyes\n");
        let outcome = mounted.run(["bash", "-c", &format!("mountpoint -q {dir}; grep -c {dir} /proc/self/mounts")]).env("STOWAWAY_SHARE", "no").output();
        says(&outcome, "1\n");
        mounted.check();
    }

    fn tools_of_file_systems_know_their_own() {
        let mounted = Mounted::new(Kind::Basic);
        let (base, dir) = (mounted.fixture.base.path().display().to_string(), mounted.dir());
        let image = image_of(&mounted, "btrfs", 256 << 20);
        let script = format!(
            "btrfs subvolume create {dir}/s >&2 && btrfs subvolume snapshot -r {dir}/s {dir}/r >&2 && \
             btrfs send -q {dir}/r -f {base}/sent && test -s {base}/sent && echo sent"
        );
        let command = mounted.artifacts.command.display().to_string();
        let mount = format!("{image}:{dir}");
        let outcome = Run::new([&command, "run", "--as", "0", "--mount", &mount, "--", "sh", "-c", &script]).output();
        assert_eq!(outcome.out(), "sent\n", "{}", outcome.err());
        let image = image_of(&mounted, "xfs", 320 << 20);
        let outcome = sh(&mounted, &format!("{image}:{dir}"), &format!("PATH=$PATH:/usr/sbin; xfs_info {dir}"));
        assert!(outcome.out().starts_with(&format!("meta-data={image}")), "{} {}", outcome.out(), outcome.err());
    }
}
