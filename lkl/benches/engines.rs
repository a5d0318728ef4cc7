// SPDX-License-Identifier: GPL-2.0-only
//! Measures the block engines side by side: `cargo bench -p lkl --bench engines -- [ROUNDS [MIB]]`.
//!
//! Each round runs every engine and the host itself in turn, each in a process of its own, on one ext4
//! image (the host: on a file beside it) in the directory for temporary files; medians are printed. "cold" is
//! nowhere cached, "host" is in the host's page cache only.
//!
//! # Safety
//! Tasks are the calling threads', buffers live during their calls.
#![allow(unsafe_code)]

#[path = "../tests/common/mod.rs"]
mod common;
use common::*;
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const ENGINES: [&str; 5] = ["native", "auto", "inline", "threads", "io_uring"];
const READS: usize = 1000;
const SYNCS: usize = 200;
const READERS: usize = 4;

fn main() {
    let args: Vec<String> = std::env::args().filter(|arg| arg != "--bench").collect();
    if let Some(dir) = std::env::var_os("ENGINES_DIR") {
        return measure(&args[1], Path::new(&dir));
    }
    let number = |at: usize, default| args.get(at).map_or(default, |n| n.parse::<usize>().expect("a number"));
    let (rounds, mib) = (number(1, 5), number(2, 128));
    let dir = std::env::temp_dir().join(format!("engines-{}", std::process::id()));
    prepare(&dir, mib as u64);
    let mut all: BTreeMap<String, BTreeMap<&str, Vec<f64>>> = BTreeMap::new();
    for _ in 0..rounds {
        for engine in ENGINES {
            let mut child = Command::new(std::env::current_exe().expect("own name"));
            let child = child.arg(engine).env("ENGINES_DIR", &dir).env("LKL_TEST_BLOCK_ENGINE", engine);
            let out = child.output().expect("run ourselves");
            assert!(out.status.success(), "{engine}: {}", String::from_utf8_lossy(&out.stderr));
            for line in String::from_utf8_lossy(&out.stdout).lines() {
                let (job, value) = line.rsplit_once(' ').expect("JOB VALUE");
                let values = all.entry(job.into()).or_default().entry(engine).or_default();
                values.push(value.parse().expect("a number"));
            }
        }
    }
    std::fs::remove_dir_all(&dir).expect("remove the directory");
    print!("{:42}", "");
    ENGINES.iter().for_each(|e| print!("{e:>10}"));
    println!();
    for (job, by_engine) in &mut all {
        print!("{job:42}");
        for engine in ENGINES {
            let values = by_engine.get_mut(engine).expect("every engine");
            values.sort_by(f64::total_cmp);
            print!("{:10.1}", values[values.len() / 2]);
        }
        println!();
    }
}

fn prepare(dir: &Path, mib: u64) {
    let tree = dir.join("tree");
    std::fs::create_dir_all(&tree).expect("a directory");
    let bytes = sample_bytes(1 << 20);
    let file = std::fs::File::create(tree.join("file")).expect("a file");
    (0..mib).for_each(|n| file.write_all_at(&bytes, n << 20).expect("room"));
    let image = dir.join("image");
    make_file(&image, mib * 3 / 2 + 64);
    must("mkfs.ext4", &["-q", "-F", "-d", tree.to_str().unwrap(), image.to_str().unwrap()]);
}

