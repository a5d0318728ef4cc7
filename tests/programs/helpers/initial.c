// SPDX-License-Identifier: GPL-2.0-only
// Everything that a program finds when it starts, in words that are the same wherever it is mapped.
#define _GNU_SOURCE
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

static void show_file(const char *path)
{
    char text[65536];
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    printf("%s: %zd:", path, n < 0 ? -errno : n);
    for (ssize_t i = 0; i < n; i++)
        putchar(text[i] ? text[i] : '|');
    puts("");
    close(fd);
}

static void show_link(const char *path)
{
    char text[4096], few[5];
    struct stat by_name, by_link;
    ssize_t n = readlink(path, text, sizeof text), m = readlink(path, few, sizeof few);
    printf("%s", n < 0 ? strerror(errno) : "link");
    printf(" %.*s %.*s", (int)n, text, (int)m, few);
    int same = stat(path, &by_link) == 0 && n > 0 && (text[n] = 0, stat(text, &by_name) == 0) &&
               by_link.st_ino == by_name.st_ino && by_link.st_dev == by_name.st_dev;
    char magic[4] = "";
    int fd = open(path, O_RDONLY);
    n = read(fd, magic, 4);
    close(fd);
    printf(" %s %d %d\n", same ? "the file" : "another file", n == 4 && !memcmp(magic, ELFMAG, 4), access(path, X_OK));
}

static void show_auxiliary(void)
{
    static const int equal[] = {AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_FLAGS, AT_UID, AT_EUID, AT_GID, AT_EGID, AT_SECURE,
                                AT_CLKTCK, AT_HWCAP2};
    for (size_t i = 0; i < sizeof equal / sizeof *equal; i++)
        printf("at %d: %lx\n", equal[i], getauxval(equal[i]));
    printf("execfn %s, platform %s\n", (char *)getauxval(AT_EXECFN), (char *)getauxval(AT_PLATFORM));
    printf("random %d, vdso %d, base %d\n", getauxval(AT_RANDOM) != 0, getauxval(AT_SYSINFO_EHDR) != 0, getauxval(AT_BASE) != 0);
    Elf64_Phdr *headers = (Elf64_Phdr *)getauxval(AT_PHDR);
    uintptr_t base = 0, entry = getauxval(AT_ENTRY);
    for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++)
        if (headers[i].p_type == PT_PHDR)
            base = (uintptr_t)headers - headers[i].p_vaddr;
    for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++)
        if (headers[i].p_type == PT_LOAD && headers[i].p_flags & PF_X)
            printf("entry in code %d\n", entry - base - headers[i].p_vaddr < headers[i].p_memsz);
    unsigned long vector[128] = {0};
    int fd = open("/proc/self/auxv", O_RDONLY), known = 1;
    ssize_t n = read(fd, vector, sizeof vector) / 16;
    close(fd);
    for (ssize_t i = 0; i < n && vector[2 * i]; i++)
        known &= vector[2 * i] == AT_HWCAP /* libc's own */ || getauxval(vector[2 * i]) == vector[2 * i + 1];
    printf("the host's copy: %zd, the same %d\n", n, known);
}

static void show_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(dir))
            printf("descriptor %s\n", entry->d_name);
    closedir(dir);
}

int main(int argc, char **argv)
{
    uintptr_t vector = (uintptr_t)argv - 8;
    printf("argc %d, aligned %d\n", argc, (int)(vector % 16));
    for (int i = 0; i <= argc; i++)
        printf("argument %s\n", argv[i] ? argv[i] : "(none)");
    for (char **entry = environ; *entry; entry++)
        printf("variable %s\n", *entry);
    printf("the environment follows: %d\n", environ == argv + argc + 1);
    char *end = argv[argc - 1] + strlen(argv[argc - 1]) + 1;
    int row = 1;
    for (char **entry = environ; *entry; entry++) {
        row &= *entry == end;
        end = *entry + strlen(*entry) + 1;
    }
    printf("strings in a row: %d, the program's name behind: %d\n", row, (char *)getauxval(AT_EXECFN) == end);
    show_auxiliary();
    char name[17] = "";
    prctl(PR_GET_NAME, name);
    printf("name %s\n", name);
    show_file("/proc/self/comm");
    show_file("/proc/self/cmdline");
    show_file("/proc/self/environ");
    char own[64];
    snprintf(own, sizeof own, "/proc/%d/exe", getpid());
    show_link("/proc/self/exe");
    show_link(own);
    show_link("/proc/thread-self/exe");
    struct stat status;
    int r = lstat("/proc/self/exe", &status);
    printf("lstat %d %d\n", r, S_ISLNK(status.st_mode));
    show_descriptors();
    int before = open("/dev/null", O_RDONLY);
    printf("next descriptor %d\n", before);
    return 7;
}
