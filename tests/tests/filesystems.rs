// SPDX-License-Identifier: GPL-2.0-only
//! The other file systems: made by their own tools, found by themselves, used through the shim, checked by their own
//! checkers. A missing tool is said, not passed over.

use std::ffi::OsStr;
use std::path::Path;
use stowaway_tests::everyone;
use stowaway_tests::fixture::{tool, Kind, Side};
use stowaway_tests::mounted::Mounted;
use stowaway_tests::process::{Outcome, Run};
use stowaway_tests::user;

fn installed(program: &str) -> bool {
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .any(|directory| Path::new(directory).join(program).exists())
}

/// A test's place, or `None` with a note if a tool is missing.
fn place(test: &str, tools: &[&str]) -> Option<Mounted> {
    if let Some(missing) = tools.iter().find(|program| !installed(program)) {
        user::note(&format!("{test}: not run: {missing} is not installed"));
        return None;
    }
    Some(Mounted::new(Kind::Basic))
}

/// Runs a maker over the image's path; `{I}` is the image, `{T}` the native tree.
fn make(mounted: &Mounted, mebibytes: u64, line: &str) {
    let image = &mounted.fixture.image;
    let _ = std::fs::remove_file(image);
    if mebibytes > 0 {
        std::fs::File::create(image).and_then(|file| file.set_len(mebibytes << 20)).expect("an image file");
    }
    let tree = mounted.fixture.dir(Side::Native).display().to_string();
    let line = line.replace("{I}", &image.display().to_string()).replace("{T}", &tree);
    let mut words = line.split(' ');
    let program = words.next().expect("a program");
    let arguments: Vec<&OsStr> = words.map(OsStr::new).collect();
    tool(program, &arguments);
}

fn sh(mounted: &Mounted, script: &str) -> Outcome {
    let script = script.replace("{D}", &mounted.dir()).replace("{H}", &mounted.host());
    mounted.run(["bash", "-c", &script]).output()
}

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

/// A read-only file system made from the native tree.
fn reads(mounted: &Mounted) {
    let outcome = sh(mounted, "cd {D}; read x < hello.txt; echo $x; exec cat dir/a long/LLL*");
    assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("Hello, world!\nfile a\nlong name\n", ""));
    let outcome = sh(mounted, "exec cmp {D}/big.dat {H}/../../n/d/big.dat");
    assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""));
    let outcome = sh(mounted, "exec touch {D}/new");
    assert!(outcome.err().contains("Read-only file system"), "{}", outcome.err());
    let outcome = sh(mounted, "exec stat -c '%a %s %F' {D}/modes/f0755 {D}/link");
    assert_eq!(outcome.out().lines().count(), 2, "{}", outcome.err());
}

/// The tree without the file that nobody may read, which an ordinary user's maker could not copy.
fn without_hidden(mounted: &Mounted) {
    std::fs::remove_file(mounted.fixture.dir(Side::Native).join("modes/f0000"))
        .expect("a file of the fixture");
}

everyone! {
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
        make_check("btrfs", &["check", "--readonly"], &mounted);
    }

    fn vfat() {
        let Some(mounted) = place("vfat", &["mkfs.vfat", "fsck.vfat"]) else { return };
        make(&mounted, 64, "mkfs.vfat -F 32 {I}");
        let mounted = Mounted { options: own_fat(), ..mounted };
        works(&mounted);
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
        // mkfs.erofs 1.5 gives up on a name of that length.
        let long = mounted.fixture.dir(Side::Native).join("long");
        std::fs::remove_dir_all(&long).and_then(|()| std::fs::create_dir(&long)).expect("a directory of the fixture");
        std::fs::write(long.join("L".repeat(200)), "long name\n").expect("a file");
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

/// The file system's own checker finds nothing.
fn make_check(program: &str, options: &[&str], mounted: &Mounted) {
    let mut words: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
    words.push(mounted.fixture.image.as_os_str());
    tool(program, &words);
}

/// An ext file system's root directory given to the user who runs the test.
fn owned_by_us(mounted: &Mounted) {
    let image = mounted.fixture.image.as_os_str();
    for line in
        [format!("set_inode_field / uid {}", user::id()), format!("set_inode_field / gid {}", user::id())]
    {
        tool("debugfs", &["-w".as_ref(), "-R".as_ref(), line.as_ref(), image]);
    }
}

/// FAT has no owners: the mount says whose the files are.
fn own_fat() -> &'static str {
    if user::is_root() {
        ""
    } else {
        ",opts=uid=65534+gid=65534"
    }
}
