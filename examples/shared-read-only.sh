#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Many programs read one image at the same time. A second writer is refused.
. "$(dirname "$0")/common.sh"

mkdir src
seq 1 20000 >src/numbers
run 'stowaway mkimage --type erofs data.img src'

echo '$ # eight programs at once, each with a kernel of its own'
for worker in 1 2 3 4 5 6 7 8; do
    stowaway run --mount data.img:/mnt/data:ro -- sha256sum /mnt/data/numbers >"sum$worker" &
done
wait
run 'sort -u sum*'
same "$(sort -u sum* | cut -d' ' -f1)" "$(sha256sum <src/numbers | cut -d' ' -f1)"

# An image that one program may write belongs to that program alone.
stowaway mkimage disk.img src
mkfifo go
# shellcheck disable=SC2016 # the inner shell reads it
stowaway run --mount disk.img:/mnt/data -- sh -c 'exec 5>/mnt/data/open; echo holding; read -r line <go' >holder &
until grep -qs holding holder; do sleep 0.05; done
if stowaway run --mount disk.img:/mnt/data -- ls /mnt/data 2>message; then exit 1; fi
run 'cat message'
run 'grep -q "in use by pid" message'
echo >go
wait
run 'stowaway run --mount disk.img:/mnt/data -- ls /mnt/data'
