#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# busybox's own tests of Debian's busybox, which lies on the mount with the tests. APPLETS="cp tar ..." picks some.
. "$(dirname "$0")/lib.sh"
need busybox busybox
need bzip2 bzip2
need xz xz-utils
need gcc gcc
sources busybox
tests=$work/busybox/testsuite
config=$(ls "$work"/busybox/debian/config/pkg/deb "$work"/busybox/debian/config/*deb* 2>/dev/null | head -n 1)
[ -f "$config" ] || die "the source has no configuration of Debian's busybox"
applets=${APPLETS:-$(busybox --list)}

run_side() {
    local dir=$1 applet; shift
    as_user "$@" cp -r "$tests" "$work/busybox/scripts" "$dir"
    as_user "$@" cp "$config" "$dir/.config"
    as_user "$@" cp "$(command -v busybox)" "$dir/busybox"
    for applet in $applets; do
        [ -e "$tests/$applet" ] || [ -e "$tests/$applet.tests" ] || continue
        as_user TMPDIR="$dir" timeout -k 5 200 "$@" sh -c 'cd "$1/testsuite" && exec ./runtest "$2"' - "$dir" "$applet" \
            >"$work/log" 2>&1 </dev/null
        { echo "== $applet in $dir: $?"; cat "$work/log"; } >>"$work/logs"
        # Names are not unique.
        sed -n 's/^\(PASS\|FAIL\|SKIPPED\|UNTESTED\): /\1\t/p' "$work/log" | tr -s ' ' ' ' |
            awk -F'\t' -v applet="$applet" '{
                result = $1 == "PASS" ? "pass" : $1 == "FAIL" ? "fail" : "skip"
                gsub(/[ \t]/, "_", $2)
                print applet ":" $2 (seen[$2]++ ? "#" seen[$2] : "") "\t" result }'
    done
}
compare
