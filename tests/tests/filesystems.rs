// SPDX-License-Identifier: GPL-2.0-only
//! The other file systems: made by their own tools, found by themselves, used through the shim, checked by their own
//! checkers. More of them are in `formats.rs`.

use stowaway_tests::everyone;
use stowaway_tests::fixture::Kind;
use stowaway_tests::made::{
    make, make_check, owned_by_us, place, reads, sh, with_shorter_names, without_hidden,
};
use stowaway_tests::mounted::{said_ok, Mounted};
use stowaway_tests::process::Run;
use stowaway_tests::user;

/// Writes, reads back in another program (another kernel), changes, and reads again.
fn works(mounted: &Mounted) {
    let line = |script: &str, expected: &str| {
        let outcome = sh(mounted, script);
        assert_eq!(
            (outcome.out().as_str(), outcome.err().as_str()),
            (expected, ""),
            "{script}: {}",
            outcome.status
        );
    };
    line("cd {D} && echo hello > a && read x < a && echo $x", "hello\n");
    line("exec mkdir -p {D}/dir/sub", "");
    line("exec cp {H}/random {D}/dir/sub/random", "");
    line("exec cmp {H}/random {D}/dir/sub/random", "");
    line("exec mv {D}/a {D}/dir/b", "");
    line("exec cat {D}/dir/b", "hello\n");
    line("exec dd status=none iflag=fullblock if=/dev/zero of={D}/zeros bs=64K count=40 conv=fsync", "");
    line("exec stat -c %s {D}/zeros", "2621440\n");
    line("exec rm {D}/zeros", "");
    line("exec ls {D}/dir", "b\nsub\n");
}

/// Long reads go past the page cache where the file system says where its files lie.
fn reads_long(mounted: &Mounted) {
    let program = mounted.program("long_reads", include_str!("../programs/facts/long_reads.c"));
    let words = [program.as_os_str(), mounted.dir().as_ref(), mounted.host().as_ref()].map(ToOwned::to_owned);
    let outcome = mounted.run(words).output();
    said_ok(&mounted.dir(), &outcome);
    assert_eq!(outcome.err(), "");
}

/// Direct I/O by the file system's own rules; `how`: what those are for transfers that are not aligned.
fn transfers_directly(mounted: &Mounted, how: &str) {
    let program = mounted.program("direct", include_str!("../programs/facts/direct.c"));
    let words = [program.into_os_string(), mounted.dir().into(), mounted.host().into(), how.into()];
    said_ok(how, &mounted.run(words).output());
}

