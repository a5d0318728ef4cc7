# SPDX-License-Identifier: GPL-2.0-only
# Sourced by the suites of this folder: test suites of other projects, run in a directory of the host and on a mount.
#
# A suite sources this file, prepares what it needs in $work, defines
#     run_side DIR PREFIX...    runs all tests with DIR for files, each command begun with PREFIX; prints a line for each test:
#                               NAME <tab> pass|fail|skip
# and calls `compare`. Which names may differ stands in gaps/SUITE.txt, one a line, with the reason. A line that begins with ~
# is of a test that fails on the mount now and then.
#
# BUILT=DIR says where stowaway and libstowaway.so are; KEEP=1 leaves the folder of the run for a look.
set -u
suites=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
suite=$(basename "$0" .sh)
built=$(realpath "${BUILT:-$suites/../../target/release}")
mount=/mnt/stowaway-suite
image_size=${image_size:-512M}

die() { echo "$suite: $*" >&2; exit 2; }

# need COMMAND PACKAGE: a command of the host, or the Debian package that has it
need() {
    command -v "$1" >/dev/null && return
    [ "$(id -u)" = 0 ] || die "$1 is missing: apt-get install $2"
    echo "$suite: installing $2 for $1" >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$2" >"$work/apt.log" 2>&1 ||
        { tail -n 5 "$work/apt.log" >&2; die "$2 cannot be installed"; }
}

# sources PACKAGE: the source of a Debian package, unpacked to $work/PACKAGE. Lists and sources lie in the folder of the run: the
# machine's own lists are left alone.
sources() {
    local lists=$work/lists list=$work/sources.list release
    need dpkg-source dpkg-dev
    mkdir -p "$lists/partial"
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    echo "deb-src http://deb.debian.org/debian $release main" >"$list"
    local apt=(apt-get -q -o "Dir::Etc::sourcelist=$list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$lists"
        -o APT::Sandbox::User=root)
    ( cd "$work" && "${apt[@]}" update && "${apt[@]}" source --download-only "$1" &&
        dpkg-source --no-check -x "$1"_*.dsc "$1" ) >"$work/source.log" 2>&1 ||
        { tail -n 5 "$work/source.log" >&2; die "the source of $1 cannot be had"; }
}

# as_user NAME=VALUE... COMMAND...: as an ordinary user, with nothing of the caller's environment but what the suites set
as_user() {
    local who=() more=()
    [ "$(id -u)" != 0 ] || who=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    while [[ $1 =~ ^[A-Za-z_][A-Za-z0-9_]*= ]]; do more+=("$1"); shift; done
    env -i PATH="$PATH" HOME="$work/home" LANG=C.UTF-8 XDG_CACHE_HOME="$work/cache" \
        ${STOWAWAY_SHARE+STOWAWAY_SHARE="$STOWAWAY_SHARE"} "${more[@]}" "${who[@]}" "$@"
}

hand_over() { [ "$(id -u)" != 0 ] || chown -R 65534:65534 "$@"; }

count() { printf '%s: %s passed, %s failed, %s skipped\n' "$1" "$(grep -c $'\tpass$' "$2")" \
    "$(grep -c $'\tfail$' "$2")" "$(grep -c $'\tskip$' "$2")"; }

# compare: both sides, what differs, and whether that is known. 0: nothing else differs.
compare() {
    local native=$work/native served=$work/served gaps=$suites/gaps/$suite.txt
    mkdir -p "$work/dir" "$work/home" "$work/cache" "$work/bin"
    cp "$built/stowaway" "$built/libstowaway.so" "$work/bin" || die "build first: $built has no stowaway"
    truncate -s "$image_size" "$work/image"
    mke2fs -q -F -t ext4 -E root_owner=65534:65534 "$work/image" || die "mke2fs failed"
    hand_over "$work"
    run_side "$work/dir" | sort -u >"$native"
    count 'natively' "$native"
    run_side "$mount" "$work/bin/stowaway" run --mount "$work/image:$mount" -- | sort -u >"$served"
    count 'on the mount' "$served"
    [ -s "$native" ] || die "no test ran"
    e2fsck -fn "$work/image" >"$work/fsck.log" 2>&1 || { cat "$work/fsck.log"; echo "$suite: the image is not clean"; return 1; }
    # NAME native served; a test that one side does not know is "none" there
    join -t $'\t' -a 1 -a 2 -e none -o 0,1.2,2.2 "$native" "$served" | awk -F'\t' '$2 != $3' >"$work/differ"
    known "$gaps"
}

known() {
    local result=0 missing=0 name native served
    local -A reasons=()
    while read -r name reason; do
        case $name in ''|'#'*) ;; *) reasons[$name]=$reason ;; esac
    done <"$1"
    while IFS=$'\t' read -r name native served; do
        if [ -n "${reasons[$name]+x}" ]; then
            echo "known gap: $name ($native, on the mount $served): ${reasons[$name]}"
            unset "reasons[$name]"
        elif [ -n "${reasons[~$name]+x}" ]; then
            echo "known gap, now and then: $name: ${reasons[~$name]}"
        elif [ "$served" = none ]; then
            missing=$((missing + 1))
            result=1
        else
            echo "DIFFERS: $name: $native, on the mount $served"
            result=1
        fi
    done <"$work/differ"
    [ "$missing" = 0 ] || echo "DIFFERS: $missing tests did not run on the mount"
    for name in "${!reasons[@]}"; do
        case $name in '~'*) ;; *) echo "NO GAP ANY MORE: $name (${reasons[$name]})"; result=1 ;; esac
    done
    return $result
}

work=$(mktemp -d "${TMPDIR:-/tmp}/stowaway-suite.XXXXXX")
chmod 755 "$work"
[ -n "${KEEP:-}" ] && echo "$suite: the folder of the run is $work" || trap 'rm -rf "$work"' EXIT
