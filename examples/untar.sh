#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Unpack an archive straight into an image, and check that all of it arrived.
. "$(dirname "$0")/common.sh"

mkdir -p tree/deep/down
for number in $(seq 1 500); do echo "file $number" >"tree/deep/file$number"; done
ln tree/deep/file1 tree/deep/down/hard
ln -s ../file2 tree/deep/down/soft
run 'tar -cf archive.tar -C tree .'

run 'stowaway mkimage --size 64M disk.img'
run 'stowaway run --mount disk.img:/mnt/data -- tar -xf archive.tar -C /mnt/data'
run "stowaway run --mount disk.img:/mnt/data -- sh -c 'find /mnt/data/deep | wc -l'"

# tar itself compares the archive with the image.
run 'stowaway run --mount disk.img:/mnt/data:ro -- tar -df archive.tar -C /mnt/data'
same "$(stowaway run --mount disk.img:/mnt/data:ro -- stat -c %h /mnt/data/deep/file1)" 2
run 'e2fsck -fn disk.img'
