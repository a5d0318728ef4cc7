# SPDX-License-Identifier: GPL-2.0-only
# Builds a program of two files and a library, and runs it.
cd "$W" || exit 1
cat > one.c <<'END'
#include <stdio.h>
#include <stdlib.h>
int two(int);
int main(int argc, char **argv)
{
	FILE *file = fopen(argv[1], "r");
	char text[6];
	if (!file || !fgets(text, sizeof(text), file))
		return 9;
	printf("%s %d\n", text, two(argc));
	return 12;
}
END
echo 'int two(int n) { return n * 21; }' > two.c
gcc -O2 -c one.c && gcc -O2 -fPIC -shared -o libtwo.so two.c && gcc -o prog one.o -L. -ltwo -Wl,-rpath,. || exit 1
./prog "$R/hello.txt"
echo "status $?"
gcc -O0 -static -o prog-static one.c two.c && ls prog-static
printf 'all: a b\na:\n\t@echo made a\nb: a\n\t@cat $(R)/hello.txt | head -c 5 && echo\n' > Makefile
make -s -j2
ar cr lib.a one.o && nm lib.a | grep -c main
exit 0
