// SPDX-License-Identifier: GPL-2.0-only
//! Calls that name a mount by its device number.

use crate::instance::enter::enter_kernel;
use crate::sys::call::Call;
use crate::sys::errno::Result;
use crate::sys::settings::settings;

/// The major number of the kernel's disks, whose minor numbers are the places of mounts (the overlay's `lkb.c`).
const DISKS: usize = 3840;
/// Where anonymous numbers of mounts begin, and how many each mount has (the overlay's `devices.c`).
const ANONYMOUS: usize = 1 << 19;
const EACH: usize = 256;

/// ustat(2)
pub fn ustat(c: &Call<'_>) -> Result {
    match place(c.args[0] as u32 as usize) {
        Some(index) if index < settings().mounts.len() => enter_kernel(|context| {
            context.mount_root(index)?;
            context.call(c.nr as i64, &c.args)
        }),
        _ => c.to_host(),
    }
}

/// Where ids of mounts begin, and how many each mount has (the overlay's `devices.c`).
const MOUNT_IDS: usize = 1 << 24;
const IDS_EACH: usize = 16;

/// Which mount has an id (STATX_MNT_ID).
pub fn place_of_id(id: usize) -> Option<usize> {
    id.checked_sub(MOUNT_IDS).map(|number| number / IDS_EACH).filter(|&index| index < settings().mounts.len())
}

/// Which mount has a device number (new_decode_dev() of include/linux/kdev_t.h).
pub fn place(device: usize) -> Option<usize> {
    let (major, minor) = ((device & 0xf_ff00) >> 8, device & 0xff | device >> 12 & 0xf_ff00);
    match major {
        DISKS => Some(minor),
        0 => minor.checked_sub(ANONYMOUS).map(|number| number / EACH),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_device_numbers() {
        let number = |major, minor| libc::makedev(major, minor) as usize;
        assert_eq!(place(number(3840, 0)), Some(0));
        assert_eq!(place(number(3840, 300)), Some(300));
        assert_eq!(place(number(0, (1 << 19) + 256 * 3 + 7)), Some(3));
        assert_eq!(place(number(0, 40)), None);
        assert_eq!(place(number(254, 0)), None);
    }
}
