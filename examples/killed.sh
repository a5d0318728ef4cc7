#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A program is killed: what it had written stays, as on Linux.
. "$(dirname "$0")/common.sh"
run 'stowaway mkimage --size 64M disk.img'

stowaway run --mount disk.img:/mnt/d -- sh -c 'echo precious >/mnt/d/file; echo written; exec sleep 100' >said &
until grep -q written said; do sleep 0.05; done
sleep 0.2
run "kill -KILL $!"
same "$(stowaway run --mount disk.img:/mnt/d -- cat /mnt/d/file)" precious
run 'e2fsck -fn disk.img'
