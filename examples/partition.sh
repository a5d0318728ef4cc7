#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Look into one partition of a disk image, without root and without losetup.
. "$(dirname "$0")/common.sh"
needs sfdisk fdisk

# A disk as an installer leaves it: a small first partition, the file system on the second.
mkdir src
echo 'found on partition 2' >src/where
run 'truncate -s 80M disk.img'
run "printf 'size=8M\n size=64M\n' | sfdisk --quiet --label gpt disk.img"
stowaway mkimage --size 64M second.img src
start=$(sfdisk --dump disk.img | sed -n 's/^disk.img2 : start= *\([0-9]*\),.*/\1/p')
dd if=second.img of=disk.img bs=512 seek="$start" conv=notrunc,sparse status=none

run 'sfdisk --list disk.img'
run "stowaway run --mount 'disk.img#2:/mnt/second:ro' -- cat /mnt/second/where"
same "$(stowaway run --mount 'disk.img#2:/mnt/second:ro' -- cat /mnt/second/where)" 'found on partition 2'

# A partition that is not there is an error with a line that says so.
if stowaway run --mount 'disk.img#7:/mnt/none:ro' -- ls /mnt/none 2>message; then exit 1; fi
run 'cat message'
run 'grep -q "no partition 7" message'
