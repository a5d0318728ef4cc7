#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A C project on an image, built by two jobs at a time, and its tests.
. "$(dirname "$0")/common.sh"
needs make make
needs cc gcc

mkdir -p project
for i in $(seq 20); do echo "int f$i(int x) { return x + $i; }" >"project/f$i.c"; done
{
    for i in $(seq 20); do echo "int f$i(int);"; done
    echo '#include <stdio.h>'
    echo 'int main(void) { int x = 0;'
    for i in $(seq 20); do echo "x = f$i(x);"; done
    echo 'printf("%d\n", x); return 0; }'
} >project/main.c
cat >project/Makefile <<'MAKE'
OBJECTS := $(patsubst %.c,%.o,$(wildcard *.c))
all: sum
sum: $(OBJECTS)
	$(CC) -o $@ $^
check: sum
	test "$$(./sum)" = 210 && echo passed
MAKE
run 'stowaway mkimage --size 64M disk.img project'
run 'stowaway run --mount disk.img:/mnt/d -- make -s -C /mnt/d -j2'
same "$(stowaway run --mount disk.img:/mnt/d -- make -s -C /mnt/d check)" passed
run 'e2fsck -fn disk.img'
