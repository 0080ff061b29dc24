// SPDX-License-Identifier: GPL-2.0-only
/* poll(2) and ppoll(2). */
#include <sys/resource.h>
#include <sys/syscall.h>

#include "poll_set.h"

/* Up to here a set costs less than to ask how many its program may have open. */
#define FEW_FDS 1024

static uint32_t poll_ready(struct poll_set *set)
{
	uint32_t ready = 0;

	for (uint32_t i = 0; i < set->count; i++)
		ready += set->fds[i].revents != 0;
	return ready;
}

static int poll_finish(const struct request *request, struct poll_set *set)
{
	return memory_write(request, request->data.args[0], set->fds,
			    set->count * sizeof(*set->fds));
}

/* poll's timeout is in ms, and negative for ever. */
static bool take_times(struct plh_nuse *nuse, struct request *request)
{
	const __u64 *args = request->data.args;
	struct timespec time;

	if (request->data.nr == SYS_ppoll)
		return poll_set_times(nuse, request, args[2], false, args[3], args[4]);
	if ((int)args[2] >= 0) {
		time.tv_sec = (int)args[2] / 1000;
		time.tv_nsec = (int)args[2] % 1000 * 1000000l;
		wait_set_timeout(request, &time);
	}
	return true;
}

static bool too_many(const struct request *request, uint32_t count)
{
	struct rlimit limit;

	return count > FEW_FDS && (prlimit(request->thread->tid, RLIMIT_NOFILE, NULL, &limit) ||
				   count > limit.rlim_cur);
}

void call_poll(struct plh_nuse *nuse, struct request *request)
{
	uint32_t count = (uint32_t)request->args[1];
	struct poll_set *set;

	/* To wait for nothing, and to hear of too many, is the host's. */
	if (!count || too_many(request, count)) {
		request_pass(nuse, request);
		return;
	}
	set = poll_set_create(nuse, request, count);
	if (!set || !take_times(nuse, request))
		return;
	if (memory_read(request, set->fds, request->args[0], count * sizeof(*set->fds))) {
		request_pass(nuse, request);
		return;
	}
	set->ready = poll_ready;
	set->finish = poll_finish;
	poll_set_wait(nuse, request);
}
