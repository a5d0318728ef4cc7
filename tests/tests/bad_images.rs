// SPDX-License-Identifier: GPL-2.0-only
//! Images that cannot be mounted: the program's call fails with the kernel's errno, one line says why, nothing is
//! written anywhere, nothing hangs.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use stowaway_tests::everyone;
use stowaway_tests::fixture::{tool, Kind};
use stowaway_tests::mounted::{our_lines, Mounted};
use stowaway_tests::process::{Outcome, Run};
use stowaway_tests::user;

/// Runs `cat` on a file of a mount that this setting describes; `{I}` is the image, `{D}` the mount path.
fn cat(mounted: &Mounted, setting: &str) -> Outcome {
    let setting =
        setting.replace("{I}", &mounted.fixture.image.display().to_string()).replace("{D}", &mounted.dir());
    mounted
        .preload(Run::new(["cat", &format!("{}/hello.txt", mounted.dir())]))
        .env("STOWAWAY_MOUNT", setting)
        .output()
}

/// A command under `stowaway run`.
fn run_cat(mounted: &Mounted, setting: &str) -> Outcome {
    let setting =
        setting.replace("{I}", &mounted.fixture.image.display().to_string()).replace("{D}", &mounted.dir());
    let command = mounted.artifacts.command.display().to_string();
    Run::new([
        command,
        "run".into(),
        "--mount".into(),
        setting,
        "--".into(),
        "cat".into(),
        mounted.dir() + "/hello.txt",
    ])
    .output()
}

/// Under plain preload: `cat` fails with one of these errors, and one line of ours names the image.
#[track_caller]
fn fails(mounted: &Mounted, setting: &str, errors: &[&str]) -> String {
    let image = mounted.fixture.image.clone();
    let before = fs::read(&image).ok();
    let outcome = cat(mounted, setting);
    assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 1", ""), "{}", outcome.err());
    let lines = our_lines(&outcome);
    assert_eq!(lines.len(), 1, "{}", outcome.err());
    assert!(lines[0].contains(&image.display().to_string()), "the line names the image: {lines:?}");
    let said = format!("cat: {}/hello.txt: ", mounted.dir());
    let error = outcome.err().lines().find_map(|line| line.strip_prefix(&said).map(str::to_string));
    let error = error.unwrap_or_else(|| panic!("cat did not complain: {}", outcome.err()));
    assert!(errors.contains(&error.as_str()), "{error}, not one of {errors:?}; {lines:?}");
    assert_eq!(outcome.err().lines().count(), 2, "two lines in all: {}", outcome.err());
    assert!(before == fs::read(&image).ok(), "the image was written to");
    lines[0].clone()
}

/// By `stowaway run`: either it sees the trouble itself (125), or the program does at its first call (`cat` ends with
/// 1), as under plain preload.
/// What `stowaway doctor` says of the image.
fn doctor(mounted: &Mounted) -> String {
    let image = mounted.fixture.image.clone().into_os_string();
    Run::new([mounted.artifacts.command.clone().into_os_string(), "doctor".into(), image]).output().out()
}

#[track_caller]
fn run_fails(mounted: &Mounted, setting: &str) {
    let before = fs::read(&mounted.fixture.image).ok();
    let outcome = run_cat(mounted, setting);
    let early = outcome.err().lines().count() == 1 && outcome.status == "exit 125";
    assert!(early || outcome.status == "exit 1", "{}: {}", outcome.status, outcome.err());
    assert_eq!(outcome.out(), "");
    assert_eq!(our_lines(&outcome).len(), 1, "{}", outcome.err());
    assert!(before == fs::read(&mounted.fixture.image).ok(), "the image was written to");
}

fn image_of(bytes: &[u8]) -> Mounted {
    let mounted = Mounted::new(Kind::Empty);
    fs::write(&mounted.fixture.image, bytes).expect("an image");
    mounted
}

fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 21) as u8).collect()
}

/// Overwrites bytes of the image.
fn damage(mounted: &Mounted, at: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(&mounted.fixture.image).expect("the image");
    file.write_all_at(bytes, at).expect("a write to the image");
}

