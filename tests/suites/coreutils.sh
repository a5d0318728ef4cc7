#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# GNU coreutils' own tests of the installed programs, in a directory of the mount. TESTS="tests/cp/abuse.sh ..." picks some.
. "$(dirname "$0")/lib.sh"
need perl perl
need gcc gcc
need make make
sources coreutils
source=$work/coreutils
version=$(cp --version | sed -n '1s/.* //p')
# Tests look here for what the programs were built with.
printf '#define %s 1\n' USE_XATTR HAVE_CAP USE_ACL HAVE_INOTIFY ENABLE_NLS >"$work/config.h"
programs=$(dpkg -L coreutils | sed -n 's,^/\(usr/\)\?bin/,,p' | grep -v '/' | tr '\n' ' ')
if [ -z "${TESTS:-}" ]; then
    # Of a list that automake reads: root's tests, and those that take minutes, are left out.
    TESTS=$(sed -n '/^all_tests =/,/^$/p' "$source/tests/local.mk" | grep -o 'tests/[^ \\]*' |
        while read -r test; do
            grep -q '^\(very_\)\?expensive_\|^require_root_' "$source/$test" || echo "$test"
        done)
fi

run_side() {
    local dir=$1 test result command; shift
    # Tests look for programs in src, and perl's make their folders beside themselves.
    as_user "$@" sh -c 'cd "$1" && shift && mkdir -p src && for name; do ln -sf "$(command -v "$name")" "src/$name"; done' - \
        "$dir" $programs
    as_user "$@" sh -c 'cd "$1" && mkdir -p $(dirname $2 | sort -u)' - "$dir" "$TESTS"
    for test in $TESTS; do
        case $test in
            *.pl|*.xpl)
                command=(perl -w "-I$source/tests" -MCuSkip -MCoreutils "-MCuTmpdir qw($test)" "$source/$test")
                [ "${test##*.}" = xpl ] && command=(perl -T "${command[@]:1}") ;;
            *) command=(bash "$source/$test") ;;
        esac
        as_user srcdir="$source" top_srcdir="$source" abs_srcdir="$source" abs_top_srcdir="$source" abs_top_builddir="$dir" \
            VERSION="$version" PACKAGE_VERSION="$version" CONFIG_HEADER="$work/config.h" built_programs="$programs" fail=0 \
            host_os=linux-gnu host_triplet=x86_64-pc-linux-gnu CU_TEST_NAME="coreutils,${test//\//-}" CC=gcc AWK=awk \
            EGREP='grep -E' MAKE=make PERL=perl SHELL=/bin/bash LOCALE_FR=none LOCALE_FR_UTF8=none TMPDIR="$dir" LC_ALL=C \
            timeout -k 5 90 "$@" bash -c 'cd "$1" && shift && exec "$@" 9>&2' - "$dir" "${command[@]}" >"$work/log" 2>&1 </dev/null
        case $? in
            0) result=pass ;;
            77) result=skip ;;
            *) result=fail ;;
        esac
        { echo "== $test in $dir: $result"; cat "$work/log"; } >>"$work/logs"
        printf '%s\t%s\n' "$test" "$result"
    done
}
compare
