/* SPDX-License-Identifier: GPL-2.0-only */
/* dash waits for children: its handler of SIGCHLD blocks all signals. */
#include "conform.h"

static int check(void)
{
	char script[3 * PATH_MAX];

	snprintf(script, sizeof(script),
		"trap : USR1; (exit 3) & wait $!; test $? = 3 || exit 1; (kill -USR1 $$; sleep 0.05) & wait; wait; "
		"for i in 1 2 3 4 5; do (exit 0) & done; wait; read a < %s && case $a in Hello*) ;; *) exit 2;; esac", HELLO);
	RUNS(execlp("dash", "dash", "-c", script, NULL));
	return 0;
}
