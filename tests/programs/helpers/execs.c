// SPDX-License-Identifier: GPL-2.0-only
// What exec says to files that are no programs: each name in a child of its own, the errno or the status.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void report(const char *how, const char *name, int kept)
{
    int status;
    wait(&status);
    if (WIFEXITED(status) && WEXITSTATUS(status) > 100)
        printf("%s %s: %s\n", how, name, strerror(WEXITSTATUS(status) - 100));
    else
        printf("%s %s: status %x, kept %d\n", how, name, status, kept);
    fflush(stdout);
}

static void by_name(const char *name)
{
    char *argv[] = {"zero", "one", NULL};
    if (fork() == 0) {
        execve(name, argv, environ);
        _exit(100 + errno);
    }
    report("name", strrchr(name, '/') ? strrchr(name, '/') + 1 : name, 0);
}

static void by_descriptor(const char *name, int flags)
{
    char *argv[] = {"zero", "one", NULL};
    int fd = open(name, flags);
    if (fd < 0)
        return;
    if (fork() == 0) {
        syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
        _exit(100 + errno);
    }
    close(fd);
    report("descriptor", strrchr(name, '/') ? strrchr(name, '/') + 1 : name, flags);
}

static void by_memory(const char *name)
{
    char text[65536], *argv[] = {"zero", "one", NULL};
    int from = open(name, O_RDONLY);
    if (from < 0)
        return;
    int fd = memfd_create("in-memory", MFD_CLOEXEC);
    for (ssize_t n; (n = read(from, text, sizeof text)) > 0;)
        if (write(fd, text, n) != n)
            return;
    close(from);
    if (fork() == 0) {
        syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
        _exit(100 + errno);
    }
    close(fd);
    report("memory", strrchr(name, '/') ? strrchr(name, '/') + 1 : name, 0);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        by_name(argv[i]);
        by_descriptor(argv[i], O_RDONLY | O_CLOEXEC);
        by_descriptor(argv[i], O_RDONLY);
        by_descriptor(argv[i], O_PATH | O_CLOEXEC);
        by_memory(argv[i]);
    }
    char *none[] = {NULL};
    printf("bad pointers: %d %d %d\n", execve((char *)8, argv, none) ? errno : 0, execve(argv[0], (char **)8, none) ? errno : 0,
           execve("", argv, none) ? errno : 0);
    return 0;
}
