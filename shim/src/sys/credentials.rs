// SPDX-License-Identifier: GPL-2.0-only
//! Who the calling thread is, as a kernel outside the thread's user namespace sees the thread: a mount that others made
//! counts neither the ids nor the capabilities that a thread has in a namespace of its own (user_namespaces(7)). Where the
//! setting `as` says who the program is, that counts instead (`told`).

use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, Ordering};

use lkl::Credentials as KernelCredentials;

use crate::sys::errno::Result;
use crate::sys::settings::settings;
use crate::sys::told::{self, Told};
use crate::sys::{decimal, fs, host};

/// What an id without a place in the map reads as (`/proc/sys/kernel/overflowuid`).
const NOBODY: u32 = 65534;

/// The program made a user namespace, and is in it.
static LEFT_FOR_ANOTHER: AtomicBool = AtomicBool::new(false);

/// Credentials of a thread.
pub struct Credentials {
    /// Real, effective, saved, file system user id.
    pub uid: [u32; 4],
    /// Real, effective, saved, file system group id.
    pub gid: [u32; 4],
    groups: [u32; 256],
    group_count: usize,
    permitted: u64,
    effective: u64,
    securebits: u32,
}

impl Credentials {
    /// Those of the calling thread, from the host, or as the setting `as` has it.
    pub fn now() -> Result<Credentials> {
        if let Some(told) = told::now() {
            return Ok(Credentials::of(&told));
        }
        let mut groups = [0; 256];
        let group_count = host::groups(&mut groups);
        let (permitted, effective) = host::capabilities()?;
        let mut who = Credentials {
            uid: host::user_ids()?,
            gid: host::group_ids()?,
            groups,
            group_count,
            permitted,
            effective,
            securebits: host::securebits(),
        };
        who.seen_from_outside();
        Ok(who)
    }

    /// Those that the program is told.
    fn of(told: &Told) -> Credentials {
        let mut groups = [0; 256];
        groups[..told.groups().len()].copy_from_slice(told.groups());
        Credentials {
            uid: told.uid,
            gid: told.gid,
            groups,
            group_count: told.groups().len(),
            permitted: told.permitted,
            effective: told.effective,
            securebits: told.securebits,
        }
    }

    /// The same in a user namespace that the program just made: the ids stay what they were, and no capability counts.
    pub fn in_own_namespace(mut self) -> Credentials {
        LEFT_FOR_ANOTHER.store(true, Ordering::Relaxed);
        (self.permitted, self.effective) = (0, 0);
        self
    }

    /// A namespace for one id is one that a user made (`unshare --user`), whoever started the program. Of one with ranges
    /// that the program was started in (a container), the ids are those that count for the container's own images.
    fn seen_from_outside(&mut self) {
        let (mut uids, mut gids) = (Map::new(), Map::new());
        let (uids, gids) = (uids.read(c"/proc/thread-self/uid_map"), gids.read(c"/proc/thread-self/gid_map"));
        if !LEFT_FOR_ANOTHER.load(Ordering::Relaxed) && !is_for_one(uids) {
            return;
        }
        self.uid = self.uid.map(|id| outside(uids, id));
        self.gid = self.gid.map(|id| outside(gids, id));
        for group in &mut self.groups[..self.group_count] {
            *group = outside(gids, *group);
        }
        (self.permitted, self.effective) = (0, 0);
    }

    /// As the kernel library takes them.
    pub fn for_kernel(&self) -> KernelCredentials<'_> {
        KernelCredentials {
            uid: self.uid,
            gid: self.gid,
            groups: &self.groups[..self.group_count],
            permitted: self.permitted | network_rights(),
            effective: self.effective | network_rights(),
            securebits: self.securebits,
        }
    }
}

/// A network of the program's own is the program's: it may set addresses, bind any port, and see all packets, whoever runs it.
/// CAP_NET_BIND_SERVICE, CAP_NET_BROADCAST, CAP_NET_ADMIN and CAP_NET_RAW. (Where only mounts have a network, the process that sets it up
/// needs them.)
fn network_rights() -> u64 {
    if !settings().has_network() {
        return 0;
    }
    0b1111 << 10
}

/// The text of a uid_map or gid_map.
struct Map([u8; 2048]);

impl Map {
    fn new() -> Map {
        Map([0; 2048])
    }

    fn read(&mut self, path: &CStr) -> &[u8] {
        let n = fs::read_start(path, &mut self.0).unwrap_or(0);
        &self.0[..n]
    }
}

/// The lines of a map: the first id inside, the first id outside, how many.
fn lines(map: &[u8]) -> impl Iterator<Item = [usize; 3]> + '_ {
    map.split(|&b| b == b'\n').filter_map(|line| {
        let mut numbers = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let mut next = || decimal::parse(numbers.next()?);
        Some([next()?, next()?, next()?])
    })
}

fn is_for_one(map: &[u8]) -> bool {
    lines(map).map(|[_, _, count]| count).sum::<usize>() == 1
}

fn outside(map: &[u8], id: u32) -> u32 {
    let id = id as usize;
    lines(map)
        .find(|&[inside, _, count]| id.wrapping_sub(inside) < count)
        .map_or(NOBODY, |[inside, outside, _]| (outside + id - inside) as u32)
}

#[cfg(test)]
mod tests {
    use super::{is_for_one, outside};

    #[test]
    fn maps_are_followed_outwards() {
        let one = b"         0       1000          1\n";
        assert!(is_for_one(one));
        assert_eq!((outside(one, 0), outside(one, 1), outside(one, 65534)), (1000, 65534, 65534));
        let ranges = b"0 1000 1\n1 100000 65536\n";
        assert!(!is_for_one(ranges));
        assert_eq!((outside(ranges, 0), outside(ranges, 1), outside(ranges, 101)), (1000, 100_000, 100_100));
        assert!(!is_for_one(b"0 0 4294967295\n") && !is_for_one(b""));
        assert_eq!(outside(b"", 0), 65534);
    }
}
