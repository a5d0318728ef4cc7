// SPDX-License-Identifier: GPL-2.0-only
//! 32-bit calls of 64-bit code (`int 0x80`): numbers and layouts of i386 (arch/x86/entry/syscalls/syscall_32.tbl).
//!
//! A call whose arguments are those of its 64-bit sister, but for their width, is dispatched as that one. A call with a path
//! or a descriptor in another layout is refused where the path or the descriptor may be a mount's. Everything else is the
//! host's.
#![allow(unsafe_code)]

use core::sync::atomic::Ordering;

use syscalls::Sysno;
use trampoline::{Frame, INT80_CALLS};

use super::dispatch;
use crate::fdtable;
use crate::sys::errno::{to_raw, Errno};
use crate::sys::host::Ret;
use crate::sys::report::say_once;
use crate::sys::settings::settings;

/// In a description of arguments: two words, the lower one first; a signed word.
const TWO: u8 = 0x80;
const SIGNED: u8 = 0x40;
const AS_THEY_ARE: &[u8] = &[0, 1, 2, 3, 4, 5];

/// Number, the 64-bit call, and from which words its arguments come.
type Row = (u16, Sysno, &'static [u8]);

macro_rules! rows {
    ($($nr:literal $call:ident $([$($from:expr),*])?;)*) => {
        &[$(($nr, Sysno::$call, rows!(@from $($($from),*)?))),*]
    };
    (@from) => { AS_THEY_ARE };
    (@from $($from:expr),+) => { &[$($from),*] };
}

/// In the order of their numbers.
const SAME: &[Row] = rows! {
    1 exit; 2 fork; 3 read; 4 write; 5 open; 6 close; 8 creat; 9 link; 10 unlink; 12 chdir; 14 mknod; 15 chmod;
    19 lseek [0, SIGNED | 1, 2]; 21 mount; 33 access; 36 sync; 37 kill; 38 rename; 39 mkdir; 40 rmdir; 41 dup; 42 pipe;
    51 acct; 52 umount2; 60 umask; 61 chroot; 63 dup2; 83 symlink; 85 readlink; 86 uselib; 87 swapon; 91 munmap;
    92 truncate [0, SIGNED | 1]; 93 ftruncate [0, SIGNED | 1]; 94 fchmod; 115 swapoff; 118 fsync; 125 mprotect;
    133 fchdir; 143 flock; 144 msync; 148 fdatasync; 150 mlock; 163 mremap; 168 poll; 172 prctl; 180 pread64 [0, 1, 2, TWO | 3];
    181 pwrite64 [0, 1, 2, TWO | 3]; 183 getcwd; 184 capget; 185 capset; 190 vfork; 193 truncate [0, TWO | 1];
    194 ftruncate [0, TWO | 1]; 198 lchown; 199 getuid; 200 getgid; 201 geteuid; 202 getegid; 203 setreuid;
    204 setregid; 205 getgroups; 206 setgroups; 207 fchown; 208 setresuid; 209 getresuid; 210 setresgid;
    211 getresgid; 212 chown; 213 setuid; 214 setgid; 215 setfsuid; 216 setfsgid; 217 pivot_root; 218 mincore; 219 madvise;
    220 getdents64; 225 readahead [0, TWO | 1, 3]; 226 setxattr; 227 lsetxattr; 228 fsetxattr; 229 getxattr;
    230 lgetxattr; 231 fgetxattr; 232 listxattr; 233 llistxattr; 234 flistxattr; 235 removexattr;
    236 lremovexattr; 237 fremovexattr; 238 tkill; 239 sendfile; 252 exit_group; 254 epoll_create; 255 epoll_ctl;
    256 epoll_wait; 257 remap_file_pages; 270 tgkill; 272 fadvise64 [0, TWO | 1, TWO | 3, 5]; 291 inotify_init; 292 inotify_add_watch;
    293 inotify_rm_watch; 295 openat; 296 mkdirat; 297 mknodat; 298 fchownat; 301 unlinkat; 302 renameat;
    303 linkat; 304 symlinkat; 305 readlinkat; 306 fchmodat; 307 faccessat; 310 unshare; 313 splice;
    314 sync_file_range [0, TWO | 1, TWO | 3, 5]; 315 tee; 319 epoll_pwait; 322 timerfd_create;
    324 fallocate [0, 1, TWO | 2, TWO | 4]; 328 eventfd2; 329 epoll_create1; 330 dup3; 331 pipe2;
    332 inotify_init1; 336 perf_event_open; 340 prlimit64; 341 name_to_handle_at; 342 open_by_handle_at;
    344 syncfs; 346 setns; 353 renameat2; 357 bpf; 359 socket; 361 bind; 362 connect; 363 listen; 364 accept4;
    367 getsockname; 368 getpeername; 369 sendto; 371 recvfrom; 373 shutdown; 375 membarrier; 376 mlock2;
    377 copy_file_range; 380 pkey_mprotect; 383 statx; 384 arch_prctl; 412 utimensat; 414 ppoll;
};

/// A path, or a descriptor deep in a structure.
const REFUSED_WITH_MOUNTS: &[u16] = &[
    24, 26, 50, 126, 165, 171, 11, 16, 18, 22, 23, 30, 46, 47, 48, 49, 67, 70, 71, 75, 80, 81, 82, 84, 89,
    90, 95, 99, 106, 107, 109, 120, 131, 138, 139, 142, 164, 170, 174, 175, 176, 179, 182, 186, 195, 196,
    247, 248, 268, 271, 277, 299, 300, 308, 309, 320, 339, 345, 354, 358, 370, 372, 337, 385, 413, 416, 417,
    102,
];

/// A descriptor in the first argument.
const REFUSED_BY_DESCRIPTOR: &[u16] = &[
    28, 54, 55, 62, 100, 108, 140, 141, 145, 146, 187, 197, 221, 250, 269, 311, 316, 321, 325, 326, 327, 333,
    334, 343, 347, 348, 349, 350, 365, 366, 378, 379, 411, 410,
];
/// mmap2(2).
const MMAP2: u16 = 192;
const MMAP2_DESCRIPTOR: usize = 4;
/// From here on the numbers are the same for all architectures (`Documentation/process/adding-syscalls.rst`).
const SAME_EVERYWHERE: u32 = 424;

/// Answers the 32-bit call of a frame.
pub fn dispatch(frame: &Frame) -> Ret {
    let (nr, words) = frame.call32();
    match served(nr) {
        Served::As(call, from) => {
            let mut args = [0; 6];
            for (argument, &from) in args.iter_mut().zip(from) {
                *argument = argument_of(&words, from);
            }
            dispatch::dispatch(call, &args, Some(frame))
        }
        Served::Refused => refused(nr),
        Served::ByDescriptor(at) if fdtable::has_kernels(fdtable::class(words[at] as usize)) => refused(nr),
        Served::ByDescriptor(_) | Served::Host => {
            INT80_CALLS.fetch_add(1, Ordering::Relaxed);
            // SAFETY: the application's own call.
            unsafe { frame.call32_on_host() }
        }
    }
}

enum Served {
    As(usize, &'static [u8]),
    Refused,
    ByDescriptor(usize),
    Host,
}

fn served(nr: u32) -> Served {
    if nr >= SAME_EVERYWHERE {
        return Served::As(nr as usize, AS_THEY_ARE);
    }
    let nr = nr as u16;
    if let Ok(at) = SAME.binary_search_by_key(&nr, |row| row.0) {
        return Served::As(SAME[at].1 as usize, SAME[at].2);
    }
    if nr == MMAP2 {
        return Served::ByDescriptor(MMAP2_DESCRIPTOR);
    }
    if REFUSED_BY_DESCRIPTOR.contains(&nr) {
        return Served::ByDescriptor(0);
    }
    match REFUSED_WITH_MOUNTS.contains(&nr) && settings().is_active() {
        true => Served::Refused,
        false => Served::Host,
    }
}

fn argument_of(words: &[u32; 6], from: u8) -> usize {
    let at = usize::from(from & !(TWO | SIGNED));
    let word = words[at];
    match from {
        _ if from & TWO != 0 => word as usize | (words[at + 1] as usize) << 32,
        _ if from & SIGNED != 0 => word as i32 as usize,
        _ => word as usize,
    }
}

#[cold]
fn refused(nr: u32) -> Ret {
    say_once!("int 0x80, call {nr}: this 32-bit call is not served while there are mounts (ENOSYS)");
    to_raw(Err(Errno::ENOSYS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscalls::table::{self, Serve};

    /// Names and numbers of i386.
    fn header() -> Vec<(String, u32)> {
        let header =
            std::fs::read_to_string("/usr/include/x86_64-linux-gnu/asm/unistd_32.h").expect("the header");
        let calls = header.lines().filter_map(|line| line.strip_prefix("#define __NR_")?.split_once(' '));
        calls.map(|(name, number)| (name.to_owned(), number.trim().parse().unwrap())).collect()
    }

    /// The name of the 64-bit call that does the same.
    fn of_64_bit(name: &str) -> String {
        match name {
            "_llseek" => "lseek".into(),
            "_newselect" | "pselect6_time64" => "select".into(),
            "umount" => "umount2".into(),
            "oldstat" | "stat64" => "stat".into(),
            "oldlstat" | "lstat64" => "lstat".into(),
            "oldfstat" | "fstat64" => "fstat".into(),
            "fstatat64" => "newfstatat".into(),
            "mmap2" => "mmap".into(),
            "fadvise64_64" | "fadvise64" => "fadvise64".into(),
            "socketcall" => "socket".into(),
            "signal" | "sigaction" => "rt_sigaction".into(),
            "sigprocmask" => "rt_sigprocmask".into(),
            "pread64" | "pwrite64" | "getdents64" | "prlimit64" => name.into(),
            _ => {
                let plain =
                    name.strip_suffix("_time64").or(name.strip_suffix("64")).or(name.strip_suffix("32"));
                plain.unwrap_or(name).into()
            }
        }
    }

    #[test]
    fn rows_are_in_order_and_name_their_sisters() {
        let header = header();
        assert!(SAME.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (nr, call, _) in SAME {
            let name =
                &header.iter().find(|(_, number)| number == &u32::from(*nr)).expect("a number of i386").0;
            assert_eq!(of_64_bit(name), call.name(), "{nr}");
        }
    }

    #[test]
    fn what_is_served_by_us_does_not_go_to_the_host() {
        let mut silent = Vec::new();
        for (name, number) in header() {
            let sister = Sysno::iter().find(|call| call.name() == of_64_bit(&name));
            let ours = sister.is_some_and(|call| !matches!(table::serve(call as usize), Serve::Host));
            // Their structures are others: the host sends the signal, and says its own limit of address space.
            let listed = ["rt_sigqueueinfo", "getrlimit"].contains(&&*name)
                || REFUSED_WITH_MOUNTS.contains(&(number as u16));
            if ours && matches!(served(number), Served::Host) && !listed {
                silent.push((name, number));
            }
        }
        assert!(silent.is_empty(), "{silent:?}");
    }

    #[test]
    fn words_become_arguments() {
        let words = [1, 2, 0xffff_ffff, 4, 5, 6];
        assert_eq!(argument_of(&words, 1), 2);
        assert_eq!(argument_of(&words, SIGNED | 2), usize::MAX);
        assert_eq!(argument_of(&words, 2), 0xffff_ffff);
        assert_eq!(argument_of(&words, TWO | 3), 5 << 32 | 4);
    }
}
