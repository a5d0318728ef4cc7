// SPDX-License-Identifier: GPL-2.0-only
//! The loaded parts of one ELF module, seen through its program headers: from a file, or where they are mapped.
//!
//! Nothing here trusts the module: offsets and lengths are checked against what is there.

use core::ops::Range;

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::program_header::{ProgramHeader, PF_W, PF_X, PT_GNU_EH_FRAME, PT_LOAD, PT_NOTE};
use goblin::elf::Elf;

/// The bytes of one function and the address that they run at.
#[derive(Debug, Clone, Copy)]
pub struct Body<'a> {
    /// Address of the first byte.
    pub address: u64,
    /// Its code.
    pub bytes: &'a [u8],
}

/// One module.
pub struct View<'a> {
    /// Its loadable segments, as far as their bytes are there.
    pub segments: Vec<Segment<'a>>,
    /// Where the index of its unwind tables (`.eh_frame_hdr`) lies.
    pub unwind_index: Option<Range<u64>>,
    /// What was added to the addresses in the file.
    pub bias: u64,
    notes: Vec<Range<u64>>,
}

/// One loadable segment.
#[derive(Clone, Copy)]
pub struct Segment<'a> {
    /// Address of its first byte.
    pub address: u64,
    /// Where in the file that is.
    pub offset: u64,
    /// What stands there.
    pub bytes: &'a [u8],
    /// Whether it is code.
    pub executable: bool,
}

impl Segment<'_> {
    /// Addresses of its bytes.
    pub fn range(&self) -> Range<u64> {
        self.address..self.address.saturating_add(self.bytes.len() as u64)
    }
}

impl<'a> View<'a> {
    /// The module in `file`, at the addresses that the file names.
    pub fn of_file(file: &'a [u8]) -> Option<Self> {
        let headers = headers(file)?;
        let bytes_of = |header: &ProgramHeader| file.get(header.file_range());
        Some(Self::build(&headers, 0, bytes_of))
    }

    /// The module whose first page is `head`, mapped at the address of `head`. `bytes_of` is asked for the bytes of each
    /// range that its headers name, and knows what is mapped there.
    pub fn of_memory(head: &[u8], bytes_of: impl Fn(Range<u64>) -> Option<&'a [u8]>) -> Option<Self> {
        let headers = headers(head)?;
        let first = headers.iter().find(|header| header.p_type == PT_LOAD && header.p_offset == 0)?;
        let bias = (head.as_ptr() as u64).wrapping_sub(first.p_vaddr & !0xfff);
        let mapped = |header: &ProgramHeader| {
            let start = header.p_vaddr.wrapping_add(bias);
            bytes_of(start..start.checked_add(header.p_filesz)?)
        };
        Some(Self::build(&headers, bias, mapped))
    }

    fn build(
        headers: &[ProgramHeader],
        bias: u64,
        bytes: impl Fn(&ProgramHeader) -> Option<&'a [u8]>,
    ) -> Self {
        let range = |header: &ProgramHeader| {
            let start = header.p_vaddr.wrapping_add(bias);
            start..start.saturating_add(header.p_filesz)
        };
        // What the program writes to tells nothing, and may change while it is looked at.
        let constant = |header: &&ProgramHeader| header.p_flags & PF_W == 0;
        let of_type = move |kind: u32| headers.iter().filter(move |header| header.p_type == kind);
        let segment = |header: &ProgramHeader| {
            let address = header.p_vaddr.wrapping_add(bias);
            let (offset, bytes) = (header.p_offset, bytes(header)?);
            Some(Segment { address, offset, bytes, executable: header.p_flags & PF_X != 0 })
        };
        View {
            segments: of_type(PT_LOAD).filter(constant).filter_map(segment).collect(),
            unwind_index: of_type(PT_GNU_EH_FRAME).next().map(range),
            notes: of_type(PT_NOTE).map(range).collect(),
            bias,
        }
    }

