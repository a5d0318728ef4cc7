// SPDX-License-Identifier: GPL-2.0-only
//! Calls with pointers into mappings of kernel files: pages that were not touched yet have no access on the host, where both
//! kernels would say EFAULT. Buffers are put in place before the call. For all else a call that fails so is made again when
//! what it may have missed is in place.

use lkl::Access;

use crate::instance::maps;
use crate::sys::errno::{to_raw, Errno};
use crate::sys::host::{Args, Ret};
use crate::sys::mem::PAGE;
use crate::sys::user;

/// How often a call is made again at most: each time something more is in place.
const TRIES: usize = 64;
/// IOV_MAX
const VECTORS: usize = 1024;

/// Makes the call `nr` by `serve`, in a process that has such mappings.
pub fn served(nr: usize, args: &Args, serve: impl Fn(&Args) -> Ret) -> Ret {
    let _ = maps::missed();
    let r = served_once(nr as i64, args, &serve);
    match nr as i64 {
        libc::SYS_read | libc::SYS_pread64 | libc::SYS_write | libc::SYS_pwrite64 => {
            served_on(nr as i64, args, r, serve)
        }
        _ => r,
    }
}

fn served_once(nr: i64, args: &Args, serve: impl Fn(&Args) -> Ret) -> Ret {
    put_buffers_in_place(nr, args);
    let mut r = serve(args);
    for _ in 0..TRIES {
        if r != to_raw(Err(Errno::EFAULT)) || !is_more_in_place(nr, args) {
            break;
        }
        r = serve(args);
    }
    r
}

/// Write-back may take write access to a page away again before the copy comes to the page: the rest is for another call.
fn served_on(nr: i64, args: &Args, mut done: Ret, serve: impl Fn(&Args) -> Ret) -> Ret {
    let is_amid = |done: Ret| {
        let rest = args[1] + done as usize..args[1] + args[2];
        maps::missed().is_some_and(|(address, _)| rest.contains(&address))
    };
    while done > 0 && (done as usize) < args[2] && is_amid(done) {
        let mut rest = *args;
        rest[1] += done as usize;
        rest[2] -= done as usize;
        // pread and pwrite have an offset here; for the others it is no argument.
        rest[3] = rest[3].wrapping_add(done as usize);
        match served_once(nr, &rest, &serve) {
            more if more > 0 => done += more,
            _ => break,
        }
    }
    done
}

fn put_buffers_in_place(nr: i64, args: &Args) {
    match nr {
        libc::SYS_read | libc::SYS_pread64 | libc::SYS_recvfrom => put(args[1], args[2], Access::Write),
        libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_sendto => put(args[1], args[2], Access::Read),
        libc::SYS_readv | libc::SYS_preadv | libc::SYS_preadv2 => put_vector(args[1], args[2], Access::Write),
        libc::SYS_writev | libc::SYS_pwritev | libc::SYS_pwritev2 | libc::SYS_vmsplice => {
            put_vector(args[1], args[2], Access::Read)
        }
        libc::SYS_getrandom => put(args[0], args[1], Access::Write),
        libc::SYS_recvmsg => put_message(args[1], Access::Write),
        libc::SYS_sendmsg => put_message(args[1], Access::Read),
        _ => {}
    }
}

fn put(address: usize, len: usize, access: Access) {
    let _ = maps::touch(address, len, access);
}

fn put_vector(address: usize, count: usize, access: Access) {
    let count = (count as u32 as usize).min(VECTORS);
    put(address, count * size_of::<[usize; 2]>(), Access::Read);
    for i in 0..count {
        match user::read::<[usize; 2]>(address.wrapping_add(i * size_of::<[usize; 2]>())) {
            Ok([base, len]) => put(base, len, access),
            Err(_) => return,
        }
    }
}

fn put_message(address: usize, access: Access) {
    put(address, size_of::<libc::msghdr>(), Access::Write);
    if let Ok(message) = user::read::<libc::msghdr>(address) {
        put(message.msg_name as usize, message.msg_namelen as usize, access);
        put(message.msg_control as usize, message.msg_controllen, access);
        put_vector(message.msg_iov as usize, message.msg_iovlen, access);
    }
}

/// Whether something is in place now that the call may have missed.
fn is_more_in_place(nr: i64, args: &Args) -> bool {
    if let Some((address, access)) = maps::missed() {
        return maps::touch(address, 1, access).is_ok();
    }
    // The host does not say where. What it reads may be read only.
    put_buffers_in_place(nr, args);
    let put = |address: usize| {
        maps::touch(address, PAGE, Access::Write)
            .or_else(|_| maps::touch(address, PAGE, Access::Read))
            .unwrap_or(0)
    };
    args.iter().map(|&address| put(address)).sum::<usize>() != 0
}
