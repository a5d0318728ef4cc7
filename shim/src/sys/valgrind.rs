// SPDX-License-Identifier: GPL-2.0-only
//! Whether valgrind runs this program. Valgrind translates code and makes the calls itself: neither a dispatch of calls nor
//! stacks and registers of ours survive that.
#![allow(unsafe_code)]

use core::arch::asm;

/// The question that valgrind answers whatever the tool is (valgrind.h, VG_USERREQ__RUNNING_ON_VALGRIND).
const RUNNING_ON_VALGRIND: usize = 0x1001;

/// Whether valgrind runs this program. A client request: rotations that come to nothing, and an exchange of a register with
/// itself. Valgrind knows them by their bytes, reads the request at rax and writes its answer to rdx.
pub fn is_running() -> bool {
    let request = [RUNNING_ON_VALGRIND, 0, 0, 0, 0, 0];
    let mut depth = 0usize;
    // SAFETY: on a processor no register changes but the flags.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") request.as_ptr(),
            inout("rdx") depth,
            options(readonly, nostack)
        );
    }
    depth != 0
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_processor_does_not_answer() {
        assert!(!super::is_running());
    }
}