everyone! {
    fn long_reads() {
        for (how, options) in [("-b 1024", ""), ("-b 4096 -O inline_data", ""), ("-I 256", ":rw,opts=data=journal"), ("-O bigalloc", "")] {
            let Some(mut mounted) = place("long_reads", &["mkfs.ext4", "e2fsck"]) else { return };
            mounted.options = options;
            make(&mounted, 64, &format!("mkfs.ext4 -q -F {how} {{I}}"));
            owned_by_us(&mounted);
            reads_long(&mounted);
            make_check("e2fsck", &["-fn"], &mounted);
        }
    }

    fn long_reads_of_xfs_and_btrfs() {
        for (maker, checker, how) in [("mkfs.xfs", "xfs_repair", "-n"), ("mkfs.btrfs", "btrfs", "check")] {
            let Some(mounted) = place("long_reads_of_others", &[maker, checker]) else { return };
            if !user::is_root() {
                return user::note("long_reads_of_xfs_and_btrfs: root's file systems");
            }
            make(&mounted, 320, &format!("{maker} -q {{I}}"));
            reads_long(&mounted);
            make_check(checker, &[how], &mounted);
        }
    }

    fn ext2() {
        let Some(mounted) = place("ext2", &["mkfs.ext2"]) else { return };
        make(&mounted, 32, "mkfs.ext2 -q -F {I}");
        owned_by_us(&mounted);
        works(&mounted);
        make_check("e2fsck", &["-fn"], &mounted);
    }

    fn ext3() {
        let Some(mounted) = place("ext3", &["mkfs.ext3"]) else { return };
        make(&mounted, 32, "mkfs.ext3 -q -F {I}");
        owned_by_us(&mounted);
        works(&mounted);
        make_check("e2fsck", &["-fn"], &mounted);
    }

    fn ext4_with_blocks_of_1024_bytes() {
        let Some(mounted) = place("ext4", &["mkfs.ext4"]) else { return };
        make(&mounted, 32, "mkfs.ext4 -q -F -b 1024 -O ^metadata_csum {I}");
        owned_by_us(&mounted);
        works(&mounted);
        make_check("e2fsck", &["-fn"], &mounted);
    }

    fn xfs() {
        let Some(mounted) = place("xfs", &["mkfs.xfs", "xfs_repair"]) else { return };
        make(&mounted, 320, "mkfs.xfs -q {I}");
        if !user::is_root() {
            // Its root directory is root's; an empty one can be looked at.
            assert_eq!(sh(&mounted, "exec ls -A {D}").expect_exit(0).out(), "");
            return user::note("xfs: only looked at as an ordinary user: mkfs.xfs makes root's file systems");
        }
        works(&mounted);
        transfers_directly(&mounted, "aligned");
        make_check("xfs_repair", &["-n"], &mounted);
    }

    fn btrfs() {
        let Some(mounted) = place("btrfs", &["mkfs.btrfs"]) else { return };
        make(&mounted, 128, "mkfs.btrfs -q {I}");
        if !user::is_root() {
            assert_eq!(sh(&mounted, "exec ls -A {D}").expect_exit(0).out(), "");
            return user::note("btrfs: only looked at as an ordinary user: mkfs.btrfs makes root's file systems");
        }
        works(&mounted);
        transfers_directly(&mounted, "falls back");
        make_check("btrfs", &["check", "--readonly"], &mounted);
    }

    fn vfat() {
        let Some(mounted) = place("vfat", &["mkfs.vfat", "fsck.vfat"]) else { return };
        make(&mounted, 64, "mkfs.vfat -F 32 {I}");
        let mounted = Mounted { options: own_fat(), ..mounted };
        works(&mounted);
        transfers_directly(&mounted, "aligned");
        make_check("fsck.vfat", &["-n"], &mounted);
    }

    fn squashfs() {
        let Some(mounted) = place("squashfs", &["mksquashfs"]) else { return };
        without_hidden(&mounted);
        make(&mounted, 0, "mksquashfs {T} {I} -quiet -no-progress");
        reads(&mounted);
    }

    fn erofs() {
        let Some(mounted) = place("erofs", &["mkfs.erofs"]) else { return };
        without_hidden(&mounted);
        with_shorter_names(&mounted);
        make(&mounted, 0, "mkfs.erofs {I} {T}");
        reads(&mounted);
    }

    fn large_extents_of_erofs() {
        let Some(mounted) = place("large_extents_of_erofs", &["mkfs.erofs"]) else { return };
        let tree = large_tree(&mounted);
        for clusters in ["16384", "65536", "1048576"] {
            make(&mounted, 0, &format!("mkfs.erofs -zlz4 -C{clusters} {{I}} {tree}"));
            reads_large(&mounted, &tree);
        }
    }

    fn large_blocks_of_squashfs() {
        let Some(mounted) = place("large_blocks_of_squashfs", &["mksquashfs"]) else { return };
        let tree = large_tree(&mounted);
        for compressor in ["gzip", "xz", "zstd", "lz4"] {
            make(&mounted, 0, &format!("mksquashfs {tree} {{I}} -quiet -no-progress -b 1M -comp {compressor}"));
            reads_large(&mounted, &tree);
        }
    }

    fn large_directory_blocks_of_xfs() {
        let Some(mounted) = place("large_directory_blocks_of_xfs", &["mkfs.xfs", "xfs_repair"]) else { return };
        if !user::is_root() {
            return user::note("large_directory_blocks_of_xfs: mkfs.xfs makes root's file systems");
        }
        make(&mounted, 320, "mkfs.xfs -q -n size=65536 {I}");
        let fill = "import os, sys\nfor i in range(3000):\n os.close(os.open(f'{sys.argv[1]}/n{i:0200}', os.O_CREAT))\n";
        mounted.run(["python3", "-c", fill, &mounted.dir()]).output().expect_exit(0);
        let outcome = sh(&mounted, "ls {D} | wc -l; ls {D} | sed s/n0*// | tail -1");
        assert_eq!(outcome.out(), "3000\n2999\n");
        make_check("xfs_repair", &["-n"], &mounted);
    }

    fn xfs_does_not_unshare() {
        let Some(mounted) = place("xfs_does_not_unshare", &["mkfs.xfs"]) else { return };
        if !user::is_root() {
            return user::note("xfs_does_not_unshare: mkfs.xfs makes root's file systems");
        }
        make(&mounted, 320, "mkfs.xfs -q {I}");
        let script = "import ctypes, os, sys\nlibc = ctypes.CDLL(None, use_errno=True)\n\
            file = os.open(sys.argv[1] + '/f', os.O_CREAT | os.O_RDWR)\nos.write(file, b'x' * 65536)\n\
            for mode in 0x40, 0x41, 0:\n \
            print(libc.fallocate(file, mode, ctypes.c_long(0), ctypes.c_long(4096)), ctypes.get_errno())\n";
        let outcome = mounted.run(["python3", "-c", script, &mounted.dir()]).output();
        assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("-1 95\n-1 95\n0 95\n", ""));
        make_check("xfs_repair", &["-n"], &mounted);
    }

    fn iso9660() {
        let Some(mounted) = place("iso9660", &["genisoimage"]) else { return };
        // Rock Ridge carries names up to 255 bytes in this maker only without multi-byte oddities: a plain tree.
        let tree = mounted.fixture.base.path().join("tree");
        std::fs::create_dir(&tree).expect("a directory");
        std::fs::write(tree.join("hello.txt"), "Hello, world!\n").expect("a file");
        let tree = tree.display().to_string();
        make(&mounted, 0, &format!("genisoimage -quiet -R -J -o {{I}} {tree}"));
        assert_eq!(sh(&mounted, "exec cat {D}/hello.txt").expect_exit(0).out(), "Hello, world!\n");
        assert!(sh(&mounted, "exec touch {D}/new").err().contains("Read-only file system"));
    }

    fn the_pseudo_file_systems() {
        let mounted = Mounted::new(Kind::Empty);
        let base = mounted.fixture.base.path().display().to_string();
        let run = |kind: &str, script: &str| {
            let mount = format!("none:{base}/{kind},type={kind}");
            let script = script.replace("{P}", &format!("{base}/{kind}"));
            mounted.preload(Run::new(["bash", "-c", &script])).env("STOWAWAY_MOUNT", mount).output()
        };
        let proc = run("proc", "exec cat {P}/version");
        assert!(proc.expect_exit(0).out().starts_with("Linux version 6.1"), "{}", proc.out());
        assert!(run("sysfs", "exec ls {P}").expect_exit(0).out().contains("kernel"));
        run("devtmpfs", "exec ls {P}").expect_exit(0);
        let tmpfs = run("tmpfs", "cd {P} && echo y > f && read z < f && echo $z && exec ls -A");
        assert!(tmpfs.expect_exit(0).out().starts_with("y\n"), "{}", tmpfs.err());
    }
}

