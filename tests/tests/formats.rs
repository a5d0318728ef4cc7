// SPDX-License-Identifier: GPL-2.0-only
//! File systems of other systems and of flash memory: made by their own tools; filled, changed and compared by
//! `programs/helpers/tree.py`, each step in another kernel; and looked at by tools that share no code with the kernel.

use std::process::Command;
use stowaway_tests::everyone;
use stowaway_tests::fixture::tool;
use stowaway_tests::made::{
    installed, make, make_check, owned_by_us, place, reads, sh, with_shorter_names, without_hidden,
};
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::user;

const TREE: &str = include_str!("../programs/helpers/tree.py");
const MKHFSPLUS: &str = include_str!("../programs/helpers/mkhfsplus.py");

/// Fills, changes, and compares after each; the features are those of `tree.py`.
#[track_caller]
fn holds_a_tree(mounted: &Mounted, features: &str) {
    tree(mounted, &["fill", "check", "change", "check-changed"], features);
}

/// Does or compares what `tree.py` knows, each in a process of its own.
#[track_caller]
fn tree(mounted: &Mounted, steps: &[&str], features: &str) {
    for &what in steps {
        let mut words = vec!["python3", "-c", TREE, what];
        let dir = mounted.dir();
        words.push(&dir);
        words.extend(features.split(' '));
        let outcome = mounted.run(words).output();
        let got = (outcome.status.as_str(), outcome.out().to_string(), outcome.err().to_string());
        assert_eq!(got, ("exit 0", String::new(), String::new()), "{what}");
    }
}

/// 7-Zip has readers of its own. What it unpacks is compared with what `tree.py` did last: `filled` or `changed`.
#[track_caller]
fn unpacks(mounted: &Mounted, kind: &str, below: &str, last: &str, features: &str) {
    if !installed("7z") {
        return user::note("what 7z reads is not compared: p7zip-full is not installed");
    }
    let to = mounted.fixture.base.path().join("unpacked");
    let image = mounted.fixture.image.as_os_str();
    let option = format!("-o{}", to.display());
    tool("7z", &["x".as_ref(), format!("-t{kind}").as_ref(), "-y".as_ref(), option.as_ref(), image]);
    let to = to.join(below);
    // It shows what is hidden, and has files for symbolic links.
    for extra in ["[SYSTEM]", "[DELETED]", "[HFS+ Private Data]"] {
        let _ = std::fs::remove_dir_all(to.join(extra));
    }
    for link in ["symlink", "d0/long symlink"] {
        let _ = std::fs::remove_file(to.join(link));
    }
    let check = if last == "filled" { "check" } else { "check-changed" };
    let done = Command::new("python3")
        .args(["-c", TREE, check])
        .arg(to)
        .args(features.split(' '))
        .output()
        .expect("python3");
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert_eq!(said, "");
}

/// True, and a note: only root can make an image whose root directory is not root's.
fn belongs_to_root(test: &str, mounted: &Mounted) -> bool {
    if user::is_root() {
        return false;
    }
    sh(mounted, "exec ls -A {D}").expect_exit(0);
    user::note(&format!("{test}: only looked at as an ordinary user: its maker makes root's file systems"));
    true
}

