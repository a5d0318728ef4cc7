/* SPDX-License-Identifier: GPL-2.0-only */
/* The end of a path counts: `.`, `..`, a slash behind a link. Made and removed on both sides of the border, from
 * current directories on both sides. */
#include "fact.h"

static void ends(void)
{
	struct stat st;

	CHECK(!mkdir("qd", 0755) && !symlink("qd", "ql") && !symlink("nowhere", "qn"));
	FAILS(rmdir("ql/"), ENOTDIR);
	FAILS(rmdir("ql/."), EINVAL);
	FAILS(rmdir("qd/."), EINVAL);
	FAILS(rmdir("qd/./"), EINVAL);
	FAILS(rmdir("qd/.."), ENOTEMPTY);
	FAILS(rmdir("ql"), ENOTDIR);
	FAILS(rmdir("."), EINVAL);
	FAILS(rmdir("./"), EINVAL);
	FAILS(rmdir(".."), ENOTEMPTY);
	FAILS(mkdir("ql/", 0755), EEXIST);
	FAILS(mkdir("qn/", 0755), EEXIST);
	FAILS(mkdir("qd/.", 0755), EEXIST);
	FAILS(mkdir("qd/..", 0755), EEXIST);
	FAILS(unlink("ql/"), ENOTDIR);
	FAILS(unlink("qd/."), EISDIR);
	FAILS(unlink("."), EISDIR);
	FAILS(rename("qd/.", "qx"), EBUSY);
	FAILS(rename("qd", "qx/."), ENOENT);
	FAILS(rename(".", "qx"), EBUSY);
	FAILS(rename("ql/", "qx"), ENOTDIR);
	FAILS(link("qd/.", "qx"), EPERM);
	FAILS(symlink("x", "qn/"), EEXIST);
	FAILS(symlink("x", "qd/"), EEXIST);
	FAILS(open("qn/", O_CREAT | O_RDWR, 0600), EISDIR);
	FAILS(open("qx/", O_CREAT | O_RDWR, 0600), EISDIR);
	FAILS(open("qd/.", O_CREAT | O_RDWR, 0600), EISDIR);
	CHECK(!lstat("ql", &st) && S_ISLNK(st.st_mode) && !lstat("ql/", &st) && S_ISDIR(st.st_mode) && !lstat("ql/.", &st) && S_ISDIR(st.st_mode));
	CHECK(!rename("qd/", "qe/") && !rename("qe", "qd/") && !chdir("qd"));
	FAILS(rmdir("."), EINVAL);
	FAILS(rmdir("./."), EINVAL);
	CHECK(!rmdir("../qd/") && !chdir("..") == 1 && !unlink("ql") && !unlink("qn"));
}

static int check(void)
{
	CHECK(!chdir(H));
	ends();
	CHECK(!chdir(D));
	ends();
	CHECK(!chdir("../d/dir"));
	ends();
	/* the directory that holds the mount point */
	CHECK(!chdir(at(H, "..")));
	ends();
	/* and reached from within */
	CHECK(!chdir(D) && !chdir(".."));
	ends();
	CHECK(!chdir(at(D, "dir")) && !chdir("../../h"));
	ends();
	CHECK(!chdir(at(H, "hostdir")));
	ends();
	for (int round = 0; round < 2; round++) {
		CHECK(!mkdir(at(D, "qd"), 0755) && !symlink("qd", at(D, "ql")));
		FAILS(rmdir(at(D, "ql/")), ENOTDIR);
		FAILS(rmdir(at(D, "ql/.")), EINVAL);
		FAILS(rmdir(at(D, ".")), EINVAL);
		FAILS(rmdir(at(D, "qd/.")), EINVAL);
		FAILS(rmdir(at(D, "qd/..")), ENOTEMPTY);
		FAILS(unlink(at(D, "ql/")), ENOTDIR);
		FAILS(unlink(at(D, ".")), EISDIR);
		CHECK(!rmdir(at(D, "qd/")) && !unlink(at(D, "ql")) && !chdir(at(H, "..")));
	}
	CHECK(!chdir(at(H, "hostdir")));
	/* across */
	CHECK(!symlink(D, "to") && !symlink(H, at(D, "to")));
	FAILS(rmdir("to/"), ENOTDIR);
	FAILS(rmdir("to/."), EINVAL);
	FAILS(mkdir("to/", 0755), EEXIST);
	FAILS(unlink("to/"), ENOTDIR);
	FAILS(rmdir("to/to/"), ENOTDIR);
	FAILS(unlink("to/to/"), ENOTDIR);
	FAILS(mkdir("to/to/.", 0755), EEXIST);
	CHECK(!mkdir("to/to/made/", 0755) && !rmdir(at(H, "made/")) && !unlink("to/to") && !unlink("to"));
	return 0;
}
