// SPDX-License-Identifier: GPL-2.0-only
//! A running kernel, looked at from outside: by the memory file of its instance, which any process of the same user may open. The
//! kernel does nothing for it, and need not be able to: a kernel that hangs, or whose processes are stopped, is read as well.
//!
//! [`instances`] finds the kernels that run, [`place`] finds the kernel in a process, [`symbols`] and [`rows`] say what lies where (`kernel/look.c` of the overlay, and
//! kbuild's table), [`memory`] reads.

pub mod instances;
pub mod memory;
pub mod place;
pub mod rows;
pub mod symbols;

use std::path::PathBuf;

use memory::Memory;
use place::Place;
use rows::Rows;
use symbols::Library;

/// A kernel that is looked at.
pub struct Kernel {
    /// What it has in its memory.
    pub memory: Memory,
    /// The layout of its structures.
    pub rows: Rows,
    library: Library,
}

impl Kernel {
    /// The kernel with the memory file `instance` (its inode number), which the processes `pids` use. `Err` says what is wrong.
    pub fn open(instance: u64, pids: &[u32]) -> Result<Kernel, String> {
        let &first = pids.first().ok_or("no process uses this kernel any more")?;
        let place = Place::find(first)?;
        let memory = Memory::open(instance, pids, place.base)?;
        // Of a process that the library has loaded, or is itself, the host keeps the library's file whatever happens to its name.
        let file = match place.loader {
            Some(_) => PathBuf::from(format!("/proc/{first}/exe")),
            None => place.library,
        };
        let library = Library::read(&file)?;
        let rows = Rows::read(&library)?;
        Ok(Kernel { memory, rows, library })
    }

    /// The address of one of the objects that kbuild names.
    pub fn object(&self, name: &str) -> Result<u64, String> {
        let found = self.library.table.object(name).ok_or(format!("the kernel has no object {name}"))?;
        Ok(self.memory.base() + found)
    }
}
