// SPDX-License-Identifier: GPL-2.0-only
//! The marks: what libblkid, file(1) and the formats' own headers say. A mark that is sure comes before one that is short.

use std::fmt;

use crate::Bytes;

/// One mark.
pub struct Mark {
    /// Where it stands; negative: from the end.
    pub at: i64,
    /// The bytes.
    pub bytes: &'static [u8],
    /// Words for what carries it.
    pub what: &'static str,
    /// What helps.
    pub help: Help,
}

/// What helps a person who has such an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Help {
    /// The image can be mounted.
    Mounts,
    /// The kernel here has no driver for the file system.
    NoDriver,
    /// `stowaway run` mounts it, and a plain preload does not: what else is to be said of that.
    Run(&'static str),
    /// A command opens it or makes another image of it.
    Command(&'static str),
    /// Nothing can be mounted.
    Nothing,
}

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Help::Run(more) => return write!(f, "stowaway run mounts it{more}"),
            Help::Mounts => "it can be mounted",
            Help::NoDriver => {
                "the kernel here has no driver for it: copy its files to an image that stowaway mkimage makes"
            }
            Help::Command(help) => help,
            Help::Nothing => "there is nothing in it to mount",
        })
    }
}

const LUKS: Help = Help::Command("cryptsetup open IMAGE NAME opens it, then mount /dev/mapper/NAME");
const LUKS_REPAIR: Help = Help::Command("cryptsetup repair IMAGE makes a first header of the second one");
const BITLOCKER: Help =
    Help::Command("cryptsetup bitlkOpen IMAGE NAME opens it, then mount /dev/mapper/NAME");
const XFS_LOG: Help = Help::Command("the file system is another image: mount both, as IMAGE+LOG");
const LVM: Help =
    Help::Command("losetup and vgchange -ay make its volumes devices, then mount /dev/GROUP/VOLUME");
pub const RAID: Help =
    Help::Command("losetup and mdadm --assemble make the array a device, then mount /dev/mdN");
const BCACHE: Help = Help::Command("losetup makes it a device for the host's bcache");
const QEMU: Help = Help::Run(
    " where qemu-nbd is installed (Debian package qemu-utils); or qemu-img convert -O raw IMAGE disk.img makes a raw image of it",
);
const BOCHS: Help = Help::Command("qemu-img convert -O raw IMAGE disk.img makes a raw image of it");
const DMG: Help = Help::Command("dmg2img or qemu-img convert -O raw makes a raw image of it");
const WIM: Help = Help::Command("wimlib-imagex extract unpacks it");
const GUNZIP: Help = Help::Run(" read-only; gunzip unpacks it");
const UNXZ: Help = Help::Run(" read-only; unxz unpacks it");
const UNZSTD: Help = Help::Run(" read-only; unzstd unpacks it");
const UNLZMA: Help = Help::Command("unlzma unpacks it");
const BUNZIP2: Help = Help::Command("bunzip2 unpacks it");
const UNLZ4: Help = Help::Command("unlz4 unpacks it");
const UNLZOP: Help = Help::Command("lzop -d unpacks it");
const UNZIP: Help = Help::Command("unzip unpacks it");
const SEVEN: Help = Help::Command("7z x unpacks it");
const TAR: Help =
    Help::Command("unpack it, then stowaway mkimage IMAGE DIRECTORY makes an image of the files");
const CPIO: Help =
    Help::Command("cpio -id unpacks it, then stowaway mkimage IMAGE DIRECTORY makes an image of the files");
const SPARSE: Help = Help::Command("simg2img IMAGE disk.img makes a raw image of it");
const BOOT: Help = Help::Command("unpack_bootimg unpacks it");
const QCOW2: Help = Help::Run(", and stowaway serve serves it");

macro_rules! marks {
    ($($at:literal $bytes:literal $what:literal $help:expr;)*) => {
        /// All marks; the first match wins.
        pub const MARKS: &[Mark] = &[$(Mark { at: $at, bytes: $bytes, what: $what, help: $help }),*];
    };
}

