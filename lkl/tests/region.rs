// SPDX-License-Identifier: GPL-2.0-only
//! The memory that an instance lives in.
//!
//! # Safety
//! Tasks are the calling threads'; pointers among the arguments are valid, or wrong on purpose where EFAULT is expected.
#![allow(unsafe_code)]

mod common;
use common::*;
use lkl::Kernel;
use std::fs;

/// A line of /proc/self/maps.
#[derive(Debug)]
struct Mapping {
    start: usize,
    end: usize,
    prot: String,
    name: String,
}

/// What is mapped between the text's first page and the end of RAM; mappings that follow each other without a gap.
fn region() -> Vec<Mapping> {
    let maps = mappings();
    let text = Kernel::get().unwrap().text();
    let at = maps.iter().position(|m| m.start == text.start).expect("the text is a mapping of its own");
    let first = (0..at).rev().take_while(|i| maps[*i].end == maps[i + 1].start).last().unwrap_or(at);
    let mut region: Vec<Mapping> = maps.into_iter().skip(first).collect();
    let len = (1..region.len()).find(|i| region[i - 1].end != region[*i].start).unwrap_or(region.len());
    region.truncate(len);
    region
}

fn mappings() -> Vec<Mapping> {
    let text = fs::read_to_string("/proc/self/maps").unwrap();
    text.lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (start, end) = words[0].split_once('-').unwrap();
            let address = |s| usize::from_str_radix(s, 16).unwrap();
            let name = words.get(5..).unwrap_or_default().join(" ");
            Mapping { start: address(start), end: address(end), prot: words[1].to_owned(), name }
        })
        .collect()
}

const MEMORY: &str = "/memfd:stowaway (deleted)";

#[test]
fn one_mapping_with_tight_protection() {
    alone("one_mapping_with_tight_protection", || {
        start();
        let region = region();
        let own = std::env::current_exe().unwrap();
        let own = own.to_str().unwrap();
        let of = |name: &str| -> Vec<&str> {
            region.iter().filter(|m| m.name == name).map(|m| m.prot.as_str()).collect()
        };
        assert_eq!(of(own), ["r--p", "r-xp", "r--p"], "headers, text, constants: {region:?}");
        // cold data, what is relocated and then constant, data, RAM; kernel stacks may have guard pages in the last
        let memory = of(MEMORY);
        assert_eq!(memory[..4], ["rw-s", "r--s", "rw-s", "rw-s"], "{region:?}");
        assert!(memory[4..].iter().all(|p| ["---s", "rw-s"].contains(p)), "{region:?}");
        assert_eq!(of(""), ["r--p", "---p"], "the host page and what keeps RAM apart: {region:?}");
        let ram: usize = region.iter().filter(|m| m.name == MEMORY).skip(3).map(|m| m.end - m.start).sum();
        let window = 64 << 20;
        assert_eq!(ram, (64 << 20) + window);
    });
}

#[test]
fn its_place_differs() {
    alone("its_place_differs", || {
        let places: Vec<String> = (0..4)
            .map(|_| {
                let out = child("says_where").env("LKL_TEST_WHERE", "1").output().unwrap();
                let text = String::from_utf8(out.stdout).unwrap();
                text.lines().find(|l| l.starts_with("at ")).expect(&text).to_owned()
            })
            .collect();
        for (i, place) in places.iter().enumerate() {
            assert!(!places[..i].contains(place), "{places:?}");
        }
    });
}

#[test]
fn says_where() {
    // the other process of the last test
    if std::env::var_os("LKL_TEST_WHERE").is_some() {
        start();
        println!("\nat {:#x}", region()[0].start);
    }
}

#[test]
fn without_its_own_file_it_is_copied() {
    // A file that is gone has no name that could be opened.
    alone("without_its_own_file_it_is_copied", || {
        let dir = scratch("gone");
        let copy = dir.join("program");
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let out = std::process::Command::new(&copy)
            .args(["--exact", "boots_without_its_file", "--nocapture", "--test-threads=1"])
            .env("LKL_TEST_GONE", &copy)
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        assert!(String::from_utf8_lossy(&out.stdout).contains("booted from a copy"), "{out:?}");
    });
}

