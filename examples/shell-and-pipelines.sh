#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A shell on an image: many processes share one kernel, with pipes, redirections, background jobs and here-documents.
. "$(dirname "$0")/common.sh"
run 'stowaway mkimage --size 64M disk.img'

cat >work.sh <<'SHELL'
set -e
cd /mnt/d
mkdir -p in out
{ echo one; echo two; } >in/list
cat <<TEXT >>in/list
three
TEXT
sort -r in/list | tee out/sorted | wc -l
for word in $(cat in/list); do echo "$word" >"out/$word" & done
wait
(cd out; ls | sort | tr '\n' ' '; echo)
find in out -type f | xargs -P2 -n2 sha256sum | sort -k2 >sums
sha256sum -c --quiet sums
while read -r sum name; do test -f "$name"; done <sums
tar c -C /usr/share/doc coreutils | tar x -C out
diff -r /usr/share/doc/coreutils out/coreutils && echo the copy is the same
SHELL
run 'cat work.sh'
run 'stowaway run --mount disk.img:/mnt/d -- bash work.sh'

# The same by the preload alone, and with dash.
run 'rm disk.img; stowaway mkimage --size 64M disk.img'
said=$(LD_PRELOAD=$bin/libstowaway.so STOWAWAY_MOUNT=$work/disk.img:/mnt/d sh work.sh)
same "$said" "$(printf '3\none sorted three two \nthe copy is the same')"
run 'e2fsck -fn disk.img'
