// SPDX-License-Identifier: GPL-2.0-only
//! A reader of ext4 images, independent of every kernel: what the suite believes about an image after a run comes
//! from here, from the bytes on disk. It knows what `mkfs.ext4 -b 4096` makes today (extents, 64-bit descriptors,
//! attributes in the inode and in a block) and refuses what it does not know (inline data, block maps, big
//! attribute inodes) instead of guessing. It expects a cleanly unmounted image: it never replays a journal.

mod xattrs;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const INCOMPAT_64BIT: u32 = 0x80;
const FLAG_EXTENTS: u32 = 0x0008_0000;
const FLAG_INLINE_DATA: u32 = 0x1000_0000;
const EXTENT_MAGIC: u16 = 0xf30a;
/// An extent longer than this is allocated but not written: it reads as a hole.
const EXTENT_MAX_WRITTEN: u32 = 32768;
/// The inode of the root directory.
pub const ROOT_INODE: u32 = 2;

/// An image opened for reading.
pub struct Image {
    file: File,
    /// Bytes of one block.
    pub block_size: u64,
    inodes_per_group: u32,
    inode_size: u64,
    descriptor_size: u64,
    first_data_block: u64,
}

/// The fields of an inode that the suite compares.
#[derive(Debug, Clone)]
pub struct Inode {
    /// Type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes.
    pub size: u64,
    /// Link count.
    pub links: u32,
    /// Last access: seconds and nanoseconds.
    pub atime: (i64, u32),
    /// Last modification: seconds and nanoseconds.
    pub mtime: (i64, u32),
    flags: u32,
    block: [u8; 60],
    raw: Vec<u8>,
}

/// A written run of blocks of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First block within the file.
    pub logical: u64,
    /// First block within the image.
    pub physical: u64,
    /// Number of blocks.
    pub blocks: u64,
}

pub(crate) fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl Image {
    /// Opens an image and reads its superblock.
    pub fn open(path: &Path) -> io::Result<Image> {
        let file = File::open(path)?;
        let mut sb = [0u8; 1024];
        file.read_exact_at(&mut sb, 1024)?;
        if le16(&sb, 0x38) != 0xef53 {
            return Err(invalid("not an ext4 superblock"));
        }
        let wide = le32(&sb, 0x60) & INCOMPAT_64BIT != 0;
        Ok(Image {
            file,
            block_size: 1024 << le32(&sb, 0x18),
            inodes_per_group: le32(&sb, 0x28),
            inode_size: u64::from(le16(&sb, 0x58)),
            descriptor_size: if wide { u64::from(le16(&sb, 0xfe)) } else { 32 },
            first_data_block: u64::from(le32(&sb, 0x14)),
        })
    }

    /// Reads one block of the image.
    pub fn block(&self, number: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.block_size as usize];
        self.file.read_exact_at(&mut bytes, number * self.block_size)?;
        Ok(bytes)
    }

    /// Reads one inode.
    pub fn inode(&self, number: u32) -> io::Result<Inode> {
        let group = u64::from((number - 1) / self.inodes_per_group);
        let index = u64::from((number - 1) % self.inodes_per_group);
        let mut descriptor = vec![0; self.descriptor_size as usize];
        let table = (self.first_data_block + 1) * self.block_size + group * self.descriptor_size;
        self.file.read_exact_at(&mut descriptor, table)?;
        let high = if self.descriptor_size >= 64 { le32(&descriptor, 0x28) } else { 0 };
        let first = u64::from(le32(&descriptor, 8)) | u64::from(high) << 32;
        let mut raw = vec![0; self.inode_size as usize];
        self.file.read_exact_at(&mut raw, first * self.block_size + index * self.inode_size)?;
        Ok(Inode::parse(raw))
    }

    /// The written extents of a file, in order.
    pub fn extents(&self, inode: &Inode) -> io::Result<Vec<Extent>> {
        if inode.flags & FLAG_INLINE_DATA != 0 || inode.flags & FLAG_EXTENTS == 0 {
            return Err(invalid("an inode without extents"));
        }
        let mut found = Vec::new();
        self.walk_extents(&inode.block, &mut found)?;
        found.sort_by_key(|extent| extent.logical);
        Ok(found)
    }

    fn walk_extents(&self, node: &[u8], found: &mut Vec<Extent>) -> io::Result<()> {
        if le16(node, 0) != EXTENT_MAGIC {
            return Err(invalid("bad extent header"));
        }
        let leaf = le16(node, 6) == 0;
        for i in 0..usize::from(le16(node, 2)) {
            let at = 12 + 12 * i;
            if leaf {
                let length = u32::from(le16(node, at + 4));
                if length <= EXTENT_MAX_WRITTEN {
                    found.push(Extent {
                        logical: u64::from(le32(node, at)),
                        physical: u64::from(le16(node, at + 6)) << 32 | u64::from(le32(node, at + 8)),
                        blocks: u64::from(length),
                    });
                }
            } else {
                let child = u64::from(le16(node, at + 8)) << 32 | u64::from(le32(node, at + 4));
                self.walk_extents(&self.block(child)?, found)?;
            }
        }
        Ok(())
    }

    /// Calls `each` with the block number within the file and the bytes, for each written block.
    pub fn for_each_block(&self, inode: &Inode, mut each: impl FnMut(u64, &[u8])) -> io::Result<()> {
        for extent in self.extents(inode)? {
            for i in 0..extent.blocks {
                each(extent.logical + i, &self.block(extent.physical + i)?);
            }
        }
        Ok(())
    }

    /// The whole content of a file, holes as zeros. For files that fit in memory.
    pub fn read(&self, inode: &Inode) -> io::Result<Vec<u8>> {
        if inode.is_symlink() && inode.size < 60 {
            return Ok(inode.block[..inode.size as usize].to_vec());
        }
        let mut content = vec![0; inode.size as usize];
        let block_size = self.block_size as usize;
        self.for_each_block(inode, |number, bytes| {
            let at = number as usize * block_size;
            if at < content.len() {
                let end = content.len().min(at + block_size);
                content[at..end].copy_from_slice(&bytes[..end - at]);
            }
        })?;
        Ok(content)
    }

    /// Names and inodes of a directory, without `.` and `..`, in the order of the disk.
    pub fn entries(&self, directory: &Inode) -> io::Result<Vec<(Vec<u8>, u32)>> {
        let mut found = Vec::new();
        let content = self.read(directory)?;
        for block in content.chunks(self.block_size as usize) {
            let mut at = 0;
            while at + 8 <= block.len() {
                let (inode, length) = (le32(block, at), usize::from(le16(block, at + 4)));
                let name_length = usize::from(block[at + 6]);
                if length < 8 || at + length > block.len() {
                    return Err(invalid("bad directory entry"));
                }
                let name = &block[at + 8..at + 8 + name_length];
                if inode != 0 && name != b"." && name != b".." {
                    found.push((name.to_vec(), inode));
                }
                at += length;
            }
        }
        Ok(found)
    }

    /// Finds an inode by a path below the root. Symbolic links are not followed.
    pub fn lookup(&self, path: &str) -> io::Result<(u32, Inode)> {
        let mut number = ROOT_INODE;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let directory = self.inode(number)?;
            number = self
                .entries(&directory)?
                .into_iter()
                .find(|(name, _)| name == part.as_bytes())
                .map(|(_, inode)| inode)
                .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no {part} in the image")))?;
        }
        Ok((number, self.inode(number)?))
    }

    /// The content of the file at a path below the root.
    pub fn read_path(&self, path: &str) -> io::Result<Vec<u8>> {
        let (_, inode) = self.lookup(path)?;
        self.read(&inode)
    }

    /// Extended attributes as `getxattr` would return them, sorted by name.
    pub fn xattrs(&self, inode: &Inode) -> io::Result<Vec<(String, Vec<u8>)>> {
        xattrs::of(self, inode)
    }
}

