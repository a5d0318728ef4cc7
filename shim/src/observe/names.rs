// SPDX-License-Identifier: GPL-2.0-only
//! Names of flags and of enumerated values, by kind of argument (include/uapi).

use crate::observe::kinds::Arg;

/// One value under a mask, and flags beside it.
pub struct Set {
    pub mask: usize,
    pub one: &'static [(usize, &'static str)],
    pub flags: &'static [(usize, &'static str)],
}

macro_rules! names {
    ($($name:ident)*) => { &[$((libc::$name as u32 as usize, stringify!($name))),*] };
}

macro_rules! sets {
    ($($kind:ident = $mask:expr, [$($one:ident)*] [$($flag:ident)*];)*) => {
        /// The names of a kind of argument.
        pub fn of(kind: Arg) -> Option<&'static Set> {
            $(
                static $kind: Set = Set { mask: $mask, one: names!($($one)*), flags: names!($($flag)*) };
            )*
            match kind {
                $(Arg::$kind => Some(&$kind),)*
                _ => None,
            }
        }
    };
}

const ALL: usize = u32::MAX as usize;

#[allow(non_upper_case_globals)]
mod hidden {
    use super::*;
    sets! {
        Open = 3, [O_RDONLY O_WRONLY O_RDWR] [O_TMPFILE O_SYNC O_CREAT O_EXCL O_NOCTTY O_TRUNC O_APPEND O_NONBLOCK O_DSYNC
            O_ASYNC O_DIRECT O_DIRECTORY O_NOFOLLOW O_NOATIME O_CLOEXEC O_PATH];
        At = 0, [] [AT_SYMLINK_NOFOLLOW AT_REMOVEDIR AT_SYMLINK_FOLLOW AT_NO_AUTOMOUNT AT_EMPTY_PATH];
        Access = 0, [] [R_OK W_OK X_OK];
        Prot = 0, [] [PROT_READ PROT_WRITE PROT_EXEC PROT_GROWSDOWN PROT_GROWSUP];
        Map = 15, [MAP_SHARED MAP_PRIVATE MAP_SHARED_VALIDATE] [MAP_FIXED MAP_ANONYMOUS MAP_GROWSDOWN MAP_DENYWRITE
            MAP_LOCKED MAP_NORESERVE MAP_POPULATE MAP_NONBLOCK MAP_STACK MAP_HUGETLB MAP_FIXED_NOREPLACE];
        Signal = ALL, [SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE
            SIGALRM SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGVTALRM
            SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS] [];
        How = ALL, [SIG_BLOCK SIG_UNBLOCK SIG_SETMASK] [];
        Whence = ALL, [SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE] [];
        Command = ALL, [F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_SETOWN F_GETOWN F_DUPFD_CLOEXEC
            F_OFD_GETLK F_OFD_SETLK F_OFD_SETLKW F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS F_GET_SEALS F_SETLEASE F_GETLEASE] [];
        Clone = 0xff, [SIGCHLD] [CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_PIDFD CLONE_PTRACE CLONE_VFORK
            CLONE_PARENT CLONE_THREAD CLONE_NEWNS CLONE_SYSVSEM CLONE_SETTLS CLONE_PARENT_SETTID CLONE_CHILD_CLEARTID
            CLONE_CHILD_SETTID CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER CLONE_NEWPID CLONE_NEWNET];
        Futex = 0x7f, [FUTEX_WAIT FUTEX_WAKE FUTEX_REQUEUE FUTEX_CMP_REQUEUE FUTEX_WAKE_OP FUTEX_LOCK_PI FUTEX_UNLOCK_PI
            FUTEX_TRYLOCK_PI FUTEX_WAIT_BITSET FUTEX_WAKE_BITSET] [FUTEX_PRIVATE_FLAG FUTEX_CLOCK_REALTIME];
        Family = ALL, [AF_UNSPEC AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET] [];
        Socket = 15, [SOCK_STREAM SOCK_DGRAM SOCK_RAW SOCK_SEQPACKET] [SOCK_NONBLOCK SOCK_CLOEXEC];
        Message = 0, [] [MSG_OOB MSG_PEEK MSG_DONTROUTE MSG_CTRUNC MSG_TRUNC MSG_DONTWAIT MSG_EOR MSG_WAITALL MSG_NOSIGNAL
            MSG_MORE MSG_WAITFORONE MSG_CMSG_CLOEXEC];
        Advice = ALL, [MADV_NORMAL MADV_RANDOM MADV_SEQUENTIAL MADV_WILLNEED MADV_DONTNEED MADV_FREE MADV_DONTFORK MADV_DOFORK
            MADV_MERGEABLE MADV_UNMERGEABLE MADV_HUGEPAGE MADV_NOHUGEPAGE MADV_DONTDUMP MADV_DODUMP] [];
        Wait = 0, [] [WNOHANG WUNTRACED WEXITED WCONTINUED WNOWAIT];
        Rename = 0, [] [RENAME_NOREPLACE RENAME_EXCHANGE RENAME_WHITEOUT];
        Clock = ALL, [CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID CLOCK_THREAD_CPUTIME_ID CLOCK_MONOTONIC_RAW
            CLOCK_REALTIME_COARSE CLOCK_MONOTONIC_COARSE CLOCK_BOOTTIME] [];
        Limit = ALL, [RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS RLIMIT_NPROC RLIMIT_NOFILE
            RLIMIT_MEMLOCK RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO] [];
        Epoll = ALL, [EPOLL_CTL_ADD EPOLL_CTL_DEL EPOLL_CTL_MOD] [];
    }
}
pub use hidden::of;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::arguments::put_set;
    use crate::observe::text::Text;

    fn words(kind: Arg, value: i32) -> String {
        let mut text = Text::new();
        put_set(&mut text, of(kind).unwrap(), value as u32 as usize);
        String::from_utf8(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn sets_are_spelled() {
        assert_eq!(words(Arg::Open, 0), "O_RDONLY");
        assert_eq!(words(Arg::Open, libc::O_TMPFILE | libc::O_RDWR), "O_RDWR|O_TMPFILE");
        assert_eq!(words(Arg::Open, libc::O_WRONLY | 1 << 30), "O_WRONLY|0x40000000");
        assert_eq!(words(Arg::Prot, 0), "0");
        assert_eq!(words(Arg::At, libc::AT_EMPTY_PATH | 1), "AT_EMPTY_PATH|0x1");
        assert_eq!(words(Arg::At, 1), "0x1");
        assert_eq!(words(Arg::Map, libc::MAP_ANONYMOUS), "MAP_ANONYMOUS");
        assert_eq!(words(Arg::Signal, 0), "0");
        assert_eq!(words(Arg::Signal, 64), "0x40");
        assert_eq!(words(Arg::Futex, 128), "FUTEX_WAIT|FUTEX_PRIVATE_FLAG");
        assert_eq!(words(Arg::Clone, 17 | 0x100), "SIGCHLD|CLONE_VM");
    }
}
