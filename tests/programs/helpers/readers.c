// SPDX-License-Identifier: GPL-2.0-only
// Threads that read the same file of a directory and count what is in it; their own thread-local data stays theirs.
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static __thread char mine[256];
static char path[4096];
static const char *dir;

static void *reader(void *number)
{
    memset(mine, (int)(long)number, sizeof mine);
    for (int round = 0; round < 50; round++) {
        char text[32] = "";
        FILE *file = fopen(path, "r");
        if (!file || !fgets(text, sizeof text, file) || strcmp(text, "Hello, world!\n"))
            return "the file";
        fclose(file);
        int count = 0;
        DIR *stream = opendir(dir);
        while (stream && readdir(stream))
            count++;
        if (count < 5)
            return "the directory";
        closedir(stream);
        for (unsigned i = 0; i < sizeof mine; i++)
            if (mine[i] != (char)(long)number)
                return "thread-local data";
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[8];
    dir = argv[argc - 1];
    snprintf(path, sizeof path, "%s/hello.txt", dir);
    for (long i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, reader, (void *)i);
    for (int i = 0; i < 8; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        if (wrong)
            return printf("%s\n", (char *)wrong), 1;
    }
    puts("ok");
    return 0;
}
