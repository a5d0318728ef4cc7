// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's memory is the host's when the kernel does not need it.
//!
//! # Safety
//! Tasks are the calling threads'; pointers among the arguments are valid, or wrong on purpose where EFAULT is expected.
#![allow(unsafe_code)]

mod common;
use common::*;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// What the host holds of the kernel's memory.
fn held() -> u64 {
    use std::os::unix::fs::MetadataExt;
    let dir = std::fs::read_dir("/proc/self/fd").unwrap();
    let memory = dir
        .filter_map(|e| Some(e.ok()?.path()))
        .find(|p| std::fs::read_link(p).is_ok_and(|to| to.as_os_str() == "/memfd:stowaway (deleted)"))
        .expect("the instance's memory");
    std::fs::metadata(memory).unwrap().blocks() * 512
}

/// A read of this many bytes goes by the page cache.
const PIECE: usize = 16 << 10;

fn read_in_pieces(k: &Thread, fd: usize, len: usize) -> Vec<u8> {
    let mut got = vec![0u8; len];
    for (at, piece) in got.chunks_mut(PIECE).enumerate() {
        let args = [fd, piece.as_mut_ptr() as usize, piece.len(), at * PIECE];
        assert_eq!(k.call(libc::SYS_pread64, &args), Ok(piece.len()));
    }
    got
}

#[test]
fn page_cache_goes_back_when_asked() {
    alone("page_cache_goes_back_when_asked", || {
        let dir = scratch("cache");
        let image = ext4_image(&dir, 64);
        let k = start();
        k.mount_image(&image, "/mnt", 100, false).unwrap();
        let before = held();
        let bytes = sample_bytes(24 << 20);
        k.write_file(100, "big", &bytes).unwrap();
        let full = held();
        assert!(full > before + 20 * MIB, "{before} -> {full}");
        // SAFETY: the task is this thread's.
        let given = unsafe { k.k.release_memory(k.t) }.unwrap() as u64;
        let after = held();
        println!("held: {before} at first, {full} with 24 MiB cached, {after} after {given} went back");
        assert!(after < before + 4 * MIB, "{before} -> {full} -> {after}");
        // Long reads would go past the page cache.
        let fd = k.open(100, "big", libc::O_RDONLY).unwrap();
        assert!(read_in_pieces(&k, fd as usize, bytes.len()) == bytes);
        assert!(held() > after + 20 * MIB, "it is cached again");
        // dirty pages stay
        let fd = k.open(100, "dirty", libc::O_RDWR | libc::O_CREAT).unwrap();
        k.write(fd, &bytes[..1 << 20]).unwrap();
        // SAFETY: as above.
        unsafe { k.k.release_memory(k.t) }.unwrap();
        assert!(k.read_file(100, "dirty").unwrap() == bytes[..1 << 20]);
        k.shutdown().unwrap();
        check_ext4(&image);
    });
}

#[test]
fn freed_memory_goes_back_by_itself() {
    alone("freed_memory_goes_back_by_itself", || {
        let k = start();
        k.mount_none(c"tmpfs", c"/mnt", 100).unwrap();
        let before = held();
        k.write_file(100, "big", &sample_bytes(24 << 20)).unwrap();
        let full = held();
        assert!(full > before + 20 * MIB, "{before} -> {full}");
        k.call(libc::SYS_unlinkat, &[100, c"big".as_ptr() as usize, 0]).unwrap();
        let begin = Instant::now();
        while held() > before + 4 * MIB {
            assert!(begin.elapsed() < Duration::from_secs(60), "{before} -> {full} -> {}", held());
            std::thread::sleep(Duration::from_millis(100));
        }
        println!("{} bytes went back after {:?}", full - held(), begin.elapsed());
        // and it can be had again
        k.write_file(100, "again", &sample_bytes(24 << 20)).unwrap();
        assert!(k.read_file(100, "again").unwrap() == sample_bytes(24 << 20));
    });
}

#[test]
fn page_cache_goes_back_under_pressure() {
    alone("page_cache_goes_back_under_pressure", || {
        let dir = scratch("pressure");
        let image = ext4_image(&dir, 64);
        let file = dir.join("memory.pressure");
        let says = |avg10| {
            std::fs::write(&file, format!("some avg10={avg10} avg60=0.00 avg300=0.00 total=0\n")).unwrap()
        };
        says("0.00");
        let name = std::ffi::CString::new(file.to_str().unwrap()).unwrap();
        lkl::watch_pressure_in(Box::leak(name.into_boxed_c_str()));
        let k = start();
        k.mount_image(&image, "/mnt", 100, false).unwrap();
        let before = held();
        k.write_file(100, "big", &sample_bytes(24 << 20)).unwrap();
        let full = held();
        assert!(full > before + 20 * MIB, "{before} -> {full}");
        std::thread::sleep(Duration::from_secs(11));
        assert!(held() > before + 20 * MIB, "nobody needs it");
        says("12.34");
        let begin = Instant::now();
        while held() > before + 4 * MIB {
            assert!(begin.elapsed() < Duration::from_secs(40), "{before} -> {full} -> {}", held());
            std::thread::sleep(Duration::from_millis(100));
        }
        println!("{} bytes went back after {:?}", full - held(), begin.elapsed());
        assert!(k.read_file(100, "big").unwrap() == sample_bytes(24 << 20));
        k.shutdown().unwrap();
        check_ext4(&image);
    });
}

/// Of this process, since it began; all of them without I/O.
fn faults() -> i64 {
    // SAFETY: all zeroes is a valid one, and the call fills it.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
        usage.ru_minflt
    }
}

#[test]
fn what_is_read_into_new_memory_takes_few_faults() {
    alone("what_is_read_into_new_memory_takes_few_faults", || {
        let dir = scratch("faults");
        let image = ext4_image(&dir, 64);
        let k = start();
        k.mount_image(&image, "/mnt", 100, false).unwrap();
        let bytes = sample_bytes(24 << 20);
        k.write_file(100, "big", &bytes).unwrap();
        let fd = k.open(100, "big", libc::O_RDONLY).unwrap();
        let mut got = vec![1u8; bytes.len()];
        let mut read = || {
            // SAFETY: the task is this thread's.
            let given = unsafe { k.k.release_memory(k.t) }.unwrap() as u64;
            assert!(given > 20 * MIB, "{given}");
            got.fill(1);
            let before = faults();
            for (at, piece) in got.chunks_mut(PIECE).enumerate() {
                let args = [fd as usize, piece.as_mut_ptr() as usize, piece.len(), at * PIECE];
                assert_eq!(k.call(libc::SYS_pread64, &args), Ok(piece.len()));
            }
            let faults = faults() - before;
            assert!(got == bytes, "other bytes");
            faults
        };
        // the second time, too: the host has taken the pages back, and that is known
        let (first, second) = (read(), read());
        println!("{} pages, {first} faults, then {second}", bytes.len() / 4096);
        if block_engine() != lkl::Engine::IoUring {
            assert!(first.max(second) < (bytes.len() / 4096 / 3) as i64, "{first}, then {second}");
        }
    });
}
