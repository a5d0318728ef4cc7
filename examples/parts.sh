#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Parts of images and images in images: a system on a live disc, a mount below a mount, a directory, an offset.
. "$(dirname "$0")/common.sh"
needs genisoimage genisoimage
needs mksquashfs squashfs-tools

mkdir -p system/etc disc/live boot root/boot
echo 'a system' >system/etc/issue
run 'mksquashfs system disc/live/filesystem.squashfs -quiet -no-progress'
run 'genisoimage -quiet -R -J -o live.iso disc'
run 'stowaway run --mount live.iso:/iso --mount /iso/live/filesystem.squashfs:/mnt/live -- cat /mnt/live/etc/issue'
same "$(stowaway run --mount live.iso:/iso --mount /iso/live/filesystem.squashfs:/mnt/live -- cat /mnt/live/etc/issue)" 'a system'

echo 'a kernel' >boot/vmlinuz
run 'stowaway mkimage boot.img boot'
run 'stowaway mkimage root.img root'
run "stowaway run --mount root.img:/mnt/root --mount boot.img:/mnt/root/boot -- bash -c 'cd /mnt/root && cp boot/vmlinuz copy && ls boot'"
same "$(stowaway run --mount root.img:/mnt/root -- cat /mnt/root/copy)" 'a kernel'

mkdir -p homes/home/me
echo mine >homes/home/me/file
run 'stowaway mkimage homes.img homes'
run "stowaway run --mount 'homes.img[/home/me]:/mnt/me' -- cat /mnt/me/file"
same "$(stowaway run --mount 'homes.img[/home/me]:/mnt/me' -- ls /mnt/me)" file

# A squashfs behind a script, as installers have it.
printf '#!/bin/sh\necho setup\nexit\n' >setup.run
offset=$(stat -c %s setup.run)
cat disc/live/filesystem.squashfs >>setup.run
# It says that nothing can be mounted as it is, with status 1.
run '(stowaway doctor ./setup.run || true) | grep offset'
run "stowaway run --mount setup.run@$offset:/mnt/setup -- cat /mnt/setup/etc/issue"
same "$(stowaway run --mount "setup.run@$offset:/mnt/setup" -- cat /mnt/setup/etc/issue)" 'a system'
