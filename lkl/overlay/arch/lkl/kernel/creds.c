// SPDX-License-Identifier: GPL-2.0
/* The application's credentials: each thread tells its task what the host gives the thread. */
#include <linux/cred.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/uidgid.h>
#include "lkl.h"

static int fill_groups(struct cred *new, const struct lkl_creds *c)
{
	struct group_info *gi;
	unsigned long i;

	if (c->ngroups > NGROUPS_MAX)
		return -EINVAL;
	gi = groups_alloc(c->ngroups);
	if (!gi)
		return -ENOMEM;
	for (i = 0; i < c->ngroups; i++)
		gi->gid[i] = KGIDT_INIT(c->groups[i]);
	groups_sort(gi);
	set_groups(new, gi);
	put_group_info(gi);
	return 0;
}

static kernel_cap_t cap_set(unsigned long bits)
{
	kernel_cap_t set = CAP_EMPTY_SET;

	set.cap[0] = bits;
	set.cap[1] = (bits >> 32) & CAP_LAST_U32_VALID_MASK;
	return set;
}

/* what only counts when a program is executed (inheritable, ambient, bounding set) is the host's business */
static void fill_caps(struct cred *new, const struct lkl_creds *c)
{
	new->cap_permitted = cap_set(c->permitted);
	new->cap_effective = cap_set(c->effective);
	cap_clear(new->cap_inheritable);
	cap_clear(new->cap_ambient);
	new->securebits = c->securebits;
}

long lkl_set_creds(const struct lkl_creds *c)
{
	struct cred *new = prepare_creds();
	int err;

	if (!new)
		return -ENOMEM;
	err = fill_groups(new, c);
	if (err) {
		abort_creds(new);
		return err;
	}
	new->uid = KUIDT_INIT(c->ruid);
	new->euid = KUIDT_INIT(c->euid);
	new->suid = KUIDT_INIT(c->suid);
	new->fsuid = KUIDT_INIT(c->fsuid);
	new->gid = KGIDT_INIT(c->rgid);
	new->egid = KGIDT_INIT(c->egid);
	new->sgid = KGIDT_INIT(c->sgid);
	new->fsgid = KGIDT_INIT(c->fsgid);
	fill_caps(new, c);
	return commit_creds(new);
}
