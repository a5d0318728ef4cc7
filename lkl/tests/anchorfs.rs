// SPDX-License-Identifier: GPL-2.0-only
//! The root of all tasks: names are the application's own, and whatever leaves an image is EXDEV.
//!
//! # Safety
//! Tasks are the calling threads'; pointers among the arguments are valid, or wrong on purpose where EFAULT is expected.
#![allow(unsafe_code)]

mod common;
use common::*;
use lkl::{Credentials, Errno, Private};
use std::ffi::CString;

const EXDEV: Errno = Errno::EXDEV;

fn stat_at(k: &Thread, dirfd: i32, path: &str, flags: i32) -> Result<usize, Errno> {
    let mut st = [0u8; 144];
    let path = CString::new(path).unwrap();
    let args = [dirfd as usize, path.as_ptr() as usize, st.as_mut_ptr() as usize, flags as usize];
    k.call(libc::SYS_newfstatat, &args)
}

#[test]
fn escapes_are_exdev() {
    alone("escapes_are_exdev", || {
        let dir = scratch("anchorfs");
        let image = ext4_image(&dir, 32);
        let k = start();
        k.mount_image(&image, "/mnt/data", 100, false).unwrap();
        for (target, link) in [
            (c"/", c"root"),
            (c"/etc/passwd", c"passwd"),
            (c"../../x", c"up"),
            (c"/mnt/data/hello.txt", c"home"),
        ] {
            k.call(libc::SYS_symlinkat, &[target.as_ptr() as usize, 100, link.as_ptr() as usize]).unwrap();
        }
        for path in [
            "..",
            "../..",
            "../x",
            "dir/../..",
            "root",
            "root/",
            "passwd",
            "up",
            "/",
            "/mnt",
            "/mnt/data",
            "/etc",
            "../../init",
        ] {
            for flags in [libc::O_RDONLY, libc::O_PATH, libc::O_RDONLY | libc::O_DIRECTORY] {
                assert_eq!(k.open(100, path, flags), Err(EXDEV), "open {path} {flags:#o}");
            }
            assert_eq!(stat_at(&k, 100, path, 0), Err(EXDEV), "stat {path}");
            let p = CString::new(path).unwrap();
            let at = p.as_ptr() as usize;
            let mut buf = [0u8; 256];
            let b = buf.as_mut_ptr() as usize;
            assert_eq!(k.call(Private::ChdirAt as i64, &[100, at]), Err(EXDEV), "chdir {path}");
            assert_eq!(k.call(Private::StatfsAt as i64, &[100, at, b]), Err(EXDEV), "statfs {path}");
            assert_eq!(
                k.call(Private::ListXattrAt as i64, &[100, at, 0, b, 256]),
                Err(EXDEV),
                "listxattr {path}"
            );
            assert_eq!(k.call(libc::SYS_faccessat, &[100, at, 0]), Err(EXDEV), "access {path}");
            assert_eq!(k.call(libc::SYS_fchmodat, &[100, at, 0o700]), Err(EXDEV), "chmod {path}");
            assert_eq!(k.call(libc::SYS_utimensat, &[100, at, 0, 0]), Err(EXDEV), "utimens {path}");
        }
        let mk = c"../new";
        assert_eq!(k.call(libc::SYS_mkdirat, &[100, mk.as_ptr() as usize, 0o755]), Err(EXDEV));
        assert_eq!(k.call(libc::SYS_unlinkat, &[100, mk.as_ptr() as usize, 0]), Err(EXDEV));
        let hello = c"hello.txt";
        assert_eq!(
            k.call(libc::SYS_renameat, &[100, hello.as_ptr() as usize, 100, mk.as_ptr() as usize]),
            Err(EXDEV)
        );
        // no current directory inside yet
        assert_eq!(k.open(libc::AT_FDCWD, "x", libc::O_RDONLY), Err(EXDEV));
        assert_eq!(k.open(libc::AT_FDCWD, ".", libc::O_RDONLY), Err(EXDEV));
        // the links themselves are the image's
        assert!(stat_at(&k, 100, "root", libc::AT_SYMLINK_NOFOLLOW).is_ok());
        assert!(stat_at(&k, 100, "dir/..", 0).is_ok());
        k.shutdown().unwrap();
        check_ext4(&image);
    });
}

