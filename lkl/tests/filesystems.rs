// SPDX-License-Identifier: GPL-2.0-only
//! Every file system of the configuration: mount, read, write where it can, and its own checker.
//!
//! # Safety
//! Tasks are the calling threads'; pointers among the arguments are valid, or wrong on purpose where EFAULT is expected.
#![allow(unsafe_code)]

mod common;
use common::*;
use lkl::Errno;
use std::path::Path;

/// Mounts and compares with the sample tree.
fn read_back(k: &Thread, image: &Path, read_only: bool) {
    k.mount_image(image, "/mnt/img", 100, read_only).unwrap();
    assert_eq!(k.read_file(100, "hello.txt").unwrap(), b"hello from the host\n");
    assert_eq!(k.read_file(100, "dir/deep.txt").unwrap(), b"deep\n");
    assert!(k.read_file(100, "big.bin").unwrap() == sample_bytes(1 << 20));
}

fn write_some(k: &Thread) {
    for i in 0..50 {
        k.write_file(100, &format!("file{i}"), &sample_bytes(1000 * (i + 1))).unwrap();
    }
    for i in (0..50).step_by(2) {
        let name = std::ffi::CString::new(format!("file{i}")).unwrap();
        k.call(libc::SYS_unlinkat, &[100, name.as_ptr() as usize, 0]).unwrap();
    }
    assert!(k.read_file(100, "file49").unwrap() == sample_bytes(50_000));
}

/// An image written from inside: empty, filled by us.
fn written(name: &str, mib: u64, mkfs: fn(&str), check: fn(&str)) {
    let dir = scratch(name);
    let image = dir.join("img");
    make_file(&image, mib);
    mkfs(image.to_str().unwrap());
    let k = start();
    k.mount_image(&image, "/mnt/img", 100, false).unwrap();
    k.write_file(100, "hello.txt", b"hello").unwrap();
    write_some(&k);
    k.shutdown().unwrap();
    check(image.to_str().unwrap());
}

#[test]
fn xfs() {
    alone("xfs", || {
        written(
            "xfs",
            320,
            |i| drop(must("mkfs.xfs", &["-q", "-f", i])),
            |i| drop(must("xfs_repair", &["-n", i])),
        )
    });
}

/// Blocks of several pages: buffers that need vm_map_ram().
#[test]
fn xfs_with_large_directory_blocks() {
    alone("xfs_with_large_directory_blocks", || {
        written(
            "xfs-64k",
            320,
            |i| drop(must("mkfs.xfs", &["-q", "-f", "-n", "size=65536", "-l", "su=65536", i])),
            |i| drop(must("xfs_repair", &["-n", i])),
        )
    });
}

#[test]
fn btrfs() {
    alone("btrfs", || {
        written(
            "btrfs",
            128,
            |i| drop(must("mkfs.btrfs", &["-q", "-f", i])),
            |i| drop(must("btrfs", &["check", i])),
        )
    });
}

#[test]
fn vfat() {
    alone("vfat", || {
        written(
            "vfat",
            64,
            |i| drop(must("mkfs.vfat", &["-F", "32", i])),
            |i| drop(must("fsck.vfat", &["-n", i])),
        )
    });
}

#[test]
fn ext2_by_the_ext4_driver() {
    alone("ext2_by_the_ext4_driver", || {
        written(
            "ext2",
            32,
            |i| drop(must("mkfs.ext2", &["-q", "-F", i])),
            |i| drop(must("e2fsck", &["-fn", i])),
        )
    });
}

fn packed(name: &str, make: fn(tree: &str, image: &str)) {
    let dir = scratch(name);
    let tree = sample_tree(&dir);
    let image = dir.join("img");
    make(tree.to_str().unwrap(), image.to_str().unwrap());
    let k = start();
    read_back(&k, &image, true);
    assert_eq!(k.open(100, "x", libc::O_WRONLY | libc::O_CREAT), Err(Errno::EROFS));
    k.shutdown().unwrap();
}

#[test]
fn squashfs_xz() {
    alone("squashfs_xz", || {
        packed("squash-xz", |t, i| drop(must("mksquashfs", &[t, i, "-quiet", "-comp", "xz"])))
    });
}

#[test]
fn squashfs_zstd() {
    alone("squashfs_zstd", || {
        packed("squash-zstd", |t, i| drop(must("mksquashfs", &[t, i, "-quiet", "-comp", "zstd"])))
    });
}

