// SPDX-License-Identifier: GPL-2.0-only
//! Many sites written at once, where nobody runs any of them: a call of the host for each page that has some, in place of two
//! for each site. libc alone has more than 500.
//!
//! # Safety
//! As [`Memory::write`]: whoever adds a write answers for its place, and for it that nobody runs the bytes between two places of
//! one page.
#![allow(unsafe_code)]

use super::emit::SLOT;
use super::live::Memory;
use crate::abi::PAGE;
use crate::rewrite::decide::tactic::JMP_LEN;
use crate::rewrite::find::module;

/// Stubs, and the jumps to them, that are not written yet.
#[derive(Debug, Default)]
pub struct Batch {
    stubs: Vec<(u64, [u8; SLOT])>,
    jumps: Vec<(u64, [u8; JMP_LEN as usize])>,
}

impl Batch {
    /// A stub, and the jump to it.
    ///
    /// # Safety
    /// See above.
    pub unsafe fn add(&mut self, stub: (u64, [u8; SLOT]), jump: (u64, [u8; JMP_LEN as usize])) {
        self.stubs.push(stub);
        self.jumps.push(jump);
    }

    /// Writes all: each stub before the jump to it. False: some of the jumps are not there, and the others are to go by
    /// [`Batch::take_back`].
    pub fn write(&mut self, memory: &Memory) -> bool {
        self.stubs.sort_unstable_by_key(|&(at, _)| at);
        self.jumps.sort_unstable_by_key(|&(at, _)| at);
        let neighbours = |a: &(u64, [u8; SLOT]), b: &(u64, [u8; SLOT])| a.0 + SLOT as u64 == b.0;
        let stubs = self.stubs.chunk_by(neighbours).all(|run| {
            let bytes: Vec<u8> = run.iter().flat_map(|(_, slot)| slot).copied().collect();
            // SAFETY: free slots, as the caller of add() said.
            unsafe { memory.write(run[0].0, &bytes) }
        });
        stubs && write_jumps(memory, &self.jumps)
    }

    /// Puts back what stood at the jumps. `original`: the bytes at an address.
    pub fn take_back(&self, memory: &Memory, original: impl Fn(u64) -> Option<[u8; JMP_LEN as usize]>) {
        for &(at, _) in &self.jumps {
            if let Some(bytes) = original(at) {
                // SAFETY: as for the jump, which nobody has run.
                unsafe { memory.write(at, &bytes) };
            }
        }
    }

    /// Whether there is a jump at the address.
    pub fn jumps_from(&self, address: u64) -> bool {
        self.jumps.iter().any(|&(at, _)| at == address)
    }
}

fn write_jumps(memory: &Memory, jumps: &[(u64, [u8; JMP_LEN as usize])]) -> bool {
    let of_one_page = |a: &(u64, _), b: &(u64, _)| a.0 / PAGE as u64 == b.0 / PAGE as u64;
    jumps.chunk_by(of_one_page).all(|run| {
        let start = run[0].0;
        let end = run[run.len() - 1].0 + JMP_LEN;
        // SAFETY: code between two windows of one mapping.
        let mut bytes = unsafe { module::bytes(&(start..end)) }.to_vec();
        for &(at, jump) in run {
            let offset = (at - start) as usize;
            bytes[offset..offset + jump.len()].copy_from_slice(&jump);
        }
        // SAFETY: as the caller of add() said.
        unsafe { memory.write(start, &bytes) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ffi::c_int;

    fn map(protection: c_int, flags: c_int) -> *mut u8 {
        // SAFETY: a new mapping.
        let at = unsafe {
            libc::mmap(core::ptr::null_mut(), PAGE, protection, flags | libc::MAP_ANONYMOUS, -1, 0)
        };
        assert_ne!(at, libc::MAP_FAILED);
        at.cast()
    }

    fn read(at: *const u8, len: usize) -> Vec<u8> {
        // SAFETY: a page of the test's.
        unsafe { core::slice::from_raw_parts(at, len) }.to_vec()
    }

    #[test]
    fn all_of_a_page_is_written_and_taken_back() {
        let code = map(libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE);
        // Nobody can write to what is shared and read-only.
        let refuses = map(libc::PROT_READ, libc::MAP_SHARED);
        let memory = Memory::open(false);
        let mut batch = Batch::default();
        let jumps = [1usize, 90, PAGE - 5];
        for (slot, at) in jumps.into_iter().enumerate() {
            let stub = (code as u64 + 1024 + (slot * SLOT) as u64, [slot as u8 + 1; SLOT]);
            // SAFETY: nobody runs any of the page.
            unsafe { batch.add(stub, (code as u64 + at as u64, [7; 5])) };
        }
        assert!(batch.write(&memory));
        let written = read(code, PAGE);
        let expected = |at: usize| match at {
            _ if jumps.iter().any(|&jump| (jump..jump + 5).contains(&at)) => 7,
            1024..1216 => ((at - 1024) / SLOT) as u8 + 1,
            _ => 0,
        };
        assert!(written.iter().enumerate().all(|(at, &byte)| byte == expected(at)), "{written:?}");

        // SAFETY: as above; and what refuses to be written is not written.
        unsafe { batch.add((code as u64 + 2048, [9; SLOT]), (refuses as u64 + 8, [7; 5])) };
        assert!(!batch.write(&memory));
        batch.take_back(&memory, |at| (at < refuses as u64 || at > refuses as u64 + 8).then_some([0; 5]));
        let left = read(code, PAGE);
        assert!(jumps.iter().all(|&at| left[at..at + 5] == [0; 5]));
        assert_eq!(read(refuses, PAGE), [0; PAGE]);
        assert!(batch.jumps_from(code as u64 + 90) && !batch.jumps_from(code as u64 + 91));
    }
}
