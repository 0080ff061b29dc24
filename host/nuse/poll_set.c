// SPDX-License-Identifier: GPL-2.0-only
/*
 * What poll(2) and select(2) wait for.  Descriptors of the host are duplicated for the
 * time of the call and watched by the server, those of the stack are polled on a task of
 * the kernel.  Whichever is ready first, both are asked again without waiting, so that
 * the answer is about one moment.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "../clock.h"
#include "epoll.h"
#include "poll_set.h"

static void set_cleanup(struct plh_nuse *nuse, struct request *request)
{
	struct poll_set *set = request->state;

	wait_end(nuse, request);
	for (uint32_t i = 0; i < set->host_count; i++)
		if (set->host[i].fd >= 0)
			close(set->host[i].fd);
	free(set->fds);
	free(set->own);
}

/* The host's kernel makes the call, for a signal; nothing of the stack may end it. */
static void set_interrupted(struct plh_nuse *nuse, struct request *request)
{
	struct poll_set *set = request->state;

	for (uint32_t i = 0; i < set->count; i++) {
		struct object *object = object_of(nuse, request->thread, set->fds[i].fd);

		if (object)
			wait_silence(request, set->fds[i].fd, object);
	}
	request_pass(nuse, request);
}

struct poll_set *poll_set_create(struct plh_nuse *nuse, struct request *request, uint32_t count)
{
	struct poll_set *set = calloc(1, sizeof(*set));
	const size_t each = 3 * sizeof(struct pollfd) + 2 * sizeof(uint32_t);

	/* One piece for all of the arrays. */
	if (!set || !(set->fds = calloc(count ? count : 1, each))) {
		free(set);
		request_answer(nuse, request, -ENOMEM);
		return NULL;
	}
	set->count = count;
	set->stack = set->fds + count;
	set->host = set->stack + count;
	set->stack_at = (uint32_t *)(set->host + count);
	set->host_at = set->stack_at + count;
	set->wait.interrupted = set_interrupted;
	request->state = set;
	request->cleanup = set_cleanup;
	return set;
}

bool poll_set_times(struct plh_nuse *nuse, struct request *request, uint64_t timeout, bool timeval,
		    uint64_t mask, uint64_t mask_bytes)
{
	struct poll_set *set = request->state;
	struct timespec time = { 0 };
	int error = wait_set_mask(request, &set->wait, mask, mask_bytes);

	if (!error && timeout) {
		error = memory_read(request, &time, timeout, sizeof(time));
		if (!error && timeval) {
			/* Its second half is microseconds, as many as one likes. */
			time.tv_sec += time.tv_nsec / 1000000;
			time.tv_nsec = time.tv_nsec % 1000000 * 1000;
		}
		if (!error)
			error = wait_set_timeout(request, &time);
		if (time.tv_sec || time.tv_nsec)
			set->timeout_at = timeout;
		set->timeval = timeval;
	}
	if (error)
		request_answer(nuse, request, error);
	return !error;
}

/* What is left of the time, as Linux writes it over the timeout. */
static void write_left(const struct request *request, const struct poll_set *set)
{
	uint64_t now_ns = clock_monotonic_ns(NULL), left_ns = 0;
	int64_t left[2];

	if (!set->timeout_at || request->deadline_ns == LL_NEVER)
		return;
	if (request->deadline_ns > now_ns)
		left_ns = request->deadline_ns - now_ns;
	left[0] = (int64_t)(left_ns / NS_PER_S);
	left[1] = (int64_t)(left_ns % NS_PER_S / (set->timeval ? 1000 : 1));
	/* Read-only memory is none of our business. */
	if (memory_write(request, set->timeout_at, left, sizeof(left)))
		return;
}

