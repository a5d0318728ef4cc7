// SPDX-License-Identifier: GPL-2.0-only
//! qcow2 images: which ones are read and written, and what is said of the others.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;
use stowaway_tests::everyone;
use stowaway_tests::fixture::check_image;
use stowaway_tests::held::Held;
use stowaway_tests::keeper::keeper_of;
use stowaway_tests::mounted::our_lines;
use stowaway_tests::process::kill;
use stowaway_tests::qcow2::{convert, qemu_img, Qcow2};
use stowaway_tests::work::processes;

/// The script does what it does on a disk, and the file has all of it as soon as the command is back.
fn works(qcow2: &Qcow2) {
    let script = processes(40, 20) + "cp $1/hello.txt $1/second\ncat $1/file2 | cksum\nexit 42\n";
    let outcome = qcow2.script(&script).output();
    outcome.expect_exit(42);
    assert_eq!(outcome.err(), "");
    qcow2.check();
    assert_eq!(qcow2.content("/second"), b"Hello, world!\n");
    assert_eq!(qcow2.content("/sync3"), vec![0; 20 << 12]);
    let native = std::process::Command::new("cksum")
        .stdin({
            let copy = qcow2.rooms.with_file_name("file2");
            std::fs::write(&copy, qcow2.content("/file2")).expect("a copy");
            File::open(copy).expect("a copy")
        })
        .output()
        .expect("cksum");
    assert_eq!(outcome.stdout, native.stdout);
    qcow2.no_servers();
}

fn works_when_converted(words: &[&str]) {
    if let Some(qcow2) = Qcow2::new(words) {
        works(&qcow2);
    }
}

/// Changes bytes of the header; the program does not start, the reason is one line, and nothing is written.
fn is_refused(at: u64, bytes: &[u8], why: &str) {
    let Some(qcow2) = Qcow2::new(&[]) else { return };
    let file = File::options().write(true).open(&qcow2.image).expect("the image");
    file.write_all_at(bytes, at).expect("a change");
    let before = std::fs::read(&qcow2.image).expect("the image");
    let outcome = qcow2.script("echo started").output();
    outcome.expect_exit(125);
    let lines = our_lines(&outcome);
    assert_eq!((outcome.out().as_str(), lines.len()), ("", 1), "{lines:?}");
    assert!(lines[0].contains(why) && lines[0].contains("disk.qcow2: "), "{lines:?}");
    assert!(std::fs::read(&qcow2.image).expect("the image") == before, "the image was written to");
    qcow2.no_servers();
}

fn create(words: &[&OsStr]) {
    let (status, said) = qemu_img(words);
    assert_eq!(status, Some(0), "{said}");
}

