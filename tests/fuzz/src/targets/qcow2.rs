// SPDX-License-Identifier: GPL-2.0-only
//! qcow2 images, as `stowaway serve` opens them.

use std::io::Write;

use stowaway_tools::serve::fuzz;

use crate::target::Target;

/// Headers, and what is behind those that are taken.
pub const HEADER: Target = Target {
    name: "qcow2_header",
    seeds,
    words: &[b"QFI\xfb", b"\0\0\0\x02", b"\0\0\0\x03"],
    most: 16 << 10,
    read,
};

/// Empty images of 1 MiB in clusters of 512 bytes, of both versions: header, one refcount table and block, one L1 table.
fn seeds() -> Vec<Vec<u8>> {
    vec![image(2), image(3)]
}

fn image(version: u32) -> Vec<u8> {
    const CLUSTER: u64 = 512;
    let mut head = b"QFI\xfb".to_vec();
    head.extend(version.to_be_bytes());
    head.extend([0; 12]); // no backing file
    head.extend(9u32.to_be_bytes());
    head.extend((1u64 << 20).to_be_bytes());
    head.extend(0u32.to_be_bytes()); // not encrypted
    head.extend(32u32.to_be_bytes()); // entries of the L1 table
    head.extend((3 * CLUSTER).to_be_bytes());
    head.extend(CLUSTER.to_be_bytes()); // refcount table
    head.extend(1u32.to_be_bytes());
    head.extend([0; 12]); // no snapshots
    if version == 3 {
        head.extend([0; 24]); // features
        head.extend(4u32.to_be_bytes()); // refcounts of 16 bits
        head.extend(104u32.to_be_bytes());
    }
    let mut image = head;
    image.resize(4 * CLUSTER as usize, 0);
    image[CLUSTER as usize..][..8].copy_from_slice(&(2 * CLUSTER).to_be_bytes());
    for cluster in 0..4 {
        image[2 * CLUSTER as usize + cluster * 2 + 1] = 1;
    }
    image
}

fn read(input: &[u8]) {
    let refused = fuzz::qcow2_refusal(input);
    let begins = input.starts_with(b"QFI\xfb");
    assert!(begins || refused.is_some(), "taken for a qcow2 image");
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(input).expect("written");
    let opened = fuzz::open_qcow2(file.path());
    assert!(refused.is_none() || opened.is_err(), "refused, and opened");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_images() {
        for seed in seeds() {
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            file.write_all(&seed).expect("written");
            assert_eq!((fuzz::qcow2_refusal(&seed), fuzz::open_qcow2(file.path())), (None, Ok(1 << 20)));
        }
    }
}
