// SPDX-License-Identifier: GPL-2.0-only
//! What of an image is mounted, and where: images inside images, mounts below mounts, a directory of an image, an offset; and
//! images that cannot be written, which everybody shares.

use std::ffi::OsStr;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use stowaway_tests::everyone;
use stowaway_tests::fixture::{check_image, temporary, tool};
use stowaway_tests::held::Held;
use stowaway_tests::mounted::line_with;
use stowaway_tests::process::Run;
use stowaway_tests::{artifacts, ext4, user};
use tempfile::TempDir;

/// A directory with images in it. Mount paths lie in a directory beside them, which is not there.
struct Room(TempDir);

impl Room {
    fn new() -> Room {
        Room(temporary())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A directory with files: name and content.
    fn tree(&self, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let tree = self.path(name);
        std::fs::create_dir_all(&tree).expect("a directory");
        for (file, content) in files {
            let file = tree.join(file);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
            std::fs::write(file, content).expect("a file");
        }
        tree
    }

    fn tool(&self, line: &str) {
        let line = line.replace("{}", &self.0.path().display().to_string());
        let mut words = line.split(' ');
        let arguments: Vec<&OsStr> = words.by_ref().skip(1).map(OsStr::new).collect();
        tool(line.split(' ').next().expect("a program"), &arguments);
    }

    /// An ext4 image of so many MiB, filled from a tree that is ours.
    fn ext4(&self, name: &str, mebibytes: u64, files: &[(&str, &[u8])]) -> PathBuf {
        let (image, tree) = (self.path(name), self.tree(&format!("{name}.tree"), files));
        let file = std::fs::File::create(&image).expect("an image");
        file.set_len(mebibytes << 20).expect("room");
        let owner = format!("root_owner={}:{}", user::id(), user::id());
        self.tool(&format!("mkfs.ext4 -q -F -E {owner} -d {} {}", tree.display(), image.display()));
        image
    }

    fn squashfs(&self, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let tree = self.tree(&format!("{name}.tree"), files);
        self.tool(&format!("mksquashfs {} {{}}/{name} -noappend -quiet -no-progress", tree.display()));
        self.path(name)
    }

    /// `stowaway run` with mounts, in which `{}` is the directory; the same in the script.
    fn run(&self, mounts: &[&str], script: &str) -> Run {
        let here = |text: &str| text.replace("{}", &self.0.path().display().to_string());
        let mut words = vec![artifacts::get().command.into_os_string(), "run".into()];
        for mount in mounts {
            words.extend(["--mount".into(), here(mount).into()]);
        }
        words.extend(["--".into(), "bash".into(), "-c".into(), here(script).into()]);
        Run::new(words)
    }

    #[track_caller]
    fn says(&self, mounts: &[&str], script: &str, expected: &str) {
        let outcome = self.run(mounts, script).output();
        assert_eq!((outcome.out().as_str(), outcome.err().as_str()), (expected, ""), "{mounts:?} {script}");
    }

    /// A file of an ext4 image that is whole.
    #[track_caller]
    fn content(&self, image: &Path, path: &str) -> Vec<u8> {
        check_image(image).unwrap_or_else(|why| panic!("{}: {why}", image.display()));
        ext4::Image::open(image)
            .and_then(|image| image.read_path(path))
            .unwrap_or_else(|why| panic!("{path}: {why}"))
    }

    /// A file of an ext4 image, as a file of its own.
    fn cut_out(&self, image: &Path, path: &str) -> PathBuf {
        let inner = self.path("cut");
        std::fs::write(&inner, self.content(image, path)).expect("a file");
        inner
    }
}

fn missing(test: &str, program: &str) -> bool {
    let is_missing =
        !["/usr/bin", "/bin", "/usr/sbin", "/sbin"].iter().any(|dir| Path::new(dir).join(program).exists());
    if is_missing {
        user::note(&format!("{test}: not run: {program} is not installed"));
    }
    is_missing
}

everyone! {
    fn a_system_on_a_live_disc() {
        if missing("a_system_on_a_live_disc", "genisoimage") || missing("a_system_on_a_live_disc", "mksquashfs") {
            return;
        }
        let room = Room::new();
        let big: Vec<u8> = (0..3_000_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()).collect();
        let inner = room.squashfs("fs.sqfs", &[("etc/name", b"live\n"), ("big", &big)]);
        room.tree("disc/live", &[]);
        std::fs::copy(inner, room.path("disc/live/filesystem.squashfs")).expect("a copy");
        room.tool("genisoimage -quiet -R -J -o {}/live.iso {}/disc");
        let mounts = ["{}/live.iso:{}/m/iso", "{}/m/iso/live/filesystem.squashfs:{}/m/root"];
        room.says(&mounts, "cat {}/m/root/etc/name; ls {}/m/iso/live; cmp {}/m/root/big {}/fs.sqfs.tree/big", "live\nfilesystem.squashfs\n");
        // In whatever order they are named, and by a process that inherits nothing.
        room.says(&[mounts[1], mounts[0]], "cd {}/m/root && bash -c 'cat etc/name; cd {}/m/iso; ls'", "live\nlive\n");
        let both = Held::start(&room.run(&mounts, "exec 3<{}/m/root/etc/name; echo held; read go; read -r x <&3; echo $x"));
        room.says(&mounts, "cat {}/m/root/etc/name", "live\n");
        assert_eq!(both.finish(), ("live\n".into(), String::new()));
        let outcome = room.run(&mounts, "touch {}/m/root/x").output();
        assert!(outcome.err().contains("Read-only file system"), "{}", outcome.err());
    }

    fn what_is_never_written_inside_of_a_writable_image() {
        let test = "what_is_never_written_inside_of_a_writable_image";
        if missing(test, "genisoimage") || missing(test, "mksquashfs") {
            return;
        }
        let room = Room::new();
        room.ext4("out.img", 16, &[]);
        room.squashfs("in.sqfs", &[("name", b"squashfs\n")]);
        room.tree("disc", &[("name", b"disc\n")]);
        room.tool("genisoimage -quiet -R -J -o {}/in.iso {}/disc");
        room.says(&["{}/out.img:{}/m"], "cp {}/in.iso {}/in.sqfs {}/m && echo copied", "copied\n");
        let mounts = ["{}/out.img:{}/m", "{}/m/in.iso:{}/iso", "{}/m/in.sqfs:{}/sqfs"];
        room.says(&mounts, "cat {}/iso/name {}/sqfs/name; touch {}/m/x && ls {}/m", "disc\nsquashfs\nin.iso\nin.sqfs\nlost+found\nx\n");
        let outcome = room.run(&mounts, "touch {}/iso/x").output();
        assert!(outcome.err().contains("Read-only file system"), "{}", outcome.err());
    }

    fn an_image_inside_is_written() {
        let room = Room::new();
        room.ext4("in.img", 16, &[("old", b"old\n")]);
        let inner = std::fs::read(room.path("in.img")).expect("the image");
        let outer = room.ext4("out.img", 64, &[("images/in.img", &inner)]);
        let mounts = ["{}/out.img:{}/m/out", "{}/m/out/images/in.img:{}/m/in"];
        room.says(&mounts, "cat {}/m/in/old; cp {}/in.img {}/m/in/copy; cp {}/in.img {}/m/out/beside; sync; \
            bash -c 'rm {}/m/in/copy; echo new >{}/m/in/new; cmp {}/in.img {}/m/out/beside'", "old\n");
        room.says(&mounts, "cat {}/m/in/new; mv {}/m/in/new {}/m/in/newer; stat -f -c %T {}/m/in", "new\next2/ext3\n");
        let cut = room.cut_out(&outer, "/images/in.img");
        assert_eq!(room.content(&cut, "/newer"), b"new\n");
        // A program that is killed leaves both whole, when they are mounted again.
        let held = Held::start(&room.run(&mounts, "echo kept >{}/m/in/kept; sync; echo lost >{}/m/in/lost; echo held; read go"));
        held.kill();
        room.says(&mounts, "cat {}/m/in/kept", "kept\n");
        let cut = room.cut_out(&outer, "/images/in.img");
        assert_eq!(room.content(&cut, "/kept"), b"kept\n");
    }

    fn three_images_deep_with_parts() {
        let room = Room::new();
        room.ext4("c.img", 8, &[("deep/file", b"deepest\n")]);
        let third = std::fs::read(room.path("c.img")).expect("the image");
        let mut second = vec![b'#'; 12_345];
        second.extend_from_slice(&third);
        room.ext4("b.img", 24, &[("c", &second)]);
        let inner = std::fs::read(room.path("b.img")).expect("the image");
        let outer = room.ext4("a.img", 64, &[("b", &inner)]);
        let mounts = ["{}/a.img:{}/m/a", "{}/m/a/b:{}/m/b", "{}/m/b/c@12345[/deep]:{}/m/c"];
        room.says(&mounts, "cat {}/m/c/file; echo more >>{}/m/c/file; bash -c 'cat {}/m/c/file'", "deepest\ndeepest\nmore\n");
        let b = room.cut_out(&outer, "/b");
        let c = room.content(&b, "/c");
        assert!(c[..12_345].iter().all(|&byte| byte == b'#'));
        std::fs::write(room.path("c.img"), &c[12_345..]).expect("a file");
        assert_eq!(room.content(&room.path("c.img"), "/deep/file"), b"deepest\nmore\n");
    }

    fn what_is_wrong_with_an_image_inside() {
        let room = Room::new();
        let outer = [("dir/x", &b"x"[..]), ("text", &[b't'; 5000])];
        room.ext4("out.img", 16, &outer);
        for (image, words) in [
            ("none.img", &["none.img", "no such file"][..]),
            ("dir", &["dir", "is a directory"]),
            ("text", &["text", "not a file system that is known"]),
            ("text#1", &["text", "no partition table"]),
            ("text@5000", &["text", "nothing can begin at this offset"]),
        ] {
            let inner = format!("{{}}/m/out/{image}:{{}}/m/in");
            let outcome = room.run(&["{}/out.img:{}/m/out", &inner], "cat {}/m/in/x; cat {}/m/out/dir/x").output();
            assert!(outcome.out() == "x" && outcome.err().contains("cat: "), "{image}: {}", outcome.err());
            line_with(&outcome, words);
        }
        let mut broken = vec![0; 256 << 10];
        broken[1080..1082].copy_from_slice(&[0x53, 0xef]);
        let outer = room.ext4("broken.img", 16, &[("broken", &broken)]);
        let outcome = room.run(&["{}/broken.img:{}/m/out", "{}/m/out/broken:{}/m/in"],
            "ls {}/m/in/x; echo >{}/m/out/made; bash -c 'ls {}/m/out'").output();
        assert_eq!(outcome.out(), "broken\nlost+found\nmade\n", "{}", outcome.err());
        line_with(&outcome, &["/m/out/broken: cannot mount as ext4"]);
        assert_eq!(room.content(&outer, "/made"), b"\n");
        room.ext4("in.img", 8, &[("f", b"f\n")]);
        let inner = std::fs::read(room.path("in.img")).expect("the image");
        room.ext4("ro.img", 32, &[("in.img", &inner)]);
        let outcome = room.run(&["{}/ro.img:{}/m/out:ro", "{}/m/out/in.img:{}/m/in"], "cat {}/m/in/f").output();
        line_with(&outcome, &["in.img", "mount it read-only (:ro)"]);
        room.says(&["{}/ro.img:{}/m/out:ro", "{}/m/out/in.img:{}/m/in:ro"], "cat {}/m/in/f", "f\n");
    }

    fn what_has_to_be_unpacked_inside_an_image() {
        let room = Room::new();
        let outer = [("a.gz", &b"\x1f\x8b\x08\0\0\0\0\0 and more"[..]), ("a.qcow2", b"QFI\xfb\0\0\0\x03 and more")];
        room.ext4("out.img", 16, &outer);
        for name in ["a.gz", "a.qcow2"] {
            let inner = format!("{{}}/m/out/{name}:{{}}/m/in");
            let outcome = room.run(&["{}/out.img:{}/m/out", &inner], "ls {}/m/in").output();
            line_with(&outcome, &[name, "inside of another image: copy it out first"]);
            assert!(!outcome.err().contains("stowaway run"), "{}", outcome.err());
        }
    }

    fn an_image_in_a_mount_of_an_outer_run() {
        let room = Room::new();
        room.ext4("in.img", 8, &[("file", b"data\n")]);
        let inner = std::fs::read(room.path("in.img")).expect("the image");
        room.ext4("out.img", 32, &[("in.img", &inner)]);
        let command = stowaway_tests::artifacts::get().command;
        let script = format!("{} run --mount {{}}/m/out/in.img:{{}}/m/in:ro -- cat {{}}/m/in/file", command.display());
        let outcome = room.run(&["{}/out.img:{}/m/out"], &script).output();
        line_with(&outcome, &["in.img", "(ENOENT)", "an outer stowaway run"]);
    }

    fn a_mount_below_a_mount() {
        let room = Room::new();
        let root = room.ext4("root.img", 16, &[("boot/under", b"hidden\n"), ("etc/fstab", b"root\n")]);
        let boot = room.ext4("boot.img", 16, &[("grub/cfg", b"boot\n")]);
        let mounts = ["{}/root.img:{}/m", "{}/boot.img:{}/m/boot"];
        for mounts in [mounts, [mounts[1], mounts[0]]] {
            room.says(&mounts, "ls {}/m {}/m/boot; cat {}/m/boot/grub/cfg {}/m/boot/../etc/fstab {}/m/etc/../boot/grub/cfg",
                &format!("{0}/m:\nboot\netc\nlost+found\n\n{0}/m/boot:\ngrub\nlost+found\nboot\nroot\nboot\n", room.0.path().display()));
        }
        // By a walk from the parent, relative, from a directory, and out again.
        room.says(&mounts, "cd {}/m && cat boot/grub/cfg && cd boot/grub && pwd && cat ../../etc/fstab && bash -c 'cat cfg'",
            &format!("boot\n{}/m/boot/grub\nroot\nboot\n", room.0.path().display()));
        room.says(&mounts, "[ $(stat -c %d {}/m) != $(stat -c %d {}/m/boot) ] && echo apart; \
            rmdir {}/m/boot 2>/dev/null || echo busy", "apart\nbusy\n");
        room.says(&mounts, "echo kernel >{}/m/boot/vmlinuz; mv {}/m/boot/vmlinuz {}/m/etc/moved; cp -a {}/m/boot/grub {}/m/boot/copy; \
            find {}/m -xdev -name cfg 2>/dev/null; ln {}/m/etc/moved {}/m/boot/link 2>/dev/null || echo apart", "apart\n");
        assert_eq!((room.content(&root, "/etc/moved"), room.content(&boot, "/copy/cfg")), (b"kernel\n".to_vec(), b"boot\n".to_vec()));
        assert_eq!(room.content(&root, "/boot/under"), b"hidden\n");
        let outcome = room.run(&["{}/root.img:{}/m", "{}/boot.img:{}/m/nowhere/boot"], "exec cat {}/m/nowhere/boot/x {}/m/etc/fstab").output();
        assert_eq!(outcome.out(), "root\n");
        line_with(&outcome, &["boot.img", "/m/nowhere/boot is not there"]);
        room.says(&["{}/root.img:{}/m", "none:{}/m/boot,type=tmpfs"], "cd {}/m/boot; echo x >y; read -r x <y; echo $x *", "x y\n");
        let three = ["{}/root.img:{}/m", "{}/boot.img:{}/m/boot", "none:{}/m/boot/grub,type=tmpfs"];
        room.says(&three, "cd {}/m/boot/grub; read -r x <../../etc/fstab; cd ..; echo $x *", "root copy grub lost+found\n");
    }

    fn a_directory_of_an_image() {
        let room = Room::new();
        let image = room.ext4("disk.img", 16, &[("home/me/file", b"mine\n"), ("home/other", b"not mine\n")]);
        let mounts = ["{}/disk.img[/home/me]:{}/m/me"];
        room.says(&mounts, "cd {}/m/me && ls -A && pwd && ls .. 2>/dev/null; cat ../other 2>/dev/null || echo out",
            &format!("file\n{}/m/me\nout\n", room.0.path().display()));
        room.says(&mounts, "echo more >>{}/m/me/file; mkdir {}/m/me/new; bash -c 'cat {}/m/me/file'", "mine\nmore\n");
        assert_eq!(room.content(&image, "/home/me/file"), b"mine\nmore\n");
        room.says(&["{}/disk.img[/home/me]:{}/a:ro", "{}/disk.img[/]:{}/b:ro"], "cat {}/a/file {}/b/home/other", "mine\nmore\nnot mine\n");
        let outcome = room.run(&["{}/disk.img[/home/none]:{}/m/me"], "ls {}/m/me").output();
        line_with(&outcome, &["disk.img", "no directory /home/none"]);
        let outcome = room.run(&["{}/disk.img[/home/other]:{}/m/me"], "ls {}/m/me").output();
        line_with(&outcome, &["disk.img", "(ENOTDIR)"]);
    }

    fn an_offset() {
        let room = Room::new();
        room.ext4("fs.img", 16, &[("file", b"content\n")]);
        let inner = std::fs::read(room.path("fs.img")).expect("the image");
        let joined = [&b"#!/bin/sh\nexit 7\n"[..], &vec![0; 188_000], &inner, b"tail"].concat();
        let begin = 188_017;
        let image = room.path("joined");
        std::fs::write(&image, &joined).expect("a file");
        let mount = format!("{{}}/joined@{begin}:{{}}/m");
        room.says(&[&mount], "cat {}/m/file; echo new >{}/m/file", "content\n");
        let after = std::fs::read(&image).expect("the file");
        assert!(after[..begin] == joined[..begin] && after.ends_with(b"tail") && after.len() == joined.len());
        std::fs::write(room.path("fs.img"), &after[begin..after.len() - 4]).expect("a file");
        assert_eq!(room.content(&room.path("fs.img"), "/file"), b"new\n");
        // Another disk in the same file, at the same time; the same one is in use.
        std::fs::write(room.path("two"), [&inner[..], &inner[..]].concat()).expect("a file");
        let second = format!("{{}}/two@{}:{{}}/m", inner.len());
        let held = Held::start(&room.run(&[&second], "exec 3>{}/m/file; echo held; read go; echo done >&3; echo ok"));
        let outcome = room.run(&[&second], "cat {}/m/file").output();
        line_with(&outcome, &["two", "in use by pid"]);
        assert_eq!(held.finish().0, "ok\n");
        let outcome = room.run(&["{}/two@99999999999:{}/m"], "cat {}/m/file").output();
        line_with(&outcome, &["two", "nothing can begin at this offset"]);
        // The name of a file may look like that.
        std::fs::write(room.path("me@512"), &inner).expect("a file");
        room.says(&["{}/me\\@512:{}/m"], "cat {}/m/file", "content\n");
    }

    fn a_partition_behind_an_offset() {
        let room = Room::new();
        room.ext4("fs.img", 8, &[("d/file", b"content\n")]);
        let inner = std::fs::read(room.path("fs.img")).expect("the image");
        let file = std::fs::File::create(room.path("disk")).expect("a file");
        let mut table = [0u8; 512];
        table[446 + 4] = 0x83;
        table[446 + 8..446 + 12].copy_from_slice(&8u32.to_le_bytes());
        table[446 + 12..446 + 16].copy_from_slice(&(inner.len() as u32 / 512).to_le_bytes());
        table[510..].copy_from_slice(&[0x55, 0xaa]);
        for (at, bytes) in [(1 << 20, &table[..]), ((1 << 20) + 4096, &inner)] {
            file.write_all_at(bytes, at).expect("room");
        }
        room.says(&["{}/disk@1M#1[/d]:{}/m"], "cat {}/m/file; echo more >{}/m/more", "content\n");
        room.says(&["{}/disk@1048576#1:{}/m:ro"], "cat {}/m/d/more", "more\n");
        let outcome = room.run(&["{}/disk@1M#2:{}/m"], "cat {}/m/file").output();
        line_with(&outcome, &["no partition 2; it has 1 (8192K"]);
    }

    fn what_nobody_can_write_is_shared() {
        if missing("what_nobody_can_write_is_shared", "mksquashfs") {
            return;
        }
        let room = Room::new();
        let image = room.squashfs("fs.sqfs", &[("file", b"data\n")]);
        std::fs::set_permissions(&image, std::fs::Permissions::from_mode(0o444)).expect("a file of ours");
        let mount = ["{}/fs.sqfs:{}/m"];
        let held = Held::start(&room.run(&mount, "exec 3<{}/m/file; echo held; read go; read -r x <&3; echo $x"));
        room.says(&mount, "cat {}/m/file", "data\n");
        let other = Held::start(&room.run(&mount, "exec 3<{}/m/file; echo held; read go; read -r x <&3; echo $x"));
        assert_eq!(held.finish(), ("data\n".into(), String::new()));
        assert_eq!(other.finish(), ("data\n".into(), String::new()));
        if !user::is_root() {
            let image = room.ext4("ro.img", 8, &[("file", b"data\n")]);
            std::fs::set_permissions(&image, std::fs::Permissions::from_mode(0o444)).expect("a file of ours");
            let outcome = room.run(&["{}/ro.img:{}/m"], "cat {}/m/file").output();
            line_with(&outcome, &["ro.img", "mount it read-only (:ro)"]);
            assert_eq!(outcome.status, "exit 125");
        }
    }
}
