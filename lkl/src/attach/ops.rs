// SPDX-License-Identifier: GPL-2.0-only
//! What the kernel asks of its host: `struct lkl_host_ops` of the overlay's `asm/host.h`.
//!
//! These run on kernel stacks, on whatever thread drives the CPU.  They must not panic, allocate,
//! take locks or enter the kernel.
//!
//! # Safety
//! Pointers are the kernel's own, valid during the call.
#![allow(unsafe_code)]

use super::boot::Kernel;
use super::pressure;
use crate::cpu;
use crate::dev::bells;
use crate::dev::block::{self, Iov, Request};
use crate::dev::net::{self, Link};
use crate::dev::tickets::{self, Ticket};
use crate::instance::{image, symbols};
use crate::sys::{file, memory, process, signal, time};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::OnceLock;

#[repr(C)]
pub(crate) struct Ops {
    print: unsafe extern "C" fn(*const u8, u32),
    alert: unsafe extern "C" fn(*const u8, u32),
    panic: unsafe extern "C" fn(),
    time_ns: unsafe extern "C" fn() -> u64,
    realtime_ns: unsafe extern "C" fn() -> u64,
    realtime_coarse_ns: unsafe extern "C" fn() -> u64,
    random: unsafe extern "C" fn() -> u64,
    timer_arm: unsafe extern "C" fn(u64),
    complete: unsafe extern "C" fn(*const cpu::CallSlot),
    blk_submit: unsafe extern "C" fn(*mut Request) -> i64,
    blk_read_around: unsafe extern "C" fn(u64, u64, usize, usize) -> i64,
    blk_gone: unsafe extern "C" fn(u64),
    name: unsafe extern "C" fn(usize, *mut u8, usize),
    protect: unsafe extern "C" fn(usize, usize, i32) -> i64,
    release_pages: unsafe extern "C" fn(usize, usize),
    load_data: unsafe extern "C" fn(usize, usize) -> i64,
    short_of_memory: unsafe extern "C" fn() -> i32,
    memory_call: unsafe extern "C" fn(i64, *const [usize; 6]) -> i64,
    hide_away: unsafe extern "C" fn(u32, usize, usize) -> i64,
    ring: unsafe extern "C" fn(u32),
    tickets: unsafe extern "C" fn(*mut Ticket, u32) -> i64,
    ticket_gone: unsafe extern "C" fn(u64),
    send_signal: unsafe extern "C" fn(u32, u32, *const signal::Sent),
    net_send: unsafe extern "C" fn(*const Link, *const Iov, u32, usize) -> i64,
    net_receive: unsafe extern "C" fn(*const Link, *const Iov, u32) -> i64,
    net_arm: unsafe extern "C" fn(*const Link),
}

/// `struct lkl_host_ops`, for the comparison with the kernel's (`kernel/layout_rows.h`).
#[cfg(test)]
pub(crate) const LAYOUT: &[crate::sys::layout::Row] = crate::sys::layout::layout_rows!(
    "lkl_host_ops" = Ops {
        print,
        alert,
        panic,
        time_ns,
        realtime_ns,
        realtime_coarse_ns,
        random,
        timer_arm,
        complete,
        blk_submit,
        blk_read_around,
        blk_gone,
        name,
        protect,
        release_pages,
        load_data,
        short_of_memory,
        memory_call,
        hide_away,
        ring,
        tickets,
        ticket_gone,
        send_signal,
        net_send,
        net_receive,
        net_arm,
    }
);

pub(crate) const OPS: Ops = Ops {
    print,
    alert,
    panic,
    time_ns,
    realtime_ns,
    realtime_coarse_ns,
    random,
    timer_arm: cpu::arm,
    complete: cpu::complete,
    blk_submit: block::submit,
    blk_read_around: block::read_around,
    blk_gone: block::gone,
    name: symbols::name,
    protect,
    release_pages,
    load_data,
    short_of_memory: pressure::short_of_memory,
    memory_call,
    hide_away: cpu::hide_away,
    ring: bells::ring,
    tickets: tickets::existing,
    ticket_gone: tickets::gone,
    send_signal,
    net_send: net::send,
    net_receive: net::receive,
    net_arm: net::arm,
};