impl Inode {
    fn parse(raw: Vec<u8>) -> Inode {
        let time = |seconds: usize, extra: usize| {
            let low = i64::from(le32(&raw, seconds) as i32);
            let has_extra = raw.len() > 128 && extra + 4 <= 128 + usize::from(le16(&raw, 0x80));
            let bits = if has_extra { le32(&raw, extra) } else { 0 };
            (low + (i64::from(bits & 3) << 32), bits >> 2)
        };
        let mut block = [0; 60];
        block.copy_from_slice(&raw[0x28..0x28 + 60]);
        Inode {
            mode: u32::from(le16(&raw, 0)),
            uid: u32::from(le16(&raw, 2)) | u32::from(le16(&raw, 0x78)) << 16,
            gid: u32::from(le16(&raw, 0x18)) | u32::from(le16(&raw, 0x7a)) << 16,
            size: u64::from(le32(&raw, 4)) | u64::from(le32(&raw, 0x6c)) << 32,
            links: u32::from(le16(&raw, 0x1a)),
            atime: time(8, 0x8c),
            mtime: time(0x10, 0x88),
            flags: le32(&raw, 0x20),
            block,
            raw,
        }
    }

    /// Whether this is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFLNK
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }

    /// Major and minor number of a device node.
    pub fn device(&self) -> (u32, u32) {
        let (old, new) = (le32(&self.block, 0), le32(&self.block, 4));
        if old != 0 {
            ((old >> 8) & 0xff, old & 0xff)
        } else {
            ((new & 0xfff00) >> 8, (new & 0xff) | ((new >> 12) & 0xfff00))
        }
    }
}

const INCOMPAT_RECOVER: u32 = 0x4;

impl Image {
    /// Whether the last kernel that wrote this image unmounted it: marked clean, no journal to replay.
    pub fn is_clean(path: &Path) -> io::Result<bool> {
        let mut sb = [0u8; 1024];
        File::open(path)?.read_exact_at(&mut sb, 1024)?;
        Ok(le16(&sb, 0x3a) & 1 != 0 && le32(&sb, 0x60) & INCOMPAT_RECOVER == 0)
    }
}
