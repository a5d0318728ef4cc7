// SPDX-License-Identifier: GPL-2.0
/*
 * NTFS: how far the room behind $MFT is kept for more of it.  6.1.192 reads sbi->zone_max and nowhere sets it, so no
 * file could be made ("no free space to extend mft").  Set here as mainline's ntfs_fill_super() does: 512 MiB, at most an
 * eighth of the volume.  The linker leads the call at mount here (--wrap in the Makefile).
 */
#include "../../../fs/ntfs3/ntfs_fs.h"

int __real_ntfs_refresh_zone(struct ntfs_sb_info *sbi);
int __wrap_ntfs_refresh_zone(struct ntfs_sb_info *sbi);
int __wrap_ntfs_refresh_zone(struct ntfs_sb_info *sbi)
{
	if (!sbi->zone_max)
		sbi->zone_max = min_t(u64, (512 << 20) >> sbi->cluster_bits, sbi->used.bitmap.nbits >> 3);
	return __real_ntfs_refresh_zone(sbi);
}
