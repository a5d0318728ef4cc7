// SPDX-License-Identifier: GPL-2.0-only
//! The initial stack, as the kernel laid it for us and as the program is to find it (System V ABI x86-64, 3.4.1;
//! fs/binfmt_elf.c, create_elf_tables):
//!
//! ```text
//! sp: argc | argv... 0 | envp... 0 | auxv... AT_NULL ... | argv strings | envp strings | execfn string | top
//! ```
//!
//! It is rewritten in place: the program's stack is as big and its strings are as contiguous as they are natively
//! (programs write their title over them). Variables of ours go away, so everything only shrinks.
#![allow(unsafe_code)]

use core::ffi::CStr;

use crate::sys::told::{self, EFFECTIVE, REAL};

/// The vectors of an initial stack.
pub struct Initial {
    sp: *mut usize,
    envp: *mut usize,
    auxv: *mut usize,
}

impl Initial {
    /// Reads the stack that begins at `sp`.
    ///
    /// # Safety
    /// `sp` is the initial stack pointer of this process, and the stack is as the kernel left it.
    pub unsafe fn read(sp: *mut usize) -> Initial {
        // SAFETY: argc, its strings and a null come first, then the environment and a null.
        unsafe {
            let envp = sp.add(1 + *sp + 1);
            let mut auxv = envp;
            while *auxv != 0 {
                auxv = auxv.add(1);
            }
            Initial { sp, envp, auxv: auxv.add(1) }
        }
    }

    /// Address of argc: the program's stack pointer.
    pub fn address(&self) -> usize {
        self.sp as usize
    }

    /// Address of the argument vector.
    pub fn argv(&self) -> usize {
        self.address() + size_of::<usize>()
    }

    /// Address of the environment.
    pub fn envp(&self) -> usize {
        self.envp as usize
    }

    /// The entries of the environment.
    pub fn environment(&self) -> impl Iterator<Item = &'static CStr> + '_ {
        // SAFETY: a null-terminated row of strings that the process keeps.
        let nth = |i: usize| unsafe { *self.envp.add(i) };
        // SAFETY: as above.
        (0..).map(nth).take_while(|&p| p != 0).map(|p| unsafe { CStr::from_ptr(p as *const _) })
    }

    /// The place of an auxiliary value.
    fn auxiliary(&self, kind: u64) -> Option<*mut usize> {
        let mut entry = self.auxv;
        // SAFETY: pairs up to AT_NULL.
        unsafe {
            while *entry != libc::AT_NULL as usize {
                if *entry == kind as usize {
                    return Some(entry.add(1));
                }
                entry = entry.add(2);
            }
        }
        None
    }

    /// An auxiliary value, 0 if there is none.
    pub fn get(&self, kind: u64) -> usize {
        // SAFETY: `auxiliary` gives places in the vector.
        self.auxiliary(kind).map_or(0, |at| unsafe { *at })
    }

    /// Sets one. The kernel gives all that are set here to every program.
    pub fn set(&mut self, kind: u64, value: usize) {
        if let Some(at) = self.auxiliary(kind) {
            // SAFETY: as above.
            unsafe { *at = value };
        }
    }

    /// The ids are those that the program is told, where it is told any.
    pub fn tell_ids(&mut self) {
        let Some(told) = told::at_start() else { return };
        let ids = [
            (libc::AT_UID, told.uid[REAL]),
            (libc::AT_EUID, told.uid[EFFECTIVE]),
            (libc::AT_GID, told.gid[REAL]),
            (libc::AT_EGID, told.gid[EFFECTIVE]),
        ];
        ids.into_iter().for_each(|(kind, id)| self.set(kind, id as usize));
    }

    /// The words of the auxiliary vector, AT_NULL included: address and count.
    pub fn auxiliary_vector(&self) -> (usize, usize) {
        let mut words = 2;
        // SAFETY: pairs up to AT_NULL.
        while unsafe { *self.auxv.add(words - 2) } != libc::AT_NULL as usize {
            words += 2;
        }
        (self.auxv as usize, words)
    }

