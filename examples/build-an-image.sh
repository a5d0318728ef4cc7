#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Build an image from a directory: ext4, or squashfs (compressed, read-only).
. "$(dirname "$0")/common.sh"

mkdir -p tree/bin
printf '#!/bin/sh\necho I live on an image\n' >tree/bin/hello
chmod 755 tree/bin/hello
ln -s hello tree/bin/hi
seq 1 10000 >tree/numbers

run 'stowaway mkimage --size 64M --label DATA disk.img tree'
run 'stowaway run --mount disk.img:/mnt/data -- ls -lR /mnt/data'
run 'stowaway mkimage --type squashfs small.img tree'
run 'ls -ls disk.img small.img'

# A program on the image runs, too.
run 'stowaway run --mount small.img:/mnt/small -- /mnt/small/bin/hi'
same "$(stowaway run --mount small.img:/mnt/small -- /mnt/small/bin/hi)" 'I live on an image'

# What went in comes out: content, modes, times, links.
for image in disk.img small.img; do
    run "stowaway run --mount $image:/mnt/data:ro -- cp -a /mnt/data ./out-$image"
    rm -rf "out-$image/lost+found"
    run "diff -r --no-dereference tree out-$image"
    same "$(stat -c '%a %Y' "out-$image/bin/hello")" "$(stat -c '%a %Y' tree/bin/hello)"
done
