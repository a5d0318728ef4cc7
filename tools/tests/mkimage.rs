// SPDX-License-Identifier: GPL-2.0-only
//! `stowaway mkimage`: every type, and everything that it refuses.

mod support;

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use support::{has, Place};

fn filled() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("dir")).unwrap();
    for n in 0..50 {
        place.write(&format!("dir/file-{n}"), format!("content {n}\n").as_bytes(), 0o640);
    }
    std::os::unix::fs::symlink("file-1", place.path("dir/link")).unwrap();
    place
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn ext4_is_filled_clean_and_the_callers() {
    let place = filled();
    let ended = place.run(&["mkimage", "--label", "cargo", "disk.img", "dir"]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with("disk.img: ext4 image of 65M, filled from dir"), "{ended:?}");
    let image = place.path("disk.img");
    let fsck = Command::new("/sbin/e2fsck").arg("-fn").arg(&image).output().unwrap();
    assert!(fsck.status.success(), "{fsck:?}");
    let debugfs = |request: &str| output(Command::new("/sbin/debugfs").args(["-R", request]).arg(&image));
    assert!(debugfs("cat file-7").contains("content 7"));
    assert!(debugfs("stat link").contains("file-1"));
    let root = debugfs("stat <2>");
    let user = std::fs::metadata(&image).unwrap().uid();
    assert!(root.replace(' ', "").contains(&format!("User:{user}")), "{root}");
    let lost = debugfs("stat lost+found");
    assert!(lost.replace(' ', "").contains(&format!("User:{user}")), "{lost}");
    assert!(debugfs("show_super_stats -h").contains("cargo"));
}

#[test]
fn many_small_files_have_their_inodes() {
    let place = Place::new();
    std::fs::create_dir(place.path("dir")).unwrap();
    for n in 0..3000 {
        std::fs::write(place.path(&format!("dir/{n}")), b"").unwrap();
    }
    let ended = place.run(&["mkimage", "--size", "16M", "disk.img", "dir"]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
}

#[test]
fn every_type() {
    let place = filled();
    // (type, tool, whether it takes a directory, offset and bytes of its superblock's magic)
    let types: [(&str, &str, bool, usize, &[u8]); 9] = [
        ("ext2", "mkfs.ext2", true, 1080, b"\x53\xef"),
        ("ext3", "mkfs.ext3", true, 1080, b"\x53\xef"),
        ("ext4", "mkfs.ext4", true, 1080, b"\x53\xef"),
        ("xfs", "mkfs.xfs", false, 0, b"XFSB"),
        ("btrfs", "mkfs.btrfs", true, 65600, b"_BHRfS_M"),
        ("squashfs", "mksquashfs", true, 0, b"hsqs"),
        ("erofs", "mkfs.erofs", true, 1024, b"\xe2\xe1\xf5\xe0"),
        ("vfat", "mkfs.vfat", false, 510, b"\x55\xaa"),
        ("iso9660", "genisoimage", true, 32769, b"CD001"),
    ];
    for (fstype, tool, takes_dir, offset, magic) in types {
        let image = format!("{fstype}.img");
        let mut args = vec!["mkimage", "--type", fstype, &image];
        args.extend(takes_dir.then_some("dir"));
        let ended = place.run(&args);
        if !has(tool) {
            ended.failed(1, &[tool, "not found; sudo apt-get install"]);
            continue;
        }
        assert_eq!(ended.status, Some(0), "{fstype}: {ended:?}");
        let bytes = std::fs::read(place.path(&image)).unwrap();
        assert_eq!(&bytes[offset..offset + magic.len()], magic, "{fstype}");
        std::fs::remove_file(place.path(&image)).unwrap();
    }
    // Empty, where that makes sense.
    for fstype in ["ext4", "btrfs"] {
        let ended = place.run(&["mkimage", "--type", fstype, "--size", "128M", "empty.img", "--force"]);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert_eq!(std::fs::metadata(place.path("empty.img")).unwrap().len(), 128 << 20);
    }
}

#[test]
fn refusals_leave_nothing() {
    let place = filled();
    place.write("there.img", b"mine", 0o644);
    place.library();
    let before = place.names();
    let refused = |args: &[&str], words: &[&str]| {
        place.run(&[&["mkimage"], args].concat()).failed(1, words);
        assert_eq!(place.names(), before, "{args:?}");
    };
    refused(&["there.img"], &["there.img: exists already; --force"]);
    refused(&["dir"], &["dir: is a directory"]);
    refused(&["new.img", "no-dir"], &["no-dir: No such file"]);
    refused(&["new.img", "there.img"], &["there.img: is not a directory"]);
    refused(&["no/new.img", "dir"], &["no/new.img: No such file"]);
    refused(&["dir/new.img", "dir"], &["inside the directory"]);
    refused(&["--size", "lots", "new.img"], &["--size: \"lots\" is not a size"]);
    refused(&["--size", "1M", "new.img"], &["--size: 1M is too little for ext4; at least 8M"]);
    refused(&["--type", "squashfs", "--size", "64M", "new.img", "dir"], &["as large as its content"]);
    refused(&["--type", "squashfs", "new.img"], &["give a DIR"]);
    refused(&["--type", "xfs", "new.img", "dir"], &["cannot be filled", "cp -a dir/. /mnt/data/"]);
    refused(&["--type", "vfat", "new.img", "dir"], &["cannot be filled", "stowaway run --mount new.img"]);
    if has("mkfs.erofs") {
        refused(&["--type", "erofs", "--label", "x", "new.img", "dir"], &["--label"]);
    }
    assert_eq!(std::fs::read(place.path("there.img")).unwrap(), b"mine");
}

#[test]
fn a_failing_tool_leaves_nothing() {
    let place = filled();
    place.write("dir/large", &vec![7; 20 << 20], 0o644);
    place.library();
    let before = place.names();
    let ended = place.run(&["mkimage", "--size", "16M", "disk.img", "dir"]);
    ended.failed(1, &["disk.img: mkfs.ext4: ", "larger --size"]);
    assert_eq!(place.names(), before);
    place
        .run(&["mkimage", "--label", "longer-than-sixteen-bytes", "--type", "xfs", "x.img"])
        .failed(1, &["x.img: "]);
    assert_eq!(place.names(), before);
}

#[test]
fn force_replaces() {
    let place = filled();
    place.write("disk.img", b"old", 0o644);
    let ended = place.run(&["mkimage", "--force", "disk.img", "dir"]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(std::fs::metadata(place.path("disk.img")).unwrap().len() > 3);
}

#[test]
fn unknown_types_are_a_wrong_command_line() {
    let ended = Place::new().run(&["mkimage", "--type", "ntfs", "x.img"]);
    assert_eq!(ended.status, Some(2));
    assert!(ended.stderr.contains("ntfs") && ended.stderr.contains("squashfs"), "{ended:?}");
}
