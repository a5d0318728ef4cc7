# SPDX-License-Identifier: GPL-2.0-only
# A static program that is many.
cd "$W" || exit 1
busybox cat "$R/hello.txt" | busybox head -c 5; echo
busybox sh -c 'for i in 1 2 3; do echo $i; done | busybox tac; read a < "$R/hello.txt"; test -n "$a" && echo read'
busybox tar -C "$R" -cf - hello.txt | busybox tar -tf -
busybox seq 1 1000 | busybox md5sum
busybox env -i /bin/busybox cat "$R/hello.txt" | busybox wc -c | busybox grep -c '[0-9]'
busybox sh -c 'sleep 10 & kill $!; wait $!; echo $?' 2>/dev/null
exit 0
