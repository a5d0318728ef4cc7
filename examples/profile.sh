#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Profile a program and the kernel inside it: perf learns the names of the kernel's functions.
. "$(dirname "$0")/common.sh"
needs dd coreutils

mkdir src
head -c 4M /dev/zero >src/data
stowaway mkimage disk.img src

# The map names every function of the kernel, at its address in this process.
# shellcheck disable=SC2016 # the inner shell knows its own pid
run 'stowaway run --perf-map --mount disk.img:/mnt/data -- sh -c '"'"'read -r line </mnt/data/data; cp /tmp/perf-$$.map map; rm /tmp/perf-$$.map'"'"' 2>/dev/null'
run 'grep -E " (ext4_file_read_iter|vfs_read)$" map'

# With perf, and the right to use it, a profile of the whole stack.
if command -v perf >/dev/null && perf record -q -o probe.data true 2>/dev/null; then
    # The process writes its number, then becomes dd: the number stays.
    echo 'echo $$ >pid; exec stowaway run --perf-map --mount disk.img:/mnt/data -- dd if=/mnt/data/data of=/dev/null bs=64 status=none' >record.sh
    run 'cat record.sh'
    run 'perf record -q -g -o perf.data -- sh record.sh'
    perf report -i perf.data --stdio --no-children -g none >report 2>/dev/null || true
    run "sed -e '/^#/d' -e '/^$/d' report | sed -n '1,10p'"
    rm -f "/tmp/perf-$(cat pid).map"
    run 'grep -qE "vfs_read|ext4_|filemap_" report'
else
    echo 'perf is not installed, or this user may not sample: no profile is taken'
fi
