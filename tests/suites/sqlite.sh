#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# SQLite's own tests of files: io, locks, journals, write-ahead logs and mappings. TESTS="wal.test crash.test ..." picks others.
. "$(dirname "$0")/lib.sh"
need gcc gcc
need make make
need tclsh tcl
need /usr/lib/tcl8.6/tclConfig.sh tcl8.6-dev
sources sqlite3
source=$work/sqlite3
( cd "$source" && ./configure --with-tcl=/usr/lib/tcl8.6 && make testfixture CFLAGS="-O1 -w" ) >"$work/build.log" 2>&1 ||
    { tail -n 5 "$work/build.log" >&2; die "SQLite cannot be built"; }
# Left out: what takes minutes on either side.
slow="pagerfault pagerfault2 pagerfault3 walfault walfault2 walcrash walcrash2 walcrash3 walcrash4 walslow walthread wal2big"
if [ -z "${TESTS:-}" ]; then
    TESTS=$(cd "$source/test" && for family in io lock wal mmap journal exclusive pager superlock; do ls $family*.test; done |
        while read -r test; do [[ " $slow " == *" ${test%.test} "* ]] || echo "$test"; done)
fi

# NAME... Ok, or what was expected instead. (How many there are of pager1-16.1 depends on the length of the folder's path.)
results() {
    awk -v file="${1%.test}" '
        / *\.\.\. *Ok$/ { sub(/\.\.\. *Ok$/, ""); if (!($0 in said)) said[$0] = "pass" }
        /^! .* expected:/ { said[$2] = "fail" }
        / errors out of / { ended = 1 }
        END {
            for (name in said) if (name !~ /[ \t]|^pager1-16\.1\./) printf "%s/%s\t%s\n", file, name, said[name]
            printf "%s\t%s\n", file, ended ? "pass" : "fail"
        }' "$2"
}

run_side() {
    local dir=$1 test; shift
    for test in $TESTS; do
        as_user timeout -k 5 120 "$@" sh -c 'mkdir -p "$1" && cd "$1" && exec "$2" "$3"' - "$dir/${test%.test}" \
            "$source/testfixture" "$source/test/$test" >"$work/log" 2>&1 </dev/null
        { echo "== $test in $dir: $?"; grep -A 3 -e '^!' "$work/log"; tail -n 5 "$work/log"; } >>"$work/logs"
        results "$test" "$work/log"
    done
}
compare
