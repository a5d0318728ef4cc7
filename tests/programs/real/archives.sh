# SPDX-License-Identifier: GPL-2.0-only
# Through pipes: tar, gzip, xz, cpio's kin.
cd "$W" || exit 1
tar -C "$R" -cf - hello.txt | gzip -9 | gunzip | tar -tf -
tar -C "$R" -cf - hello.txt | xz -T2 -1 | xz -d | tar -xOf - | md5sum
head -c 3000000 /dev/zero | gzip -1 | gzip -d | wc -c
seq 1 50000 | xz -0 -T2 | xzcat | md5sum
mkdir -p a/b && seq 1 1000 > a/b/c && tar -czf a.tgz a && rm -r a && tar -xzf a.tgz && md5sum < a/b/c
find . -name c -print0 | xargs -0 wc -l
sort -R a/b/c | sort -n | md5sum
split -l 100 a/b/c part. && cat part.* | md5sum; ls part.* | wc -l
exit 0