everyone! {
    fn exfat() {
        let Some(mounted) = place("exfat", &["mkfs.exfat", "fsck.exfat"]) else { return };
        for cluster in ["4K", "64K"] {
            make(&mounted, 128, &format!("mkfs.exfat -c {cluster} {{I}}"));
            holds_a_tree(&mounted, "long unicode sparse");
            make_check("fsck.exfat", &["-n"], &mounted);
        }
    }

    fn ntfs() {
        let Some(mounted) = place("ntfs", &["mkntfs", "ntfsfix", "ntfscat"]) else { return };
        make(&mounted, 128, "mkntfs -q -F {I}");
        holds_a_tree(&mounted, "long unicode sparse links symlinks");
        make_check("ntfsfix", &["--no-action"], &mounted);
        unpacks(&mounted, "ntfs", "", "changed", "long unicode sparse links");
    }

    fn compressed_files_of_ntfs() {
        let Some(mounted) = place("compressed_files_of_ntfs", &["mkntfs", "ntfscat"]) else { return };
        make(&mounted, 128, "mkntfs -q -F {I}");
        // FILE_ATTRIBUTE_COMPRESSED, while the file is empty.
        let script = "import os, sys\npath = sys.argv[1] + '/packed'\nopen(path, 'w').close()\n\
            os.setxattr(path, 'system.ntfs_attrib', (0x820).to_bytes(4, 'little'))\n\
            with open(path, 'wb') as file:\n for n in range(40000): file.write(b'line %d of a text\\n' % n)\n\
            with open(path, 'r+b') as file:\n file.seek(123456); file.write(os.urandom(100000))\n";
        assert_eq!(mounted.run(["python3", "-c", script, &mounted.dir()]).output().expect_exit(0).err(), "");
        let ours = sh(&mounted, "exec cat {D}/packed").expect_exit(0).stdout.clone();
        let theirs = Command::new("ntfscat").arg(&mounted.fixture.image).arg("packed").output().expect("ntfscat");
        assert!(ours.len() > 700_000 && ours == theirs.stdout, "{} and {} bytes", ours.len(), theirs.stdout.len());
        // 512-byte blocks that it takes: fewer than it has bytes.
        let blocks: usize = sh(&mounted, "exec stat -c %b {D}/packed").out().trim().parse().expect("a number");
        assert!(blocks * 512 < ours.len() * 2 / 3, "{blocks} blocks");
    }

    fn f2fs() {
        let Some(mounted) = place("f2fs", &["mkfs.f2fs", "fsck.f2fs"]) else { return };
        make(&mounted, 128, &format!("mkfs.f2fs -q -R {0}:{0} {{I}}", user::id()));
        holds_a_tree(&mounted, "long unicode sparse links symlinks modes xattr");
        make_check("fsck.f2fs", &["--dry-run"], &mounted);
    }

    fn compressed_files_of_f2fs() {
        let Some(mut mounted) = place("compressed_files_of_f2fs", &["mkfs.f2fs", "fsck.f2fs"]) else { return };
        for compressor in ["lzo", "lz4", "zstd", "lzo-rle"] {
            make(&mounted, 128, &format!("mkfs.f2fs -q -O extra_attr,compression -R {0}:{0} {{I}}", user::id()));
            let option = format!(",opts=compress_algorithm={compressor}+compress_extension=txt+compress_chksum");
            mounted.options = option.leak();
            let fill = "exec dd status=none if={H}/random of={D}/a.txt conv=fsync; ";
            sh(&mounted, fill).expect_exit(0);
            let script = "import sys\nwith open(sys.argv[1] + '/b.txt', 'wb') as file:\n for n in range(60000): file.write(b'line %d\\n' % n)\n";
            mounted.run(["python3", "-c", script, &mounted.dir()]).output().expect_exit(0);
            let read = "import sys\nprint(open(sys.argv[1] + '/b.txt', 'rb').read() == b''.join(b'line %d\\n' % n for n in range(60000)))";
            assert_eq!(mounted.run(["python3", "-c", read, &mounted.dir()]).output().out(), "True\n", "{compressor}");
            assert_eq!(sh(&mounted, "exec cmp {H}/random {D}/a.txt").expect_exit(0).err(), "");
            make_check("fsck.f2fs", &["--dry-run"], &mounted);
        }
    }

    fn udf() {
        let Some(mounted) = place("udf", &["mkudffs", "udfinfo"]) else { return };
        let maker = |options: &str| {
            let owner = user::id();
            make(&mounted, 128, &format!("mkudffs --media-type=hd {options} --uid={owner} --gid={owner} {{I}}"));
        };
        let closed = || {
            let said = tool("udfinfo", &["--utf8".as_ref(), mounted.fixture.image.as_os_str()]);
            assert!(said.contains("integrity=closed"), "{said}");
        };
        for options in ["--blocksize=512 --udfrev=2.01", "--blocksize=2048 --udfrev=2.01", "--blocksize=4096 --udfrev=1.50"] {
            maker(options);
            holds_a_tree(&mounted, "long unicode sparse links symlinks modes");
            closed();
        }
        // 7-Zip knows no holes, no symbolic links and no large directories here.
        maker("--blocksize=512");
        tree(&mounted, &["fill"], "long unicode links small");
        closed();
        unpacks(&mounted, "udf", "", "filled", "long unicode links small");
    }

    fn nilfs2() {
        let Some(mounted) = place("nilfs2", &["mkfs.nilfs2"]) else { return };
        for blocks in [1024, 4096] {
            make(&mounted, 192, &format!("mkfs.nilfs2 -q -b {blocks} {{I}}"));
            if belongs_to_root("nilfs2", &mounted) {
                continue;
            }
            holds_a_tree(&mounted, "long unicode sparse links symlinks modes");
            // Its tools look at block devices alone. The superblock's state: unmounted, and without errors.
            let image = std::fs::read(&mounted.fixture.image).expect("the image");
            assert_eq!(image[1024 + 116..][..2], [1, 0]);
        }
    }

    fn jfs() {
        let Some(mounted) = place("jfs", &["mkfs.jfs", "jfs_fsck"]) else { return };
        make(&mounted, 64, "mkfs.jfs -q {I}");
        if belongs_to_root("jfs", &mounted) {
            return;
        }
        holds_a_tree(&mounted, "long unicode sparse links symlinks modes xattr");
        make_check("jfs_fsck", &["-n", "-f"], &mounted);
    }

    fn minix() {
        let Some(mounted) = place("minix", &["mkfs.minix", "fsck.minix"]) else { return };
        for version in ["-1 -n 14", "-1", "-2 -n 30", "-3"] {
            make(&mounted, 32, &format!("mkfs.minix {version} -i 3000 {{I}}"));
            holds_a_tree(&mounted, "links symlinks modes sparse");
            make_check("fsck.minix", &["-f"], &mounted);
        }
    }

    fn hfs() {
        let Some(mounted) = place("hfs", &["hformat", "hcopy"]) else { return };
        let tools = |line: &str| {
            let home = mounted.fixture.base.path().display().to_string();
            let line = line.replace("{I}", &mounted.fixture.image.display().to_string()).replace("{B}", &home);
            tool("env", &[format!("HOME={home}").as_ref(), "sh".as_ref(), "-ec".as_ref(), line.as_ref()])
        };
        make(&mounted, 32, "true");
        tools("hformat -l volume {I}");
        holds_a_tree(&mounted, "");
        let listed = tools("hmount {I} >&2; hls -1 :d1; hcopy -r :large {B}/large; humount");
        assert!(listed.lines().any(|name| name == "f10"), "{listed}");
        assert_eq!(sh(&mounted, "exec cmp {D}/large {H}/../../large").expect_exit(0).err(), "");
    }

    fn hfsplus() {
        let Some(mounted) = place("hfsplus", &["python3"]) else { return };
        let image = mounted.fixture.image.display().to_string();
        tool("python3", &["-c".as_ref(), MKHFSPLUS.as_ref(), image.as_ref(), "64".as_ref(), user::id().to_string().as_ref()]);
        holds_a_tree(&mounted, "long unicode sparse links symlinks modes xattr");
        // 7-Zip does not follow its links, which are files in a folder of its own, and shows names as they are kept, decomposed.
        tool("python3", &["-c".as_ref(), MKHFSPLUS.as_ref(), image.as_ref(), "64".as_ref(), user::id().to_string().as_ref()]);
        holds_a_tree(&mounted, "long sparse symlinks");
        unpacks(&mounted, "hfs", "volume", "changed", "long sparse");
    }

    fn cramfs() {
        let Some(mounted) = place("cramfs", &["mkfs.cramfs", "fsck.cramfs"]) else { return };
        without_hidden(&mounted);
        with_shorter_names(&mounted);
        for boot in ["", "-p "] {
            make(&mounted, 0, &format!("mkfs.cramfs {boot}{{T}} {{I}}"));
            make_check("fsck.cramfs", &[], &mounted);
            reads(&mounted);
        }
    }

    fn romfs() {
        let Some(mounted) = place("romfs", &["genromfs"]) else { return };
        without_hidden(&mounted);
        make(&mounted, 0, "genromfs -d {T} -f {I}");
        let outcome = sh(&mounted, "cd {D}; read x < hello.txt; echo $x; exec cat dir/a");
        assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("Hello, world!\nfile a\n", ""));
        assert_eq!(sh(&mounted, "exec cmp {D}/big.dat {H}/../../n/d/big.dat").expect_exit(0).err(), "");
        assert!(sh(&mounted, "exec touch {D}/new").err().contains("Read-only file system"));
    }

    fn each_compressor_of_squashfs() {
        let Some(mounted) = place("each_compressor_of_squashfs", &["mksquashfs"]) else { return };
        without_hidden(&mounted);
        for compressor in ["gzip -Xcompression-level 1", "lzo", "lz4 -Xhc", "zstd -Xcompression-level 3", "xz",
            "xz -Xbcj x86,arm,armthumb,powerpc,sparc,ia64"] {
            make(&mounted, 0, &format!("mksquashfs {{T}} {{I}} -quiet -no-progress -noappend -comp {compressor}"));
            reads(&mounted);
        }
    }

    fn each_compressor_of_erofs() {
        let Some(mounted) = place("each_compressor_of_erofs", &["mkfs.erofs"]) else { return };
        without_hidden(&mounted);
        with_shorter_names(&mounted);
        let known = tool("mkfs.erofs", &["--help".as_ref()]);
        for options in ["-zlz4", "-zlz4hc,9", "-zlzma,9", "-zlzma -C65536 -Eztailpacking", "-zlz4 -Efragments", "-Elegacy-compress -zlz4"] {
            let (compressor, _) = options.split_once([',', ' ']).unwrap_or((options, ""));
            if !known.contains(compressor.trim_start_matches("-z")) && compressor.starts_with("-z") {
                user::note(&format!("{options}: this mkfs.erofs has it not"));
                continue;
            }
            make(&mounted, 0, &format!("mkfs.erofs {options} {{I}} {{T}}"));
            reads(&mounted);
        }
    }

    fn a_case_insensitive_directory() {
        let Some(mounted) = place("a_case_insensitive_directory", &["mkfs.ext4"]) else { return };
        make(&mounted, 64, "mkfs.ext4 -q -F -O casefold -E encoding=utf8 {I}");
        owned_by_us(&mounted);
        casefolds(&mounted);
        make_check("e2fsck", &["-fn"], &mounted);
        let Some(mounted) = place("a_case_insensitive_directory", &["mkfs.f2fs", "fsck.f2fs"]) else { return };
        make(&mounted, 128, &format!("mkfs.f2fs -q -O casefold -C utf8 -R {0}:{0} {{I}}", user::id()));
        casefolds(&mounted);
        make_check("fsck.f2fs", &["--dry-run"], &mounted);
    }

    fn code_pages() {
        let Some(mut mounted) = place("code_pages", &["mkfs.vfat", "fsck.vfat"]) else { return };
        // The short name GR\x94\xe1E.TXT is GROESSE with its umlauts in code page 850, something else in others.
        make(&mounted, 16, "mkfs.vfat --codepage=850 {I}");
        short_name(&mounted, b"GR\x94\xe1E   TXT");
        let mut name = |options: &'static str| {
            mounted.options = options;
            let outcome = sh(&mounted, "exec ls {D}");
            assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""), "{options}");
            outcome.out().trim_end().to_string()
        };
        assert_eq!(name(":ro,opts=codepage=850+shortname=win95"), "GR\u{f6}\u{df}E.TXT");
        assert_eq!(name(":ro,opts=codepage=866+shortname=win95"), "GR\u{424}\u{441}E.TXT");
        assert_eq!(name(":ro,opts=codepage=1251+shortname=win95"), "GR\u{201d}\u{431}E.TXT");
        for page in ["437", "737", "775", "852", "855", "857", "860", "861", "862", "863", "864", "865", "869", "874", "932",
            "936", "949", "950", "1250"] {
            name(format!(":ro,opts=codepage={page}").leak());
        }
        for set in ["ascii", "iso8859-1", "iso8859-2", "iso8859-3", "iso8859-4", "iso8859-5", "iso8859-6", "iso8859-7",
            "iso8859-9", "iso8859-13", "iso8859-14", "iso8859-15", "koi8-r", "koi8-u", "koi8-ru", "cp1255", "euc-jp", "macroman",
            "utf8"] {
            name(format!(":ro,opts=iocharset={set}").leak());
        }
        // A name that a program gives in Latin 9 is found again in UTF-8.
        mounted.options = ",opts=utf8=0+iocharset=iso8859-15";
        sh(&mounted, "touch {D}/$'pre\\xa4s'").expect_exit(0);
        mounted.options = "";
        assert!(sh(&mounted, "exec ls {D}").out().contains("pre\u{20ac}s"));
        make_check("fsck.vfat", &["-n"], &mounted);
    }

    fn quotas_of_ext4() {
        let Some(mounted) = place("quotas_of_ext4", &["mkfs.ext4"]) else { return };
        for feature in ["quota", "quota,project"] {
            make(&mounted, 64, &format!("mkfs.ext4 -q -F -O {feature} {{I}}"));
            owned_by_us(&mounted);
            if !user::is_root() {
                // Usage was root's before debugfs gave the root directory away: e2fsck counts it anew.
                let _ = Command::new("e2fsck").args(["-fy"]).arg(&mounted.fixture.image).output();
            }
            holds_a_tree(&mounted, "long unicode sparse links symlinks modes xattr");
            // e2fsck compares what is counted with what is used.
            make_check("e2fsck", &["-fn"], &mounted);
        }
    }

    fn what_was_not_closed() {
        // (maker, MiB, what a line says where it is looked at, and where it is to be written; None: it works)
        type Words = Option<&'static [&'static str]>;
        let rows: [(&str, u64, Words, Words); 7] = [
            ("mkfs.xfs -q", 320, Some(&["opts=norecovery"]), None),
            ("mkfs.btrfs -q", 192, Some(&["opts=rescue=nologreplay"]), None),
            ("mkfs.f2fs -q", 128, Some(&["opts=norecovery"]), None),
            ("mkfs.nilfs2 -q", 192, Some(&["opts=norecovery"]), None),
            ("mkfs.jfs -q", 64, None, Some(&["fsck.jfs"])),
            ("mkntfs -q -F", 64, None, Some(&["volume is dirty", "ntfsfix"])),
            ("mkfs.exfat", 64, None, None),
        ];
        let killed = "import os, signal, sys\nopen(sys.argv[1] + '/a', 'w').write('a')\nos.sync()\n\
            file = os.open(sys.argv[1] + '/b', os.O_CREAT | os.O_WRONLY)\nos.write(file, b'b' * 5000)\nos.fsync(file)\n\
            os.kill(os.getpid(), signal.SIGKILL)\n";
        for (maker, mebibytes, looked_at, written) in rows {
            let program = maker.split(' ').next().unwrap_or("");
            let Some(mut mounted) = place("what_was_not_closed", &[program]) else { continue };
            make(&mounted, mebibytes, &format!("{maker} {{I}}"));
            if belongs_to_root("what_was_not_closed", &mounted) {
                continue;
            }
            mounted.run(["python3", "-c", killed, &mounted.dir()]).env("STOWAWAY_KEEPER", "no").output();
            for (options, words) in [(":ro", looked_at), ("", written)] {
                mounted.options = options;
                let outcome = sh(&mounted, "exec cat {D}/a");
                let lines = our_lines(&outcome);
                match words {
                    None => assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("a", ""), "{maker}{options}"),
                    Some(words) => assert!(
                        lines.len() == 1 && words.iter().all(|word| lines[0].contains(word)),
                        "{maker}{options}: {}",
                        outcome.err()
                    ),
                }
            }
        }
    }

    fn damaged_images() {
        let rows = [
            ("mkfs.exfat", 16), ("mkntfs -q -F", 16), ("mkfs.f2fs -q", 64), ("mkudffs --media-type=hd", 16), ("mkfs.nilfs2 -q -B 64", 32),
            ("mkfs.jfs -q", 16), ("mkfs.minix -3", 8), ("hformat -l volume", 8), ("hfsplus", 16), ("genromfs -d {T} -f", 0),
            ("mkfs.cramfs {T}", 0),
        ];
        for (maker, mebibytes) in rows {
            let program = if maker == "hfsplus" { "python3" } else { maker.split(' ').next().unwrap_or("") };
            let Some(mounted) = place("damaged_images", &[program]) else { continue };
            without_hidden(&mounted);
            let image = mounted.fixture.image.display().to_string();
            let home = mounted.fixture.base.path().display().to_string();
            match maker {
                "hfsplus" => drop(tool("python3", &["-c".as_ref(), MKHFSPLUS.as_ref(), image.as_ref(), "16".as_ref(), user::id().to_string().as_ref()])),
                _ => make(&mounted, mebibytes, &format!("env HOME={home} {maker} {{I}}")),
            }
            sh(&mounted, "mkdir {D}/d && cp {H}/random {D}/d/f && ln -s f {D}/d/l; true");
            let whole = std::fs::read(&mounted.fixture.image).expect("the image");
            for seed in 0..4u32 {
                let mut bytes = whole.clone();
                damage(&mut bytes, seed);
                std::fs::write(&mounted.fixture.image, bytes).expect("the image");
                // Whatever it says: it ends, and none of it is a crash.
                let outcome = sh(&mounted, "ls -lR {D} | head -50 && cat {D}/d/f | wc -c && echo x > {D}/new; rm -r {D}/d; exec true");
                assert!(["exit 0", "exit 1", "exit 2"].contains(&outcome.status.as_str()), "{maker}, seed {seed}: {}\n{}", outcome.status, outcome.err());
            }
        }
    }

    fn limits_of_quotas() {
        let Some(mut mounted) = place("limits_of_quotas", &["mkfs.ext4", "mkfs.xfs", "xfs_repair"]) else { return };
        if !user::is_root() {
            return user::note("limits_of_quotas: only root sets limits");
        }
        make(&mounted, 64, "mkfs.ext4 -q -F -O quota,project {I}");
        mounted.options = ",opts=usrquota+prjquota";
        limits_hold(&mounted);
        make_check("e2fsck", &["-fn"], &mounted);
        make(&mounted, 320, "mkfs.xfs -q {I}");
        limits_hold(&mounted);
        make_check("xfs_repair", &["-n"], &mounted);
    }
}

