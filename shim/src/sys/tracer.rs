// SPDX-License-Identifier: GPL-2.0-only
//! Whether somebody traces this process (ptrace(2)): a debugger, strace, ltrace.

use crate::sys::fs;

/// Whether a tracer is attached. proc(5): the line `TracerPid` of /proc/self/status, which is among the first.
pub fn is_attached() -> bool {
    let mut text = [0; 512];
    let n = fs::read_start(c"/proc/self/status", &mut text).unwrap_or(0);
    is_named_in(&text[..n])
}

fn is_named_in(status: &[u8]) -> bool {
    let tracer = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"TracerPid:"));
    tracer.is_some_and(|number| number.trim_ascii() != b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_tracer() {
        assert!(is_named_in(b"Name:\tx\nTracerPid:\t17\nUid:\t0\n"));
        assert!(!is_named_in(b"Name:\tx\nTracerPid:\t0\nUid:\t0\n"));
        assert!(!is_named_in(b"Name:\tTracerPid\n"));
        assert!(!is_attached());
    }
}
