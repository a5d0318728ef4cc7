// SPDX-License-Identifier: GPL-2.0-only
//! Whether a qcow2 image is cut short (an interrupted copy). Both the crate that reads the format and QEMU read zeros behind
//! the end of the file, so that such an image looks empty, and what is written to it makes the loss worse.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::image_file::size;

/// What is looked at of the header.
pub const HEAD_BYTES: usize = 104;

/// The offset in an entry of a table (docs/interop/qcow2.txt, L1 and L2 tables).
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;
/// Of the incompatible features.
const DATA_FILE: u64 = 1 << 2;
const EXTENDED_L2: u64 = 1 << 4;
/// No table of an image that anybody has is longer: then there is no look.
const MOST_BYTES: u64 = 64 << 20;

/// The header's fields that say where the tables are.
struct Layout {
    cluster: u64,
    cluster_bits: u32,
    l1: u64,
    l1_entries: u64,
    refcounts: u64,
    refcount_clusters: u64,
    refcount_order: u32,
    /// The data is in a file of its own, or the entries of tables are longer.
    is_l1_alone: bool,
}

impl Layout {
    /// None: the fields make no sense, which the reader of the format says better.
    fn read(head: &[u8; HEAD_BYTES]) -> Option<Layout> {
        let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        let is_version_3 = word(4) == 3;
        let cluster_bits = word(20);
        if !(9..=21).contains(&cluster_bits) {
            return None;
        }
        let layout = Layout {
            cluster: 1 << cluster_bits,
            cluster_bits,
            l1: long(40),
            l1_entries: word(36).into(),
            refcounts: long(48),
            refcount_clusters: word(56).into(),
            refcount_order: if is_version_3 { word(96) } else { 4 },
            is_l1_alone: is_version_3 && long(72) & (DATA_FILE | EXTENDED_L2) != 0,
        };
        let is_aligned = layout.l1 % layout.cluster == 0 && layout.refcounts % layout.cluster == 0;
        let tables = (layout.l1_entries * 8).max(layout.refcount_clusters * layout.cluster);
        (is_aligned && tables <= MOST_BYTES && layout.refcount_order <= 6).then_some(layout)
    }
}

/// Why an image with this header is of no use, if it is cut short.
pub fn refusal(file: &File, head: &[u8; HEAD_BYTES]) -> io::Result<Option<String>> {
    let has = size(file)?;
    let Some(layout) = Layout::read(head) else { return Ok(None) };
    let end = layout.l1.saturating_add(layout.l1_entries * 8);
    let missing = match end > has {
        true => Some(layout.l1),
        // A cluster that is counted and not used is no loss: who was killed may leave one behind.
        false if last_counted(file, &layout)? >= has => first_missing(file, &layout, has)?,
        false => None,
    };
    Ok(missing.map(|at| {
        format!("is cut short: it refers to byte {at}, and ends at {has}; qemu-img check tells what is lost")
    }))
}

/// Where the last cluster begins that is counted as used. Quick: it is in one block of counts.
fn last_counted(file: &File, layout: &Layout) -> io::Result<u64> {
    let table = entries(file, layout.refcounts, layout.refcount_clusters * layout.cluster / 8)?;
    let Some(number) = table.iter().rposition(|&block| block & OFFSET != 0) else { return Ok(0) };
    let counts = bytes(file, table[number] & OFFSET, layout.cluster)?;
    // Counts of less than a byte are not taken apart: the last one of the byte stands for all.
    let per_byte = 8u64 >> layout.refcount_order.min(3);
    let bytes_each = (1usize << layout.refcount_order).div_ceil(8);
    let Some(last) = counts.iter().rposition(|&byte| byte != 0) else {
        // The block itself is behind the end, or has nothing: whoever asks looks closely.
        return Ok(table[number] & OFFSET);
    };
    let per_block = (layout.cluster * 8) >> layout.refcount_order;
    let index = (last / bytes_each) as u64 * per_byte + per_byte - 1;
    Ok((number as u64 * per_block + index) << layout.cluster_bits)
}