#[test]
fn boots_without_its_file() {
    // the other process of the last test
    let Some(own) = std::env::var_os("LKL_TEST_GONE") else { return };
    fs::remove_file(own).unwrap();
    let k = start();
    assert!(k.raw(libc::SYS_getppid, &[]) >= 0);
    let text = k.k.text().start;
    let text = region().into_iter().find(|m| m.start == text).unwrap();
    assert_eq!((text.prot.as_str(), text.name.as_str()), ("r-xp", ""));
    println!("booted from a copy");
}

#[test]
fn a_child_gives_all_of_it_back_and_boots_its_own() {
    alone("a_child_gives_all_of_it_back_and_boots_its_own", || {
        let k = start();
        k.mount_none(c"tmpfs", c"/mnt", 100).unwrap();
        k.write_file(100, "parent", b"1").unwrap();
        let before = k.k.text().start;
        // SAFETY: this process has no thread but this one and the library's.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let is_there = || mappings().iter().any(|m| m.name == MEMORY || m.start == before);
            let had = is_there();
            lkl::reset_in_child();
            let all = had && !is_there();
            let none = Kernel::get().is_none();
            let k = start();
            k.mount_none(c"tmpfs", c"/mnt", 100).unwrap();
            let fresh = k.read_file(100, "parent").is_err() && k.write_file(100, "child", b"2").is_ok();
            // SAFETY: the child ends here.
            unsafe { libc::_exit(i32::from(!(all && none && fresh && k.k.text().start != before))) };
        }
        let mut status = -1;
        // SAFETY: waits for the child just made.
        unsafe { libc::waitpid(pid, &mut status, 0) };
        assert_eq!(status, 0);
        assert_eq!(k.read_file(100, "parent").unwrap(), b"1");
        assert!(k.read_file(100, "child").is_err());
    });
}

/// Threads, descriptors and bytes of address space of this process.
fn possessions() -> (usize, usize, usize) {
    let count = |dir| fs::read_dir(dir).unwrap().count();
    let bytes = mappings().iter().map(|m| m.end - m.start).sum();
    (count("/proc/self/task"), count("/proc/self/fd"), bytes)
}

#[test]
fn the_end_gives_everything_back() {
    alone("the_end_gives_everything_back", || {
        let dir = scratch("again");
        let image = ext4_image(&dir, 64);
        let round = |i: usize| {
            let k = start();
            let disk = open_disk(&image, false).unwrap();
            // SAFETY: the task is this thread's.
            let number = unsafe { k.k.attach_disk(k.t, &disk) }.unwrap();
            // SAFETY: as above.
            unsafe { k.k.mount(k.t, lkl::Source::Disk(number), c"/mnt", c"ext4", 0, c"", 100) }.unwrap();
            assert_eq!(k.read_file(100, &format!("round{i}")).is_ok(), i != 0);
            k.write_file(100, &format!("round{}", i + 1), b"was here").unwrap();
            // SAFETY: as above.
            unsafe { k.k.unmount(k.t, c"/mnt", 100, Some(number)) }.unwrap();
            k.shutdown().unwrap();
            disk.close();
            // SAFETY: shut down, and `k` is not used any more.
            unsafe { k.k.stop() };
            assert!(Kernel::get().is_none());
        };
        round(0);
        let (threads, descriptors, bytes) = possessions();
        for i in 1..20 {
            round(i);
            let now = possessions();
            assert_eq!((now.0, now.1), (threads, descriptors), "round {i}");
            // the test's own heap may grow a little
            assert!(now.2 < bytes + (64 << 10), "round {i}: {bytes} -> {}", now.2);
        }
        assert!(!mappings().iter().any(|m| m.name == MEMORY));
        check_ext4(&image);
    });
}
