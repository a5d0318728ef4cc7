# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Every example reads this file. It puts `stowaway` in PATH, makes a temporary directory, and removes it at the end.
set -euo pipefail
export LC_ALL=C
unset LD_PRELOAD
if [ "${STOWAWAY_BIN_DIR+set}" ]; then
    bin=$STOWAWAY_BIN_DIR
else
    bin=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/target/release
fi
[ -x "$bin/stowaway" ] || { echo "$bin/stowaway is missing: run make build" >&2; exit 1; }
export PATH=$bin:$PATH:/usr/sbin:/sbin
# The settings of an outer run are not ours.
unset "${!STOWAWAY_@}"

work=$(mktemp -d "${TMPDIR:-/tmp}/stowaway-example.XXXXXX")
shown='the start'
# shellcheck disable=SC2154 # status is set in the trap itself
trap 'status=$?; rm -rf "$work"; [ $status = 0 ] || [ $status = 77 ] || echo "FAILED after: $shown" >&2' EXIT
cd "$work"

# Shows a command, then runs it.
run() {
    shown=$*
    printf '$ %s\n' "$*"
    eval "$*"
}

# Ends the example with an error unless the two texts are equal.
same() {
    if [ "$1" != "$2" ]; then
        printf 'expected: %s\nfound:    %s\n' "$2" "$1" >&2
        exit 1
    fi
}

# Ends the example with status 77 unless a command is installed.
needs() {
    command -v "$1" >/dev/null || { echo "skipped: $1 is not installed (Debian package $2)"; exit 77; }
}
