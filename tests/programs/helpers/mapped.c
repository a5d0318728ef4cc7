// SPDX-License-Identifier: GPL-2.0-only
// Memory as the file describes it: zeroed bss, data, protections, the heap, a deep stack, code on the stack.
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static char data[100000] = {1, 2, 3};
static char bss[8 << 20];
static const char constant[] = "constant";
static sigjmp_buf back;

static void fault(int sig) { siglongjmp(back, sig); }

static int faults(void (*act)(void))
{
    int sig = sigsetjmp(back, 1);
    if (!sig)
        act();
    return sig;
}

static void write_constant(void) { *(volatile char *)constant = 'x'; }
static void write_code(void) { *(volatile char *)(uintptr_t)write_constant = 0; }
static void run_data(void) { ((void (*)(void))(uintptr_t)data)(); }
static void call_null(void) { ((void (*volatile)(void))0)(); }

static int deep(int levels)
{
    volatile char room[4096];
    memset((char *)room, levels, sizeof room);
    return levels ? deep(levels - 1) + (room[17] == (char)levels) : 0;
}

#ifdef CODE_ON_STACK
static int twice(int (*f)(int), int n) { return f(f(n)); }
#endif

int main(void)
{
    size_t sum = 0;
    for (size_t i = 0; i < sizeof bss; i++)
        sum += bss[i];
    for (size_t i = 0; i < sizeof data; i++)
        sum += data[i];
    printf("sum %zu\n", sum);
    memset(bss, 1, sizeof bss);
    struct sigaction action = {.sa_handler = fault};
    sigaction(SIGSEGV, &action, NULL);
    printf("constant %d, code %d, data %d, null %d\n", faults(write_constant), faults(write_code), faults(run_data),
           faults(call_null));
    // The break, by hand and by malloc, in turn.
    char *start = (char *)syscall(SYS_brk, 0), *small = malloc(1000);
    char *now = (char *)syscall(SYS_brk, 0);
    char *grown = (char *)syscall(SYS_brk, now + 300000);
    grown[-1] = 1;
    char *pieces[200];
    for (int i = 0; i < 200; i++)
        memset(pieces[i] = malloc(5000), i, 5000);
    int whole = 1;
    for (int i = 0; i < 200; i++)
        whole &= pieces[i][4999] == (char)i;
    printf("heap %d %d %d %d\n", start != (char *)-1, small != NULL, grown == now + 300000, whole);
    struct rlimit limit;
    getrlimit(RLIMIT_STACK, &limit);
    int levels = (limit.rlim_cur > (8 << 20) ? 8 << 20 : limit.rlim_cur) / 4096 * 3 / 4;
    printf("deep %d\n", deep(levels) == levels);
#ifdef CODE_ON_STACK
    int step = levels > 0 ? 5 : 6;
    int add(int n) { return n + step; }
    printf("code on the stack %d\n", twice(add, 1));
#endif
    puts("ok");
    return 0;
}
