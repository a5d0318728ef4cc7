#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Work on a disk image with the programs that you have: list, read, change, copy out.
. "$(dirname "$0")/common.sh"

mkdir src
echo 'Hello from the image.' >src/hello.txt
run 'stowaway mkimage disk.img src'

# /mnt/data exists for this one program.
run 'stowaway run --mount disk.img:/mnt/data -- ls -l /mnt/data'
run 'stowaway run --mount disk.img:/mnt/data -- cp /mnt/data/hello.txt copied-out.txt'
same "$(cat copied-out.txt)" 'Hello from the image.'

# A variable saves typing. A shell and all that it starts see the mount.
run 'export STOWAWAY_MOUNT=disk.img:/mnt/data'
run "stowaway run bash -c 'cd /mnt/data && mkdir notes && mv hello.txt notes/ && date >notes/when'"
run 'stowaway run find /mnt/data/notes'
same "$(stowaway run ls /mnt/data/notes)" $'hello.txt\nwhen'

# The image is unmounted when the program ends: the host's own tools find it clean.
run 'e2fsck -fn disk.img'
