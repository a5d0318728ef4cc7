/* SPDX-License-Identifier: GPL-2.0-only */
/* The device number of a mount: one that no file system of the host has, the same by every call and in every process. */
#include "fact.h"
#include <sys/sysmacros.h>

/* Whether another mount than the directory's has the number. */
static int is_the_hosts(dev_t device)
{
	char line[8192], number[64], place[PATH_MAX + 2];
	FILE *table = fopen("/proc/self/mountinfo", "r");
	int found = 0;

	CHECK(table);
	snprintf(number, sizeof(number), " %u:%u ", major(device), minor(device));
	snprintf(place, sizeof(place), " %s ", D);
	while (fgets(line, sizeof(line), table))
		found |= strstr(line, number) && !strstr(line, place);
	fclose(table);
	return found;
}

static dev_t device_of(const char *path)
{
	struct stat st, by_number;
	struct statx stx;
	char room[64];
	int file = open(path, O_RDONLY);

	CHECK(file >= 0 && !fstat(file, &by_number) && !close(file));
	CHECK(!stat(path, &st) && st.st_dev == by_number.st_dev);
	CHECK(!statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &stx));
	CHECK(makedev(stx.stx_dev_major, stx.stx_dev_minor) == st.st_dev);
	CHECK(!syscall(SYS_ustat, (unsigned int)st.st_dev, room));
	return st.st_dev;
}

static int check(void)
{
	dev_t device = device_of(D);
	char expected[32];
	struct stat st;
	int status;

	if (ROLE)
		return device != strtoull(ROLE, NULL, 10);
	CHECK(device == device_of(at(D, "dir")));
	/* Numbers that a driver of a host can have, and those that a host gives to file systems without a device. */
	CHECK(major(device) >= 512 || (!major(device) && minor(device) >= 1 << 18));
	CHECK(!is_the_hosts(device));
	CHECK(!stat(H, &st) && st.st_dev != device);
	snprintf(expected, sizeof(expected), "%llu", (unsigned long long)device);
	for (int exec = 0; exec < 2; exec++) {
		pid_t child = fork();
		if (!child && exec)
			execl(SELF, SELF, D, H, expected, NULL);
		if (!child)
			_exit(device_of(D) != device);
		CHECK(waitpid(child, &status, 0) == child && !status);
	}
	CHECK(device == device_of(D));
	return 0;
}
