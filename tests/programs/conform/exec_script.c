/* SPDX-License-Identifier: GPL-2.0-only */
/* A script with #!, of this program, and of one more script. */
#include "conform.h"

static void script(const char *name, const char *text)
{
	int fd = open(at(H, name), O_WRONLY | O_CREAT | O_TRUNC, 0755);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && !close(fd));
}

static int check(void)
{
	char *none[] = { NULL }, text[2 * PATH_MAX];

	/* as an interpreter: SELF, the directory, the script's path, the script's own words */
	if (H && strstr(H, "script")) {
		SEEN(raw);
		return 0;
	}
	snprintf(text, sizeof(text), "#!%s %s\n", SELF, D);
	script("script", text);
	snprintf(text, sizeof(text), "#!/bin/sh\nread a < %s || exit 1\nexec env -i %s\n", HELLO, at(H, "script"));
	script("script.sh", text);
	for (int i = 0; i < 2; i++) {
		char *path = at(H, i ? "script.sh" : "script");
		RUNS(execve(path, ((char *[]){ path, NULL }), none));
	}
	return 0;
}
