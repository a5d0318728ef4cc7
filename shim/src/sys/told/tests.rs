// SPDX-License-Identifier: GPL-2.0-only
//! The rules against the host's: random calls on both sides, and everything that /proc says compared after each.

use super::ids::NONE;
use super::{FileRights, Kind, Sets, Told};
use crate::sys::errno::{Errno, Result};

/// What the host says of the calling thread.
fn of_host() -> Told {
    let text = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().map(str::to_string).collect::<Vec<_>>()
    };
    let ids = |name| -> [u32; 4] {
        let all: Vec<u32> = field(name).iter().map(|id| id.parse().unwrap()).collect();
        all.try_into().unwrap()
    };
    let set = |name| u64::from_str_radix(&field(name)[0], 16).unwrap();
    let mut told = Told::new(0, 0);
    (told.uid, told.gid) = (ids("Uid:"), ids("Gid:"));
    let groups: Vec<u32> = field("Groups:").iter().map(|id| id.parse().unwrap()).collect();
    told.set_groups(&groups).unwrap();
    (told.inheritable, told.permitted, told.effective) = (set("CapInh:"), set("CapPrm:"), set("CapEff:"));
    (told.bounding, told.ambient) = (set("CapBnd:"), set("CapAmb:"));
    // SAFETY: asks.
    told.securebits = unsafe { libc::prctl(libc::PR_GET_SECUREBITS) } as u32;
    told
}

#[derive(Debug, Clone)]
enum Step {
    Set(Kind, u32),
    Two(Kind, u32, u32),
    Three(Kind, [u32; 3]),
    Files(Kind, u32),
    Groups(Vec<u32>),
    Sets(Sets),
    DropBounding(usize),
    IsBounding(usize),
    Securebits(usize),
    Keep(usize),
    Ambient([usize; 4]),
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn id(&mut self) -> u32 {
        [0, 0, 1000, 65534, 7, NONE][self.below(6) as usize]
    }

    fn set(&mut self, near: u64) -> u64 {
        match self.below(3) {
            0 => near,
            1 => near & (self.below(1 << 31) | self.below(1 << 31) << 20),
            _ => near | 1 << self.below(43),
        }
    }

    fn step(&mut self, now: &Told) -> Step {
        let kind = if self.below(3) == 0 { Kind::Group } else { Kind::User };
        match self.below(12) {
            0 => Step::Set(kind, self.id()),
            1 | 2 => Step::Two(kind, self.id(), self.id()),
            // The effective id is always said: where it is not, Linux 6.3 and older kernels differ.
            3 | 4 => Step::Three(kind, [self.id(), [0, 1000, 7][self.below(3) as usize], self.id()]),
            5 => Step::Files(kind, self.id()),
            6 => Step::Groups((0..self.below(4)).map(|_| self.id()).collect()),
            7 => Step::Sets(Sets {
                effective: self.set(now.effective),
                permitted: self.set(now.permitted),
                inheritable: self.set(now.inheritable),
            }),
            8 if self.below(2) == 0 => Step::DropBounding(self.below(43) as usize),
            8 => Step::IsBounding(self.below(43) as usize),
            9 => {
                let most = if self.below(4) == 0 { 512 } else { 2 };
                // Newer hosts know more than these, up to bit 11.
                let bits = self.below(most) as usize;
                Step::Securebits(bits & 0xd7 | bits >> 8 << 20)
            }
            10 => Step::Keep(self.below(3) as usize),
            _ => Step::Ambient([
                self.below(6) as usize,
                self.below(43) as usize,
                usize::from(self.below(9) == 0),
                usize::from(self.below(9) == 0),
            ]),
        }
    }
}

/// The host's call, which concerns the calling thread alone.
fn on_host(step: &Step) -> Result {
    let call = |nr: i64, args: [usize; 5]| {
        // SAFETY: changes the rights of this thread, which is the test's.
        let r = unsafe { libc::syscall(nr, args[0], args[1], args[2], args[3], args[4]) };
        match r {
            -1 => Err(Errno::new(std::io::Error::last_os_error().raw_os_error().unwrap())),
            r => Ok(r as usize),
        }
    };
    let either = |kind, user, group| if kind == Kind::User { user } else { group };
    let prctl = |option: i32, [a, b, c, d]: [usize; 4]| call(libc::SYS_prctl, [option as usize, a, b, c, d]);
    match step.clone() {
        Step::Set(kind, id) => {
            call(either(kind, libc::SYS_setuid, libc::SYS_setgid), [id as usize, 0, 0, 0, 0])
        }
        Step::Two(kind, a, b) => {
            call(either(kind, libc::SYS_setreuid, libc::SYS_setregid), [a as usize, b as usize, 0, 0, 0])
        }
        Step::Three(kind, [a, b, c]) => call(
            either(kind, libc::SYS_setresuid, libc::SYS_setresgid),
            [a as usize, b as usize, c as usize, 0, 0],
        ),
        Step::Files(kind, id) => {
            call(either(kind, libc::SYS_setfsuid, libc::SYS_setfsgid), [id as usize, 0, 0, 0, 0])
        }
        Step::Groups(groups) => call(libc::SYS_setgroups, [groups.len(), groups.as_ptr() as usize, 0, 0, 0]),
        Step::Sets(sets) => {
            let head = [0x2008_0522u32, 0];
            let Sets { effective, permitted, inheritable } = sets;
            let low = [effective, permitted, inheritable].map(|set| set as u32);
            let high = [effective, permitted, inheritable].map(|set| (set >> 32) as u32);
            let data = [low, high].concat();
            call(libc::SYS_capset, [head.as_ptr() as usize, data.as_ptr() as usize, 0, 0, 0])
        }
        Step::DropBounding(n) => prctl(libc::PR_CAPBSET_DROP, [n, 0, 0, 0]),
        Step::IsBounding(n) => prctl(libc::PR_CAPBSET_READ, [n, 0, 0, 0]),
        Step::Securebits(bits) => prctl(libc::PR_SET_SECUREBITS, [bits, 0, 0, 0]),
        Step::Keep(keep) => prctl(libc::PR_SET_KEEPCAPS, [keep, 0, 0, 0]),
        Step::Ambient(args) => prctl(libc::PR_CAP_AMBIENT, args),
    }
}