marks! {
    // Containers of disks
    0 b"LUKS\xba\xbe" "a LUKS volume (encrypted)" LUKS;
    3 b"-FVE-FS-" "a BitLocker volume (encrypted)" BITLOCKER;
    0 b"QFI\xfb" "a qcow2 image" QCOW2;
    0 b"KDMV" "a VMDK image (VMware)" QEMU;
    0 b"COWD" "a VMDK image (VMware ESX)" QEMU;
    0 b"# Disk DescriptorFile" "the description of a VMDK image (VMware)" QEMU;
    0x40 b"\x7f\x10\xda\xbe" "a VDI image (VirtualBox)" QEMU;
    0 b"vhdxfile" "a VHDX image (Hyper-V)" QEMU;
    0 b"conectix" "a VHD image (Virtual PC)" QEMU;
    0 b"QED\0" "a QED image (QEMU)" QEMU;
    0 b"WithoutFreeSpace" "a Parallels image" QEMU;
    0 b"WithouFreSpacExt" "a Parallels image" QEMU;
    0 b"Bochs Virtual HD" "a Bochs image" BOCHS;
    0 b"\x3a\xff\x26\xed" "an Android sparse image" SPARSE;
    0 b"MSWIM\0\0\0" "a WIM image (Windows)" WIM;
    // Packed
    0 b"\xfd7zXZ\0" "compressed with xz" UNXZ;
    0 b"\x28\xb5\x2f\xfd" "compressed with zstd (zst)" UNZSTD;
    0 b"\x04\x22\x4d\x18" "compressed with lz4" UNLZ4;
    0 b"\x89LZO\0\r\n\x1a\n" "compressed with lzop" UNLZOP;
    0 b"\x1f\x8b\x08" "compressed with gzip" GUNZIP;
    0 b"\x5d\0\0\0\x04\xff\xff\xff\xff" "compressed with lzma" UNLZMA;
    0 b"\x5d\0\0\x01\0\xff\xff\xff\xff" "compressed with lzma" UNLZMA;
    0 b"\x5d\0\0\x04\0\xff\xff\xff\xff" "compressed with lzma" UNLZMA;
    0 b"\x5d\0\0\x10\0\xff\xff\xff\xff" "compressed with lzma" UNLZMA;
    0 b"\x5d\0\0\x20\0\xff\xff\xff\xff" "compressed with lzma" UNLZMA;
    0 b"\x5d\0\0\x40\0\xff\xff\xff\xff" "compressed with lzma" UNLZMA;
    0 b"\x5d\0\0\x80\0\xff\xff\xff\xff" "compressed with lzma" UNLZMA;
    0 b"\x5d\0\0\0\x01\xff\xff\xff\xff" "compressed with lzma" UNLZMA;
    0 b"\x5d\0\0\0\x02\xff\xff\xff\xff" "compressed with lzma" UNLZMA;
    0 b"BZh" "compressed with bzip2" BUNZIP2;
    0 b"PK\x03\x04" "a zip archive" UNZIP;
    0 b"7z\xbc\xaf\x27\x1c" "a 7z archive" SEVEN;
    257 b"ustar" "a tar archive" TAR;
    0 b"070701" "a cpio archive" CPIO;
    // Volumes of several disks
    0 b"LABELONE" "an LVM physical volume" LVM;
    512 b"LABELONE" "an LVM physical volume" LVM;
    1024 b"LABELONE" "an LVM physical volume" LVM;
    1536 b"LABELONE" "an LVM physical volume" LVM;
    0 b"\xfc\x4e\x2b\xa9\x01" "a member of a Linux RAID array (md)" RAID;
    4096 b"\xfc\x4e\x2b\xa9\x01" "a member of a Linux RAID array (md)" RAID;
    4120 b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81" "a bcache device" BCACHE;
    4120 b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef" "a bcachefs file system" Help::NoDriver;
    // File systems of the kernel here
    0 b"XFSB" "an XFS file system" Help::Mounts;
    0 b"hsqs" "a squashfs file system" Help::Mounts;
    0x10040 b"_BHRfS_M" "a btrfs file system" Help::Mounts;
    1024 b"\xe2\xe1\xf5\xe0" "an erofs file system" Help::Mounts;
    1080 b"\x53\xef" "an ext2, ext3 or ext4 file system" Help::Mounts;
    // UDF before ISO 9660: a bridge disc is both, and is mounted as the latter
    0x8001 b"CD001" "an ISO 9660 file system" Help::Mounts;
    0x8001 b"BEA01" "a UDF file system" Help::Mounts;
    82 b"FAT32   " "a FAT file system" Help::Mounts;
    54 b"FAT16   " "a FAT file system" Help::Mounts;
    54 b"FAT12   " "a FAT file system" Help::Mounts;
    // Those of others
    3 b"NTFS    " "an NTFS file system" Help::Mounts;
    3 b"EXFAT   " "an exFAT file system" Help::Mounts;
    1024 b"\x10\x20\xf5\xf2" "an F2FS file system" Help::Mounts;
    3 b"ReFS\0\0\0\0" "a ReFS file system (Windows)" Help::NoDriver;
    0x4018 b"version\0" "a disk of a ZFS pool" Help::NoDriver;
    0 b"ANDROID!" "a boot image of Android: a kernel and a ramdisk" BOOT;
    0 b"VNDRBOOT" "a boot image of Android: a ramdisk" BOOT;
    32 b"NXSB" "an APFS container" Help::NoDriver;
    0x8000 b"JFS1" "a JFS file system" Help::Mounts;
    0x10034 b"ReIsEr" "a ReiserFS file system" Help::NoDriver;
    0x10000 b"ReIsEr4" "a Reiser4 file system" Help::NoDriver;
    0x2000 b"OCFSV2" "an OCFS2 file system" Help::NoDriver;
    0x10000 b"\x01\x16\x19\x70" "a GFS2 file system" Help::NoDriver;
    0 b"\x45\x3d\xcd\x28" "a cramfs file system" Help::Mounts;
    0 b"-rom1fs-" "a romfs file system" Help::Mounts;
    0 b"sqsh" "a squashfs file system of a big-endian machine" Help::NoDriver;
    0 b"UBI#" "a UBI image of flash memory" Help::NoDriver;
    0 b"\x31\x18\x10\x06" "a UBIFS file system" Help::NoDriver;
    0 b"\x85\x19" "a JFFS2 file system" Help::NoDriver;
    9564 b"\x54\x19\x01\x00" "a UFS file system" Help::NoDriver;
    66908 b"\x19\x01\x54\x19" "a UFS2 file system" Help::NoDriver;
    4086 b"SWAPSPACE2" "swap space" Help::Nothing;
    4086 b"SWAP-SPACE" "swap space" Help::Nothing;
    4086 b"S1SUSPEND\0" "swap space with a hibernated system in it" Help::Nothing;
    4086 b"S2SUSPEND\0" "swap space with a hibernated system in it" Help::Nothing;
    4086 b"ULSUSPEND\0" "swap space with a hibernated system in it" Help::Nothing;
    4086 b"LINHIB0001" "swap space with a hibernated system in it" Help::Nothing;
    0 b"\xfe\xed\xba\xbe" "the log of an XFS file system" XFS_LOG;
    1024 b"H+\x00\x04" "an HFS+ file system" Help::Mounts;
    1024 b"HX\x00\x05" "an HFS+ file system" Help::Mounts;
    1030 b"\x34\x34" "a NILFS2 file system" Help::Mounts;
    1040 b"\x7f\x13" "a minix file system" Help::Mounts;
    1040 b"\x8f\x13" "a minix file system" Help::Mounts;
    1040 b"\x68\x24" "a minix file system" Help::Mounts;
    1040 b"\x78\x24" "a minix file system" Help::Mounts;
    1048 b"\x5a\x4d" "a minix file system" Help::Mounts;
    1024 b"BD" "an HFS file system" Help::Mounts;
    // Old ones may be left behind below what is there now
    0x4000 b"SKUL\xba\xbe" "a LUKS volume (encrypted) whose first header is lost" LUKS_REPAIR;
    0x8000 b"SKUL\xba\xbe" "a LUKS volume (encrypted) whose first header is lost" LUKS_REPAIR;
    0x10000 b"SKUL\xba\xbe" "a LUKS volume (encrypted) whose first header is lost" LUKS_REPAIR;
    0x20000 b"SKUL\xba\xbe" "a LUKS volume (encrypted) whose first header is lost" LUKS_REPAIR;
    0x40000 b"SKUL\xba\xbe" "a LUKS volume (encrypted) whose first header is lost" LUKS_REPAIR;
    0x80000 b"SKUL\xba\xbe" "a LUKS volume (encrypted) whose first header is lost" LUKS_REPAIR;
    0x100000 b"SKUL\xba\xbe" "a LUKS volume (encrypted) whose first header is lost" LUKS_REPAIR;
    0x200000 b"SKUL\xba\xbe" "a LUKS volume (encrypted) whose first header is lost" LUKS_REPAIR;
    0x400000 b"SKUL\xba\xbe" "a LUKS volume (encrypted) whose first header is lost" LUKS_REPAIR;
    // At the end
    -512 b"conectix" "a VHD image (Virtual PC)" QEMU;
    -512 b"koly" "a disk image of macOS (dmg)" DMG;
}

/// The mark that the image carries.
pub fn find(image: &dyn Bytes) -> Option<&'static Mark> {
    MARKS.iter().find(|mark| {
        let at = if mark.at < 0 { image.size().checked_add_signed(mark.at) } else { Some(mark.at as u64) };
        let mut room = [0; 24];
        let room = &mut room[..mark.bytes.len()];
        at.is_some_and(|at| image.read(room, at)) && room == mark.bytes
    })
}
