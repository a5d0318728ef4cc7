// SPDX-License-Identifier: GPL-2.0-only
//! Where functions begin and end: from the unwind tables, which even stripped modules carry into memory, else from
//! symbols, else from Go's own function table.

use core::ops::Range;
use std::borrow::Cow;

use gimli::{BaseAddresses, CieOrFde, EhFrame, LittleEndian, UnwindSection};
use goblin::elf::sym::{Sym, STT_FUNC};
use goblin::elf::{Elf, SectionHeader};
use goblin::strtab::Strtab;

use super::decode::Function;
use super::extent::{Extent, Named, Original};
use super::golang;
use super::unwind::Unwind;
use super::view::{Body, View};

/// What is known of a module's functions.
pub struct Functions<'a> {
    view: &'a View<'a>,
    unwind: Option<Unwind<'a>>,
    /// Symbols or Go's functions, ascending by start.
    named: Vec<Named<'a>>,
    originals: &'a [Original],
}

/// Bytes as they are, or as they were.
type Bytes<'a> = Cow<'a, [u8]>;

impl<'a> Functions<'a> {
    /// What the loaded parts of the module say.
    pub fn of_view(view: &'a View<'a>) -> Self {
        Functions { view, unwind: Unwind::of_view(view), named: Vec::new(), originals: &[] }
    }

    /// For a module in memory, parts of which were rewritten: `originals` by ascending start.
    pub fn with_originals(mut self, originals: &'a [Original]) -> Self {
        self.originals = originals;
        self
    }

    /// Adds what the whole file says.
    pub fn with_symbols(mut self, file: &'a [u8]) -> Self {
        let Ok(elf) = Elf::parse(file) else { return self };
        let bias = self.view.bias;
        let mut named = symbols(&elf, bias);
        if self.unwind.is_none() {
            named.extend(unindexed_frames(&elf, file, bias).unwrap_or_default());
        }
        named.extend(golang::functions(&elf, file, bias).unwrap_or_default());
        // Of several at one address, the one with a name, then the longest.
        named.sort_by_key(|named| (named.range.start, named.name.is_empty(), u64::MAX - named.range.end));
        named.dedup_by_key(|named| named.range.start);
        self.named = named;
        self
    }

    /// Whether anything is known at all.
    pub fn is_empty(&self) -> bool {
        self.unwind.is_none() && self.named.is_empty()
    }

    /// The function around `address`, decoded; None where no function is known to hold it.
    pub fn decode_at(&self, address: u64) -> Option<(Extent, Function)> {
        let from_unwind = self.unwind.as_ref().and_then(|unwind| unwind.extent(address));
        let found = from_unwind.into_iter().chain(self.named_extent(address));
        found.filter_map(|extent| self.decode(address, extent)).next()
    }

    fn decode(&self, address: u64, extent: Extent) -> Option<(Extent, Function)> {
        let text = self.view.text_of(extent.start)?;
        let end = text.range().end;
        let (known, occupied) = self.unpatched(extent.start..extent.known_end.min(end))?;
        let mut function = Function::decode(Body { address: extent.start, bytes: &known });
        function.occupied = occupied;
        if address >= extent.known_end {
            let (beyond, occupied) = self.unpatched(extent.known_end..extent.limit.min(end))?;
            function.run_on(Body { address: extent.known_end, bytes: &beyond });
            function.occupied.extend(occupied);
        }
        if !function.covers(address) {
            return None;
        }
        function.add_tables(|table, index| self.table_entry(table, index));
        Some((extent, function))
    }

    /// The code of `range` as it was before anything was rewritten, and where it was.
    fn unpatched(&self, range: Range<u64>) -> Option<(Bytes<'a>, Vec<Range<u64>>)> {
        let mut bytes = Cow::Borrowed(self.view.slice(range.clone())?);
        let first = self.originals.partition_point(|original| original.range().end <= range.start);
        let reaching = self.originals[first..].iter().take_while(|original| original.start < range.end);
        let mut occupied = Vec::new();
        for original in reaching {
            let place = original.range();
            occupied.push(place.clone());
            let (from, to) = (place.start.max(range.start), place.end.min(range.end));
            let source = &original.bytes[(from - place.start) as usize..(to - place.start) as usize];
            bytes.to_mut()[(from - range.start) as usize..(to - range.start) as usize]
                .copy_from_slice(source);
        }
        Some((bytes, occupied))
    }

    /// Where entry `index` of the jump table at `table` leads to, if to code.
    fn table_entry(&self, table: u64, index: u64) -> Option<u64> {
        let at = table.checked_add(index * 4)?;
        let distance = i32::from_le_bytes(self.view.slice(at..at.checked_add(4)?)?.try_into().ok()?);
        let target = table.wrapping_add_signed(i64::from(distance));
        self.view.text_of(target).map(|_| target)
    }

    fn named_extent(&self, address: u64) -> Option<Extent> {
        let next = self.named.partition_point(|named| named.range.start <= address);
        let at = self.named.get(next.checked_sub(1)?)?;
        let limit = self.named.get(next).map_or(u64::MAX, |named| named.range.start);
        let known_end = if at.range.is_empty() { limit } else { at.range.end.min(limit) };
        Some(Extent { start: at.range.start, known_end, limit })
    }

    /// Name of the function at `address`.
    pub fn name(&self, address: u64) -> Option<&'a str> {
        let next = self.named.partition_point(|named| named.range.start <= address);
        let at = self.named.get(next.checked_sub(1)?)?;
        (!at.name.is_empty()).then_some(at.name)
    }
}

/// Function symbols, in no order.
fn symbols<'a>(elf: &Elf<'a>, bias: u64) -> Vec<Named<'a>> {
    let named = |symbol: Sym, names: &Strtab<'a>| {
        let defined = symbol.st_type() == STT_FUNC && symbol.st_value != 0 && symbol.st_shndx != 0;
        let start = symbol.st_value.wrapping_add(bias);
        let name = names.get_at(symbol.st_name).unwrap_or_default();
        defined.then(|| Named { range: start..start.saturating_add(symbol.st_size), name })
    };
    let own = elf.syms.iter().filter_map(|symbol| named(symbol, &elf.strtab));
    let exported = elf.dynsyms.iter().filter_map(|symbol| named(symbol, &elf.dynstrtab));
    own.chain(exported).collect()
}

/// What `.eh_frame` says in a file without an index to it, as static ones are.
fn unindexed_frames<'a>(elf: &Elf<'a>, file: &[u8], bias: u64) -> Option<Vec<Named<'a>>> {
    let is_it = |header: &&SectionHeader| elf.shdr_strtab.get_at(header.sh_name) == Some(".eh_frame");
    let section = elf.section_headers.iter().find(is_it)?;
    let frames = EhFrame::new(file.get(section.file_range()?)?, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(section.sh_addr);
    let mut entries = frames.entries(&bases);
    let mut found = Vec::new();
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(partial) = entry else { continue };
        let Ok(frame) = partial.parse(EhFrame::cie_from_offset) else { continue };
        let start = frame.initial_address().wrapping_add(bias) + u64::from(frame.is_signal_trampoline());
        found.push(Named { range: start..frame.end_address().wrapping_add(bias), name: "" });
    }
    Some(found)
}
