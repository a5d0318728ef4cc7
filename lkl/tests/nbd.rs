// SPDX-License-Identifier: GPL-2.0-only
//! Disks that a server has: a small NBD server of this test's own, which can also fail in every way.
//!
//! # Safety
//! Tasks are the calling threads'; pointers among the arguments are valid, or wrong on purpose where EFAULT is expected.
#![allow(unsafe_code)]

mod common;
use common::*;
use lkl::{Disk, DiskError, Errno};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::Arc;
use std::time::Duration;

/// What the server is to do, and what it saw.
#[derive(Default)]
struct Orders {
    /// Answer with this errno; 0: serve.
    error: AtomicU32,
    /// Close the connection at the next request.
    hang_up: AtomicU32,
    /// Milliseconds before the answer to a flush: longer than anybody polls.
    slow_flush: AtomicU64,
    flushes: AtomicU64,
    fua: AtomicU64,
    trims: AtomicU64,
    zeroes: AtomicU64,
}

const FLAGS: u16 = 1 | 4 | 8 | 32 | 64;

fn serve(image: &Path, socket: &Path, flags: u16) -> Arc<Orders> {
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket).unwrap();
    let orders = Arc::new(Orders::default());
    let file = File::options().read(true).write(true).open(image).unwrap();
    let theirs = orders.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = session(stream, &file, &theirs, flags);
        }
    });
    orders
}

fn be(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b))
}

fn session(mut s: UnixStream, file: &File, orders: &Orders, flags: u16) -> std::io::Result<()> {
    s.write_all(b"NBDMAGICIHAVEOPT\0\x03")?;
    let mut head = [0u8; 4 + 16];
    s.read_exact(&mut head)?;
    let mut data = vec![0; be(&head[16..]) as usize];
    s.read_exact(&mut data)?;
    let name = &data[4..4 + be(&data[..4]) as usize];
    let mut say = |kind: u32, data: &[u8]| {
        let mut out = 0x0003_e889_0455_65a9u64.to_be_bytes().to_vec();
        out.extend(7u32.to_be_bytes());
        out.extend(kind.to_be_bytes());
        out.extend((data.len() as u32).to_be_bytes());
        out.extend(data);
        s.write_all(&out)
    };
    if name != b"disk" {
        return say(1 << 31 | 6, b"no such export");
    }
    let mut info = vec![0, 0];
    info.extend(file.metadata()?.len().to_be_bytes());
    info.extend(flags.to_be_bytes());
    say(3, &info)?;
    say(1, b"")?;
    loop {
        request(&mut s, file, orders)?;
    }
}

fn request(s: &mut UnixStream, file: &File, orders: &Orders) -> std::io::Result<()> {
    let mut head = [0u8; 28];
    s.read_exact(&mut head)?;
    assert_eq!(be(&head[..4]), 0x2560_9513);
    let (command, off, len) = (be(&head[6..8]), be(&head[16..24]), be(&head[24..]) as usize);
    let mut data = vec![0; if command == 1 || command == 0 { len } else { 0 }];
    if command == 1 {
        s.read_exact(&mut data)?;
    }
    if orders.hang_up.load(SeqCst) != 0 || command == 2 {
        return Err(std::io::ErrorKind::ConnectionAborted.into());
    }
    let error = orders.error.load(SeqCst);
    if error == 0 {
        orders.fua.fetch_add(be(&head[4..6]) & 1, SeqCst);
        match command {
            0 => file.read_exact_at(&mut data, off)?,
            1 => file.write_all_at(&data, off)?,
            3 => {
                orders.flushes.fetch_add(1, SeqCst);
                std::thread::sleep(Duration::from_millis(orders.slow_flush.load(SeqCst)));
            }
            4 => drop(orders.trims.fetch_add(1, SeqCst)),
            6 => {
                orders.zeroes.fetch_add(1, SeqCst);
                file.write_all_at(&vec![0; len], off)?;
            }
            _ => panic!("command {command}"),
        }
    }
    let mut out = 0x6744_6698u32.to_be_bytes().to_vec();
    out.extend(error.to_be_bytes());
    out.extend(&head[8..16]);
    if command == 0 && error == 0 {
        out.extend(&data);
    }
    s.write_all(&out)
}

