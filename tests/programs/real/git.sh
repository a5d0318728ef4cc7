# SPDX-License-Identifier: GPL-2.0-only
# A repository: commits, a branch, a merge, and garbage collection.
cd "$W" || exit 1
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b HOME="$W" GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z' GIT_PAGER=cat
git init -q -b main repo && cd repo || exit 1
for i in 1 2 3 4 5; do cat "$R/hello.txt" > "f$i"; echo "$i" >> "f$i"; git add . && git commit -qm "commit $i"; done
git checkout -qb side HEAD~2 && echo side > s && git add s && git commit -qm side && git checkout -q main && git merge -q --no-edit side
git log --format='%h %s' --graph
git gc -q --prune=now; git fsck 2>&1 | grep -v '^notice' ; git count-objects -v | grep -e in-pack -e packs
git diff --stat HEAD~3 HEAD
git clone -q . ../copy && git -C ../copy rev-parse HEAD
git grep -c 5
exit 0