/// Nothing of the files is in the host's cache.
fn make_cold(dir: &Path) {
    for name in ["image", "tree/file"] {
        let file = std::fs::File::options().write(true).open(dir.join(name)).expect("open");
        file.sync_all().expect("sync");
        // SAFETY: a live descriptor.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }
}

fn measure(engine: &str, dir: &Path) {
    if engine == "native" {
        make_cold(dir);
        let path = dir.join("tree/file");
        jobs(dir, &|| {
            let file = std::fs::File::options().read(true).write(true).open(&path).expect("open");
            Box::new(file)
        });
        return;
    }
    make_cold(dir);
    let disk = open_disk(&dir.join("image"), false).expect("the image");
    let k = start();
    k.mount_disk(&disk, "/mnt", 100).expect("mount");
    jobs(dir, &|| {
        let thread = Thread::new();
        let fd = thread.open(100, "file", libc::O_RDWR).expect("open");
        Box::new(Inside { thread, fd })
    });
    k.shutdown().expect("shutdown");
}

trait File {
    fn read(&self, buf: &mut [u8], off: u64);
    fn write_through(&self, buf: &[u8], off: u64);
    fn forget(&self);
}

impl File for std::fs::File {
    fn read(&self, buf: &mut [u8], off: u64) {
        self.read_exact_at(buf, off).expect("read");
    }
    fn write_through(&self, buf: &[u8], off: u64) {
        self.write_all_at(buf, off).expect("write");
        self.sync_all().expect("fsync");
    }
    fn forget(&self) {}
}

struct Inside {
    thread: Thread,
    fd: i32,
}

impl File for Inside {
    fn read(&self, buf: &mut [u8], off: u64) {
        let args = [self.fd as usize, buf.as_mut_ptr() as usize, buf.len(), off as usize];
        assert_eq!(self.thread.call(libc::SYS_pread64, &args), Ok(buf.len()));
    }
    fn write_through(&self, buf: &[u8], off: u64) {
        let args = [self.fd as usize, buf.as_ptr() as usize, buf.len(), off as usize];
        assert_eq!(self.thread.call(libc::SYS_pwrite64, &args), Ok(buf.len()));
        self.thread.call(libc::SYS_fsync, &[self.fd as usize]).expect("fsync");
    }
    fn forget(&self) {
        let all = [self.fd as usize, 0, 0, libc::POSIX_FADV_DONTNEED as usize];
        self.thread.call(libc::SYS_fadvise64, &all).expect("fadvise");
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.thread.close(self.fd).expect("close");
        self.thread.release();
    }
}

type Open<'a> = &'a (dyn Fn() -> Box<dyn File> + Sync);

fn jobs(dir: &Path, open: Open<'_>) {
    let size = std::fs::metadata(dir.join("tree/file")).expect("the file").len();
    let cold = |file: &dyn File| {
        file.forget();
        make_cold(dir);
    };
    let file = open();
    cold(&*file);
    println!("random 4 KiB read, cold (us) {}", random(&*file, size, 1));
    file.forget();
    warm(&dir.join("image"));
    warm(&dir.join("tree/file"));
    println!("random 4 KiB read, host (us) {}", random(&*file, size, 2));
    cold(&*file);
    println!("random 4 KiB read, cold, 4 threads (us) {}", crowd(open, size));
    cold(&*file);
    println!("sequential read, cold (MiB/s) {}", sequential(&*file, size));
    println!("4 KiB write + fsync (us) {}", {
        let begin = Instant::now();
        (0..SYNCS).for_each(|n| file.write_through(&[n as u8; 4096], (n as u64 * 37 % 1000) << 12));
        begin.elapsed().as_secs_f64() * 1e6 / SYNCS as f64
    });
}

fn warm(path: &PathBuf) {
    std::fs::read(path).expect("read");
}

/// Microseconds each.
fn random(file: &dyn File, size: u64, seed: u64) -> f64 {
    let (mut at, mut buf) = (seed, [0u8; 4096]);
    let begin = Instant::now();
    for _ in 0..READS {
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        file.read(&mut buf, ((at >> 20) % (size >> 12)) << 12);
    }
    begin.elapsed().as_secs_f64() * 1e6 / READS as f64
}

fn crowd(open: Open<'_>, size: u64) -> f64 {
    let begin = Instant::now();
    std::thread::scope(|s| {
        for seed in 0..READERS as u64 {
            s.spawn(move || random(&*open(), size, seed + 10));
        }
    });
    begin.elapsed().as_secs_f64() * 1e6 / (READS * READERS) as f64
}

fn sequential(file: &dyn File, size: u64) -> f64 {
    let mut buf = vec![0u8; 256 << 10];
    let begin = Instant::now();
    for n in 0..size / buf.len() as u64 {
        file.read(&mut buf, n * (256 << 10));
    }
    size as f64 / (1 << 20) as f64 / begin.elapsed().as_secs_f64()
}
