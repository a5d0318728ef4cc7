// SPDX-License-Identifier: GPL-2.0-only
//! Functions of the vDSO (vdso(7)): a shared object that the kernel maps into each process.
#![allow(unsafe_code)]

use core::ffi::{c_char, CStr};

use goblin::elf64::dynamic::{Dyn, DT_GNU_HASH, DT_HASH, DT_NULL, DT_STRTAB, DT_SYMTAB};
use goblin::elf64::program_header::{PT_DYNAMIC, PT_LOAD};
use goblin::elf64::sym::Sym;

use crate::loader::in_memory::segment;

/// The address of a function. None: the vDSO does not have the function, or no table that counts its symbols.
///
/// # Safety
/// The vDSO lies at `base` (AT_SYSINFO_EHDR).
pub unsafe fn find(base: usize, name: &CStr) -> Option<usize> {
    // SAFETY: the caller's promise, and what the vDSO says of itself: all addresses in it lie above where it is loaded.
    unsafe {
        let load = segment(base, PT_LOAD)?;
        let bias = (base + load.p_offset as usize).wrapping_sub(load.p_vaddr as usize);
        let dynamic = bias.wrapping_add(segment(base, PT_DYNAMIC)?.p_vaddr as usize) as *const Dyn;
        let value = |tag: u64| {
            let entries = (0..).map(|index| &*dynamic.add(index)).take_while(|entry| entry.d_tag != DT_NULL);
            entries
                .filter(|entry| entry.d_tag == tag)
                .map(|entry| bias.wrapping_add(entry.d_val as usize))
                .next()
        };
        let (symbols, names) = (value(DT_SYMTAB)? as *const Sym, value(DT_STRTAB)?);
        let count = match (value(DT_HASH), value(DT_GNU_HASH)) {
            // The second word is the number of chains, one for each symbol (System V ABI, chapter 5).
            (Some(table), _) => *(table as *const u32).add(1) as usize,
            (None, Some(table)) => count_of_gnu_hash(table as *const u32),
            (None, None) => return None,
        };
        (0..count).map(|index| &*symbols.add(index)).find_map(|symbol| {
            let found = CStr::from_ptr((names + symbol.st_name as usize) as *const c_char);
            (symbol.st_shndx != 0 && found == name).then(|| bias.wrapping_add(symbol.st_value as usize))
        })
    }
}

/// The number of symbols, by a table of DT_GNU_HASH: the last chain of the last bucket ends with the last symbol.
///
/// # Safety
/// Such a table.
unsafe fn count_of_gnu_hash(table: *const u32) -> usize {
    // SAFETY: the caller's promise: four words, the filter's 64-bit words, buckets, and chains that end with an odd word.
    unsafe {
        let [buckets, first, filter] = [0, 1, 2].map(|at| *table.add(at) as usize);
        let bucket = table.add(4 + 2 * filter);
        let last = (0..buckets).map(|at| *bucket.add(at) as usize).max().unwrap_or(0);
        if last < first {
            return first;
        }
        let chain = bucket.add(buckets);
        let end = (last..).find(|at| *chain.add(at - first) & 1 == 1);
        end.map_or(last, |end| end + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_counted_by_the_gnu_hash_table() {
        // Two buckets that begin with symbols 1 and 3, of 1, 2 and 3, 4, 5; a filter of one word.
        let table = [2u32, 1, 1, 0, 0, 0, 1, 3, 10, 11, 20, 22, 25];
        // SAFETY: such tables.
        unsafe {
            assert_eq!(count_of_gnu_hash(table.as_ptr()), 6);
            assert_eq!(count_of_gnu_hash([1u32, 4, 1, 0, 0, 0, 0].as_ptr()), 4);
        }
    }

    #[test]
    fn the_hosts_clock_is_found() {
        // SAFETY: the host's own vDSO, if there is one, and its function.
        unsafe {
            let base = libc::getauxval(libc::AT_SYSINFO_EHDR) as usize;
            if base == 0 {
                return;
            }
            assert_eq!(find(base, c"__vdso_no_such_function"), None);
            let Some(address) = find(base, c"__vdso_clock_gettime") else { return };
            let ask: extern "C" fn(i32, *mut libc::timespec) -> i32 = core::mem::transmute(address);
            let (mut now, mut told) = (core::mem::zeroed::<libc::timespec>(), core::mem::zeroed());
            assert_eq!(ask(libc::CLOCK_MONOTONIC, &mut now), 0);
            libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut told);
            assert!(told.tv_sec - now.tv_sec <= 1 && now.tv_sec > 0);
        }
    }
}