/// Names that differ in case are one in a directory with +F.
fn casefolds(mounted: &Mounted) {
    // FS_IOC_SETFLAGS with FS_CASEFOLD_FL
    let script = "import fcntl, os, sys\npath = sys.argv[1] + '/folded'\nos.mkdir(path)\nfd = os.open(path, os.O_RDONLY)\n\
        fcntl.ioctl(fd, 0x40086602, (0x40000000).to_bytes(8, 'little'))\n\
        open(path + '/Größe', 'w').write('x')\nopen(sys.argv[1] + '/Other', 'w').close()\n";
    let outcome = mounted.run(["python3", "-c", script, &mounted.dir()]).output();
    assert_eq!((outcome.status.as_str(), outcome.err().as_str()), ("exit 0", ""));
    let outcome = sh(mounted, "cat {D}/folded/GRÖSSE && ls {D}/folded && test ! -e {D}/other && rm {D}/folded/grösse && exec ls {D}/folded");
    assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("xGröße\n", ""));
}

/// Writes a directory entry into the root directory of the FAT image: an empty file of that 8.3 name.
fn short_name(mounted: &Mounted, name: &[u8; 11]) {
    use std::os::unix::fs::FileExt;
    let file =
        std::fs::OpenOptions::new().read(true).write(true).open(&mounted.fixture.image).expect("the image");
    let mut boot = [0; 64];
    file.read_exact_at(&mut boot, 0).expect("a boot sector");
    let word = |at: usize| u64::from(boot[at]) + 256 * u64::from(boot[at + 1]);
    // Reserved sectors, then the FATs (FAT12 and FAT16).
    let root = (word(14) + u64::from(boot[16]) * word(22)) * word(11);
    let mut entry = [0; 32];
    entry[..11].copy_from_slice(name);
    file.write_all_at(&entry, root).expect("an entry");
}

