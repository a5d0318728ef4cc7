// SPDX-License-Identifier: GPL-2.0-only
//! What can be seen of the program that we were loaded into.
#![allow(unsafe_code)]

use libc::Elf64_Phdr;

/// `n_type` of the build id in a note named "Go" (cmd/internal/buildid).
const GO_BUILD_ID: u32 = 4;

/// Whether the program was made by the Go compiler: its goroutines make system calls on stacks of 2 KiB,
/// which a signal frame and our own frames would overrun.
pub fn is_go() -> bool {
    // SAFETY: getauxval has no preconditions.
    let (table, count) = unsafe {
        (libc::getauxval(libc::AT_PHDR) as *const Elf64_Phdr, libc::getauxval(libc::AT_PHNUM) as usize)
    };
    if table.is_null() {
        return false;
    }
    // SAFETY: the kernel says where the program's headers are mapped, and how many there are.
    let headers = unsafe { core::slice::from_raw_parts(table, count) };
    let Some(own) = headers.iter().find(|h| h.p_type == libc::PT_PHDR) else { return false };
    let base = (table as usize).wrapping_sub(own.p_vaddr as usize);
    headers.iter().filter(|h| h.p_type == libc::PT_NOTE).any(|h| {
        // SAFETY: a note segment is mapped with the program (it lies in a PT_LOAD).
        let bytes = unsafe {
            let at = base.wrapping_add(h.p_vaddr as usize) as *const u8;
            core::slice::from_raw_parts(at, h.p_memsz as usize)
        };
        has_go_note(bytes)
    })
}

/// Looks through a row of notes (ELF, "Note Section").
fn has_go_note(mut bytes: &[u8]) -> bool {
    // Elf64_Nhdr: three words.
    const HEAD: usize = 12;
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
    while bytes.len() >= HEAD {
        let (name, desc, kind) = (word(bytes, 0) as usize, word(bytes, 4) as usize, word(bytes, 8));
        let end = HEAD + name.next_multiple_of(4);
        if end > bytes.len() {
            return false;
        }
        if kind == GO_BUILD_ID && bytes[HEAD..].starts_with(b"Go\0") {
            return true;
        }
        bytes = bytes.get(end + desc.next_multiple_of(4)..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::has_go_note;

    fn note(kind: u8, name: &[u8], desc: &[u8]) -> Vec<u8> {
        let mut bytes = vec![name.len() as u8, 0, 0, 0, desc.len() as u8, 0, 0, 0, kind, 0, 0, 0];
        for part in [name, desc] {
            bytes.extend_from_slice(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn go_is_found_among_notes() {
        let gnu = note(3, b"GNU\0", &[7; 20]);
        let go = note(4, b"Go\0\0", b"build-id");
        assert!(has_go_note(&go));
        assert!(has_go_note(&[gnu.clone(), go.clone()].concat()));
        assert!(!has_go_note(&gnu));
        assert!(!has_go_note(&note(4, b"GNU\0", &[])));
        assert!(!has_go_note(&go[..14]));
        assert!(!has_go_note(&[]));
    }
}
