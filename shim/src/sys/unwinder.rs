// SPDX-License-Identifier: GPL-2.0-only
//! The unwinder's functions, found when they are first called.
//!
//! Rust's library wants them of libgcc_s, for panics and for exceptions of others that pass through our functions. Linked in
//! the usual way, libgcc_s would be loaded into every process (a quarter of what we cost a short program), and called in
//! next to none: who throws or is cancelled has it loaded already.
#![allow(unsafe_code)]

use core::arch::global_asm;
use core::ffi::{c_void, CStr};
use core::sync::atomic::{AtomicPtr, Ordering};

/// In the order of the jumps below.
const NAMES: [&CStr; 12] = [
    c"_Unwind_Backtrace",
    c"_Unwind_DeleteException",
    c"_Unwind_GetDataRelBase",
    c"_Unwind_GetIP",
    c"_Unwind_GetIPInfo",
    c"_Unwind_GetLanguageSpecificData",
    c"_Unwind_GetRegionStart",
    c"_Unwind_GetTextRelBase",
    c"_Unwind_RaiseException",
    c"_Unwind_Resume",
    c"_Unwind_SetGR",
    c"_Unwind_SetIP",
];

static STOWAWAY_UNWINDER: [AtomicPtr<c_void>; NAMES.len()] =
    [const { AtomicPtr::new(core::ptr::null_mut()) }; NAMES.len()];

// Each goes on in the function that it stands for, as if that had been called: the unwinder looks at its caller.
global_asm!(
    include_str!("asm/unwinder.S"),
    functions = sym STOWAWAY_UNWINDER,
    find = sym find,
);

/// The function behind a name. Without it nothing can go on: the process is ended.
unsafe extern "C" fn find(index: usize) -> *mut c_void {
    // SAFETY: C strings; the library stays loaded.
    unsafe {
        let library = libc::dlopen(c"libgcc_s.so.1".as_ptr(), libc::RTLD_NOW);
        let function = if library.is_null() { library } else { libc::dlsym(library, NAMES[index].as_ptr()) };
        if function.is_null() {
            libc::abort();
        }
        STOWAWAY_UNWINDER[index].store(function, Ordering::Release);
        function
    }
}
