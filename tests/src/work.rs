// SPDX-License-Identifier: GPL-2.0-only
//! What a disk is made to do, whatever it is and whoever serves it.

/// The lines of a shell that reach the device in every way: writes that are waited for, space given back, reads of what no
/// memory holds; one process after another, in the directory `$1`. They leave `file1` to `file3` of `pieces` times 64 KiB at
/// random, and `sync1` to `sync3` of `writes` times 4 KiB of zeroes.
pub fn processes(pieces: usize, writes: usize) -> String {
    format!(
        r#"
set -e
for n in 1 2 3; do
    dd if=/dev/urandom of=$1/file$n bs=64k count={pieces} conv=fsync 2>/dev/null
    cp $1/file$n $1/copy
    dd if=/dev/zero of=$1/sync$n bs=4k count={writes} oflag=sync 2>/dev/null
    cmp $1/file$n $1/copy
    rm $1/copy
done
"#
    )
}
