/* SPDX-License-Identifier: GPL-2.0-only */
/* What a program learns about itself: its file, its name, its words, its auxiliary vector. */
#include "conform.h"
#include <link.h>

static void base_name(const char *what, const char *path)
{
	const char *slash = strrchr(path, '/');

	printf("%s: %s\n", what, slash ? slash + 1 : path);
}

static void file(const char *what, const char *path)
{
	char text[PATH_MAX] = "";
	int fd = open(path, O_RDONLY);
	long n;

	CHECK(fd >= 0 && (n = read(fd, text, sizeof(text) - 1)) > 0 && !close(fd));
	printf("%s:", what);
	for (long i = 0; i < n; i += strlen(text + i) + 1)
		if (text[i] != '-' || text[i + 1] != '-')
			base_name(" ", text + i);
}

static int first_object(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	*(unsigned long *)data = (unsigned long)info->dlpi_phdr;
	return 1;
}

static int check(void)
{
	char link[PATH_MAX] = "", name[16];
	unsigned long headers;
	struct stat by_link, by_name;

	CHECK(readlink("/proc/self/exe", link, sizeof(link) - 1) > 0);
	base_name("exe", link);
	CHECK(!stat("/proc/self/exe", &by_link) && !stat(SELF, &by_name) && by_link.st_ino == by_name.st_ino);
	CHECK(!prctl(PR_GET_NAME, name));
	base_name("comm", name);
	file("cmdline", "/proc/self/cmdline");
	base_name("execfn", (char *)getauxval(AT_EXECFN));
	base_name("invocation", program_invocation_name);
	CHECK(!strcmp((char *)getauxval(AT_EXECFN), SELF));
	CHECK(getauxval(AT_PAGESZ) == PAGE && getauxval(AT_PHENT) == 56 && getauxval(AT_RANDOM) && !getauxval(AT_SECURE));
	CHECK(getauxval(AT_UID) == getuid() && getauxval(AT_EUID) == geteuid() && getauxval(AT_GID) == getgid());
	CHECK(dl_iterate_phdr(first_object, &headers) == 1 && headers == getauxval(AT_PHDR));
	printf("%lu program headers\n", getauxval(AT_PHNUM));
	CHECK(getauxval(AT_BASE) && !memcmp((void *)getauxval(AT_BASE), "\177ELF", 4) && getauxval(AT_ENTRY));
	return 0;
}