/// The superblock of an md array of metadata 0.90, of members of so many KiB.
fn md_0_90(kib: u32) -> [u8; 36] {
    let mut block = [0; 36];
    block[..4].copy_from_slice(b"\xfc\x4e\x2b\xa9");
    block[8] = 90;
    block[32..].copy_from_slice(&kib.to_le_bytes());
    block
}

/// Makes the image a member of an md array, with the superblock behind what is there.
fn md_member(mounted: &Mounted, version: &str) {
    let file = fs::OpenOptions::new().write(true).open(&mounted.fixture.image).expect("the image");
    let size = file.metadata().expect("the image").len() + (256 << 10);
    file.set_len(size).expect("a longer image");
    if version == "0.90" {
        let at = (size & !65_535) - 65_536;
        return damage(mounted, at, &md_0_90((at >> 10) as u32));
    }
    let at = (size & !4095) - 8192;
    damage(mounted, at, b"\xfc\x4e\x2b\xa9\x01\0\0\0");
    damage(mounted, at + 144, &(at / 512).to_le_bytes());
}

everyone! {
    fn a_missing_image() {
        let mounted = Mounted::new(Kind::Empty);
        fs::remove_file(&mounted.fixture.image).expect("the image");
        fails(&mounted, "{I}:{D}", &["No such file or directory"]);
        fails(&mounted, "{I}:{D}:ro", &["No such file or directory"]);
        run_fails(&mounted, "{I}:{D}");
        assert!(!mounted.fixture.image.exists());
    }

    fn an_unreadable_image() {
        if user::is_root() {
            return user::note("an_unreadable_image: root can read every file");
        }
        let mounted = Mounted::new(Kind::Basic);
        fs::set_permissions(&mounted.fixture.image, fs::Permissions::from_mode(0o000)).expect("chmod");
        fails(&mounted, "{I}:{D}", &["Permission denied"]);
        run_fails(&mounted, "{I}:{D}");
        fs::set_permissions(&mounted.fixture.image, fs::Permissions::from_mode(0o444)).expect("chmod");
        fails(&mounted, "{I}:{D}", &["Permission denied"]);
        run_fails(&mounted, "{I}:{D}");
        assert_eq!(cat(&mounted, "{I}:{D}:ro").expect_exit(0).out(), "Hello, world!\n");
        assert_eq!(run_cat(&mounted, "{I}:{D}:ro").expect_exit(0).out(), "Hello, world!\n");
    }

    fn not_a_file_system() {
        for bytes in [noise(300_000), vec![0; 1 << 20], b"just a text\n".to_vec(), noise(513)] {
            let mounted = image_of(&bytes);
            fails(&mounted, "{I}:{D}", &["Invalid argument"]);
            fails(&mounted, "{I}:{D}:ro", &["Invalid argument"]);
            run_fails(&mounted, "{I}:{D}");
        }
    }

    fn what_is_known_is_named_with_what_helps() {
        let luks = &b"LUKS\xba\xbe"[..];
        let kinds = [
            (0, luks, ["LUKS", "cryptsetup open"]),
            (512, b"LABELONE", ["LVM", "vgchange"]),
            (4096, b"\xfc\x4e\x2b\xa9\x01", ["RAID", "mdadm"]),
            (0, b"KDMV", ["VMDK", "qemu-img convert"]),
            (0, b"\x1f\x8b\x08", ["gzip", "gunzip"]),
            (0, b"\x3a\xff\x26\xed", ["sparse", "simg2img"]),
            (32, b"NXSB", ["APFS", "no driver"]),
            (0x4000, b"SKUL\xba\xbe", ["LUKS", "cryptsetup repair"]),
            (4086, b"S1SUSPEND\0", ["hibernated", "nothing in it to mount"]),
            (0, b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff", ["lzma", "unlzma"]),
            (0, b"\xfe\xed\xba\xbe", ["log of an XFS", "IMAGE+LOG"]),
        ];
        for (at, mark, words) in kinds {
            let mut bytes = noise(300_000);
            bytes[at..at + mark.len()].copy_from_slice(mark);
            let mounted = image_of(&bytes);
            let line = fails(&mounted, "{I}:{D}", &["Invalid argument"]);
            let doctor = doctor(&mounted);
            for word in words {
                assert!(line.contains(word) && doctor.contains(word), "{word}: {line}, {doctor}");
            }
        }
        let line = fails(&image_of(&vec![0; 1 << 20]), "{I}:{D}", &["Invalid argument"]);
        assert!(line.contains("only zeros"), "{line}");
    }

    fn a_member_of_a_mirror_is_not_written_alone() {
        for version in ["1.0", "0.90"] {
            let mounted = Mounted::new(Kind::Basic);
            md_member(&mounted, version);
            let line = fails(&mounted, "{I}:{D}", &["Invalid argument"]);
            let doctor = doctor(&mounted);
            for word in ["a member of a Linux RAID array (md)", "mdadm --assemble"] {
                assert!(line.contains(word) && doctor.contains(word), "{version}: {line}, {doctor}");
            }
            run_fails(&mounted, "{I}:{D}");
            // The type is no permission: the other member would not know of it.
            fails(&mounted, "{I}:{D},type=ext4", &["Invalid argument"]);
            assert_eq!(cat(&mounted, "{I}:{D}:ro").expect_exit(0).out(), "Hello, world!\n", "{version}");
        }
    }

    fn a_partition_of_a_mirrored_disk_is_not_written_alone() {
        let mounted = Mounted::new(Kind::Basic);
        let image = fs::read(&mounted.fixture.image).expect("the image");
        let disk = |entries: &[(u32, u32)]| {
            let mut bytes = vec![0; 1 << 20];
            for (entry, (start, sectors)) in bytes[446..510].chunks_mut(16).zip(entries) {
                entry[4] = 0x83;
                entry[8..12].copy_from_slice(&start.to_le_bytes());
                entry[12..16].copy_from_slice(&sectors.to_le_bytes());
            }
            bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
            [&bytes[..], &image].concat()
        };
        let sectors = (image.len() / 512) as u32;
        fs::write(&mounted.fixture.image, disk(&[(2048, sectors)])).expect("a disk");
        assert_eq!(cat(&mounted, "{I}#1:{D}").expect_exit(0).out(), "Hello, world!\n");
        md_member(&mounted, "1.0");
        let line = fails(&mounted, "{I}#1:{D}", &["Invalid argument"]);
        assert!(line.contains("a disk of a Linux RAID array (md)"), "{line}");
        assert_eq!(cat(&mounted, "{I}#1:{D}:ro").expect_exit(0).out(), "Hello, world!\n");
        // The last partition is a member, and no word about the first one.
        let more = 4 << 20;
        fs::write(&mounted.fixture.image, disk(&[(2048, sectors), (2048 + sectors, more / 512)])).expect("a disk");
        let size = (1 << 20) + image.len() as u64 + u64::from(more);
        fs::OpenOptions::new().write(true).open(&mounted.fixture.image).and_then(|file| file.set_len(size)).expect("a disk");
        damage(&mounted, (size & !65_535) - 65_536, &md_0_90((more >> 10) - 64));
        assert_eq!(cat(&mounted, "{I}#1:{D}").expect_exit(0).out(), "Hello, world!\n");
    }

    fn a_partition_table_with_nothing_to_mount() {
        let table = |entry: &[u8]| {
            let mut bytes = vec![0; 1 << 20];
            bytes[446 + 4..446 + 4 + entry.len()].copy_from_slice(entry);
            bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
            image_of(&bytes)
        };
        let cut = [0x83, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0];
        for (entry, words) in [
            (&[][..], "an empty partition table (MBR)"),
            (&cut, "has a partition table (MBR), but is cut short: partition 1 ends at byte 3145728, the image at 1048576"),
        ] {
            let mounted = table(entry);
            for part in ["", "#1"] {
                let error = if part.is_empty() { "Invalid argument" } else { "No such device or address" };
                let line = fails(&mounted, &format!("{{I}}{part}:{{D}}"), &[error]);
                assert!(line.contains(words), "{line}");
            }
            assert!(doctor(&mounted).contains(words), "{}", doctor(&mounted));
        }
        // A GPT whose check sum is wrong.
        let mut bytes = vec![0; 1 << 20];
        (bytes[450], bytes[1024], bytes[1064]) = (0xee, 7, 99);
        bytes[510..520].copy_from_slice(b"\x55\xaaEFI PART");
        bytes[584..600].copy_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 128, 0, 0, 0]);
        let mounted = image_of(&bytes);
        let line = fails(&mounted, "{I}:{D}", &["Invalid argument"]);
        assert!(line.contains("damaged partition table (GPT)"), "{line}");
        assert!(doctor(&mounted).contains("damaged partition table (GPT)"), "{}", doctor(&mounted));
    }

    fn a_file_system_behind_other_data() {
        let mounted = Mounted::new(Kind::Basic);
        let image = fs::read(&mounted.fixture.image).expect("the image");
        for (begin, what) in [(b"\x7fELF".to_vec(), "a program or script with"), (noise(70_000), "behind other data")] {
            let at = begin.len();
            fs::write(&mounted.fixture.image, [begin, image.clone()].concat()).expect("an image");
            let line = fails(&mounted, "{I}:{D}", &["Invalid argument"]);
            assert!(line.contains(what) && line.ends_with(&format!("mount it as IMAGE@{at}")), "{line}");
            assert_eq!(cat(&mounted, &format!("{{I}}@{at}:{{D}}:ro")).expect_exit(0).out(), "Hello, world!\n");
        }
    }

    fn mkfs_is_no_advice_where_something_may_be_lost() {
        let mut later = vec![0; 1 << 20];
        later[900_000] = 1;
        for bytes in [later, vec![0; 100]] {
            let line = fails(&image_of(&bytes), "{I}:{D}", &["Invalid argument"]);
            assert!(line.contains("not a file system that is known here") && !line.contains("mkfs"), "{line}");
        }
    }

    fn one_image_under_two_names() {
        let mounted = Mounted::new(Kind::Basic);
        let link = mounted.fixture.base.path().join("link");
        std::os::unix::fs::symlink(&mounted.fixture.image, &link).expect("a link");
        let mounts = format!("{{I}}:{{D}};{}:{{D}}2", link.display());
        let mounts = mounts.replace("{I}", &mounted.fixture.image.display().to_string()).replace("{D}", &mounted.dir());
        let outcome = mounted.run(["ls", &mounted.dir(), &format!("{}2", mounted.dir())]).env("STOWAWAY_MOUNT", mounts).output();
        let lines = our_lines(&outcome);
        assert!(lines.len() == 1 && lines[0].contains("is mounted twice, and written"), "{lines:?}");
    }

    fn doctor_takes_what_mount_takes() {
        let mounted = Mounted::new(Kind::Basic);
        let image = fs::read(&mounted.fixture.image).expect("the image");
        let mut table = vec![0; 1 << 20];
        table[446 + 4..446 + 9].copy_from_slice(&[0x83, 0, 0, 0, 0]);
        table[446 + 8..446 + 12].copy_from_slice(&2048u32.to_le_bytes());
        table[446 + 12..446 + 16].copy_from_slice(&((image.len() / 512) as u32).to_le_bytes());
        table[510..512].copy_from_slice(&[0x55, 0xaa]);
        fs::write(&mounted.fixture.image, [table, image].concat()).expect("a disk");
        for (part, status, words) in [
            ("#1", "exit 0", "works"),
            ("@1M", "exit 0", "works"),
            ("#1[/dir]", "exit 0", "works"),
            // There is another way to mount it.
            ("", "exit 0", "mount a partition, as IMAGE#N"),
            ("#2", "exit 1", "has no partition 2; it has 1 ("),
            ("@999G", "exit 1", "nothing can begin at this offset"),
            ("#1[/none]", "exit 1", "has no directory /none"),
        ] {
            let name = format!("{}{part}", mounted.fixture.image.display());
            let words_of = |more: &[&str]| {
                let command = mounted.artifacts.command.display().to_string();
                Run::new([&[&command[..], "doctor"], more, &[&name]].concat()).output()
            };
            let outcome = words_of(&[]);
            assert_eq!(outcome.status, status, "{part}: {}", outcome.out());
            assert!(outcome.out().contains(words), "{part}: {}", outcome.out());
            let json = words_of(&["--json"]).out();
            assert!(json.contains(&format!("\"ok\": {}", status == "exit 0")), "{part}: {json}");
        }
    }

    fn doctor_agrees_with_itself() {
        let mounted = Mounted::new(Kind::Basic);
        assert!(doctor(&mounted).ends_with("\nAll is fine.\n") || doctor(&mounted).contains("\nFine to run"), "{}", doctor(&mounted));
        // A feature that no kernel has.
        damage(&mounted, 1024 + 0x60, &[0xff; 4]);
        let said = doctor(&mounted);
        assert!(said.contains("Not fine") && !said.contains("can be mounted"), "{said}");
    }

    fn a_journal_that_cannot_be_replayed() {
        let mounted = Mounted::new(Kind::Basic);
        let script = "import os, signal, sys\nopen(sys.argv[1] + '/new', 'w').write('a')\nos.sync()\n\
            os.fsync(os.open(sys.argv[1], os.O_RDONLY))\nos.kill(os.getpid(), signal.SIGKILL)\n";
        mounted.run(["python3", "-c", script, &mounted.dir()]).env("STOWAWAY_KEEPER", "no").output();
        let line = fails(&mounted, "{I}:{D}:ro", &["Read-only file system"]);
        assert!(line.contains("recovery required") && line.contains("opts=noload"), "{line}");
        let doctor = doctor(&mounted);
        assert!(doctor.contains("recovery required") && doctor.contains("opts=noload"), "{doctor}");
        assert_eq!(cat(&mounted, "{I}:{D}:ro,opts=noload").expect_exit(0).out(), "Hello, world!\n");
        assert_eq!(cat(&mounted, "{I}:{D}").expect_exit(0).out(), "Hello, world!\n");
        mounted.check();
    }

    fn the_kernels_reason_is_told() {
        let mounted = Mounted::new(Kind::Basic);
        let line = fails(&mounted, "{I}:{D},opts=nosuchoption", &["Invalid argument"]);
        assert!(line.contains("the kernel says: ") && line.contains("nosuchoption"), "{line}");
        assert!(doctor(&mounted).contains("mount (read-only)"), "{}", doctor(&mounted));
        // An incompatible feature that no kernel has (s_feature_incompat).
        damage(&mounted, 1024 + 0x60, &[0xff; 4]);
        let line = fails(&mounted, "{I}:{D}", &["Invalid argument", "Bad message", "Structure needs cleaning"]);
        assert!(line.contains("the kernel says: "), "{line}");
        assert!(doctor(&mounted).contains("the kernel says: "), "{}", doctor(&mounted));
        // What the driver says of its work is no reason.
        let mounted = Mounted::new(Kind::Basic);
        let line = fails(&mounted, "{I}[/hello.txt]:{D}:ro", &["Not a directory"]);
        assert!(line.ends_with("cannot be mounted: its /hello.txt is no directory (ENOTDIR)"), "{line}");
    }

    fn features_that_the_kernel_lacks_are_named() {
        let mounted = Mounted::new(Kind::Basic);
        tool("debugfs", &["-w".as_ref(), "-R".as_ref(), "feature FEATURE_R30".as_ref(), mounted.fixture.image.as_ref()]);
        let line = fails(&mounted, "{I}:{D}", &["Invalid argument"]);
        assert!(line.contains("FEATURE_R30") && line.contains("(:ro)"), "{line}");
        assert_eq!(cat(&mounted, "{I}:{D}:ro").expect_exit(0).out(), "Hello, world!\n");
    }

    fn an_empty_image() {
        let mounted = image_of(b"");
        fails(&mounted, "{I}:{D}", &["Invalid argument"]);
        run_fails(&mounted, "{I}:{D}");
    }

    fn a_squashfs_that_is_cut_short() {
        let mut bytes = noise(300_000);
        bytes[..4].copy_from_slice(b"hsqs");
        bytes[40..48].copy_from_slice(&300_001u64.to_le_bytes());
        let mounted = image_of(&bytes);
        let line = fails(&mounted, "{I}:{D}", &["Invalid argument"]);
        assert!(line.contains("cut short") && line.contains("300001 bytes, the image 300000"), "{line}");
    }

    fn a_wrong_type() {
        let mounted = Mounted::new(Kind::Basic);
        for kind in ["xfs", "btrfs", "squashfs", "erofs", "vfat", "iso9660"] {
            let line = fails(&mounted, &format!("{{I}}:{{D}},type={kind}"), &["Invalid argument"]);
            assert!(line.contains(kind), "{line}");
        }
        run_fails(&mounted, "{I}:{D},type=xfs");
        mounted.check();
    }

    fn a_type_that_is_given_rightly() {
        let mounted = Mounted::new(Kind::Basic);
        assert_eq!(cat(&mounted, "{I}:{D},type=ext4").expect_exit(0).out(), "Hello, world!\n");
        assert_eq!(cat(&mounted, "{I}:{D}:ro,type=ext4,opts=noatime+data=ordered").expect_exit(0).out(), "Hello, world!\n");
        mounted.check();
    }

    fn options_the_file_system_does_not_know() {
        let mounted = Mounted::new(Kind::Basic);
        fails(&mounted, "{I}:{D},opts=nosuchoption", &["Invalid argument"]);
        run_fails(&mounted, "{I}:{D},opts=nosuchoption");
    }

    fn a_truncated_image() {
        let mounted = Mounted::new(Kind::Basic);
        let file = fs::OpenOptions::new().write(true).open(&mounted.fixture.image).expect("the image");
        for length in [20 << 20, 100_000, 3000, 1500] {
            file.set_len(length).expect("a shorter image");
            // ext4 of a device shorter than a block: ENOMEM, on the host's loop device too.
            fails(&mounted, "{I}:{D}", &["Invalid argument", "Structure needs cleaning", "Cannot allocate memory"]);
        }
        run_fails(&mounted, "{I}:{D}");
    }

    fn a_corrupted_superblock() {
        let mounted = Mounted::new(Kind::Basic);
        damage(&mounted, 1024 + 0x20, &[0xff; 16]);
        fails(&mounted, "{I}:{D}", &["Invalid argument", "Bad message", "Structure needs cleaning"]);
        run_fails(&mounted, "{I}:{D}");
    }

    fn corrupted_group_descriptors() {
        let mounted = Mounted::new(Kind::Basic);
        damage(&mounted, 4096, &noise(4096));
        fails(&mounted, "{I}:{D}", &["Invalid argument", "Bad message", "Structure needs cleaning"]);
        run_fails(&mounted, "{I}:{D}");
    }

    fn a_corrupted_root_directory_after_the_mount() {
        // The mount succeeds, the first look into it does not: the kernel's error reaches the program.
        let mounted = Mounted::new(Kind::Basic);
        let image = stowaway_tests::ext4::Image::open(&mounted.fixture.image).expect("the image");
        let (_, root) = image.lookup("").expect("the root directory");
        let block = image.extents(&root).expect("its extents")[0].physical;
        damage(&mounted, block * 4096, &noise(4096));
        let outcome = mounted.run(["ls", &mounted.dir()]).output();
        assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 2", ""), "{}", outcome.err());
        assert!(outcome.err().contains("Bad message") || outcome.err().contains("Structure needs cleaning"), "{}", outcome.err());
    }

    fn an_image_that_is_no_file() {
        let mounted = Mounted::new(Kind::Empty);
        let setting = |path: &str| format!("{path}:{}", mounted.dir());
        let fifo = mounted.fixture.base.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
        for path in ["/".to_string(), mounted.host(), "/dev/null".into(), fifo.display().to_string()] {
            let outcome = cat(&mounted, &setting(&path));
            assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 1", ""), "{path}: {}", outcome.err());
            assert_eq!(our_lines(&outcome).len(), 1, "{path}: {}", outcome.err());
            let outcome = run_cat(&mounted, &setting(&path));
            assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 125", ""), "{path}: {}", outcome.err());
        }
    }

    fn an_image_on_a_full_disk() {
        // A small tmpfs of the host, in a mount name space of the test's own.
        let mounted = Mounted::new(Kind::Empty);
        let small = mounted.fixture.base.path().join("small");
        fs::create_dir(&small).expect("a directory");
        let script = format!(
            "mount -t tmpfs -o size=6m none {small} && cp --sparse=always {image} {small}/disk.img && export \
             STOWAWAY_MOUNT={small}/disk.img:{dir} LD_PRELOAD={library} && \
             dd if=/dev/zero of={dir}/fill bs=64K count=200 conv=fsync status=none; echo synced $?; \
             dd if=/dev/zero of={dir}/fill2 bs=64K count=200 status=none; echo unsynced $?",
            small = small.display(), image = mounted.fixture.image.display(), dir = mounted.dir(),
            library = mounted.artifacts.library.display(),
        );
        if Run::new(["unshare", "-rm", "true"]).output().status != "exit 0" {
            return user::note(&format!("an_image_on_a_full_disk: not run as uid {}: no name spaces here", user::id()));
        }
        let outcome = Run::new(["unshare", "-rm", "sh", "-c", &script]).output();
        assert!(outcome.out().starts_with("synced 1\n"), "{}\n{}", outcome.out(), outcome.err());
        let told = ["No space left on device", "Input/output error", "Read-only file system"];
        assert!(told.iter().any(|error| outcome.err().contains(error)), "{}", outcome.err());
        // Without fsync the program may not hear of it any more; the user must.
        let lost = outcome.out().contains("unsynced 0\n");
        assert!(!lost || our_lines(&outcome).iter().any(|line| line.contains("disk.img")), "lost silently: {}", outcome.err());
    }

    fn a_file_size_limit_is_the_programs_and_not_the_images() {
        let mounted = Mounted::new(Kind::Basic);
        // Less than the image, and than the kernel's memory, from the start; the hard limit as well.
        let script = "ulimit -f 100; cat $0/hello.txt && echo new > $0/new && sync $0/new && cat $0/new; \
            dd if=/dev/zero of=$0/lengthy bs=1K count=200 status=none; stat -c %s $0/lengthy";
        let outcome = mounted.run(["bash", "-c", script, &mounted.dir()]).output();
        assert_eq!((outcome.status.as_str(), outcome.out().as_str()), ("exit 0", "Hello, world!\nnew\n102400\n"), "{}", outcome.err());
        assert!(our_lines(&outcome).is_empty(), "{}", outcome.err());
        mounted.check();
        assert_eq!(mounted.content("/new"), b"new\n");
        // One that is set while the kernel runs: reading goes on.
        mounted.run(["dd", "if=/dev/zero", &format!("of={}/big", mounted.dir()), "bs=1M", "count=4"]).output().expect_exit(0);
        let program = "import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\ndef read(name): return len(open(f'{sys.argv[1]}/{name}', 'rb').read())\n\
            read('hello.txt')\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\nprint(read('big'))\n";
        let mount = format!("{}:{}:ro", mounted.fixture.image.display(), mounted.dir());
        let run = mounted.preload(Run::new(["python3", "-c", program, &mounted.dir()]));
        let run = run.env("STOWAWAY_MOUNT", mount).env("STOWAWAY_BLOCK_ENGINE", "inline");
        let outcome = run.output();
        assert_eq!((outcome.status.as_str(), outcome.out().as_str(), outcome.err().as_str()), ("exit 0", "4194304\n", ""));
    }

    fn a_file_size_limit_amid_the_work_loses_nothing() {
        let mounted = Mounted::new(Kind::Basic);
        let program = "import os, resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n\
            file = os.open(sys.argv[1] + '/new', os.O_CREAT | os.O_WRONLY)\nos.write(file, b'x' * 10000)\nos.fsync(file)\n\
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\nos.pwrite(file, b'y' * 4096, 0)\nos.fsync(file)\n\
            try:\n os.write(file, b'z')\nexcept OSError as error:\n print(error.errno)\n";
        let outcome = mounted.run(["python3", "-c", program, &mounted.dir()]).output();
        assert_eq!((outcome.status.as_str(), outcome.out().as_str(), outcome.err().as_str()), ("exit 0", "27\n", ""));
        mounted.check();
        assert_eq!(mounted.content("/new"), [vec![b'y'; 4096], vec![b'x'; 10000 - 4096]].concat());
    }

    fn a_whole_image_is_still_served_after_all_that() {
        let mounted = Mounted::new(Kind::Basic);
        assert_eq!(run_cat(&mounted, "{I}:{D}").expect_exit(0).out(), "Hello, world!\n");
        let link: PathBuf = mounted.fixture.base.path().join("odd:na,me;x\\y");
        std::os::unix::fs::symlink(&mounted.fixture.image, &link).expect("a link");
        let escaped = link.display().to_string().replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,").replace(';', "\\;");
        assert_eq!(run_cat(&mounted, &format!("{escaped}:{{D}}")).expect_exit(0).out(), "Hello, world!\n");
        assert_eq!(cat(&mounted, &format!("{escaped}:{{D}}")).expect_exit(0).out(), "Hello, world!\n");
        mounted.check();
    }
}
