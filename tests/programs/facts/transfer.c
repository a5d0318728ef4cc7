/* SPDX-License-Identifier: GPL-2.0-only */
/* Moving bytes: the read and write families, large offsets, holes, sendfile, copy_file_range, splice, memory maps,
 * bad pointers, stdio. What is special at the border between the two kernels is in border.c. */
#include "fact.h"

static char block[65536], back[65536];

static void families(void)
{
	struct iovec parts[2] = { { "hello ", 6 }, { "vector", 6 } };
	struct iovec into[2] = { { back, 3 }, { back + 3, 60 } };
	int fd = open(at(D, "io"), O_CREAT | O_RDWR, 0644);

	CHECK(writev(fd, parts, 2) == 12 && preadv(fd, into, 2, 0) == 12 && !memcmp(back, "hello vector", 12));
	CHECK(lseek(fd, 0, SEEK_SET) == 0 && readv(fd, into, 2) == 12 && read(fd, back, 1) == 0);
	CHECK(pwritev(fd, parts, 2, 100) == 12 && pread(fd, back, 50, 106) == 6 && !memcmp(back, "vector", 6));
	CHECK(pwritev2(fd, parts, 1, 200, 0) == 6 && preadv2(fd, into, 1, 200, 0) == 3 && lseek(fd, 0, SEEK_END) == 206);
	CHECK(pwrite(fd, "", 0, 0) == 0 && read(fd, back, 0) == 0 && pread(fd, back, 9, 1000) == 0);
	FAILS(pread(fd, back, 1, -1), EINVAL);
	FAILS(readv(fd, into, -1), EINVAL);
	CHECK(!posix_fallocate(fd, 0, 5000) && !posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED) && !sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	CHECK(readahead(fd, 0, 4096) == 0 && !fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100000) && lseek(fd, 0, SEEK_END) == 5000);
	CHECK(!close(fd));
	FAILS(open(at(D, "io"), O_RDWR | O_DIRECTORY), ENOTDIR);
}

static void big_blocks(void)
{
	size_t size = 6 << 20;
	unsigned char *big = malloc(size), *copy = malloc(size);
	int fd = open(at(D, "big"), O_CREAT | O_RDWR, 0644);

	for (size_t i = 0; i < size; i++)
		big[i] = i * 2654435761u >> 13;
	CHECK(write(fd, big, size) == (ssize_t)size && pread(fd, copy, size, 0) == (ssize_t)size && !memcmp(big, copy, size));
	CHECK(pread(fd, copy, 1000, 1234567) == 1000 && !memcmp(big + 1234567, copy, 1000) && !ftruncate(fd, 10) && !close(fd));
	free(big);
	free(copy);
}

static void far_away(void)
{
	int fd = open(at(D, "far"), O_CREAT | O_RDWR, 0644);
	off_t far = (off_t)1 << 40;

	CHECK(pwrite(fd, "far", 3, far) == 3 && pread(fd, back, 10, far) == 3 && !memcmp(back, "far", 3));
	CHECK(lseek(fd, 0, SEEK_END) == far + 3 && lseek(fd, 0, SEEK_DATA) == far && lseek(fd, far, SEEK_HOLE) == far + 3);
	FAILS(lseek(fd, far + 10, SEEK_DATA), ENXIO);
	FAILS(pwrite(fd, "x", 1, (off_t)1 << 62), EFBIG);
	CHECK(lseek(fd, 1 << 30, SEEK_SET) == 1 << 30 && lseek(fd, far, SEEK_CUR) == far + (1 << 30) && !ftruncate(fd, far / 2) && !close(fd));
}

static void in_kernel_copies(void)
{
	off_t from = 2, to = 0;
	int pipes[2], src = open(at(D, "hello.txt"), O_RDONLY), dst = open(at(D, "copied"), O_CREAT | O_RDWR, 0644);
	int host = open(at(H, "copied"), O_CREAT | O_RDWR, 0644), hostsrc = open(at(H, "host.txt"), O_RDONLY);

	CHECK(!pipe(pipes));
	CHECK(sendfile(dst, src, &from, 5) == 5 && from == 7 && pread(dst, back, 9, 0) == 5 && !memcmp(back, "llo, ", 5));
	CHECK(sendfile(host, src, NULL, 100) == 14 && pread(host, back, 99, 0) == 14 && !memcmp(back, "Hello, world!\n", 14));
	CHECK(sendfile(dst, hostsrc, NULL, 100) == 12 && pread(dst, back, 99, 5) == 12 && !memcmp(back, "on the host\n", 12));
	CHECK(lseek(src, 0, SEEK_SET) == 0 && sendfile(pipes[1], src, NULL, 100) == 14 && read(pipes[0], back, 99) == 14 && !memcmp(back, "Hello", 5));
	from = 0, to = 3;
	CHECK(copy_file_range(src, &from, dst, &to, 14, 0) == 14 && from == 14 && to == 17 && pread(dst, back, 99, 3) == 14 && !memcmp(back, "Hello, world!\n", 14));
	FAILS(sendfile(src, dst, NULL, 1), EBADF);
	CHECK(!close(src) && !close(dst) && !close(host) && !close(hostsrc) && !close(pipes[0]) && !close(pipes[1]));
}