/// A user's limit and a project's, which another kernel knows afterwards.
#[track_caller]
fn limits_hold(mounted: &Mounted) {
    let set = r#"
import ctypes, fcntl, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
top = sys.argv[1]
root = os.open(top, os.O_RDONLY)
os.chmod(top, 0o777)
os.mkdir(top + '/project', 0o777)
os.chmod(top + '/project', 0o777)
# FS_IOC_FSSETXATTR: project 7, inherited
project = os.open(top + '/project', os.O_RDONLY)
fcntl.ioctl(project, 0x401c5820, struct.pack('=IIIII8x', 0x200, 0, 0, 7, 0))
for kind, id, blocks in (0, 65534, 2000), (2, 7, 1000):
    # Q_SETQUOTA, QIF_BLIMITS: 1 KiB blocks
    about = struct.pack('=QQQQQQQQI4x', blocks, 0, 0, 0, 0, 0, 0, 0, 1)
    if libc.syscall(443, root, 0x800008 << 8 | kind, id, about):
        print('set', kind, os.strerror(ctypes.get_errno()))
"#;
    let outcome = mounted.run(["python3", "-c", set, &mounted.dir()]).output();
    assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("", ""));
    let use_it = r#"
import os, sys
mounted = os.open(sys.argv[1], os.O_RDONLY)
os.setgid(65534)
os.setuid(65534)
def most(path):
    file, written = os.open(path, os.O_CREAT | os.O_WRONLY), 0
    try:
        while written < 10000:
            written += os.write(file, b'x' * 4096) // 1024
        os.fsync(file)
        return 'no limit'
    except OSError as error:
        return 700 <= written <= 2000 and error.strerror
print(most(sys.argv[1] + '/project/file'), most(sys.argv[1] + '/file'), sep=', ')
"#;
    let outcome = mounted.run(["python3", "-c", use_it, &mounted.dir()]).output();
    let expected =
        ["Disk quota exceeded, Disk quota exceeded\n", "No space left on device, Disk quota exceeded\n"];
    assert!(expected.contains(&outcome.out().as_str()), "{}{}", outcome.out(), outcome.err());
}

/// Bytes among those that are not zero become others: a few, or a block of them.
fn damage(bytes: &mut [u8], seed: u32) {
    let used: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize
    };
    let (places, length) = if seed % 3 == 0 { (2, 512) } else { (10, 1) };
    for _ in 0..places {
        // Half of them where superblocks are.
        let most = if random() % 2 == 0 { used.len() } else { used.len().min(2000) };
        let at = used[random() % most];
        for byte in bytes[at..].iter_mut().take(length) {
            *byte = random() as u8;
        }
    }
}
