// SPDX-License-Identifier: GPL-2.0-only
//! Calls printed as strace prints them, with who served them and how they came:
//! `[pid 123] openat(AT_FDCWD, "/mnt/data/x", O_RDONLY|O_CLOEXEC) = 3 <kernel, patched>`.

use super::text::Text;
use super::{arguments, filter, kinds, EntryKind};
use crate::sys::call::Call;
use crate::sys::errno::Errno;
use crate::sys::fs;
use crate::sys::host::{self, Ret};
use crate::sys::thread::ServedBy;

/// Prints a call that returned, or (no result) one that will not.
pub fn print(to: i32, call: &Call<'_>, result: Option<Ret>, kind: EntryKind, by: ServedBy) {
    if !filter::lets(call.nr, by) {
        return;
    }
    let mut text = Text::new();
    text.fmt(format_args!("[pid {}] ", host::ids().1));
    describe(&mut text, call.nr, &call.args, result);
    text.fmt(format_args!(" <{}, {}>\n", served_by_name(by), entry_kind_name(kind)));
    let _ = fs::write(to, text.as_bytes());
}

fn describe(text: &mut Text, nr: usize, args: &[usize; 6], result: Option<Ret>) {
    match kinds::known_name(nr) {
        Some(name) => text.put(name.as_bytes()),
        None => text.fmt(format_args!("syscall_{nr:#x}")),
    }
    text.put(b"(");
    arguments::put(text, nr, args, result);
    text.tail();
    text.put(b") = ");
    match result {
        None => text.put(b"?"),
        Some(r) if (-4095..0).contains(&r) => failure(text, r),
        Some(r) if arguments::gives_address(nr) => text.fmt(format_args!("{r:#x}")),
        Some(r) => text.fmt(format_args!("{r}")),
    }
}

fn failure(text: &mut Text, r: Ret) {
    let errno = Errno::new(-r as i32);
    match errno.name().zip(errno.description()) {
        Some((name, meaning)) => text.fmt(format_args!("-1 {name} ({meaning})")),
        None => text.fmt(format_args!("-1 (errno {})", -r)),
    }
}

fn served_by_name(by: ServedBy) -> &'static str {
    match by {
        ServedBy::Host => "host",
        ServedBy::Kernel => "kernel",
        ServedBy::Own => "own",
    }
}

fn entry_kind_name(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Hook => "hook",
        EntryKind::Patched => "patched",
        EntryKind::Sigsys => "sigsys",
        EntryKind::Int80 => "int80",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(nr: i64, args: [usize; 6], result: Option<Ret>) -> String {
        kinds::describe_by(crate::syscalls::table::arguments);
        let mut text = Text::new();
        describe(&mut text, nr as usize, &args, result);
        String::from_utf8(text.as_bytes().to_vec()).unwrap()
    }

    fn at(text: &core::ffi::CStr) -> usize {
        text.as_ptr() as usize
    }

    const CWD: usize = libc::AT_FDCWD as usize;

    #[test]
    fn opening() {
        let path = at(c"/mnt/data/x");
        let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
        assert_eq!(
            line(libc::SYS_openat, [CWD, path, flags, 0, 0, 0], Some(3)),
            "openat(AT_FDCWD, \"/mnt/data/x\", O_RDONLY|O_CLOEXEC) = 3"
        );
        let flags = (libc::O_RDWR | libc::O_CREAT) as usize;
        assert_eq!(
            line(libc::SYS_openat, [5, path, flags, 0o644, 0, 0], Some(-2)),
            "openat(5, \"/mnt/data/x\", O_RDWR|O_CREAT, 0644) = -1 ENOENT (No such file or directory)"
        );
    }

    #[test]
    fn data_in_both_directions() {
        let data = at(c"some data\n");
        assert_eq!(
            line(libc::SYS_write, [1, data, 10, 0, 0, 0], Some(10)),
            "write(1, \"some data\\n\", 10) = 10"
        );
        assert_eq!(line(libc::SYS_read, [0, data, 4096, 0, 0, 0], Some(4)), "read(0, \"some\", 4096) = 4");
        assert!(line(libc::SYS_read, [0, data, 4096, 0, 0, 0], Some(-9)).contains("read(0, 0x"));
    }

    #[test]
    fn memory_and_signals() {
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
        assert_eq!(
            line(libc::SYS_mmap, [0, 4096, 3, flags, usize::MAX, 0], Some(0x7000)),
            "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7000"
        );
        assert_eq!(line(libc::SYS_kill, [7, 15, 0, 0, 0, 0], Some(0)), "kill(7, SIGTERM) = 0");
        assert_eq!(line(libc::SYS_exit_group, [3, 0, 0, 0, 0, 0], None), "exit_group(3) = ?");
    }

    #[test]
    fn arguments_of_programs() {
        let argv = [at(c"ls"), at(c"-l"), 0];
        let envp = [at(c"A=1"), 0];
        let args = [at(c"/bin/ls"), argv.as_ptr() as usize, envp.as_ptr() as usize, 0, 0, 0];
        let text = line(libc::SYS_execve, args, None);
        assert!(text.starts_with("execve(\"/bin/ls\", [\"ls\", \"-l\"], 0x"), "{text}");
        assert!(text.ends_with(" /* 1 vars */) = ?"), "{text}");
    }

    #[test]
    fn null_pointers_and_numbers_without_a_name() {
        for nr in 0..512 {
            assert!(line(nr, [0; 6], Some(0)).ends_with(" = 0") || arguments::gives_address(nr as usize));
        }
        assert_eq!(line(499, [1, 2, 3, 4, 5, 6], Some(-38)).split('(').next(), Some("syscall_0x1f3"));
    }
}
