# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What only root can do to files, by the programs that do it. $0: the directory, $1: a directory of the host.
set -e
umask 022
export PATH=$PATH:/usr/sbin:/sbin
cd "$0"
chmod 755 .
mkdir src
echo plain >src/plain
ln src/plain src/hard
chown 1000:100 src/plain
chmod 4751 src/plain
mknod src/null c 1 3
mknod -m 660 src/disk b 7 300
chgrp 6 src/disk
mkfifo src/fifo
chown 5:6 src/fifo
ln -s nowhere src/link
chown -h 7:8 src/link
install -d -o 33 -g 34 -m 2770 src/web
echo page >src/web/page
chown 33 src/web/page
chmod 600 src/web/page
cp /bin/true "$1/program"
truncate -s 100 "$1/program"
install -o 1 -g 2 -m 6711 "$1/program" src/installed
setcap cap_net_raw,cap_net_admin+ep src/installed
setfattr -n trusted.note -v kept src/web
setfattr -n user.note -v kept src/web/page
setfacl -m u:1234:r,g:99:rw src/web/page
chmod 000 src/web
cp -a src copied
mkdir untarred again
tar -C src --xattrs --xattrs-include='*' -cf all.tar .
tar -C untarred --xattrs --xattrs-include='*' -xpf all.tar
tar -C src --numeric-owner -cf - . | tar -C again -xpf -
# A package whose files have several owners, made on the host.
(
    cd "$1"
    mkdir -p package/usr/bin package/var/lib/thing
    echo tool >package/usr/bin/tool
    chmod 2755 package/usr/bin/tool
    chmod 1770 package/var/lib/thing
    tar -C package --owner=0 --group=50 -cf data.tar ./usr
    tar -C package --owner=101 --group=102 -rf data.tar ./var/lib/thing
    printf 'Package: thing\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@n>\nDescription: thing\n' >control
    tar --owner=0 --group=0 -cf control.tar ./control
    echo 2.0 >debian-binary
    ar rc package.deb debian-binary control.tar data.tar
)
dpkg-deb -x "$1/package.deb" unpacked
setpriv --reuid 1000 --regid 100 --clear-groups bash -c 'test ! -r src/web/page && ! mknod src/no c 1 3 2>/dev/null'
rm -f all.tar