    /// Moves it to where the executable mapping that starts at `address`, at `offset` of the file, has it.
    pub fn move_to(&mut self, address: u64, offset: u64) -> Option<()> {
        let holds = |segment: &&Segment| {
            let pages = segment.offset & !0xfff..segment.offset + segment.bytes.len() as u64;
            segment.executable && pages.contains(&offset)
        };
        let segment = self.segments.iter().find(holds)?;
        let there = segment.address.wrapping_add(offset).wrapping_sub(segment.offset);
        let distance = address.wrapping_sub(there);
        self.bias = self.bias.wrapping_add(distance);
        for segment in &mut self.segments {
            segment.address = segment.address.wrapping_add(distance);
        }
        let moved = |range: &Range<u64>| range.start.wrapping_add(distance)..range.end.wrapping_add(distance);
        self.unwind_index = self.unwind_index.as_ref().map(moved);
        self.notes = self.notes.iter().map(moved).collect();
        Some(())
    }

    /// The bytes from `address` to the end of the segment that holds it.
    pub fn from(&self, address: u64) -> Option<&'a [u8]> {
        let segment = self.segments.iter().find(|segment| segment.range().contains(&address))?;
        segment.bytes.get((address - segment.address) as usize..)
    }

    /// The bytes of `range`, which lies in one segment.
    pub fn slice(&self, range: Range<u64>) -> Option<&'a [u8]> {
        self.from(range.start)?.get(..range.end.checked_sub(range.start)? as usize)
    }

    /// The code of `range`.
    pub fn body(&self, range: Range<u64>) -> Option<Body<'a>> {
        Some(Body { address: range.start, bytes: self.slice(range)? })
    }

    /// The executable segment that holds `address`.
    pub fn text_of(&self, address: u64) -> Option<Segment<'a>> {
        self.segments.iter().find(|segment| segment.executable && segment.range().contains(&address)).copied()
    }

    /// NT_GNU_BUILD_ID: what the linker says identifies the file.
    pub fn build_id(&self) -> Option<&'a [u8]> {
        self.notes.iter().find_map(|range| build_id(self.slice(range.clone())?))
    }
}

/// Program headers of the x86-64 ELF file that starts with `head`.
fn headers(head: &[u8]) -> Option<Vec<ProgramHeader>> {
    let header = Elf::parse_header(head).ok()?;
    let x86 = header.e_machine == goblin::elf::header::EM_X86_64 && header.e_phoff < head.len() as u64;
    let fits = usize::from(header.e_phnum) * 56 + header.e_phoff as usize <= head.len();
    if !x86 || !fits || header.e_phentsize != 56 {
        return None;
    }
    let context = Ctx::new(Container::Big, Endian::Little);
    let headers =
        ProgramHeader::parse(head, header.e_phoff as usize, usize::from(header.e_phnum), context).ok()?;
    ascending(&headers).then_some(headers)
}

/// Whether the loadable segments ascend and do not overlap (gABI, "Program Header": PT_LOAD ascends by p_vaddr). Where two
/// overlap, an address does not tell which bytes run there.
fn ascending(headers: &[ProgramHeader]) -> bool {
    let mut behind = 0;
    headers.iter().filter(|header| header.p_type == PT_LOAD).all(|header| {
        let apart = header.p_vaddr >= behind;
        behind = header.p_vaddr.saturating_add(header.p_filesz);
        apart
    })
}

/// Finds the note (name "GNU", type 3) among `notes` (gABI, "Note Section": name size, descriptor size, type; each
/// padded to four bytes).
fn build_id(mut notes: &[u8]) -> Option<&[u8]> {
    loop {
        let word = |at: usize| Some(u32::from_le_bytes(notes.get(at..at + 4)?.try_into().ok()?) as usize);
        let (name_len, len, kind) = (word(0)?, word(4)?, word(8)?);
        let start = 12 + name_len.checked_next_multiple_of(4)?;
        let id = notes.get(start..start.checked_add(len)?)?;
        if kind == 3 && notes.get(12..16) == Some(b"GNU\0") {
            return Some(id);
        }
        notes = notes.get(start + len.checked_next_multiple_of(4)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_that_overlap_are_refused() {
        let load = |p_vaddr, p_filesz| ProgramHeader {
            p_type: PT_LOAD,
            p_vaddr,
            p_filesz,
            ..ProgramHeader::default()
        };
        assert!(ascending(&[load(0, 0x1000), load(0x1000, 0x2000), load(0x4000, 0)]));
        assert!(!ascending(&[load(0, 0x1001), load(0x1000, 0x2000)]));
        assert!(!ascending(&[load(0xff00, 0xd58), load(0x1000, 0x25111)]));
    }
}