/// A disk of two partitions with a file system each.
fn two_partitions(file_system: &Path, disk: &Path) {
    const START: u32 = 2048;
    let inner = std::fs::read(file_system).expect("the image");
    let sectors = inner.len() as u32 / 512;
    let mut table = [0u8; 512];
    let file = File::create(disk).expect("a file");
    for (number, start) in [START, START + sectors].into_iter().enumerate() {
        let at = 446 + number * 16;
        table[at + 4] = 0x83;
        table[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
        table[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
        file.write_all_at(&inner, u64::from(start) * 512).expect("room");
    }
    table[510..].copy_from_slice(&[0x55, 0xaa]);
    file.write_all_at(&table, 0).expect("a table");
}

everyone! {
    fn plain() {
        works_when_converted(&[]);
    }

    fn version_2() {
        works_when_converted(&["-o", "compat=0.10"]);
    }

    fn compressed() {
        works_when_converted(&["-c"]);
    }

    fn small_clusters() {
        works_when_converted(&["-o", "cluster_size=512,refcount_bits=1"]);
    }

    fn large_clusters() {
        works_when_converted(&["-o", "cluster_size=2M,preallocation=metadata"]);
    }

    fn snapshots_stay_as_they_are() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        create(&["snapshot".as_ref(), "-c".as_ref(), "before".as_ref(), qcow2.image.as_ref()]);
        works(&qcow2);
        let raw = qcow2.image.with_extension("before");
        convert(&["-O", "raw", "-l", "before"], &qcow2.image, &raw);
        let fixture = std::fs::read(&qcow2.mounted.fixture.image).expect("the image");
        assert!(std::fs::read(raw).expect("the snapshot") == fixture);
    }

    fn a_backing_file_is_read_and_not_written() {
        let Some(mut qcow2) = Qcow2::new(&[]) else { return };
        let before = std::fs::read(&qcow2.image).expect("the image");
        for (name, below) in [("middle.qcow2", "disk.qcow2"), ("top.qcow2", "middle.qcow2")] {
            let top = qcow2.image.with_file_name(name);
            create(&["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", below].map(OsStr::new).into_iter()
                .chain([top.as_os_str()]).collect::<Vec<_>>());
        }
        let below = qcow2.image.clone();
        qcow2.image.set_file_name("top.qcow2");
        works(&qcow2);
        assert!(std::fs::read(&below).expect("the image") == before);
        std::fs::remove_file(&below).expect("the image");
        let outcome = qcow2.script("echo started").output();
        outcome.expect_exit(125);
        assert!(outcome.err().contains("disk.qcow2\": No such file or directory"), "{}", outcome.err());
    }

    fn a_circle_of_backing_files_ends() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        let other = qcow2.image.with_file_name("other.qcow2");
        for (file, below) in [(&other, &qcow2.image), (&qcow2.image, &other)] {
            create(&["rebase", "-u", "-F", "qcow2", "-b"].map(OsStr::new).into_iter()
                .chain([below.as_os_str(), qcow2.image.as_os_str()]).collect::<Vec<_>>());
            if file == &other {
                std::fs::copy(&qcow2.image, &other).expect("a copy");
            }
        }
        let outcome = qcow2.script("echo started").output();
        outcome.expect_exit(125);
        // Once around is enough to say so.
        let said = outcome.err();
        assert!(said.contains("the backing files are a circle") && said.len() < 400, "{said}");
    }

    fn a_data_file_is_written() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        std::fs::remove_file(&qcow2.image).expect("the image");
        let data = format!("data_file={}", qcow2.image.with_extension("data").display());
        convert(&["-o", &data], &qcow2.mounted.fixture.image, &qcow2.image);
        works(&qcow2);
    }

    fn partitions_at_the_same_time() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        let raw = qcow2.image.with_extension("parts");
        two_partitions(&qcow2.mounted.fixture.image, &raw);
        std::fs::remove_file(&qcow2.image).expect("the image");
        convert(&[], &raw, &qcow2.image);
        let (one, two) = (qcow2.mounted.dir(), format!("{}2", qcow2.mounted.dir()));
        let mount = |part: &str, path: &str| format!("{}{part}:{path}", qcow2.image.display());
        let words = ["cp", &format!("{one}/hello.txt"), &format!("{two}/from-one")];
        let outcome = qcow2.run_mounts(&[mount("#1", &one), mount("#2", &two)], words).output();
        outcome.expect_exit(0);
        assert_eq!(outcome.err(), "");
        qcow2.check();
        let outcome = qcow2.run_mounts(&[mount("#2", &two)], ["cat", &format!("{two}/from-one")]).output();
        assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("Hello, world!\n", ""));
        let outcome = qcow2.run_mounts(&[mount("#3", &one)], ["ls", &one]).output();
        assert!(outcome.err().contains("disk.qcow2: has no partition 3; it has 1 ("), "{}", outcome.err());
        let outcome = qcow2.run_mounts(&[mount("", &one)], ["ls", &one]).output();
        assert!(outcome.err().contains("disk.qcow2: has a partition table: mount a partition"), "{}", outcome.err());
    }

    fn read_only_nothing_is_written() {
        use std::os::unix::fs::PermissionsExt;
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        std::fs::set_permissions(&qcow2.image, PermissionsExt::from_mode(0o444)).expect("chmod");
        let before = std::fs::read(&qcow2.image).expect("the image");
        let dir = qcow2.mounted.dir();
        let script = "cat $1/hello.txt $1/hello.txt | cat - $1/hello.txt; ! touch $1/new 2>/dev/null";
        let outcome = qcow2.run(":ro", ["sh", "-c", script, "sh", &dir]).output();
        outcome.expect_exit(0);
        assert_eq!((outcome.out(), outcome.err()), ("Hello, world!\n".repeat(3), String::new()));
        assert!(std::fs::read(&qcow2.image).expect("the image") == before);
    }

    fn a_damaged_header() {
        is_refused(20, &[0, 0, 0, 99], "cluster size");
        is_refused(40, &[0, 0, 0, 0, 0, 0, 0, 1], "Unaligned L1 table");
        is_refused(4, &[0, 0, 0, 9], "version 9");
    }

    fn an_encrypted_image() {
        is_refused(32, &[0, 0, 0, 2], "is encrypted");
    }

    fn features_that_are_not_known() {
        is_refused(79, &[1], "was not closed properly; qemu-img check -r all");
        is_refused(79, &[8], "qemu-nbd");
        is_refused(72, &[0x80], "features that Stowaway does not know");
    }

    fn a_cut_off_image() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        std::fs::write(&qcow2.image, b"QFI\xfb\0\0\0\x03").expect("an image");
        let outcome = qcow2.script("echo started").output();
        outcome.expect_exit(125);
        assert_eq!((outcome.out().as_str(), our_lines(&outcome).len()), ("", 1), "{}", outcome.err());
        std::fs::remove_file(&qcow2.image).expect("the image");
        let outcome = qcow2.script("echo started").output();
        outcome.expect_exit(125);
        assert!(outcome.err().contains("no such image"), "{}", outcome.err());
    }

    fn an_image_that_is_cut_short() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        let whole = std::fs::metadata(&qcow2.image).expect("the image").len();
        let file = std::fs::OpenOptions::new().write(true).open(&qcow2.image).expect("the image");
        for bytes in [whole - (128 << 10), 250_000] {
            file.set_len(bytes).expect("a shorter image");
            for options in ["", ":ro"] {
                let outcome = qcow2.run(options, ["ls", &qcow2.mounted.dir()]).output();
                let lines = our_lines(&outcome);
                assert!(lines.len() == 1 && lines[0].contains("is cut short: it refers to byte"), "{bytes}: {lines:?}");
            }
        }
        assert_eq!(file.metadata().expect("the image").len(), 250_000, "nothing was written");
    }

    fn a_file_that_is_no_file_system() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        create(&["create".as_ref(), "-q".as_ref(), "-f".as_ref(), "qcow2".as_ref(), qcow2.image.as_ref(), "8M".as_ref()]);
        let outcome = qcow2.script("ls $1").output();
        let lines = our_lines(&outcome);
        assert!(lines.len() == 1 && lines[0].contains("not a file system that is known here"), "{lines:?}");
        qcow2.check();
    }

    fn processes_that_write_at_the_same_time() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        let script = "for i in 1 2 3 4; do (for j in 1 2 3 4 5 6 7 8 9 10; do echo $i.$j >>$1/all; \
            dd if=/dev/zero of=$1/f$i.$j bs=64k count=2 conv=fsync 2>/dev/null; done) & done; wait; \
            sort -u <$1/all | wc -l; ls $1 | grep -c '^f[0-9]'; exec cat $1/hello.txt";
        let outcome = qcow2.script(script).output();
        assert_eq!((outcome.out().as_str(), outcome.err().as_str()), ("40\n40\nHello, world!\n", ""));
        qcow2.check();
        assert_eq!(qcow2.content("/f4.10"), vec![0; 128 << 10]);
        qcow2.no_servers();
    }

    fn programs_that_are_killed_lose_nothing() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        let script = "echo data >$1/written; (sleep 100 <$1/written; true) & echo held; sleep 100; true";
        let held = Held::start(&qcow2.script(script));
        // Nobody is inside the kernel then.
        std::thread::sleep(Duration::from_millis(300));
        held.kill();
        qcow2.no_servers();
        qcow2.check();
        assert_eq!(qcow2.content("/written"), b"data\n");
    }

    /// What was made durable before is there; what comes after fails, and nothing hangs.
    fn without_whoever_has_the_connection() {
        for whose in ["keeper", "server"] {
            let Some(qcow2) = Qcow2::new(&[]) else { return };
            let script = "echo data >$1/durable; sync $1/durable; echo held; read go; \
                echo late >$1/late; sync $1/late 2>&1; (cat $1/hello.txt; echo $?); echo end";
            let held = Held::start(&qcow2.script(script));
            kill(match whose {
                "keeper" => keeper_of(&held.child) as i32,
                _ => qcow2.servers()[0],
            });
            let outcome = held.rest();
            assert!(outcome.out().contains("Input/output error"), "{whose}: {}{}", outcome.out(), outcome.err());
            assert!(outcome.out().ends_with("end\n"), "{whose}: {}", outcome.out());
            // A server that was killed leaves its directory.
            if whose == "keeper" {
                qcow2.no_servers();
                qcow2.check();
            }
            let again = qcow2.script("cat $1/durable").output();
            assert_eq!(again.out(), "data\n", "{}", again.err());
        }
    }

    fn all_that_is_on_it_is_seen_by_the_host() {
        let Some(qcow2) = Qcow2::new(&[]) else { return };
        let program = "import os,sys\nd=sys.argv[1]\nfor n in range(300):\n open(f'{d}/f{n}','w').write('x'*n*40)\n\
            for n in range(0,300,2):\n os.unlink(f'{d}/f{n}')\n";
        qcow2.run("", ["python3", "-c", program, &qcow2.mounted.dir()]).output().expect_exit(0);
        qcow2.check();
        check_image(&qcow2.disk()).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(qcow2.content("/f299"), vec![b'x'; 299 * 40]);
    }
}
