#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The tour: the distribution's own programs work on an image. Every command is shown before it runs, and what
# it did is checked at the end, on the host, with the host's own tools.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
bin=${STOWAWAY_BIN_DIR:-$root/target/release}
export PATH=$bin:$PATH:/usr/sbin:/sbin
export LIB=$bin/libstowaway.so
unset "${!STOWAWAY_@}"

for needed in "$bin/stowaway" "$LIB"; do
    [ -e "$needed" ] || { echo "demo: $needed is missing: run make build" >&2; exit 1; }
done

work=$(mktemp -d "${TMPDIR:-/tmp}/stowaway-demo.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'echo "demo: FAILED at: $shown" >&2' ERR
cd "$work"
shown='the start'

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n# %s\n' "$*"; }

# Shows a command as a person would type it, and runs it.
run() {
    shown=$*
    printf '$ %s\n' "$*"
    eval "$*"
}

# Says what does not hold, and ends.
must() {
    shown=$*
    "$@" || { echo "demo: FAILED: not so: $*" >&2; exit 1; }
}

say "A directory to start from, and an ext4 image of it"
mkdir -p src/deep/er
seq 1 2000 >src/numbers
printf 'Stowaways travel light.\n' >src/hello.txt
truncate -s 3M src/sparse
head -c 300000 /dev/urandom >src/deep/random
ln -s ../numbers src/deep/link
ln src/hello.txt src/deep/er/hard
chmod 640 src/hello.txt
run 'find src | sort'
run 'stowaway mkimage disk.img src'

say "Look at it. The host has no such directory: a kernel inside ls has"
run 'ls -ld /mnt/stowaway || true'
run 'stowaway run --mount disk.img:/mnt/stowaway -- ls -l /mnt/stowaway'
run 'stowaway run --mount disk.img:/mnt/stowaway -- cat /mnt/stowaway/hello.txt'

say "The same without the command: two variables"
run 'STOWAWAY_MOUNT=disk.img:/mnt/stowaway LD_PRELOAD=$LIB sha256sum /mnt/stowaway/numbers /mnt/stowaway/deep/random'
run 'sha256sum src/numbers src/deep/random'

say "Copy out, copy in"
run 'STOWAWAY_MOUNT=disk.img:/mnt/stowaway LD_PRELOAD=$LIB cp -a /mnt/stowaway/deep ./out'
run 'diff -r --no-dereference src/deep out'
run 'stowaway run --mount disk.img:/mnt/stowaway -- cp -a src /mnt/stowaway/copy'

say "Change it: rename, link, remove, redirect"
export STOWAWAY_MOUNT=disk.img:/mnt/stowaway
echo '$ export STOWAWAY_MOUNT=disk.img:/mnt/stowaway'
run 'stowaway run mv /mnt/stowaway/numbers /mnt/stowaway/figures'
run 'stowaway run ln -s figures /mnt/stowaway/numbers'
run 'stowaway run mkdir -m 700 /mnt/stowaway/private'
run 'stowaway run rm -r /mnt/stowaway/deep/er'
run 'echo written by tee | stowaway run tee /mnt/stowaway/private/note'
run 'stowaway run dd if=/dev/zero of=/mnt/stowaway/zeros bs=1M count=4 status=none'
run 'stowaway run truncate -s 1K /mnt/stowaway/zeros'
if command -v python3 >/dev/null; then
    run "stowaway run python3 -c 'import os; open(\"/mnt/stowaway/py\", \"w\").write(\"by python\\n\"); print(sorted(os.listdir(\"/mnt/stowaway\")))'"
fi

say "What is there now"
run 'stowaway run find /mnt/stowaway -ls'
run 'stowaway run du -sh /mnt/stowaway'
run 'stowaway run df -hT /mnt/stowaway'
run 'stowaway run cat /mnt/stowaway/private/note'

say "The image is whole: e2fsck says so, and the copy that went in comes out the same"
run 'e2fsck -fn disk.img'
run 'stowaway run cp -a /mnt/stowaway/copy ./again'
run 'diff -r --no-dereference src again'
must test "$(stat -c '%a %s %Y' src/hello.txt)" = "$(stat -c '%a %s %Y' again/hello.txt)"
must test "$(stowaway run sha256sum </dev/null /mnt/stowaway/numbers | cut -d' ' -f1)" \
    = "$(sha256sum src/numbers | cut -d' ' -f1)"
must test "$(stowaway run cat /mnt/stowaway/private/note)" = 'written by tee'
must test "$(stowaway run stat -c %s /mnt/stowaway/zeros)" = 1024
must test ! -e /mnt/stowaway
printf '\ndemo: all good\n'
