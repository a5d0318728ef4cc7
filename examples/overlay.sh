#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# An image that stays as it is, below another one that takes the changes: overlayfs.
. "$(dirname "$0")/common.sh"

mkdir src
echo 'as delivered' >src/settings
seq 1 20000 >src/numbers
run 'stowaway mkimage --type squashfs base.img src'
run 'stowaway mkimage --size 64M changes.img'
run 'stowaway run --mount changes.img:/mnt/changes -- mkdir /mnt/changes/upper /mnt/changes/work'

with_layers() {
    stowaway run --mount base.img:/mnt/base --mount changes.img:/mnt/changes \
        --mount none:/mnt/all,type=overlay,opts=lowerdir=/mnt/base+upperdir=/mnt/changes/upper+workdir=/mnt/changes/work -- "$@"
}
# shellcheck disable=SC2016 # the inner shell reads it
run "with_layers sh -c 'echo mine >/mnt/all/settings; rm /mnt/all/numbers'"
run 'with_layers ls /mnt/all'
same "$(with_layers cat /mnt/all/settings /mnt/base/settings)" $'mine\nas delivered'
same "$(with_layers ls /mnt/all)" settings