fn connect(socket: &Path, export: &str) -> Result<Disk, DiskError> {
    let uri = format!("nbd+unix:///{export}?socket={}", socket.display());
    Disk::connect(uri.as_bytes(), false, 700, lkl::sys::time::monotonic_ns())
}

/// Image, socket, orders.
fn served(name: &str) -> (PathBuf, PathBuf, Arc<Orders>) {
    let image = ext4_image(&scratch(name), 64);
    // a socket's path is short
    let socket = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
    let orders = serve(&image, &socket, FLAGS);
    (image, socket, orders)
}

#[test]
fn an_export_is_written_and_clean() {
    alone("an_export_is_written_and_clean", || {
        let (image, socket, orders) = served("nbd-ok");
        let disk = connect(&socket, "disk").unwrap();
        assert_eq!(disk.bytes(), 64 << 20);
        assert_eq!(lkl::probe_fs(&disk), Ok(Some(c"ext4")));
        let k = start();
        k.mount_disk(&disk, "/mnt", 100).unwrap();
        assert_eq!(k.read_file(100, "dir/deep.txt").unwrap(), b"deep\n");
        let big = sample_bytes(20 << 20);
        k.write_file(100, "more", &big).unwrap();
        assert!(orders.flushes.load(SeqCst) > 0 && orders.fua.load(SeqCst) > 0);
        let fd = k.open(100, "more", libc::O_RDONLY).unwrap();
        k.call(libc::SYS_fadvise64, &[fd as usize, 0, 0, libc::POSIX_FADV_DONTNEED as usize]).unwrap();
        k.close(fd).unwrap();
        assert!(k.read_file(100, "more").unwrap() == big);
        k.call(libc::SYS_unlinkat, &[100, c"more".as_ptr() as usize, 0]).unwrap();
        k.call(libc::SYS_syncfs, &[100]).unwrap();
        const FITRIM: usize = 0xc018_5879;
        let range = [0u64, u64::MAX, 0];
        k.call(libc::SYS_ioctl, &[100, FITRIM, range.as_ptr() as usize]).unwrap();
        assert!(orders.trims.load(SeqCst) > 0);
        k.write_file(100, "last", b"words").unwrap();
        k.shutdown().unwrap();
        assert_eq!(lkl::helper_threads(), 1, "the clock's");
        check_ext4(&image);
        let cat = must("debugfs", &["-R", "cat last", image.to_str().unwrap()]);
        assert!(cat.contains("words"), "{cat}");
        std::fs::remove_file(&socket).unwrap();
    });
}

/// Whoever completes the last flush does the rest of the unmount: that is the connection's own thread.
#[test]
fn an_unmount_ends_whoever_finishes_it() {
    alone("an_unmount_ends_whoever_finishes_it", || {
        let (image, socket, orders) = served("nbd-unmount");
        orders.slow_flush.store(20, SeqCst);
        let k = start();
        let before = lkl::helper_threads();
        for turn in 0..8 {
            let disk = connect(&socket, "disk").unwrap();
            // SAFETY: the task is this thread's.
            let number = unsafe { k.k.attach_disk(k.t, &disk) }.unwrap();
            // SAFETY: as above.
            unsafe { k.k.mount(k.t, lkl::Source::Disk(number), c"/mnt", c"ext4", 0, c"", 100) }.unwrap();
            k.write_file(100, "turn", format!("{turn}").as_bytes()).unwrap();
            // SAFETY: as above.
            unsafe { k.k.unmount(k.t, c"/mnt", 100, Some(number)) }.unwrap();
            assert_eq!(lkl::helper_threads(), before, "the connection's are gone");
            disk.close();
        }
        k.shutdown().unwrap();
        check_ext4(&image);
        std::fs::remove_file(&socket).unwrap();
    });
}