/// The first table or cluster that is used and begins behind the end of the file.
fn first_missing(file: &File, layout: &Layout, has: u64) -> io::Result<Option<u64>> {
    for l1 in entries(file, layout.l1, layout.l1_entries)? {
        let table = l1 & OFFSET;
        if table >= has {
            return Ok(Some(table));
        }
        if table == 0 || layout.is_l1_alone {
            continue;
        }
        // Behind the end: the entries are zero.
        let missing = entries(file, table, layout.cluster / 8)?.into_iter().find_map(|entry| {
            let at = match entry & COMPRESSED != 0 {
                true => entry & ((1 << (62 - (layout.cluster_bits - 8))) - 1),
                false => entry & OFFSET,
            };
            (at >= has).then_some(at)
        });
        if missing.is_some() {
            return Ok(missing);
        }
        if table + layout.cluster > has {
            return Ok(Some(has));
        }
    }
    Ok(None)
}

fn entries(file: &File, at: u64, count: u64) -> io::Result<Vec<u64>> {
    let bytes = bytes(file, at, count * 8)?;
    Ok(bytes.chunks_exact(8).map(|raw| raw.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte))).collect())
}

/// Bytes of the file; zeros behind its end.
fn bytes(file: &File, at: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], at + done as u64)? {
            0 => break,
            n => done += n,
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: u64 = 64 << 10;
    /// Header, table of counts, a block of counts, L1, L2, and one cluster of data.
    const CLUSTERS: u64 = 6;
    const COPIED: u64 = 1 << 63;

    struct Image {
        file: File,
        head: [u8; HEAD_BYTES],
    }

    impl Image {
        fn new() -> Image {
            let file = tempfile::tempfile().unwrap();
            file.set_len(CLUSTERS * CLUSTER).unwrap();
            let mut head = [0; HEAD_BYTES];
            for (at, value) in [(4, 3u32), (20, 16), (36, 1), (56, 1), (96, 4)] {
                head[at..at + 4].copy_from_slice(&value.to_be_bytes());
            }
            for (at, value) in [(40, 3 * CLUSTER), (48, CLUSTER)] {
                head[at..at + 8].copy_from_slice(&value.to_be_bytes());
            }
            let image = Image { file, head };
            image.put(CLUSTER, &(2 * CLUSTER).to_be_bytes());
            image.put(2 * CLUSTER, &[0, 1].repeat(CLUSTERS as usize));
            image.put(3 * CLUSTER, &(COPIED + 4 * CLUSTER).to_be_bytes());
            image.put(4 * CLUSTER, &(COPIED + 5 * CLUSTER).to_be_bytes());
            image
        }

        fn put(&self, at: u64, bytes: &[u8]) {
            self.file.write_all_at(bytes, at).unwrap();
        }

        fn says(&self, bytes: u64) -> Option<String> {
            self.file.set_len(bytes).unwrap();
            refusal(&self.file, &self.head).unwrap()
        }
    }

    #[test]
    fn a_whole_image_is_taken() {
        let image = Image::new();
        assert_eq!(image.says(CLUSTERS * CLUSTER), None);
        // The last cluster need not be there as a whole.
        assert_eq!(image.says(5 * CLUSTER + 512), None);
    }

    #[test]
    fn one_that_is_cut_short_is_refused() {
        let cases = [
            (5 * CLUSTER, 5 * CLUSTER),
            (5 * CLUSTER - 1, 5 * CLUSTER),
            (4 * CLUSTER, 4 * CLUSTER),
            (3 * CLUSTER, 3 * CLUSTER),
        ];
        for (bytes, missing) in cases {
            let said = Image::new().says(bytes).unwrap();
            assert!(said.contains(&format!("refers to byte {missing}, and ends at {bytes}")), "{said}");
        }
    }

    #[test]
    fn what_is_counted_and_not_used_is_no_loss() {
        let image = Image::new();
        image.put(2 * CLUSTER, &[0, 1].repeat(9));
        assert_eq!(image.says(CLUSTERS * CLUSTER), None);
        assert_eq!(image.says(5 * CLUSTER + 1), None);
    }

    #[test]
    fn an_external_data_file_is_not_looked_for_here() {
        let mut image = Image::new();
        image.head[79] = 4;
        assert_eq!(image.says(5 * CLUSTER), None);
        image.head[21..24].fill(0xff);
        assert_eq!(image.says(5 * CLUSTER), None);
    }
}
