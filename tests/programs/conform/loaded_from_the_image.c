/* SPDX-License-Identifier: GPL-2.0-only */
/* A library that lies where only caught calls find it. */
#include "conform.h"
#include <dlfcn.h>

static void *load(void *unused)
{
	(void)unused;
	for (int i = 0; i < 5; i++) {
		void *library = dlopen(at(D, "libdoor.so"), RTLD_NOW);
		CHECK(library);
		door *call = (door *)dlsym(library, "library_door");
		CHECK(call);
		SEEN(call);
		CHECK(!dlclose(library));
	}
	return NULL;
}

static int check(void)
{
	pthread_t thread;

	load(NULL);
	CHECK(!pthread_create(&thread, NULL, load, NULL) && !pthread_join(thread, NULL));
	return 0;
}
