#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# See the calls of a program, who served each, and how many there were.
. "$(dirname "$0")/common.sh"

mkdir src
echo 'traced' >src/file
stowaway mkimage disk.img src

# Lines as strace prints them. The two words at the end say who served the call, and how the call was caught.
run 'stowaway run --trace=trace.txt,openat,read --mount disk.img:/mnt/data -- cat /mnt/data/file'
run 'grep /mnt/data/file trace.txt'
same "$(grep -c 'openat(AT_FDCWD, "/mnt/data/file".*<kernel, ' trace.txt)" 1

# Only what the host served.
run 'stowaway run --trace=host.txt,host --mount disk.img:/mnt/data -- cat /mnt/data/file'
same "$(grep -c '<kernel, ' host.txt || true)" 0

# A table for each process.
run 'stowaway run --stats=stats.txt --mount disk.img:/mnt/data -- cat /mnt/data/file'
run 'cat stats.txt'
run 'grep -q openat stats.txt'
