// SPDX-License-Identifier: GPL-2.0-only
//! Images that are made otherwise than as a disk: formats that QEMU's server reads and writes, and packed disks, which are
//! only read.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use stowaway_tests::everyone;
use stowaway_tests::mounted::line_with;
use stowaway_tests::process::Run;
use stowaway_tests::qcow2::{convert, Qcow2};
use stowaway_tests::user;
use stowaway_tests::work::processes;

fn is_installed(program: &str) -> bool {
    ["/usr/bin", "/bin", "/usr/sbin"].iter().any(|dir| PathBuf::from(dir).join(program).exists())
}

/// The fixture's disk in another format; None, with a note, where a tool is missing.
fn made(name: &str, words: &[&str]) -> Option<Qcow2> {
    let mut disk = Qcow2::new(&[])?;
    if !is_installed("qemu-nbd") {
        user::note(&format!("{name}: not run: qemu-nbd is not installed"));
        return None;
    }
    disk.image.set_file_name(name);
    convert(words, &disk.mounted.fixture.image, &disk.image);
    Some(disk)
}

/// A script does what it does on a disk, and the file has all of it as soon as the command is back.
fn is_written(name: &str, words: &[&str]) {
    let Some(disk) = made(name, words) else { return };
    let script =
        processes(10, 20) + "cp $1/hello.txt $1/second\ncp $1/big.dat $1/copy\nrm $1/copy\nexit 42\n";
    let outcome = disk.script(&script).output();
    outcome.expect_exit(42);
    line_with(&outcome, &[name, "read and written by qemu-nbd"]);
    assert_eq!(disk.content("/second"), b"Hello, world!\n");
    assert_eq!(disk.content("/sync3"), vec![0; 20 << 12]);
    disk.no_servers();
    let outcome = disk.run(":ro", ["cat", &format!("{}/second", disk.mounted.dir())]).output();
    assert_eq!(outcome.out(), "Hello, world!\n");
    line_with(&outcome, &[name, "read-only by qemu-nbd"]);
    disk.no_servers();
}

/// The disk packed by a command that packs a file to its output.
fn packed(name: &str, words: &[&str]) -> Option<Qcow2> {
    let mut disk = Qcow2::new(&[])?;
    if !is_installed(words[0]) {
        user::note(&format!("{name}: not run: {} is not installed", words[0]));
        return None;
    }
    disk.image.set_file_name(name);
    let to = std::fs::File::create(&disk.image).expect("a file");
    let from = &disk.mounted.fixture.image;
    let status = Command::new(words[0]).args(&words[1..]).arg(from).stdout(to).status().expect("a packer");
    assert!(status.success());
    Some(disk)
}

/// What can only be read is mounted so, and need not be writable; all of it is there.
fn is_only_read(disk: &Qcow2, who: &str) {
    let dir = disk.mounted.dir();
    std::fs::set_permissions(&disk.image, std::fs::Permissions::from_mode(0o444)).expect("chmod");
    let before = std::fs::read(&disk.image).expect("the image");
    let script = "cat $1/hello.txt; cmp $1/big.dat $2/../../n/d/big.dat && echo same; touch $1/new";
    let outcome = disk.run("", ["sh", "-c", script, "sh", &dir, &disk.mounted.host()]).output();
    assert_eq!(outcome.out(), "Hello, world!\nsame\n", "{}", outcome.err());
    assert!(outcome.err().contains("Read-only file system"), "{}", outcome.err());
    line_with(&outcome, &["read-only", who]);
    assert!(std::fs::read(&disk.image).expect("the image") == before, "it was written");
    disk.no_servers();
}

