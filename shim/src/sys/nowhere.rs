// SPDX-License-Identifier: GPL-2.0-only
//! Where the host has this process while the program's current directory is in a mount: in an empty directory without a
//! name. A relative name that reaches the host all the same, in a call that nobody here knows, finds nothing there and
//! can make nothing.

use core::ffi::CStr;

use crate::sys::decimal::Decimal;
use crate::sys::errno::Errno;
use crate::sys::{fs, host};

/// Where the directory may be made; it is removed at once. Below another root there may be no other place than the root.
const ROOMS: [&[u8]; 4] = [b"/dev/shm", b"/tmp", b"/var/tmp", b""];
/// For a host on which nothing can be made: nothing can be made in there either.
const LAST_RESORT: &CStr = c"/proc/self/fdinfo";

/// Goes there. False: the host lets us go nowhere.
pub fn enter() -> bool {
    is_there() || ROOMS.iter().any(|room| enter_in(room)) || fs::change_directory(LAST_RESORT).is_ok()
}

/// Whether the current directory of the host has been removed, and is empty therefore.
fn is_there() -> bool {
    fs::current_directory(&mut [0]) == Err(Errno::ENOENT)
}

fn enter_in(room: &[u8]) -> bool {
    const TRIES: usize = 4;
    (0..TRIES).any(|number| {
        let mut text = [0; 80];
        let path = write_name(&mut text, &[room, b"/.stowaway-"], host::ids().1, number);
        let Some(path) = path.filter(|path| fs::make_directory(path).is_ok()) else { return false };
        let entered = fs::change_directory(path).is_ok();
        let _ = fs::remove_directory(path);
        entered
    })
}

fn write_name<'a>(into: &'a mut [u8; 80], begin: &[&[u8]], thread: usize, number: usize) -> Option<&'a CStr> {
    let (thread, number) = (Decimal::new(thread), Decimal::new(number));
    let mut len = 0;
    for part in begin.iter().copied().chain([thread.as_bytes(), b"-", number.as_bytes()]) {
        into.get_mut(len..len + part.len())?.copy_from_slice(part);
        len += part.len();
    }
    CStr::from_bytes_until_nul(into).ok()
}
