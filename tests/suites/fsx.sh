#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# fsx (the crate of that name): random reads, writes, stores in mappings, cuts and holes of one file, on ext4, XFS and btrfs. OPS=25000 are
# done with each seed of SEEDS="1 2 3 4".
. "$(dirname "$0")/lib.sh"
need mkfs.xfs xfsprogs
need mkfs.btrfs btrfs-progs
need cargo cargo
cargo install -q --locked --root "$work/fsx" --version 0.3.2 fsx >"$work/build.log" 2>&1 ||
    { tail -n 5 "$work/build.log" >&2; die "fsx cannot be built"; }
cat >"$work/fsx.toml" <<'CONFIG'
flen = 1048576
[opsize]
max = 131072
[weights]
close_open = 1
invalidate = 1
truncate = 2
read = 10
write = 10
mapread = 10
mapwrite = 10
fsync = 0.2
fdatasync = 0.2
punch_hole = 2
posix_fallocate = 1
copy_file_range = 1
sendfile = 1
CONFIG

# make_image KIND: a file system whose root is the ordinary user's
make_image() {
    local image=$work/image.$1 user=65534
    [ "$(id -u)" = 0 ] || user=$(id -u)
    rm -f "$image"
    truncate -s 400M "$image"
    { "mkfs.$1" -q "$image" &&
        "$work/bin/stowaway" run --as root --mount "$image:$mount" -- chown "$user" "$mount"; } >"$work/mkfs.log" 2>&1 ||
        { cat "$work/mkfs.log" >&2; die "no $1"; }
    hand_over "$image"
}

check_image() {
    case $1 in
        ext4) e2fsck -fn "$work/image.$1" ;;
        xfs) xfs_repair -n "$work/image.$1" ;;
        btrfs) btrfs check --readonly "$work/image.$1" ;;
    esac >"$work/check.log" 2>&1 && echo pass || { echo "== check of $1"; cat "$work/check.log"; echo fail; } | tee -a "$work/logs" | tail -n 1
}

# run KIND SEED DIR PREFIX...
run() {
    local kind=$1 seed=$2 dir=$3 status; shift 3
    as_user timeout -k 5 300 "$@" "$work/fsx/bin/fsx" -f "$work/fsx.toml" -S "$seed" -N "${OPS:-25000}" -P "$work/home" \
        "$dir/file-$seed" >"$work/log" 2>&1 </dev/null
    status=$?
    { echo "== $kind, seed $seed in $dir: $status"; tail -n 30 "$work/log"; } >>"$work/logs"
    [ $status = 0 ] && echo pass || echo fail
}

run_side() {
    local dir=$1 kind seed result; shift
    local -A native=()
    for kind in ext4 xfs btrfs; do
        [ $# = 0 ] || make_image $kind
        for seed in ${SEEDS:-1 2 3 4}; do
            if [ $# = 0 ]; then
                # The host's directory is the same for all.
                result=${native[$seed]:-$(run host "$seed" "$dir")}
                native[$seed]=$result
            else
                result=$(run $kind "$seed" "$dir" "$1" run --mount "$work/image.$kind:$dir" --)
            fi
            printf '%s\t%s\n' "$kind-$seed" "$result"
        done
        printf '%s\t%s\n' "$kind-check" "$([ $# = 0 ] && echo pass || check_image $kind)"
    done
}
compare
