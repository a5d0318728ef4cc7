// SPDX-License-Identifier: GPL-2.0-only
//! Boot, the first calls, and what they cost.

use lkl::{boot, plain_syscall, BootConfig, Kernel, Task};
use std::time::Instant;

#[test]
fn boots_and_answers() {
    let log = std::env::var_os("KLOG").map(|_| 2);
    let t0 = Instant::now();
    let k =
        boot(&BootConfig { mem_bytes: 64 << 20, kernel_log_fd: log, syscall: plain_syscall, cmdline: c"" })
            .unwrap();
    eprintln!("boot {:?}", t0.elapsed());
    let t = Task::new(k).unwrap().as_ptr();
    let mut u = [0u8; 65 * 6];
    let t0 = Instant::now();
    let r = unsafe { k.call(t, libc::SYS_uname, &[u.as_mut_ptr() as usize, 0, 0, 0, 0, 0], -1) };
    eprintln!("first call {:?}", t0.elapsed());
    assert_eq!(r, 0);
    eprintln!("{:?}", String::from_utf8_lossy(&u));
    let n = 1_000_000;
    let t0 = Instant::now();
    for _ in 0..n {
        unsafe { k.call(t, libc::SYS_getppid, &[0; 6], -1) };
    }
    eprintln!("getppid {:?}", t0.elapsed() / n);
    assert!(Kernel::get().is_some());
    unsafe { k.shutdown(t).unwrap() };
    assert_eq!(unsafe { k.call(t, libc::SYS_getppid, &[0; 6], -1) }, -(libc::ENODEV as isize));
}
