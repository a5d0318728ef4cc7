#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Two programs that know nothing of each other use one kernel, as from two terminals.
. "$(dirname "$0")/common.sh"
export XDG_RUNTIME_DIR=$work
run 'stowaway mkimage --size 32M disk.img'

# The first terminal: a shell that stays.
mkfifo typed
stowaway run --instance work --mount disk.img:/mnt/d -- bash <typed >said &
exec 4>typed
echo 'echo from the first >/mnt/d/note; echo ready' >&4
until grep -q ready said; do sleep 0.05; done

# The second one.
same "$(run 'stowaway run --instance work -- cat /mnt/d/note' | tail -n 1)" 'from the first'
run "stowaway run --instance work -- sh -c 'echo from the second >>/mnt/d/note'"

# The instance ends with its last program.
echo 'wc -l </mnt/d/note' >&4
exec 4>&-
wait $!
same "$(tail -n 1 said)" 2
run 'e2fsck -fn disk.img'
