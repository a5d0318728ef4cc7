#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A git repository on an image: git starts processes of its own for most of what it does.
. "$(dirname "$0")/common.sh"
needs git git
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@example.org

# A repository of the host.
git init -q -b main repo
for i in $(seq 60); do echo "$i" >"repo/file-$i"; done
git -C repo add .
git -C repo commit -qm 'sixty files'

run 'stowaway mkimage --size 64M disk.img'
on() { stowaway run --mount disk.img:/mnt/d -- "$@"; }
run 'on git clone -q ./repo /mnt/d/repo'
cat >work.sh <<'SHELL'
set -e
cd /mnt/d/repo
git checkout -q -b topic
echo more >>file-1
git commit -qam 'change one'
git checkout -q main
git rm -q file-60
git commit -qm 'remove one'
git rebase -q main topic
git worktree add -q ../tree main
git gc -q
git fsck --strict
git status --short --branch
git log --format=%s
SHELL
run 'on bash work.sh'
same "$(on git -C /mnt/d/repo log --format=%s topic)" "$(printf 'change one\nremove one\nsixty files')"
same "$(on ls /mnt/d/tree | wc -l)" 59
run 'e2fsck -fn disk.img'
