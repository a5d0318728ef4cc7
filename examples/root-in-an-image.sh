#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Root in an image of one's own: owners, modes, devices and capabilities are kept. Started by root, the example becomes
# user 65534.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs env HOME=/ bash "$0"
fi
. "$(dirname "$0")/common.sh"
needs setcap libcap2-bin
needs busybox busybox-static

run 'id -u'
mkdir -p tree/var/www tree/dev
echo '<p>hello' >tree/var/www/index.html
cp /bin/true tree/tool
mkdir tree/bin && cp "$(command -v busybox)" tree/bin/
run 'tar -cf rootfs.tar --owner=0 --group=0 -C tree .'

run 'stowaway mkimage --size 64M disk.img'
run 'stowaway run --as root --mount disk.img:/mnt/data -- tar -C /mnt/data -xpf rootfs.tar'
run "stowaway run --as root --mount disk.img:/mnt/data -- bash -c 'id -u; cd /mnt/data && chown -R 33:33 var/www && chmod 700 var/www && mknod dev/null c 1 3'"
run 'stowaway run --as root --mount disk.img:/mnt/data -- setcap cap_net_raw+ep /mnt/data/tool'
run 'stowaway run --as root --mount disk.img:/mnt/data -- ls -ln /mnt/data/var/www /mnt/data/dev'

# As somebody else: www-data reads the page, and user 1000 does not.
run 'stowaway run --as 33:33 --mount disk.img:/mnt/data:ro -- cat /mnt/data/var/www/index.html'
if stowaway run --as 1000:1000 --mount disk.img:/mnt/data:ro -- cat /mnt/data/var/www/index.html 2>message; then exit 1; fi
run 'grep "Permission denied" message'

# With the image as the root directory: nothing of the host is in its reach.
same "$(stowaway run --as root --mount disk.img:/mnt/data -- chroot /mnt/data /bin/busybox sh -c '/bin/busybox pwd; /bin/busybox ls /; /bin/busybox cat /var/www/index.html' | tr '\n' ' ')" '/ bin dev lost+found tool var <p>hello '

# It is in the image, not in the program's imagination.
same "$(debugfs -R 'stat /dev/null' disk.img 2>/dev/null | grep -o 'Type: character special')" 'Type: character special'
same "$(stowaway run --as root --mount disk.img:/mnt/data:ro -- getcap /mnt/data/tool)" '/mnt/data/tool cap_net_raw=ep'
run 'e2fsck -fn disk.img'

# The host's files keep the rights that the user really has.
if stowaway run --as root --mount disk.img:/mnt/data -- chown 33 rootfs.tar 2>message; then exit 1; fi
run 'grep "Operation not permitted" message'