fn here(told: &mut Told, step: &Step) -> Result {
    let none = |()| 0;
    match step.clone() {
        Step::Set(kind, id) => told.set(kind, id).map(none),
        Step::Two(kind, a, b) => told.set_two(kind, a, b).map(none),
        Step::Three(kind, asked) => told.set_three(kind, asked).map(none),
        Step::Files(kind, id) => Ok(told.set_for_files(kind, id) as usize),
        Step::Groups(groups) => {
            told.may_set_groups(groups.len()).and_then(|()| told.set_groups(&groups)).map(none)
        }
        Step::Sets(sets) => told.set_sets(sets).map(none),
        Step::DropBounding(n) => told.drop_bounding(n).map(none),
        Step::IsBounding(n) => told.is_bounding(n),
        Step::Securebits(bits) => told.set_securebits(bits).map(none),
        Step::Keep(keep) => told.set_keep_capabilities(keep).map(none),
        Step::Ambient(args) => told.ambient(args),
    }
}

/// Random steps of a fresh thread, until the first difference.
fn walk(seed: u64) -> (usize, usize) {
    let mut random = Random(seed);
    let mut told = of_host();
    let mut steps = Vec::new();
    let mut done = 0;
    for _ in 0..40 {
        let step = random.step(&told);
        steps.push(step.clone());
        let mut next = told.clone();
        let (theirs, ours) = (on_host(&step), here(&mut next, &step));
        assert_eq!(theirs, ours, "seed {seed}: {steps:?} of {told:?}");
        if ours.is_ok() {
            told = next;
            done += 1;
        }
        assert_eq!(of_host(), told, "seed {seed}: {steps:?}");
    }
    (done, steps.len())
}

#[test]
fn the_rules_are_the_hosts() {
    let (mut done, mut all) = (0, 0);
    for seed in 0..300 {
        // Rights are a thread's own.
        let (d, a) = std::thread::spawn(move || walk(seed)).join().unwrap();
        (done, all) = (done + d, all + a);
    }
    assert!(done > all / 10 && done < all, "{done} of {all} were allowed");
}

#[test]
fn an_exec_gives_and_takes() {
    let root = Told::new(0, 0);
    let plain = FileRights::default();
    assert_eq!(root.after_exec(&plain), Ok(root.clone()));
    let mut user = root.clone();
    user.set(Kind::User, 1000).unwrap();
    assert_eq!((user.permitted, user.after_exec(&plain).unwrap()), (0, user.clone()));
    let by_setuid = user.after_exec(&FileRights { user: Some(0), ..plain }).unwrap();
    assert_eq!((by_setuid.uid, by_setuid.effective), ([1000, 0, 0, 0], root.effective));
    // The effective id alone is given up: the program's capabilities come back by the real one, but do not act.
    let mut half = root.clone();
    half.set_two(Kind::User, NONE, 1000).unwrap();
    let after = half.after_exec(&plain).unwrap();
    assert_eq!((after.uid, after.permitted, after.effective), ([0, 1000, 1000, 1000], root.permitted, 0));
}

/// `setcap cap_net_raw+ep FILE`
#[test]
fn capabilities_of_a_file() {
    let value = [[1, 0, 0, 2], [0, 0x20, 0, 0], [0; 4], [0; 4], [0; 4]].concat();
    let capabilities = super::FileCapabilities::read(&value);
    let user = Told::new(1000, 1000);
    let after = user.after_exec(&FileRights { capabilities, ..FileRights::default() }).unwrap();
    assert_eq!((after.permitted, after.effective, after.uid), (1 << 13, 1 << 13, [1000; 4]));
    let mut without = user.clone();
    without.bounding &= !(1 << 13);
    assert_eq!(without.after_exec(&FileRights { capabilities, ..FileRights::default() }), Err(Errno::EPERM));
    for bad in [&value[..19], &[], &[1, 0, 0, 9]] {
        assert_eq!(super::FileCapabilities::read(bad), None);
    }
}