#[test]
fn names_are_the_applications() {
    alone("names_are_the_applications", || {
        let dir = scratch("anchorfs-names");
        let image = ext4_image(&dir, 32);
        let k = start();
        k.mount_image(&image, "/mnt/data/deep/er", 100, false).unwrap();
        k.call(Private::ChdirAt as i64, &[100, c"dir".as_ptr() as usize]).unwrap();
        let mut buf = [0u8; 256];
        let n = k.call(libc::SYS_getcwd, &[buf.as_mut_ptr() as usize, buf.len()]).unwrap();
        assert_eq!(&buf[..n], b"/mnt/data/deep/er/dir\0");
        assert_eq!(k.read_file(libc::AT_FDCWD, "deep.txt").unwrap(), b"deep\n");
        // a second mount of the same place is refused, and one inside another where there is no directory
        assert_eq!(k.mount_none(c"tmpfs", c"/mnt/data/deep/er", 101), Err(Errno::EBUSY));
        assert_eq!(k.mount_none(c"tmpfs", c"/mnt/data/deep/er/dir/new", 101), Err(Errno::ENOENT));
        assert_eq!(k.mount_none(c"tmpfs", c"/mnt/data/deep/er/hello.txt", 101), Err(Errno::ENOTDIR));
        k.mount_none(c"tmpfs", c"/mnt/data/deep/er/dir", 102).unwrap();
        assert_eq!(k.read_file(100, "dir/deep.txt"), Err(Errno::ENOENT));
        k.write_file(100, "dir/x", b"1").unwrap();
        assert_eq!(k.read_file(102, "x").unwrap(), b"1");
        // beside it, and above it as the host directories allow
        k.mount_none(c"tmpfs", c"/mnt/data/other", 101).unwrap();
        k.write_file(101, "x", b"1").unwrap();
        k.shutdown().unwrap();
        check_ext4(&image);
    });
}

#[test]
fn descriptors_get_the_wanted_number() {
    alone("descriptors_get_the_wanted_number", || {
        let dir = scratch("anchorfs-fds");
        let image = ext4_image(&dir, 32);
        let k = start();
        k.mount_image(&image, "/mnt/data", 5000, false).unwrap();
        let open = |want: i32| {
            let args = [5000, c"hello.txt".as_ptr() as usize, 0];
            k.raw_at(libc::SYS_openat, &args, want)
        };
        for want in [3, 17, 0, 1023, 1024, 70_000, 500_000, 4] {
            assert_eq!(open(want), want as isize);
        }
        assert_eq!(open(17), 18, "taken: the next free one");
        assert_eq!(k.raw_at(libc::SYS_dup, &[3], 40), 40);
        assert_eq!(k.raw_at(libc::SYS_fcntl, &[3, libc::F_DUPFD as usize, 50], 60), 60);
        assert_eq!(k.raw_at(libc::SYS_epoll_create1, &[0], 77), 77);
        assert_eq!(
            k.raw_at(libc::SYS_socket, &[libc::AF_UNIX as usize, libc::SOCK_STREAM as usize, 0], 78),
            78
        );
        let mut st = [0u8; 144];
        assert_eq!(k.raw(libc::SYS_fstat, &[500_000, st.as_mut_ptr() as usize]), 0);
        k.shutdown().unwrap();
    });
}