#[test]
fn many_threads_over_one_connection() {
    alone("many_threads_over_one_connection", || {
        let (image, socket, _) = served("nbd-many");
        let disk = connect(&socket, "disk").unwrap();
        let k = start();
        k.mount_disk(&disk, "/mnt", 100).unwrap();
        std::thread::scope(|s| {
            for n in 0..4 {
                s.spawn(move || {
                    let me = Thread::new();
                    let name = format!("file{n}");
                    for turn in 1..6 {
                        let bytes = sample_bytes(turn * 300_000 + n);
                        me.write_file(100, &name, &bytes).unwrap();
                        assert!(me.read_file(100, &name).unwrap() == bytes);
                    }
                    me.release();
                });
            }
        });
        k.shutdown().unwrap();
        check_ext4(&image);
        std::fs::remove_file(&socket).unwrap();
    });
}

#[test]
fn a_lost_server_is_eio_and_no_hang() {
    alone("a_lost_server_is_eio_and_no_hang", || {
        let (_, socket, orders) = served("nbd-lost");
        let disk = connect(&socket, "disk").unwrap();
        let k = start();
        k.mount_disk(&disk, "/mnt", 100).unwrap();
        orders.hang_up.store(1, SeqCst);
        assert_eq!(k.read_file(100, "big.bin"), Err(Errno::EIO));
        let _ = k.write_file(100, "new", b"lost");
        assert!(k.shutdown().is_err());
        assert!(k.k.take_write_error().is_some());
        std::fs::remove_file(&socket).unwrap();
    });
}

#[test]
fn errors_of_the_server_are_eio_and_the_first_of_a_write_is_kept() {
    alone("errors_of_the_server_are_eio_and_the_first_of_a_write_is_kept", || {
        let (_, socket, orders) = served("nbd-errors");
        let disk = connect(&socket, "disk").unwrap();
        let k = start();
        k.mount_disk(&disk, "/mnt", 100).unwrap();
        for errno in [libc::EPERM, libc::EINVAL, libc::EOPNOTSUPP, 108, 77] {
            orders.error.store(errno as u32, SeqCst);
            assert_eq!(k.read_file(100, "big.bin"), Err(Errno::EIO), "{errno}");
        }
        orders.error.store(0, SeqCst);
        assert_eq!(k.read_file(100, "big.bin").unwrap().len(), 1 << 20);
        let fd = k.open(100, "hello.txt", libc::O_WRONLY).unwrap();
        k.write(fd, b"HELLO").unwrap();
        orders.error.store(libc::ENOSPC as u32, SeqCst);
        // of the data, or of the journal, which says EIO
        assert!(k.call(libc::SYS_fsync, &[fd as usize]).is_err());
        let _ = k.shutdown();
        assert_eq!(k.k.take_write_error().map(|(_, e)| e), Some(Errno::ENOSPC));
        std::fs::remove_file(&socket).unwrap();
    });
}

#[test]
fn what_the_server_does_not_give_is_said() {
    alone("what_the_server_does_not_give_is_said", || {
        let (image, socket, _) = served("nbd-none");
        assert_eq!(connect(&socket, "other").unwrap_err(), DiskError::Server("has no such export"));
        assert!(matches!(connect(Path::new("/nowhere"), "disk"), Err(DiskError::Io(Errno::ENOENT))));
        serve(&image, &socket, FLAGS | 2);
        assert_eq!(connect(&socket, "disk").unwrap_err(), DiskError::Io(Errno::EROFS));
        let uri = format!("nbd+unix:///disk?socket={}", socket.display());
        Disk::connect(uri.as_bytes(), true, 700, lkl::sys::time::monotonic_ns()).unwrap().close();
        std::fs::remove_file(&socket).unwrap();
    });
}