static void big_sendfile(void)
{
	struct stat st;
	int src = open(at(D, "big.dat"), O_RDONLY), host = open(at(H, "sent"), O_CREAT | O_RDWR, 0644);
	size_t done = 0;

	CHECK(!fstat(src, &st));
	while (done < (size_t)st.st_size) {
		ssize_t n = sendfile(host, src, NULL, 1 << 20);
		CHECK(n > 0);
		done += n;
	}
	for (off_t at = 0; at < st.st_size; at += sizeof(block)) {
		ssize_t n = pread(src, block, sizeof(block), at);
		CHECK(n > 0 && pread(host, back, sizeof(back), at) == n && !memcmp(block, back, n));
	}
	CHECK(!close(src) && !close(host));
}

static void maps(void)
{
	int fd = open(at(D, "lines.txt"), O_RDWR);
	struct stat st;

	CHECK(!fstat(fd, &st));
	char *map = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(map != MAP_FAILED && pread(fd, back, st.st_size, 0) == st.st_size && !memcmp(map, back, st.st_size));
	map[0] = '#';
	CHECK(pread(fd, back, 1, 0) == 1 && back[0] != '#' && !munmap(map, st.st_size));
	map = mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(map != MAP_FAILED && map[st.st_size] == 0 && !close(fd) && map[1] == back[1] - back[1] + map[1] && !munmap(map, 1 << 20));
	fd = open(at(D, "big.dat"), O_RDONLY);
	map = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE, fd, 8192);
	CHECK(map != MAP_FAILED && pread(fd, back, 65536, 8192) == 65536 && !memcmp(map, back, 65536));
	FAILS(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 100) == MAP_FAILED ? -1 : 0, EINVAL);
	CHECK(!munmap(map, 65536) && !close(fd));
	fd = open(at(D, "lines.txt"), O_WRONLY);
	FAILS(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0, EACCES);
	CHECK(!close(fd));
}

static void bad_pointers(void)
{
	char *hole = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open(at(D, "pointers"), O_CREAT | O_RDWR, 0644);

	CHECK(hole != MAP_FAILED && !mprotect(hole + 4096, 4096, PROT_NONE) && fd >= 0);
	FAILS(write(fd, (void *)16, 10), EFAULT);
	FAILS(write(fd, hole + 4096, 10), EFAULT);
	CHECK(write(fd, "0123456789", 10) == 10);
	FAILS(pread(fd, (void *)16, 10, 0), EFAULT);
	FAILS(pread(fd, hole + 4096, 10, 0), EFAULT);
	FAILS(open((char *)16, O_RDONLY), EFAULT);
	FAILS(syscall(SYS_openat, fd, hole + 4096, O_RDONLY, 0), EFAULT);
	FAILS(syscall(SYS_newfstatat, AT_FDCWD, at(D, "pointers"), (void *)16, 0), EFAULT);
	FAILS(syscall(SYS_fstat, fd, hole + 4096 + 64), EFAULT);
	FAILS(readv(fd, (void *)16, 1), EFAULT);
	FAILS(syscall(SYS_getdents64, open(D, O_RDONLY), (void *)16, 1000), EFAULT);
	/* a name that ends at the very end of the mapped page */
	size_t length = strlen(at(D, "hello.txt")) + 1;
	memcpy(hole + 4096 - length, at(D, "hello.txt"), length);
	CHECK(!access(hole + 4096 - length, R_OK));
	hole[4095] = 'x';
	FAILS(syscall(SYS_access, hole + 4096 - length, R_OK), EFAULT);
	CHECK(!close(fd));
}

static void stdio(void)
{
	char line[64];
	FILE *file = fopen(at(D, "stdio"), "w+e");

	CHECK(file && fprintf(file, "line %d\n", 1) == 7 && !fflush(file) && !fseeko(file, 0, SEEK_SET) && fgets(line, 64, file) && !strcmp(line, "line 1\n"));
	for (int i = 0; i < 20000; i++)
		fprintf(file, "%d\n", i);
	CHECK(!fclose(file) && (file = fopen(at(D, "stdio"), "a")) && fputs("end\n", file) >= 0 && !fclose(file));
	CHECK((file = fopen(at(D, "stdio"), "r")) && !fseeko(file, -4, SEEK_END) && fgets(line, 64, file) && !strcmp(line, "end\n") && ftello(file) == 108901);
	CHECK((file = freopen(at(D, "hello.txt"), "r", file)) && fgetc(file) == 'H' && !fclose(file));
	CHECK(!fopen(at(D, "missing"), "r") && errno == ENOENT);
	CHECK(!rename(at(D, "stdio"), at(D, "stdio2")) && !remove(at(D, "stdio2")));
	CHECK((file = tmpfile()) && !fclose(file));
}

static int check(void)
{
	families();
	big_blocks();
	far_away();
	in_kernel_copies();
	big_sendfile();
	maps();
	bad_pointers();
	stdio();
	return 0;
}
