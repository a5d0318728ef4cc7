// SPDX-License-Identifier: GPL-2.0-only
//! A kernel that fails says why and stops: every call ends, with EIO, and the program goes on.
//!
//! # Safety
//! Tasks are the calling threads'; pointers among the arguments are valid, or wrong on purpose where EFAULT is expected.
#![allow(unsafe_code)]

mod common;
use common::*;
use lkl::{Errno, Kernel, Private, Task};
use std::process::Output;
use std::time::Duration;

const EIO: isize = -(libc::EIO as isize);
const BUG: usize = 0;
const NULL_POINTER: usize = 1;
const DIVIDE: usize = 2;
const OVERFLOW: usize = 3;
const WARNING: usize = 4;

/// In the other process: one thread waits in the kernel, another comes for the first time later, this one fails.
fn fail(how: usize) {
    give_signal_stack();
    let k = start();
    k.mount_none(c"tmpfs", c"/mnt", 100).unwrap();
    let mut ends = [0i32; 2];
    k.call(libc::SYS_pipe2, &[ends.as_mut_ptr() as usize, 0]).unwrap();
    let end = ends[0];
    let blocked = std::thread::spawn(move || {
        let mut byte = 0u8;
        Thread::new().raw(libc::SYS_read, &[end as usize, &raw mut byte as usize, 1])
    });
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(k.raw(Private::Crash as i64, &[how]), EIO);
    assert_eq!(blocked.join().unwrap(), EIO, "the call that waited");
    assert_eq!(k.raw(libc::SYS_getppid, &[]), EIO);
    assert_eq!(k.open(100, "x", libc::O_RDONLY), Err(Errno::EIO));
    let late = std::thread::spawn(|| Task::new(Kernel::get().unwrap()).err());
    assert_eq!(late.join().unwrap(), Some(Errno::EIO), "a new thread");
    // the clock's thread has nothing to do with it any more
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(k.shutdown(), Err(Errno::EIO));
    k.release();
    println!("the program goes on");
}

fn give_signal_stack() {
    let bytes = Box::leak(vec![0u8; 64 << 10].into_boxed_slice());
    let stack = libc::stack_t { ss_sp: bytes.as_mut_ptr().cast(), ss_flags: 0, ss_size: bytes.len() };
    // SAFETY: memory that is never freed.
    assert_eq!(unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) }, 0);
}

#[test]
fn fails() {
    // the other process of the tests below
    if let Some(how) = std::env::var_os("LKL_TEST_FAIL") {
        fail(how.to_str().unwrap().parse().unwrap());
    }
}

fn run(how: usize) -> Output {
    child("fails")
        .env("LKL_TEST_FAIL", how.to_string())
        .env("LKL_TEST_CMDLINE", "lkl_crash")
        .output()
        .unwrap()
}

#[track_caller]
fn stops(how: usize, says: &[&str]) {
    let out = run(how);
    let err = String::from_utf8_lossy(&out.stderr);
    print!("{err}");
    assert!(out.status.success(), "{}\n{err}", out.status);
    assert!(String::from_utf8_lossy(&out.stdout).contains("the program goes on"));
    for text in says.iter().chain(&["the kernel has stopped", "lkl_crash", "Call trace of"]) {
        assert!(err.contains(text), "no {text} in:\n{err}");
    }
}

#[test]
fn a_bug_stops_the_kernel() {
    stops(BUG, &["BUG: failure at", "Kernel panic - not syncing: BUG!"]);
}

#[test]
fn a_bad_pointer_stops_the_kernel() {
    stops(NULL_POINTER, &["BUG: signal 11 in kernel code, address 0x8"]);
}

#[test]
fn a_division_by_zero_stops_the_kernel() {
    stops(DIVIDE, &["BUG: signal 8 in kernel code"]);
}

#[test]
fn a_full_stack_stops_the_kernel() {
    // (so deep that the trace ends before its caller)
    let out = run(OVERFLOW);
    let err = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{}\n{err}", out.status);
    assert!(err.contains("overflow+0x") && err.contains("the kernel has stopped"), "{err}");
}

#[test]
fn a_warning_shows_where() {
    alone("a_warning_shows_where", || {
        // as the process that it is in was told
        std::env::set_var("LKL_TEST_CMDLINE", "lkl_crash");
        let k = start();
        assert_eq!(k.raw(Private::Crash as i64, &[WARNING]), 0);
        let dir = scratch("warning");
        let log = std::fs::File::create(dir.join("log")).unwrap();
        k.k.dump_log(std::os::fd::AsRawFd::as_raw_fd(&log));
        let text = std::fs::read_to_string(dir.join("log")).unwrap();
        assert!(text.contains("a warning, on request") && text.contains("lkl_crash+0x"), "{text}");
        k.shutdown().unwrap();
    });
}

#[test]
fn nobody_can_make_it_fail_unasked() {
    alone("nobody_can_make_it_fail_unasked", || {
        let k = start();
        assert_eq!(k.raw(Private::Crash as i64, &[BUG]), -(libc::EPERM as isize));
        k.shutdown().unwrap();
    });
}