#[test]
fn calls_that_linux_6_1_lacks() {
    alone("calls_that_linux_6_1_lacks", || {
        let dir = scratch("anchorfs-at");
        let image = ext4_image(&dir, 32);
        let k = start();
        k.mount_image(&image, "/mnt/data", 100, false).unwrap();
        let (file, name, value) = (c"hello.txt".as_ptr() as usize, c"user.color".as_ptr() as usize, b"blue");
        let v = value.as_ptr() as usize;
        let set = Private::SetXattrAt as i64;
        let get = Private::GetXattrAt as i64;
        let mut buf = [0u8; 512];
        let b = buf.as_mut_ptr() as usize;
        k.call(set, &[100, file, 0, name, v, 4]).unwrap();
        let create = (libc::XATTR_CREATE as usize) << 32;
        assert_eq!(k.call(set, &[100, file, create, name, v, 4]), Err(Errno::EEXIST));
        assert_eq!(k.call(get, &[100, file, 0, name, b, 512]), Ok(4));
        assert_eq!(&buf[..4], value);
        assert_eq!(k.call(get, &[100, file, 0, name, b, 2]), Err(Errno::ERANGE));
        assert_eq!(k.call(get, &[100, file, 0, name, 8, 512]), Err(Errno::EFAULT));
        assert_eq!(k.call(get, &[100, file, 0x4000_0000, name, b, 512]), Err(Errno::EINVAL));
        let n = k.call(Private::ListXattrAt as i64, &[100, file, 0, b, 512]).unwrap();
        assert_eq!(&buf[..n], b"user.color\0");
        k.call(Private::RemoveXattrAt as i64, &[100, file, 0, name]).unwrap();
        assert_eq!(k.call(get, &[100, file, 0, name, b, 512]), Err(Errno::ENODATA));
        // a link, followed or not
        let (link, target) = (c"link".as_ptr() as usize, c"hello.txt".as_ptr() as usize);
        k.call(libc::SYS_symlinkat, &[target, 100, link]).unwrap();
        k.call(set, &[100, link, 0, name, v, 4]).unwrap();
        let nofollow = libc::AT_SYMLINK_NOFOLLOW as usize;
        assert_eq!(k.call(set, &[100, link, nofollow, name, v, 4]), Err(Errno::EPERM));
        let empty = c"".as_ptr() as usize;
        assert_eq!(
            k.call(Private::ListXattrAt as i64, &[100, empty, libc::AT_EMPTY_PATH as usize, b, 512]),
            Ok(0)
        );
        assert_eq!(k.call(get, &[100, file, 0, name, b, 512]), Ok(4));
        k.call(Private::StatfsAt as i64, &[100, file, b]).unwrap();
        assert_eq!(u64::from_ne_bytes(buf[..8].try_into().unwrap()), libc::EXT4_SUPER_MAGIC as u64);
        k.call(Private::TruncateAt as i64, &[100, file, 5]).unwrap();
        assert_eq!(k.read_file(100, "hello.txt").unwrap(), b"hello");
        assert_eq!(k.call(Private::TruncateAt as i64, &[100, file, usize::MAX]), Err(Errno::EINVAL));
        assert_eq!(k.call(Private::ChdirAt as i64, &[100, file]), Err(Errno::ENOTDIR));
        k.shutdown().unwrap();
        check_ext4(&image);
    });
}

#[test]
fn credentials_are_checked() {
    alone("credentials_are_checked", || {
        let dir = scratch("anchorfs-creds");
        let image = ext4_image(&dir, 32);
        let k = start();
        k.mount_image(&image, "/mnt/data", 100, false).unwrap();
        k.write_file(100, "secret", b"for root").unwrap();
        k.call(libc::SYS_fchmodat, &[100, c"secret".as_ptr() as usize, 0o600]).unwrap();
        k.call(libc::SYS_fchmodat, &[100, c"hello.txt".as_ptr() as usize, 0o640]).unwrap();
        k.call(libc::SYS_fchownat, &[100, c"hello.txt".as_ptr() as usize, 0, 44, 0]).unwrap();
        let plain = Credentials {
            uid: [1000; 4],
            gid: [1000; 4],
            groups: &[44, 20],
            permitted: 0,
            effective: 0,
            securebits: 0,
        };
        // SAFETY: this thread's task.
        unsafe { k.k.set_credentials(k.t, &plain) }.unwrap();
        let look = |k: &Thread| {
            assert_eq!(k.call(libc::SYS_getuid, &[]), Ok(1000));
            assert_eq!(k.read_file(100, "secret"), Err(Errno::EACCES));
            assert_eq!(k.read_file(100, "hello.txt").unwrap(), b"hello from the host\n");
            assert_eq!(k.open(100, "new", libc::O_WRONLY | libc::O_CREAT), Err(Errno::EACCES));
        };
        look(&k);
        std::thread::spawn(move || {
            // Each thread says for itself who it is.
            let other = Thread::new();
            // SAFETY: this thread's task.
            unsafe { other.k.set_credentials(other.t, &plain) }.unwrap();
            look(&other);
            other.release();
        })
        .join()
        .unwrap();
        // mounting is ours to do, whoever the application is
        k.mount_none(c"tmpfs", c"/mnt/tmp", 101).unwrap();
        // SAFETY: as above.
        unsafe { k.k.set_credentials(k.t, &Credentials { uid: [1000, 0, 0, 0], ..plain }) }.unwrap();
        assert_eq!(k.read_file(100, "secret").unwrap(), b"for root");
        k.call(libc::SYS_fchownat, &[100, c"secret".as_ptr() as usize, 7, 7, 0]).unwrap_err();
        // a capability, and no id: CAP_DAC_OVERRIDE
        // SAFETY: as above.
        unsafe { k.k.set_credentials(k.t, &Credentials { permitted: 2, effective: 2, ..plain }) }.unwrap();
        assert_eq!(k.read_file(100, "secret").unwrap(), b"for root");
        k.shutdown().unwrap();
        check_ext4(&image);
    });
}
