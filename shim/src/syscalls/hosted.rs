// SPDX-License-Identifier: GPL-2.0-only
//! Calls that are the host's, whatever their arguments: what those are, for who prints them. Not part of the
//! dispatch: a call without a row in `table.rs` is the host's, with or without one here.

use syscalls::Sysno;

use crate::syscalls::table::Arg;

macro_rules! rows {
    ($($nr:ident [$($arg:ident)*];)*) => {
        /// Number, and arguments in order.
        pub static ROWS: &[(Sysno, &[Arg])] = &[$((Sysno::$nr, &[$(Arg::$arg),*])),*];
    };
}

rows! {
    munmap [Ptr Size];
    mprotect [Ptr Size Prot];
    brk [Ptr];
    mremap [Ptr Size Size Hex Ptr];
    madvise [Ptr Size Advice];
    msync [Ptr Size Hex];
    mlock [Ptr Size];
    munlock [Ptr Size];
    mincore [Ptr Size Ptr];
    pkey_mprotect [Ptr Size Prot Int];
    shmget [Int Size Hex];
    shmat [Int Ptr Hex];
    shmdt [Ptr];
    rt_sigreturn [];
    rt_sigpending [Ptr Size];
    rt_sigtimedwait [Ptr Ptr Time Size];
    rt_sigqueueinfo [Int Signal Ptr];
    sigaltstack [Ptr Ptr];
    kill [Int Signal];
    tkill [Int Signal];
    tgkill [Int Int Signal];
    pause [];
    alarm [Int];
    getitimer [Int Ptr];
    setitimer [Int Ptr Ptr];
    nanosleep [Time Ptr];
    clock_nanosleep [Clock Hex Time Ptr];
    clock_gettime [Clock Time];
    clock_getres [Clock Time];
    clock_settime [Clock Time];
    gettimeofday [Time Ptr];
    time [Ptr];
    times [Ptr];
    timer_create [Clock Ptr Ptr];
    timer_settime [Int Hex Ptr Ptr];
    timer_delete [Int];
    timerfd_create [Clock Open];
    timerfd_settime [Fd Hex Ptr Ptr];
    timerfd_gettime [Fd Ptr];
    futex [Ptr Futex Int Time Ptr Int];
    set_tid_address [Ptr];
    set_robust_list [Ptr Size];
    get_robust_list [Int Ptr Ptr];
    rseq [Ptr Size Hex Hex];
    sched_yield [];
    sched_getaffinity [Int Size Ptr];
    sched_setaffinity [Int Size Ptr];
    getpid [];
    gettid [];
    getppid [];
    getuid [];
    geteuid [];
    getgid [];
    getegid [];
    getpgrp [];
    getpgid [Int];
    setpgid [Int Int];
    getsid [Int];
    setsid [];
    getresuid [Ptr Ptr Ptr];
    getresgid [Ptr Ptr Ptr];
    getgroups [Int Ptr];
    capget [Ptr Ptr];
    capset [Ptr Ptr];
    wait4 [Int Ptr Wait Ptr];
    waitid [Int Int Ptr Wait Ptr];
    pidfd_open [Int Hex];
    pidfd_send_signal [Fd Signal Ptr Hex];
    pidfd_getfd [Fd Fd Hex];
    arch_prctl [Hex Ptr];
    prctl [Int Hex Hex Hex Hex];
    prlimit64 [Int Limit Ptr Ptr];
    getrlimit [Limit Ptr];
    setrlimit [Limit Ptr];
    getrusage [Int Ptr];
    sysinfo [Ptr];
    uname [Ptr];
    getcpu [Ptr Ptr];
    getrandom [Fill Size Hex];
    pipe [Ptr];
    pipe2 [Ptr Open];
    socketpair [Family Socket Int Ptr];
    eventfd [Int];
    eventfd2 [Int Open];
    inotify_init [];
    inotify_init1 [Open];
    inotify_rm_watch [Fd Int];
    memfd_create [Text Hex];
    getpriority [Int Int];
    setpriority [Int Int Int];
    personality [Hex];
    ptrace [Int Int Ptr Ptr];
    seccomp [Int Hex Ptr];
    bpf [Int Ptr Size];
    membarrier [Int Hex Int];
    io_setup [Int Ptr];
    io_uring_setup [Int Ptr];
    io_uring_enter [Fd Int Int Hex Ptr Size];
    io_uring_register [Fd Int Ptr Int];
    mount [Text Path Text Hex Ptr];
    umount2 [Path Hex];
    pivot_root [Path Path];
    unshare [Clone];
    reboot [Hex Hex Hex Ptr];
    sethostname [Buf Size];
    syslog [Int Ptr Int];
    quotactl [Hex Text Int Ptr];
    restart_syscall [];
    process_vm_readv [Int FillIov Int Iov Int Hex];
    process_vm_writev [Int Iov Int Iov Int Hex];
    kcmp [Int Int Int Hex Hex];
    userfaultfd [Open];
}