/* Which are the stack's, an epoll perhaps on both sides; false: none. */
static bool sort_out(struct plh_nuse *nuse, struct request *request, struct poll_set *set)
{
	for (uint32_t i = 0; i < set->count; i++) {
		const struct pollfd *asked = &set->fds[i];
		struct object *object = NULL;
		enum fd_kind kind = fd_kind(nuse, request->thread, asked->fd, &object);
		struct epoll *epoll = kind == FD_EPOLL ? epoll_of(nuse, request, asked->fd, false) :
							 NULL;
		int stack_fd = object ? object->stack_fd : epoll ? epoll->stack_fd : -1;
		struct pollfd *stack = &set->stack[set->stack_count];
		struct pollfd *host = &set->host[set->host_count];

		if (stack_fd >= 0) {
			*stack = (struct pollfd){ stack_fd, asked->events, 0 };
			set->stack_at[set->stack_count++] = i;
		}
		if (!object && asked->fd >= 0) {
			*host = (struct pollfd){ -1, asked->events, 0 };
			set->host_at[set->host_count++] = i;
		}
	}
	return set->stack_count > 0;
}

static int duplicate(const struct request *request, struct poll_set *set)
{
	for (uint32_t i = 0; i < set->host_count; i++) {
		int fd = wait_duplicate(request, set->fds[set->host_at[i]].fd);

		/* None is POLLNVAL. */
		if (fd < 0 && fd != -EBADF)
			return fd == -EMFILE ? -ENOMEM : fd;
		set->host[i].fd = fd;
	}
	return 0;
}

/* Ask all of them now: an error or 0. */
static int64_t ask(struct plh_nuse *nuse, struct poll_set *set)
{
	int64_t ret = stack_call(nuse, SYS_ppoll, (uint64_t)set->stack, set->stack_count,
				 (uint64_t)&(struct timespec){ 0 }, 0, 0, 0);

	if (ret < 0)
		return ret;
	for (uint32_t i = 0; i < set->count; i++)
		set->fds[i].revents = 0;
	for (uint32_t i = 0; i < set->stack_count; i++)
		set->fds[set->stack_at[i]].revents |= set->stack[i].revents;
	if (set->host_count && poll(set->host, set->host_count, 0) < 0)
		return -errno;
	for (uint32_t i = 0; i < set->host_count; i++)
		set->fds[set->host_at[i]].revents |= set->host[i].fd < 0 ? POLLNVAL :
									   set->host[i].revents;
	return 0;
}

/* The host's as one descriptor; -1: nothing to wait for, or *ticks says how. */
static int gather(const struct poll_set *set, bool *ticks)
{
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	if (epoll_fd < 0) {
		*ticks = true;
		return -1;
	}
	for (uint32_t i = 0; i < set->host_count; i++) {
		struct epoll_event event = { .events = (uint16_t)set->host[i].events };

		/* EPERM: one that is always ready, and was not asked for that. */
		if (set->host[i].fd >= 0 &&
		    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, set->host[i].fd, &event) && errno != EPERM)
			*ticks = true;
	}
	return epoll_fd;
}

static void ask_or_wait(struct plh_nuse *nuse, struct request *request)
{
	struct poll_set *set = request->state;
	int64_t ret = ask(nuse, set);
	bool idle = true;

	if (ret < 0) {
		request_answer_once(nuse, request, ret);
		return;
	}
	ret = set->ready(set);
	if (ret || wait_is_over(request)) {
		int error = set->finish(request, set);

		write_left(request, set);
		request_answer_once(nuse, request, error ? error : ret);
		return;
	}
	/* An end that select(2) was not asked for would be told again and again. */
	for (uint32_t i = 0; i < set->count; i++)
		idle = idle && !set->fds[i].revents;
	request->eintr = true;
	set->wait.ticks = !idle;
	set->wait.fds = set->stack;
	set->wait.count = idle ? set->stack_count : 0;
	wait_begin(nuse, request, idle && set->host_count ? gather(set, &set->wait.ticks) : -1,
		   EPOLLIN);
}

void poll_set_wait(struct plh_nuse *nuse, struct request *request)
{
	struct poll_set *set = request->state;
	int error;

	if (!sort_out(nuse, request, set)) {
		request_pass(nuse, request);
		return;
	}
	error = duplicate(request, set);
	if (error == -ESRCH) {
		request_answer(nuse, request, error); /* it has just been killed */
		return;
	}
	if (error) {
		request_refuse(nuse, request, error,
			       "descriptors of the host cannot be duplicated");
		return;
	}
	set->wait.again = ask_or_wait;
	ask_or_wait(nuse, request);
}
