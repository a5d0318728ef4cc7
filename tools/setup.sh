#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Installs what is missing of tools/packages.txt, checks that Rust is there, and installs missing tools with cargo.
#   tools/setup.sh [PURPOSE...]     build, image, test, lint, docs, ci (default: build image test)
# Where nothing is missing, the script does nothing and needs no root.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
purposes=" ${*:-build image test} "
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:${HOME:-/nonexistent}/.cargo/bin

say() { echo "setup: $*" >&2; }

# A proof is a file by its path, or a command.
is_there() {
    case $1 in
        /*) [ -e "$1" ] ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

missing=()
while read -r package proof purpose; do
    case $package in '' | '#'*) continue ;; esac
    # Another source tree takes the package's place.
    if [ "$package" = linux-source-6.1 ] && [ -n "${STOWAWAY_KERNEL_SOURCE:-}" ]; then continue; fi
    if [[ $purposes == *" $purpose "* ]] && ! is_there "$proof"; then
        missing+=("$package")
    fi
done <"$here/packages.txt"

install_missing() {
    local install="apt-get install --no-install-recommends -y ${missing[*]}"
    local -a root=()
    if ! command -v apt-get >/dev/null; then
        say "missing: ${missing[*]} (Debian's names); there is no apt-get here: install them by hand"
        exit 1
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null; then
            say "missing: ${missing[*]}"
            say "neither root nor sudo: as root, run: apt-get update && $install"
            exit 1
        fi
        root=(sudo)
    fi
    say "installing: ${missing[*]}"
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q
    # shellcheck disable=SC2086 # a command and its words
    if ! "${root[@]}" env DEBIAN_FRONTEND=noninteractive $install; then
        say "apt-get failed; what is needed: ${missing[*]}"
        say "where there is no linux-source-6.1, give the build another 6.1.y tree or tarball: STOWAWAY_KERNEL_SOURCE=PATH"
        exit 1
    fi
}

if [ ${#missing[@]} -gt 0 ]; then
    install_missing
else
    say "all packages are there"
fi

if ! command -v cargo >/dev/null; then
    say "cargo: not found in PATH or ~/.cargo/bin; install Rust with rustup, then start again"
    exit 1
fi

wants() {
    local purpose
    for purpose in "$@"; do
        if [[ $purposes == *" $purpose "* ]]; then return 0; fi
    done
    return 1
}

if wants test lint; then
    for component in fmt:rustfmt clippy:clippy; do
        if ! cargo "${component%:*}" --version >/dev/null 2>&1; then
            say "cargo ${component%:*}: not found; install it with: rustup component add ${component#*:}"
            exit 1
        fi
    done
fi

# install_tool COMMAND CRATE VERSION [OPTION...]: into ~/.cargo/bin. Debian 12 has no package of either tool.
# These tools run for a second: a build that is quick counts more than a tool that is.
install_tool() {
    local command=$1 crate=$2 version=$3
    shift 3
    if command -v "$command" >/dev/null; then return 0; fi
    say "installing $crate $version with cargo (a few minutes, once)"
    if ! (cd / && CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_DEBUG=0 \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 cargo install --quiet --locked "$crate" --version "$version" "$@"); then
        say "$crate: cargo install failed; install it by hand: cargo install --locked $crate"
        exit 1
    fi
}
if wants test lint; then install_tool cargo-deny cargo-deny 0.20.2 --no-default-features; fi
if wants test docs; then install_tool mdbook mdbook 0.5.4 --no-default-features --features search; fi
say "$(cargo --version), $(command -v cargo)"
