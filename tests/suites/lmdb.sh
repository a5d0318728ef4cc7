#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# LMDB's own test programs and tools, with their databases on the mount. TIMES=20 runs each program so often (their work is random).
. "$(dirname "$0")/lib.sh"
need gcc gcc
need make make
sources lmdb
programs="mtest mtest2 mtest3 mtest4 mtest5"
tools="mdb_stat mdb_copy mdb_dump mdb_load"
source=$work/lmdb/libraries/liblmdb
# mtest6 is of a debug build: it does not link.
make -C "$source" XCFLAGS=-w $programs $tools >"$work/build.log" 2>&1 ||
    { tail -n 5 "$work/build.log" >&2; die "LMDB cannot be built"; }
# 60,000 records with keys of several lengths, as mdb_dump writes them
awk 'BEGIN {
    print "VERSION=3\nformat=print\ntype=btree\nmapsize=134217728\nmaxreaders=126\nHEADER=END"
    for (i = 0; i < 60000; i++) printf " key-%0*d\n value %d of a database that is read back\n", 5 + i % 40, i, i * 7919 % 60000
    print "DATA=END"
}' >"$work/records"

# step NAME COMMAND...: in the directory of the side
step() {
    local name=$1; shift
    as_user timeout -k 5 120 "${prefix[@]}" sh -ec 'cd "$1" && shift && eval "$*"' - "$dir" "$@" >"$work/log" 2>&1 </dev/null
    local status=$?
    { echo "== $name in $dir: $status"; tail -n 20 "$work/log"; } >>"$work/logs"
    printf '%s\t%s\n' "$name" "$([ $status = 0 ] && echo pass || echo fail)"
}

run_side() {
    local dir=$1 program time; shift
    local prefix=("$@")
    for program in $programs; do
        for ((time = 1; time <= ${TIMES:-5}; time++)); do
            step "$program-$time" "rm -rf testdb; mkdir testdb; $source/$program && $source/mdb_stat -a -e -f testdb"
        done
    done
    step load "mkdir loaded; $source/mdb_load -f $work/records loaded; $source/mdb_stat loaded | grep -q 'Entries: 60000'"
    step dump "$source/mdb_dump -p loaded >dumped; $source/mdb_stat loaded | grep -q 'Entries: 60000'; [ \$(grep -c '^ key' dumped) = 60000 ]"
    step copy "mkdir copied compact; $source/mdb_copy loaded copied; $source/mdb_copy -c loaded compact
        for one in copied compact; do $source/mdb_dump -p \$one | cmp - dumped; done"
    step reload "mkdir again; $source/mdb_load -f dumped again; $source/mdb_dump -p again | cmp - dumped"
    step writers "mkdir several; for n in 1 2 3 4; do $source/mdb_load -s db\$n -f $work/records several & pids=\"\$pids \$!\"; done
        for pid in \$pids; do wait \$pid; done; [ \$($source/mdb_stat -a several | grep -c 'Entries: 60000') = 4 ]"
    step no_sync "mkdir fast; $source/mdb_load -N -f $work/records fast; $source/mdb_stat fast | grep -q 'Entries: 60000'"
}
compare