everyone! {
    fn vmdk() { is_written("disk.vmdk", &["-O", "vmdk", "-o", "subformat=monolithicSparse"]); }
    fn vmdk_of_two_files() { is_written("disk.vmdk", &["-O", "vmdk", "-o", "subformat=monolithicFlat"]); }
    fn vdi() { is_written("disk.vdi", &["-O", "vdi"]); }
    fn vhdx() { is_written("disk.vhdx", &["-O", "vhdx"]); }
    fn vhd() { is_written("disk.vhd", &["-O", "vpc", "-o", "force_size=on"]); }
    fn qcow2_with_zstd() { is_written("disk.qcow2", &["-c", "-o", "compression_type=zstd"]); }
    fn qcow2_with_extended_entries() { is_written("disk.qcow2", &["-o", "extended_l2=on,cluster_size=128k"]); }

    fn a_backing_file_that_only_qemu_reads() {
        let Some(mut disk) = made("below.qcow2", &["-c", "-o", "compression_type=zstd"]) else { return };
        let below = std::fs::read(&disk.image).expect("the image");
        let path = disk.image.clone();
        disk.image.set_file_name("top.qcow2");
        let top = disk.image.clone();
        let words = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "below.qcow2"];
        let status = Command::new("qemu-img").args(words).arg(&top).status().expect("qemu-img");
        assert!(status.success());
        let outcome = disk.script("cp $1/hello.txt $1/second; cmp $1/hello.txt $1/second && echo same").output();
        assert_eq!(outcome.out(), "same\n", "{}", outcome.err());
        assert_eq!(disk.content("/second"), b"Hello, world!\n");
        assert!(std::fs::read(path).expect("the image") == below, "the image below was written");
        disk.no_servers();
    }

    fn a_stream_optimised_vmdk_is_only_read() {
        let Some(disk) = made("disk.vmdk", &["-O", "vmdk", "-o", "subformat=streamOptimized"]) else { return };
        is_only_read(&disk, "vmdk");
    }

    fn packed_with_gzip() {
        let Some(disk) = packed("disk.img.gz", &["gzip", "-c"]) else { return };
        is_only_read(&disk, "gzip");
    }

    fn packed_with_xz() {
        let Some(disk) = packed("disk.img.xz", &["xz", "-0", "-c", "--block-size=1MiB"]) else { return };
        is_only_read(&disk, "xz");
    }

    fn packed_with_zstd() {
        let Some(disk) = packed("disk.img.zst", &["zstd", "-q", "-c"]) else { return };
        is_only_read(&disk, "zstd");
    }

    fn a_partition_of_a_packed_disk() {
        let Some(disk) = packed("disk.img.gz", &["gzip", "-c"]) else { return };
        let outcome = disk.run("", ["true"]).output();
        outcome.expect_exit(0);
        let mount = format!("{}#1:{}", disk.image.display(), disk.mounted.dir());
        let outcome = disk.run_mounts(&[mount], ["cat", &format!("{}/hello.txt", disk.mounted.dir())]).output();
        assert!(outcome.err().contains("no partition table"), "{}", outcome.err());
        disk.no_servers();
    }

    fn a_damaged_packed_disk_is_named() {
        let Some(disk) = packed("disk.img.gz", &["gzip", "-c"]) else { return };
        let mut bytes = std::fs::read(&disk.image).expect("the image");
        let len = bytes.len();
        bytes.truncate(len - 5);
        std::fs::write(&disk.image, &bytes).expect("the image");
        let outcome = disk.run("", ["echo", "started"]).output();
        outcome.expect_exit(125);
        assert_eq!(outcome.out(), "");
        line_with(&outcome, &["disk.img.gz", "is damaged"]);
        disk.no_servers();
    }

    fn without_qemu_nbd_a_line_says_so() {
        let Some(disk) = made("disk.vdi", &["-O", "vdi"]) else { return };
        let mut run: Run = disk.run("", ["/bin/echo", "started"]);
        run = run.env("PATH", "/nonexistent");
        let outcome = run.output();
        outcome.expect_exit(125);
        assert_eq!(outcome.out(), "");
        line_with(&outcome, &["disk.vdi", "vdi", "qemu-utils", "qemu-img convert"]);
        disk.no_servers();
    }

    fn one_writes_or_all_read() {
        let Some(disk) = made("disk.vdi", &["-O", "vdi"]) else { return };
        let dir = disk.mounted.dir();
        let script = "exec 3>$1/open; echo held; read go; echo end";
        let held = stowaway_tests::held::Held::start(&disk.run("", ["bash", "-c", script, "bash", &dir]));
        let outcome = disk.run("", ["cat", &format!("{dir}/hello.txt")]).output();
        assert_eq!(outcome.out(), "");
        assert!(outcome.err().contains("in use by"), "{}", outcome.err());
        assert_eq!(held.finish().0, "end\n");
        let script = "exec 3<$1/hello.txt; echo held; read go; echo end";
        let held = stowaway_tests::held::Held::start(&disk.run(":ro", ["bash", "-c", script, "bash", &dir]));
        let outcome = disk.run(":ro", ["cat", &format!("{dir}/hello.txt")]).output();
        assert_eq!(outcome.out(), "Hello, world!\n", "{}", outcome.err());
        assert_eq!(held.finish().0, "end\n");
        disk.no_servers();
    }
}
