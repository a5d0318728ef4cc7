// SPDX-License-Identifier: GPL-2.0-only
//! A tap device of the host (Linux, Documentation/networking/tuntap.rst).
#![allow(unsafe_code)]

use lkl::sys::{file, Errno, OwnedFd};

use crate::sys::errno::Explained;

/// linux/if_tun.h; the numbers of x86-64.
const TUNSETIFF: usize = 0x4004_54ca;
const TUNGETIFF: usize = 0x8004_54d2;
const TUNSETOFFLOAD: usize = 0x4004_54d0;
const IFF_TAP: i16 = 0x0002;
const IFF_NO_PI: i16 = 0x1000;
const IFF_VNET_HDR: i16 = 0x4000;
/// TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 and TUN_F_TSO_ECN.
const OFFLOADS: usize = 0x0f;

/// `struct ifreq` with flags.
#[repr(C)]
#[derive(Default)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: i16,
    rest: [u8; 22],
}

/// Opens the tap device `name`, which exists or is made.
pub fn open(name: &str) -> Result<OwnedFd, String> {
    let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let fd = file::open(c"/dev/net/tun", flags)
        .map_err(|e| format!("/dev/net/tun cannot be opened: {}", Explained(e)))?;
    let mut request = Request { flags: IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, ..Request::default() };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: a live `struct ifreq`.
    unsafe { file::ioctl(fd.raw(), TUNSETIFF, &raw mut request as usize) }.map_err(|e| why(name, e))?;
    set_offloads(fd.raw())?;
    Ok(fd)
}

fn why(name: &str, e: Errno) -> String {
    match e {
        Errno::EPERM => format!(
            "you may not use or make the device {name} (EPERM); root makes it for you by \
             `ip tuntap add dev {name} mode tap user UID`"
        ),
        Errno::EBUSY => format!("the device {name} is in use by another program (EBUSY)"),
        Errno::EINVAL => format!("the device {name} is no tap device of one queue (EINVAL)"),
        e => format!("the device {name}: {}", Explained(e)),
    }
}

fn set_offloads(fd: i32) -> Result<(), String> {
    // SAFETY: takes a number.
    unsafe { file::ioctl(fd, TUNSETOFFLOAD, OFFLOADS) }
        .map(drop)
        .map_err(|e| format!("the device takes no segments of TCP: {}", Explained(e)))
}

/// Makes a tap (or macvtap) device that the program was given ready. `None`: the descriptor is of something else.
pub fn take(fd: i32) -> Option<Result<(), String>> {
    let mut request = Request::default();
    // SAFETY: a live `struct ifreq`.
    unsafe { file::ioctl(fd, TUNGETIFF, &raw mut request as usize) }.ok()?;
    let wanted = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if request.flags & wanted != wanted {
        return Some(Err("is no tap device with IFF_NO_PI and IFF_VNET_HDR".into()));
    }
    Some(set_offloads(fd))
}
