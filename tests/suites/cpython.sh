#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# CPython's own tests of files and processes, with their files on the mount. MODULES="test_os ..." picks some.
. "$(dirname "$0")/lib.sh"
modules=${MODULES:-test_os test_posix test_shutil test_subprocess test_tempfile test_pathlib test_io test_fcntl test_glob test_mmap}
need python3 python3
python3 -c 'import test.test_os' 2>/dev/null || need python3-has-no-tests \
    "lib$(python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')-testsuite"

run_side() {
    local dir=$1 module; shift
    for module in $modules; do
        local xml=$work/$module.xml
        rm -f "$xml"
        as_user TMPDIR="$dir" timeout -k 10 600 "$@" python3 -m test --junit-xml "$xml" --tempdir "$dir" --timeout 500 \
            "$module" >"$work/log" 2>&1
        echo "== $module on $dir: $?" >>"$work/logs"; cat "$work/log" >>"$work/logs"
        if [ -s "$xml" ]; then python3 "$suites/cpython-results.py" "$xml"
        else printf '%s\tfail\n' "$module"; fi
    done
}
compare
