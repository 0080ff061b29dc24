// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel asks of its host: each is an exit that is resumed at once. */
#include <linux/export.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <asm/archrandom.h>
#include "kernel.h"

struct ll_machine *ll_machine;

u64 ll_clock(void)
{
	struct ll_machine *m = ll_machine;

	if (m->clock_word)
		return *(volatile const u64 *)m->clock_word;
	if (m->flags & LL_CLOCK_BY_EXIT) {
		ll_exit(LL_EXIT_CLOCK);
		return m->exit_ret;
	}
	return m->clock_ns(m->clock_opaque);
}

void ll_log(const char *text, unsigned int bytes, int level)
{
	if (ll_machine->flags & LL_LOG_DISABLE)
		return;
	ll_machine->exit_args[0] = (unsigned long)text;
	ll_machine->exit_args[1] = bytes;
	ll_machine->exit_args[2] = level;
	ll_exit(LL_EXIT_LOG);
}

void ll_random(void *buffer, unsigned long bytes)
{
	ll_machine->exit_args[0] = (unsigned long)buffer;
	ll_machine->exit_args[1] = bytes;
	ll_exit(LL_EXIT_RANDOM);
}

unsigned long ll_copy_remote(void *local, unsigned long remote, unsigned long n, int to_task)
{
	u64 *args = ll_machine->exit_args;

	if (!n)
		return 0;
	args[0] = (unsigned long)current->thread.host;
	args[1] = (unsigned long)local;
	args[2] = remote;
	args[3] = n;
	args[4] = to_task;
	ll_exit(LL_EXIT_COPY);
	return min_t(u64, ll_machine->exit_ret, n);
}
EXPORT_SYMBOL(ll_copy_remote);