#[test]
fn squashfs_gzip_lz4_lzo() {
    alone("squashfs_gzip_lz4_lzo", || {
        let dir = scratch("squash-more");
        let tree = sample_tree(&dir);
        let k = start();
        for (n, comp) in ["gzip", "lz4", "lzo"].iter().enumerate() {
            let image = dir.join(comp);
            must("mksquashfs", &[tree.to_str().unwrap(), image.to_str().unwrap(), "-quiet", "-comp", comp]);
            k.mount_image(&image, &format!("/mnt/{comp}"), 200 + n as i32, true).unwrap();
            assert!(k.read_file(200 + n as i32, "big.bin").unwrap() == sample_bytes(1 << 20));
        }
        k.shutdown().unwrap();
    });
}

#[test]
fn erofs() {
    alone("erofs", || packed("erofs", |t, i| drop(must("mkfs.erofs", &["-zlz4", i, t]))));
}

/// Clusters of several pages, in every compression the host's mkfs knows.
#[test]
fn erofs_with_large_clusters() {
    alone("erofs_with_large_clusters", || {
        let dir = scratch("erofs-large");
        let tree = sample_tree(&dir);
        let k = start();
        for (n, options) in [["-zlz4hc", "-C65536"], ["-zlzma", "-C131072"]].iter().enumerate() {
            let image = dir.join(format!("img{n}"));
            let (t, i) = (tree.to_str().unwrap(), image.to_str().unwrap());
            if let Err(e) = host("mkfs.erofs", &[options[0], options[1], i, t]) {
                println!("not tried: {e}");
                continue;
            }
            k.mount_image(&image, &format!("/mnt/e{n}"), 200 + n as i32, true).unwrap();
            assert!(k.read_file(200 + n as i32, "big.bin").unwrap() == sample_bytes(1 << 20), "{options:?}");
        }
        k.shutdown().unwrap();
    });
}

#[test]
fn iso9660() {
    alone("iso9660", || packed("iso", |t, i| drop(must("genisoimage", &["-quiet", "-R", "-J", "-o", i, t]))));
}

#[test]
fn without_a_disk() {
    alone("without_a_disk", || {
        let k = start();
        k.mount_none(c"proc", c"/proc", 100).unwrap();
        assert!(k.read_file(100, "version").unwrap().starts_with(b"Linux version 6.1."));
        k.mount_none(c"sysfs", c"/sys", 101).unwrap();
        assert_eq!(k.read_file(101, "class/net/lo/addr_len").unwrap(), b"6\n");
        k.mount_none(c"tmpfs", c"/mnt/tmp", 102).unwrap();
        k.write_file(102, "a", b"memory").unwrap();
        assert_eq!(k.read_file(102, "a").unwrap(), b"memory");
        let mut st = [0u32; 36];
        k.call(libc::SYS_fstat, &[102, st.as_mut_ptr() as usize]).unwrap();
        assert_eq!(st[6], libc::S_IFDIR | 0o1777);
        k.mount_none(c"devtmpfs", c"/dev", 103).unwrap();
        assert_eq!(k.read_file(103, "null").unwrap(), b"");
        let zero = k.open(103, "zero", libc::O_RDONLY).unwrap();
        assert_eq!(k.read(zero, 4).unwrap(), [0; 4]);
        let mounts = k.read_file(100, "mounts").unwrap();
        let mounts = String::from_utf8_lossy(&mounts);
        assert!(mounts.contains(" /mnt/tmp tmpfs "), "{mounts}");
        k.shutdown().unwrap();
    });
}

#[test]
fn what_is_no_file_system() {
    alone("what_is_no_file_system", || {
        let dir = scratch("bad");
        let image = dir.join("zeros");
        make_file(&image, 8);
        let k = start();
        let disk = open_disk(&image, false).unwrap();
        assert_eq!(lkl::probe_fs(&disk), Ok(None));
        // SAFETY: this thread's task.
        let got = unsafe {
            let n = k.k.attach_disk(k.t, &disk).unwrap();
            k.k.mount(k.t, lkl::Source::Disk(n), c"/mnt/x", c"ext4", 0, c"", 100)
        };
        assert_eq!(got, Err(Errno::EINVAL));
        // SAFETY: as above.
        let got = unsafe { k.k.mount(k.t, lkl::Source::Disk(7), c"/mnt/x", c"ext4", 0, c"", 100) };
        assert_eq!(got, Err(Errno::ENXIO));
        assert_eq!(k.mount_none(c"nonsense", c"/mnt/x", 100), Err(Errno::ENODEV));
        k.shutdown().unwrap();
    });
}
