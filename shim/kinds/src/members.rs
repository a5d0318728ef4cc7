// SPDX-License-Identifier: GPL-2.0-only
//! Members of mirrors that keep their superblock at the end: a file system begins at the start of each of them, and looks as if
//! it were alone. Whoever writes one of them makes it differ from the others, and nothing notices. The places are those that
//! libblkid looks at.

use crate::marks::{Help, RAID};
use crate::numbers::{big, little};
use crate::Bytes;

const SECTOR: u64 = 512;
/// What md of version 0.90 reserves, and counts in.
const MD_RESERVED: u64 = 64 << 10;
const MD_MAGIC: u32 = 0xa92b_4efc;

const DRBD: Help = Help::Command("drbdadm up RESOURCE makes it a device, then mount /dev/drbdN");

/// What an image is a member of.
pub struct Member {
    /// Words for it.
    pub what: &'static str,
    /// What helps.
    pub help: Help,
}

const fn member(what: &'static str, help: Help) -> Option<Member> {
    Some(Member { what, help })
}

/// What the image is a member of.
pub fn find(image: &dyn Bytes) -> Option<Member> {
    if md_1_0(image) || md_0_90(image, |_, _| true) {
        return member("a member of a Linux RAID array (md)", RAID);
    }
    if drbd(image) {
        return member("a disk of a DRBD resource", DRBD);
    }
    firmware(image)
}

/// What a disk of which a partition is meant is a member of. The end of the last partition may be that of the disk: only what
/// says that it is about all of the disk counts.
pub fn find_disk(image: &dyn Bytes) -> Option<Member> {
    if md_1_0(image) || md_0_90(image, |at, data| at - data < MD_RESERVED) {
        return member("a disk of a Linux RAID array (md)", RAID);
    }
    firmware(image)
}

/// RAID of a mainboard's or a controller's firmware: always of disks.
fn firmware(image: &dyn Bytes) -> Option<Member> {
    let sectors = image.size() / SECTOR;
    let begins = |back: u64, mark: &[u8]| {
        let mut found = [0; 24];
        let found = &mut found[..mark.len()];
        sectors.checked_sub(back).is_some_and(|at| image.read(found, at * SECTOR)) && found == mark
    };
    if begins(2, b"Intel Raid ISM Cfg Sig. ") {
        return member("a disk of a RAID array of Intel's firmware (IMSM)", RAID);
    }
    let ddf = [1, 257].into_iter().any(|back| {
        begins(back, &0xde11_de11u32.to_be_bytes()) || begins(back, &0xde11_de11u32.to_le_bytes())
    });
    if ddf {
        return member("a disk of a RAID array of a controller's firmware (DDF)", RAID);
    }
    None
}

/// The superblock of metadata 1.0 says where it stands (`struct mdp_superblock_1`, linux/raid/md_p.h).
fn md_1_0(image: &dyn Bytes) -> bool {
    const SUPER_OFFSET: usize = 144;
    let mut block = [0; SUPER_OFFSET + 8];
    let Some(at) = (image.size() & !4095).checked_sub(8192) else { return false };
    image.read(&mut block, at)
        && little(&block, 0) == MD_MAGIC
        && little(&block, 4) == 1
        && little(&block, SUPER_OFFSET) == (at / SECTOR) as u32
        && little(&block, SUPER_OFFSET + 4) == ((at / SECTOR) >> 32) as u32
}

/// The superblock of metadata 0.90, in the byte order of the machine that made it (`mdp_super_t`). `fits`: its place, and how
/// much of the device is the array's.
fn md_0_90(image: &dyn Bytes, fits: impl Fn(u64, u64) -> bool) -> bool {
    const SIZE: usize = 32;
    let mut block = [0; SIZE + 4];
    let Some(at) = (image.size() & !(MD_RESERVED - 1)).checked_sub(MD_RESERVED) else { return false };
    if at == 0 || !image.read(&mut block, at) {
        return false;
    }
    let number = match (little(&block, 0), big(&block, 0)) {
        (MD_MAGIC, _) => little,
        (_, MD_MAGIC) => big,
        _ => return false,
    };
    let data = u64::from(number(&block, SIZE)) << 10;
    number(&block, 4) == 0 && data <= at && fits(at, data)
}

/// Internal metadata: its last block is the image's (`struct meta_data_on_disk_9`; the magic of 8.4 is at the same place).
fn drbd(image: &dyn Bytes) -> bool {
    const MAGICS: [u32; 3] = [0x8374_026b, 0x8374_026c, 0x8374_026d];
    let mut magic = [0; 4];
    let at = image.size().checked_sub(4096).filter(|_| image.size() >= 64 << 10);
    at.is_some_and(|at| image.read(&mut magic, at + 60)) && MAGICS.contains(&big(&magic, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = (1 << 20) + 5 * 512;

    fn image(at: usize, marks: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![1; SIZE];
        for (from, mark) in marks {
            bytes[at + from..at + from + mark.len()].copy_from_slice(mark);
        }
        bytes
    }

    fn words(found: Option<Member>) -> &'static str {
        found.map_or("", |member| member.what)
    }

    #[test]
    fn each_kind_is_found_at_its_place() {
        let md_at = (SIZE & !4095) - 8192;
        let place = (md_at as u64 / 512).to_le_bytes();
        let magic = MD_MAGIC.to_le_bytes();
        let md = [(0, &magic[..]), (4, &[1, 0, 0, 0]), (144, &place)];
        assert!(words(find(&image(md_at, &md))).contains("(md)"));
        assert!(words(find_disk(&image(md_at, &md))).contains("disk of a Linux RAID"));
        // That of a file system that has grown over it, or of a smaller array.
        assert!(find(&image(md_at, &[(0, &magic), (4, &[1, 0, 0, 0]), (144, &[9; 8])])).is_none());
        assert!(words(find(&image(SIZE - 4096, &[(60, &[0x83, 0x74, 2, 0x6d])]))).contains("DRBD"));
        assert!(words(find(&image(SIZE - 1024, &[(0, b"Intel Raid ISM Cfg Sig. ")]))).contains("IMSM"));
        assert!(words(find_disk(&image(SIZE - 512, &[(0, &[0xde, 0x11, 0xde, 0x11])]))).contains("DDF"));
        assert!(find(&vec![1; SIZE]).is_none() && find(&vec![0; SIZE]).is_none());
    }

    #[test]
    fn metadata_0_90_of_either_byte_order() {
        let at = (1 << 20) - (64 << 10);
        for magic in [MD_MAGIC.to_le_bytes(), MD_MAGIC.to_be_bytes()] {
            let about = |size: u32| {
                let size = if magic[0] == 0xfc { size.to_le_bytes() } else { size.to_be_bytes() };
                image(at, &[(0, &magic), (4, &[0; 4]), (32, &size)])
            };
            assert!(find(&about(0)).is_some() && find(&about(960)).is_some() && find(&about(961)).is_none());
            // That of the last partition is no word about the disk.
            assert!(find_disk(&about(960)).is_some() && find_disk(&about(500)).is_none());
        }
    }

    #[test]
    fn small_images_are_no_members() {
        for size in [0, 1, 511, 4096, 8192, 65_536] {
            assert!(find(&vec![0xfc; size]).is_none() && find_disk(&vec![0xfc; size]).is_none(), "{size}");
        }
    }
}
