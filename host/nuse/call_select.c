// SPDX-License-Identifier: GPL-2.0-only
/* select(2) and pselect6(2), as poll(2) sees them: fs/select.c of Linux. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "poll_set.h"

#define SETS	    3
#define MAX_FDS	    (1u << 20)
#define WORD_BITS   64
#define SAFE_BITS   1024 /* an fd_set of the C library */
#define ASK_READ    (POLLIN | POLLRDNORM | POLLRDBAND)
#define ASK_WRITE   (POLLOUT | POLLWRNORM | POLLWRBAND)
#define SHOWS_READ  (ASK_READ | POLLHUP | POLLERR)
#define SHOWS_WRITE (ASK_WRITE | POLLERR)

static const short asks[SETS] = { ASK_READ, ASK_WRITE, POLLPRI };
static const short shows[SETS] = { SHOWS_READ, SHOWS_WRITE, POLLPRI };

/* The sets: as asked, then as answered. */
struct fd_sets {
	uint32_t words; /* of each */
	uint64_t bits[];
};

static uint64_t *asked(struct fd_sets *sets, uint32_t set)
{
	return sets->bits + set * sets->words;
}

static uint64_t *answered(struct fd_sets *sets, uint32_t set)
{
	return sets->bits + (SETS + set) * sets->words;
}

static bool has(const uint64_t *bits, uint32_t fd)
{
	return bits[fd / WORD_BITS] >> fd % WORD_BITS & 1;
}

static uint32_t select_ready(struct poll_set *set)
{
	struct fd_sets *sets = set->own;
	uint32_t ready = 0;

	memset(answered(sets, 0), 0, SETS * sets->words * sizeof(uint64_t));
	for (uint32_t i = 0; i < set->count; i++) {
		uint32_t fd = (uint32_t)set->fds[i].fd;

		for (uint32_t which = 0; which < SETS; which++) {
			if (!(set->fds[i].revents & shows[which]) || !has(asked(sets, which), fd))
				continue;
			answered(sets, which)[fd / WORD_BITS] |= 1ull << fd % WORD_BITS;
			ready++;
		}
	}
	return ready;
}

static int select_finish(const struct request *request, struct poll_set *set)
{
	struct fd_sets *sets = set->own;

	for (uint32_t i = 0; i < set->count; i++)
		if (set->fds[i].revents & POLLNVAL)
			return -EBADF;
	for (uint32_t which = 0; which < SETS; which++)
		if (request->data.args[1 + which] &&
		    memory_write(request, request->data.args[1 + which], answered(sets, which),
				 sets->words * sizeof(uint64_t)))
			return -EFAULT;
	return 0;
}

/* Descriptors in any of the sets; NULL and errno. */
static struct fd_sets *read_sets(const struct request *request, uint32_t bits, uint32_t *count)
{
	uint32_t words = (bits + WORD_BITS - 1) / WORD_BITS;
	struct fd_sets *sets = calloc(1, sizeof(*sets) + 2ul * SETS * words * sizeof(uint64_t));

	*count = 0;
	if (!sets)
		return NULL;
	sets->words = words;
	for (uint32_t which = 0; which < SETS; which++) {
		if (request->data.args[1 + which] &&
		    memory_read(request, asked(sets, which), request->data.args[1 + which],
				words * sizeof(uint64_t))) {
			free(sets);
			errno = EFAULT;
			return NULL;
		}
	}
	for (uint32_t fd = 0; fd < bits; fd++)
		*count += has(asked(sets, 0), fd) || has(asked(sets, 1), fd) ||
			  has(asked(sets, 2), fd);
	return sets;
}

static void name_fds(struct poll_set *set, struct fd_sets *sets, uint32_t bits)
{
	struct pollfd *at = set->fds;

	for (uint32_t fd = 0; fd < bits; fd++) {
		short events = 0;

		for (uint32_t which = 0; which < SETS; which++)
			if (has(asked(sets, which), fd))
				events |= asks[which];
		if (events)
			*at++ = (struct pollfd){ (int)fd, events, 0 };
	}
}

static bool take_times(struct plh_nuse *nuse, struct request *request)
{
	const __u64 *args = request->data.args;
	uint64_t mask[2] = { 0 }; /* its address and its size */

	if (request->data.nr != SYS_pselect6)
		return poll_set_times(nuse, request, args[4], true, 0, 0);
	if (args[5] && memory_read(request, mask, args[5], sizeof(mask))) {
		request_answer(nuse, request, -EFAULT);
		return false;
	}
	return poll_set_times(nuse, request, args[4], false, mask[0], mask[1]);
}

/* Of n, as many as the program's table has, lest its sets are shorter. */
static uint32_t bits_of(const struct request *request)
{
	uint32_t bits = (uint32_t)request->args[0], room;

	if (bits <= SAFE_BITS)
		return bits;
	room = wait_table_size(request);
	return bits < room ? bits : room;
}

void call_select(struct plh_nuse *nuse, struct request *request)
{
	uint32_t bits = (int)request->args[0] > 0 ? bits_of(request) : 0, count;
	struct fd_sets *sets;
	struct poll_set *set;

	if (!bits || bits > MAX_FDS) {
		request_pass(nuse, request);
		return;
	}
	sets = read_sets(request, bits, &count);
	if (!sets || !count) {
		free(sets);
		request_pass(nuse, request); /* only for its time, or to hear EFAULT */
		return;
	}
	set = poll_set_create(nuse, request, count);
	if (!set) {
		free(sets);
		return;
	}
	set->own = sets;
	name_fds(set, sets, bits);
	set->ready = select_ready;
	set->finish = select_finish;
	if (take_times(nuse, request))
		poll_set_wait(nuse, request);
}
