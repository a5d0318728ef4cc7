#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What mount(8) wants root for, an ordinary user does. Started by root, the example becomes user 65534.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs env HOME=/ bash "$0"
fi
. "$(dirname "$0")/common.sh"

run 'id -u'
mkdir src
echo 'no root here' >src/file
run 'stowaway mkimage --type ext4 disk.img src'
run 'stowaway run --mount disk.img:/mnt/data -- tee -a /mnt/data/file <<<"and none there"'
run 'stowaway run --mount disk.img:/mnt/data:ro -- cat /mnt/data/file'
same "$(stowaway run --mount disk.img:/mnt/data:ro -- cat /mnt/data/file)" $'no root here\nand none there'

# Memory file systems need no image at all.
run "stowaway run --mount none:/mnt/scratch,type=tmpfs -- bash -c 'echo gone soon >/mnt/scratch/file; read -r line </mnt/scratch/file; echo \$line'"

# Permissions on the image hold: this file belongs to root.
# shellcheck disable=SC2016 # shown as typed
run 'debugfs -w -R "set_inode_field file uid 0" disk.img 2>/dev/null'
run 'debugfs -w -R "set_inode_field file mode 0100600" disk.img 2>/dev/null'
if stowaway run --mount disk.img:/mnt/data:ro -- cat /mnt/data/file 2>message; then exit 1; fi
run 'cat message'
run 'grep -q "Permission denied" message'
