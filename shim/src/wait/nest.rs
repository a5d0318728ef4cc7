// SPDX-License-Identifier: GPL-2.0-only
//! Sets in sets. A set that gets its kernel half may be a member of other sets already, by its host half alone: its kernel
//! half becomes a member as well. The host says in `/proc/self/fdinfo` what a set has (proc_pid_fdinfo(5)).

use crate::fdtable::sets::{self, set_at, Set};
use crate::fdtable::{self, HOST};
use crate::instance::enter::enter_kernel;
use crate::sys::call::args;
use crate::sys::errno::Result;
use crate::sys::fs;
use crate::wait::event::Event;
use crate::wait::join::add_kernels_half;

/// The set at `numbers` has a kernel half now.
pub fn tell_outer_sets(numbers: &[usize]) -> Result<()> {
    for outer in sets::numbers_of_sets().filter(|outer| !numbers.contains(outer)) {
        // Of these the host half has no member; to ask the host takes a look at all of them.
        if matches!(set_at(outer), Set::Unknown | Set::Empty | Set::Kernel) {
            continue;
        }
        for (member, event) in members(outer).into_iter().filter(|(member, _)| numbers.contains(member)) {
            if fdtable::class(outer) == HOST {
                add_kernels_half(outer)?;
            }
            sets::note_set(outer, Set::Both);
            sets::note_nested();
            let at = core::ptr::from_ref(&event) as usize;
            let add = args([outer, libc::EPOLL_CTL_ADD as usize, member, at]);
            // It is a member already if `outer` is one of several numbers of a set.
            let _ = enter_kernel(|context| context.call(libc::SYS_epoll_ctl, &add));
        }
    }
    Ok(())
}

/// The members of a set's host half: by which number each was added, and with which event.
fn members(set: usize) -> Vec<(usize, Event)> {
    fs::fdinfo(set).split(|&byte| byte == b'\n').filter_map(member).collect()
}

/// `tfd: 5 events: 19 data: 7  pos:...`, the events and the data in hexadecimal (fs/eventpoll.c, `ep_show_fdinfo`).
fn member(line: &[u8]) -> Option<(usize, Event)> {
    let line = core::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let mut behind = |name: &str| words.find(|&word| word == name).and_then(|_| words.next());
    let number = behind("tfd:")?.parse().ok()?;
    let events = u32::from_str_radix(behind("events:")?, 16).ok()?;
    let data = u64::from_str_radix(behind("data:")?, 16).ok()?;
    Some((number, Event { events, data: [data as u32, (data >> 32) as u32] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_read_as_the_host_writes_it() {
        let line = b"tfd:        7 events:       1d data: ffffffff00000001  pos:0 ino:b sdev:e";
        assert_eq!(member(line), Some((7, Event { events: 0x1d, data: [1, u32::MAX] })));
        assert_eq!(member(b"flags:\t02"), None);
        assert_eq!(member(b""), None);
    }
}