    /// Where the argument strings begin and end.
    pub fn argument_strings(&self) -> (usize, usize) {
        // SAFETY: argc pointers to strings, each behind the one before.
        unsafe {
            let count = *self.sp;
            if count == 0 {
                return (0, 0);
            }
            let (first, last) = (*self.sp.add(1), *self.sp.add(count));
            (first, last + CStr::from_ptr(last as *const _).to_bytes_with_nul().len())
        }
    }

    /// Takes the variables that are ours out of the environment, and puts `execfn` behind the others as the program's name. Returns where the environment's strings begin and end.
    ///
    /// # Safety
    /// Nobody keeps a pointer into the environment's strings; the variables that go away have room for `execfn`.
    pub unsafe fn restore(&mut self, is_ours: impl Fn(&[u8]) -> bool, execfn: &CStr) -> (usize, usize) {
        let old_end = self.get(libc::AT_EXECFN);
        // SAFETY: the strings stand in the order of the vector, so what is written never passes what is read; the
        // vectors only shrink.
        unsafe {
            let first = *self.envp;
            let (mut to, mut slot, mut entry) = (first as *mut u8, self.envp, self.envp);
            while *entry != 0 {
                let text = CStr::from_ptr(*entry as *const _).to_bytes_with_nul();
                if !is_ours(&text[..text.len() - 1]) {
                    core::ptr::copy(text.as_ptr(), to, text.len());
                    *slot = to as usize;
                    slot = slot.add(1);
                    to = to.add(text.len());
                }
                entry = entry.add(1);
            }
            let end = to as usize;
            let name = execfn.to_bytes_with_nul();
            core::ptr::copy(name.as_ptr(), to, name.len());
            to = to.add(name.len());
            if (to as usize) < old_end {
                core::ptr::write_bytes(to, 0, old_end - to as usize);
            }
            self.set(libc::AT_EXECFN, end);
            *slot = 0;
            let (_, words) = self.auxiliary_vector();
            core::ptr::copy(self.auxv, slot.add(1), words);
            self.auxv = slot.add(1);
            (first, end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stack in a buffer: vectors, then strings, as the kernel lays them.
    fn lay(arguments: &[&str], variables: &[&str], execfn: &str) -> Vec<usize> {
        let words = arguments.len() + variables.len() + 3 + 6;
        let mut memory = vec![0usize; words + 64];
        let mut text = memory.as_mut_ptr() as usize + words * 8;
        let mut put = |s: &str| {
            let at = text;
            // SAFETY: 64 words are room for the strings of these tests.
            unsafe { core::ptr::copy(s.as_ptr(), at as *mut u8, s.len()) };
            text += s.len() + 1;
            at
        };
        let mut vector = vec![arguments.len()];
        vector.extend(arguments.iter().map(|s| put(s)));
        vector.push(0);
        vector.extend(variables.iter().map(|s| put(s)));
        vector.push(0);
        vector.extend([libc::AT_EXECFN as usize, put(execfn), libc::AT_ENTRY as usize, 7, 0, 0]);
        memory[..words].copy_from_slice(&vector);
        memory
    }

    #[test]
    fn variables_of_ours_vanish_and_the_rest_moves_up() {
        let variables = ["STOWAWAY_EXEC=3:/bin/ls", "A=1", "LD_DEBUG=all", "STOWAWAY_MEM=1M", "B="];
        let mut memory = lay(&["ls", "-l"], &variables, "/x/lib.so");
        // SAFETY: the buffer is such a stack.
        unsafe {
            let mut stack = Initial::read(memory.as_mut_ptr());
            let (start, end) = stack.restore(stowaway_config::is_ours, c"/bin/ls");
            let stack = Initial::read(memory.as_mut_ptr());
            let left: Vec<_> = stack.environment().map(|s| s.to_str().unwrap()).collect();
            assert_eq!(left, ["A=1", "LD_DEBUG=all", "B="]);
            let strings = core::slice::from_raw_parts(start as *const u8, end - start);
            assert_eq!(strings, b"A=1\0LD_DEBUG=all\0B=\0");
            assert_eq!(stack.argument_strings().1, start);
            assert_eq!(stack.get(libc::AT_EXECFN), end);
            assert_eq!(CStr::from_ptr(end as *const _), c"/bin/ls");
            assert_eq!((stack.get(libc::AT_ENTRY), stack.auxiliary_vector().1), (7, 6));
        }
    }
}