/// A directory with files that pack very well, and one that does not.
fn large_tree(mounted: &Mounted) -> String {
    let tree = mounted.fixture.base.path().join("large");
    std::fs::create_dir(&tree).expect("a directory");
    let text = b"the quick brown fox\n".repeat(600_000);
    let mut state = 1u32;
    let random: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(3 << 20)
    .collect();
    std::fs::write(tree.join("zeros"), vec![0; 20 << 20]).expect("a file");
    std::fs::write(tree.join("text"), text).expect("a file");
    std::fs::write(tree.join("random"), random).expect("a file");
    tree.display().to_string()
}

/// The files of the tree as a whole, and from the middle.
fn reads_large(mounted: &Mounted, tree: &str) {
    let script = "for f in zeros text random; do cmp {D}/$f {T}/$f; done; \
        cmp --ignore-initial=9999999 {D}/text {T}/text; cmp --ignore-initial=12345678 {D}/zeros {T}/zeros";
    let outcome = sh(mounted, &script.replace("{T}", tree));
    assert_eq!((outcome.status.as_str(), outcome.out().as_str(), outcome.err().as_str()), ("exit 0", "", ""));
}

/// FAT has no owners: the mount says whose the files are.
fn own_fat() -> &'static str {
    if user::is_root() {
        ""
    } else {
        ",opts=uid=65534+gid=65534"
    }
}
