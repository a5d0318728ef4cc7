#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# fio: what each of its engines writes is read back and verified, by the page cache and past it (O_DIRECT). SIZE=1G writes more.
. "$(dirname "$0")/lib.sh"
need fio fio

run_side() {
    local dir=$1 engine direct rw name; shift
    for engine in psync pvsync2 vsync libaio io_uring posixaio mmap; do
        for direct in 0 1; do
            for rw in write randwrite randrw; do
                [ "$engine$direct" != mmap1 ] || continue
                name=$engine-$rw$([ $direct = 0 ] || echo -direct)
                as_user timeout -k 5 120 "$@" fio --name="$name" --directory="$dir" --ioengine="$engine" --direct="$direct" \
                    --rw="$rw" --size="${SIZE:-24M}" --bsrange=4k-128k --bs_unaligned="$((1 - direct))" --iodepth=8 --numjobs=2 \
                    --thread --verify=crc32c --verify_fatal=1 --fsync=32 --randseed=7 --unlink=1 >"$work/log" 2>&1 </dev/null
                local status=$?
                { echo "== $name in $dir: $status"; tail -n 30 "$work/log"; } >>"$work/logs"
                printf '%s\t%s\n' "$name" "$([ $status = 0 ] && echo pass || echo fail)"
            done
        done
    done
}
compare