/// Where the kernel log goes; -1: nowhere.
pub(crate) static LOG_FD: AtomicI32 = AtomicI32::new(-1);

/// # Safety
/// `s` and `len` are a text of the kernel's.
unsafe fn text<'a>(s: *const u8, len: u32) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(s, len as usize) }
}

unsafe extern "C" fn print(s: *const u8, len: u32) {
    let fd = LOG_FD.load(Ordering::Relaxed);
    if fd >= 0 {
        // SAFETY: the kernel's text.
        file::write_all(fd, unsafe { text(s, len) });
    }
}

unsafe extern "C" fn alert(s: *const u8, len: u32) {
    // SAFETY: the kernel's text.
    let text = unsafe { text(s, len) };
    match LEFT_BY.get() {
        Some(kernel) => {
            let _ = file::write_at(kernel.region.fd(), text, kernel.region.unsaid_at());
            kernel.words.unsaid.store(len, Ordering::SeqCst);
        }
        None => drop(file::write_all(2, text)),
    }
}

/// The kernel, in a process that has no stderr.
static LEFT_BY: OnceLock<&'static Kernel> = OnceLock::new();

/// What the kernel alerts of is left to other processes.
pub(crate) fn leave_alerts_to_others(kernel: &'static Kernel) {
    let _ = LEFT_BY.set(kernel);
}

unsafe extern "C" fn panic() {
    signal::abort();
}

unsafe extern "C" fn time_ns() -> u64 {
    time::monotonic_ns()
}

unsafe extern "C" fn realtime_ns() -> u64 {
    time::realtime_ns()
}

unsafe extern "C" fn realtime_coarse_ns() -> u64 {
    time::realtime_coarse_ns()
}

unsafe extern "C" fn random() -> u64 {
    process::random_u64().unwrap_or(0)
}

unsafe extern "C" fn protect(at: usize, len: usize, prot: i32) -> i64 {
    // SAFETY: the kernel's own pages.
    unsafe { memory::protect(at, len, prot) }.map_or_else(|e| -i64::from(e.into_raw()), |()| 0)
}

unsafe extern "C" fn release_pages(at: usize, len: usize) {
    block::bounce::released(at, len);
    // SAFETY: free pages of the kernel's, whose contents do not matter.
    let _ = unsafe { memory::advise(at, len, libc::MADV_REMOVE) };
}

/// `LKL_MEMORY_FILE`
pub(crate) const MEMORY_FILE: usize = !1;

unsafe extern "C" fn memory_call(nr: i64, args: *const [usize; 6]) -> i64 {
    // SAFETY: the kernel's six arguments.
    let mut args = unsafe { *args };
    if nr == libc::SYS_mmap && args[4] == MEMORY_FILE {
        let Some(region) =
            super::Kernel::get().map(|kernel| &kernel.region).filter(|region| region.fd() >= 0)
        else {
            return -i64::from(libc::ENODEV);
        };
        args[4] = region.fd() as usize;
        args[5] -= region.base();
    }
    // SAFETY: the kernel changes parts of the program's memory that the program has mapped a file at, as the program asks.
    unsafe { memory::raw(nr, args) as i64 }
}

unsafe extern "C" fn send_signal(pid: u32, tid: u32, info: *const signal::Sent) {
    // SAFETY: the kernel's structure.
    signal::queue(pid, tid, unsafe { &*info });
}

unsafe extern "C" fn load_data(at: usize, len: usize) -> i64 {
    // SAFETY: a part of the running image's cold data, which is asked for once.
    unsafe { image::load(symbols::base(), at..at + len) };
    0
}
