#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# git's own tests t0* and t1*, of a git that is built from Debian's source. The trash directories, with all repositories, lie on
# the mount. TESTS="t0001-init ..." picks some.
. "$(dirname "$0")/lib.sh"
image_size=2G
need gcc gcc
need make make
need perl perl
[ -e /usr/include/zlib.h ] || need zlib.h zlib1g-dev
sources git
source=$work/git
make -s -C "$source" -j"$(nproc)" NO_CURL=1 NO_EXPAT=1 NO_GETTEXT=1 NO_TCLTK=1 NO_OPENSSL=1 NO_PYTHON=1 NO_SVN_TESTS=1 \
    CFLAGS=-O1 >"$work/build.log" 2>&1 || { tail -n 5 "$work/build.log" >&2; die "git does not build"; }
[ -n "${TESTS:-}" ] || TESTS=$(cd "$source/t" && ls t[01][0-9][0-9][0-9]-*.sh | sed 's/\.sh$//')

run_side() {
    local dir=$1 test; shift
    for test in $TESTS; do
        as_user GIT_TEST_DEFAULT_HASH=sha1 TEST_OUTPUT_DIRECTORY="$work/results" NO_SVN_TESTS=1 LC_ALL=C \
            timeout -k 5 600 "$@" sh -c 'cd "$1/t" && exec sh "./$2.sh" --root="$3"' - "$source" "$test" "$dir" \
            >"$work/log" 2>&1 </dev/null
        { echo "== $test in $dir: $?"; cat "$work/log"; } >>"$work/logs"
        # TAP: "ok 3 - title", "not ok 3 - title", "ok 3 # skip ..."; a known breakage is a pass.
        sed -n -E "s/^not ok ([0-9]+) - .*# TODO known breakage.*/$test.\1\tpass/p; t
            s/^ok ([0-9]+) # skip .*/$test.\1\tskip/p; t
            s/^ok ([0-9]+) - .*/$test.\1\tpass/p; t
            s/^not ok ([0-9]+) - .*/$test.\1\tfail/p" "$work/log"
        # A test that fails leaves its directory.
        grep -q '^not ok' "$work/log" && as_user "$@" sh -c 'rm -rf "$1/trash directory."*' - "$dir"
    done
}
mkdir -p "$work/results"
compare
