// SPDX-License-Identifier: GPL-2.0
/*
 * The end of an instance that cannot go on: panic(), BUG(), a fault in kernel code.
 *
 * Locks may be held and structures half changed, so no kernel code runs afterwards.  What waits ends with -EIO, and
 * so does every later request, answered here in place of the kernel.  The program goes on.
 */
#include <linux/kernel.h>
#include <linux/panic_notifier.h>
#include <linux/sched.h>
#include <linux/sched/debug.h>
#include <linux/sched/task_stack.h>
#include "cpu.h"

#define EMERGENCY_STACK	(16 << 10)
#define DEPTH		32

bool lkl_dead;
static bool may_crash;
/* the one that failed may be full */
static char emergency_stack[EMERGENCY_STACK] __aligned(64);

static void show_address(unsigned long address, const char *level)
{
	char name[128];

	lkl_ops->name(address, name, sizeof(name));
	printk("%s  %s\n", level, name);
}

/* by the chain of frame pointers, as far as it stays on the task's stack */
static void show_frames(struct task_struct *task, unsigned long ip, unsigned long bp, const char *level)
{
	unsigned long low = (unsigned long)task_stack_page(task), high = low + THREAD_SIZE;
	int i;

	printk("%sCall trace of %s, task %d:\n", level, task->comm, task->pid);
	show_address(ip, level);
	for (i = 0; i < DEPTH && bp >= low && bp <= high - 16 && !(bp & 7); i++) {
		unsigned long *frame = (unsigned long *)bp;

		if (!frame[1])
			break;
		show_address(frame[1] - 1, level);
		low = bp + 1;
		bp = frame[0];
	}
}

void show_stack(struct task_struct *task, unsigned long *sp, const char *level)
{
	unsigned long *saved;

	if (!task || task == current) {
		show_frames(current, _THIS_IP_, (unsigned long)__builtin_frame_address(0), level);
		return;
	}
	saved = task->thread.sp;		/* as lkl_ctx_switch() leaves it: six registers, where it was called from */
	if (saved)
		show_frames(task, saved[6] - 1, saved[5], level);
}

static void to_alert(void *ctx, const char *s, unsigned long len)
{
	lkl_ops->alert(s, len);
}

static void say(const char *text)
{
	lkl_ops->alert(text, strlen(text));
}

static void fail(struct lkl_call_slot *w)
{
	if (!w || w == lkl_driver)
		return;
	w->ret = -EIO;
	lkl_ops->complete(w);
}

static void fail_inbox(void)
{
	struct lkl_call_slot *w = __atomic_exchange_n(&lkl_shared.inbox, NULL, __ATOMIC_ACQUIRE), *next;

	for (; w; w = next) {
		next = w->next;
		fail(w);
	}
}

/* in place of the kernel: every thread that enters gets -EIO */
long lkl_run_dead(struct lkl_call_slot *driver)
{
	lkl_driver = driver;
	__atomic_store_n(&lkl_shared.pending, 0, __ATOMIC_SEQ_CST);
	fail_inbox();
	if (!driver)
		return LKL_RUN_IDLE;
	driver->ret = -EIO;
	return LKL_RUN_DONE;
}

/* the member lkl_shared.home was killed while it drove: what it was at may be half done */
long lkl_member_died(struct lkl_call_slot *driver)
{
	const struct lkl_member_row *row = &lkl_shared.members[lkl_shared.home % LKL_MEMBERS];
	const struct lkl_thread *t = lkl_current->thread.owner;
	char text[200];

	lkl_dead = true;
	lkl_irqs_on = 0;
	lkl_shared.current_in_user = NULL;
	lkl_shared.deadline = ~0UL;
	lkl_driver = driver;
	lkl_for_each_request(fail);
	scnprintf(text, sizeof(text),
		  "stowaway: process %u was killed inside the kernel, in call %ld: what was the kernel's gives EIO from now on; the images are as after a power cut\n",
		  row->pid, t ? t->slot.nr : -1L);
	say(text);
	return lkl_run_dead(driver);
}

static void __noreturn die(void)
{
	bool again = lkl_dead;

	lkl_dead = true;
	lkl_irqs_on = 0;
	lkl_shared.current_in_user = NULL;
	lkl_shared.deadline = ~0UL;
	if (!again) {
		lkl_for_each_request(fail);
		say("stowaway: the kernel has stopped: what was its gives EIO from now on; the images are as after a power cut\n");
	}
	lkl_exit(lkl_run_dead(lkl_driver));
}

/*
 * The host's signal handler leads here, to a stack of its own, from a fault at ip that has no fixup.
 */
LKL_API void __noreturn lkl_oops(unsigned long signal, unsigned long ip, unsigned long address, unsigned long bp)
{
	if (lkl_dead)
		die();
	lkl_irqs_on = 0;
	pr_emerg("BUG: signal %lu in kernel code, address %#lx\n", signal, address);
	show_frames(current, ip, bp, KERN_EMERG);
	say("stowaway: the in-process kernel failed, its last log:\n");
	lkl_dump_log(to_alert, NULL);
	die();
}

/* where lkl_oops() is to run */
LKL_API unsigned long lkl_oops_stack(void)
{
	return (unsigned long)emergency_stack + EMERGENCY_STACK;
}

static int on_panic(struct notifier_block *nb, unsigned long event, void *message)
{
	if (lkl_dead)
		die();
	show_stack(NULL, NULL, KERN_EMERG);
	say("stowaway: the in-process kernel panicked, its last log:\n");
	lkl_dump_log(to_alert, NULL);
	if (message && strstr(message, "on memory"))	/* out_of_memory() */
		say("stowaway: the in-process kernel is out of memory; give it more\n");
	die();
}

static struct notifier_block panic_block = { .notifier_call = on_panic, .priority = INT_MIN };

void lkl_panic_setup(void);
void __init lkl_panic_setup(void)
{
	atomic_notifier_chain_register(&panic_notifier_list, &panic_block);
}

static int __init allow_crash(char *unused)
{
	may_crash = true;
	return 1;
}
__setup("lkl_crash", allow_crash);

static noinline long overflow(long n)
{
	volatile char bytes[256];

	bytes[n & 255] = 1;
	return overflow(n + 1) + bytes[(n + 1) & 255];
}

/* for tests: fail in one of the ways that there are */
long lkl_crash(int how)
{
	volatile int zero = 0;

	if (!may_crash)
		return -EPERM;
	switch (how) {
	case 0:
		BUG();
	case 1:
		*(volatile int *)8 = 1;
		break;
	case 2:
		return 1000 / zero;
	case 3:
		return overflow(0);
	case 4:
		WARN(1, "a warning, on request");
		return 0;
	}
	return -EINVAL;
}
