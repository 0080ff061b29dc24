// SPDX-License-Identifier: GPL-2.0-only
/*
 * epoll_ctl(2) and epoll_wait(2).  Level, edge, one-shot and exclusive are the two
 * kernels' own affair: each tells of what is registered in it, and only to a program
 * that still waits.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "epoll.h"
#include "waiting.h"

#define MAX_EVENTS 512 /* at once; there may be more the next time */

struct epoll_waiting {
	struct waiting wait;
	struct request *request;
	struct epoll *epoll;
	struct epoll_waiting *next, **link; /* epoll->waiters */
	struct pollfd fd;
	uint32_t room; /* for events, in the program's memory */
};

/* --- Waiting --- */

static void unlink_waiting(struct epoll_waiting *waiting)
{
	if (!waiting->link)
		return;
	*waiting->link = waiting->next;
	if (waiting->next)
		waiting->next->link = waiting->link;
	waiting->link = NULL;
}

static void link_waiting(struct epoll_waiting *waiting)
{
	struct epoll *epoll = waiting->epoll;

	if (waiting->link)
		return;
	waiting->next = epoll->waiters;
	waiting->link = &epoll->waiters;
	if (waiting->next)
		waiting->next->link = &waiting->next;
	epoll->waiters = waiting;
}

static void waiting_cleanup(struct plh_nuse *nuse, struct request *request)
{
	wait_end(nuse, request);
	unlink_waiting(request->state);
}

static uint32_t take_stack(struct plh_nuse *nuse, struct epoll *epoll, struct epoll_event *events,
			   uint32_t room)
{
	int64_t count = 0;

	if (epoll->stack_fd >= 0 && room)
		count = stack_call(nuse, SYS_epoll_pwait, (uint64_t)epoll->stack_fd,
				   (uint64_t)events, room, 0, 0, 0);
	return count < 0 ? 0 : (uint32_t)count;
}

static uint32_t take_host(struct epoll *epoll, struct epoll_event *events, uint32_t room)
{
	uint32_t kept = epoll->kept_count < room ? epoll->kept_count : room;
	int count;

	if (!room)
		return 0;
	if (kept) {
		memcpy(events, epoll->kept, kept * sizeof(*events));
		epoll->kept_count -= kept;
		memmove(epoll->kept, epoll->kept + kept, epoll->kept_count * sizeof(*events));
		return kept;
	}
	count = epoll->host_fd < 0 ? 0 : epoll_wait(epoll->host_fd, events, (int)room, 0);
	return count < 0 ? 0 : (uint32_t)count;
}

/* An epoll that is registered on both sides is one event. */
static uint32_t join(struct epoll_event *events, uint32_t first, uint32_t count)
{
	uint32_t end = first;

	for (uint32_t i = first; i < count; i++) {
		uint32_t same = 0;

		while (same < first && events[same].data.u64 != events[i].data.u64)
			same++;
		if (same < first)
			events[same].events |= events[i].events;
		else
			events[end++] = events[i];
	}
	return end;
}

static void keep(struct epoll *epoll, const struct epoll_event *events, uint32_t count)
{
	struct epoll_event *kept =
		count ? realloc(epoll->kept, (epoll->kept_count + count) * sizeof(*kept)) : NULL;

	if (!kept)
		return;
	memcpy(kept + epoll->kept_count, events, count * sizeof(*kept));
	epoll->kept = kept;
	epoll->kept_count += count;
}

/* Events for the program; false: there are none. */
static bool tell_events(struct plh_nuse *nuse, struct request *request)
{
	struct epoll_waiting *waiting = request->state;
	struct epoll *epoll = waiting->epoll;
	struct epoll_event stack[MAX_EVENTS], host[MAX_EVENTS], told[MAX_EVENTS];
	uint32_t stack_count, host_count, count;
	int64_t ret;

	/* What was closed before this call tells nothing any more. */
	objects_reap(nuse);
	/* In turn, lest the one's events leave no room for the other's. */
	epoll->host_first = !epoll->host_first;
	host_count = epoll->host_first ? take_host(epoll, host, waiting->room) : 0;
	stack_count = take_stack(nuse, epoll, stack, waiting->room - host_count);
	if (!epoll->host_first)
		host_count = take_host(epoll, host, waiting->room - stack_count);
	if (!stack_count && !host_count)
		return false;
	memcpy(told, stack, stack_count * sizeof(*told));
	memcpy(told + stack_count, host, host_count * sizeof(*told));
	count = stack_count + host_count;
	if (epoll->nests)
		count = join(told, stack_count, count);
	ret = memory_write(request, request->data.args[1], told, count * sizeof(*told));
	if (!request_answer_once(nuse, request, ret ? ret : count) || ret) {
		epoll_rearm(nuse, epoll, stack, stack_count);
		keep(epoll, host, host_count);
	}
	return true;
}

static void take_or_wait(struct plh_nuse *nuse, struct request *request)
{
	struct epoll_waiting *waiting = request->state;
	struct epoll *epoll = waiting->epoll;
	int host_fd;

	if (tell_events(nuse, request))
		return;
	if (wait_is_over(request)) {
		request_answer_once(nuse, request, 0);
		return;
	}
	waiting->fd.fd = epoll->stack_fd;
	waiting->fd.events = POLLIN;
	waiting->wait.fds = &waiting->fd;
	waiting->wait.count = epoll->stack_fd >= 0;
	link_waiting(waiting);
	request->eintr = true;
	host_fd = dup(epoll->host_fd);
	if (host_fd < 0)
		request_answer_once(nuse, request, -ENOMEM);
	else
		wait_begin(nuse, request, host_fd, EPOLLIN);
}

static int take_times(struct request *request, struct waiting *wait)
{
	const __u64 *args = request->data.args;
	struct timespec time = { 0 };
	int error = 0;

	if (request->data.nr == SYS_epoll_pwait2) {
		if (!args[3])
			return wait_set_mask(request, wait, args[4], args[5]);
		error = memory_read(request, &time, args[3], sizeof(time));
	} else if ((int)args[3] >= 0) {
		time.tv_sec = (int)args[3] / 1000;
		time.tv_nsec = (int)args[3] % 1000 * 1000000l;
	} else {
		time.tv_sec = LONG_MAX;
	}
	if (!error)
		error = wait_set_timeout(request, &time);
#ifdef SYS_epoll_wait
	if (request->data.nr == SYS_epoll_wait)
		return error;
#endif
	return error ? error : wait_set_mask(request, wait, args[4], args[5]);
}

void call_epoll_wait(struct plh_nuse *nuse, struct request *request)
{
	const int room = (int)request->args[2];
	struct epoll_waiting *waiting;
	struct epoll *epoll;
	int error;

	epoll = room > 0 ? epoll_of(nuse, request, (int)request->args[0], true) : NULL;
	if (!epoll && (room <= 0 || errno == EINVAL || errno == EBADF)) {
		request_pass(nuse, request); /* to hear of its error */
		return;
	}
	waiting = epoll ? calloc(1, sizeof(*waiting)) : NULL;
	if (!waiting) {
		request_answer(nuse, request, -ENOMEM);
		return;
	}
	waiting->wait.again = take_or_wait;
	waiting->wait.interrupted = request_pass;
	waiting->request = request;
	waiting->epoll = epoll;
	waiting->room = room < MAX_EVENTS ? (uint32_t)room : MAX_EVENTS;
	request->state = waiting;
	request->cleanup = waiting_cleanup;
	error = take_times(request, &waiting->wait);
	if (error)
		request_answer(nuse, request, error);
	else
		take_or_wait(nuse, request);
}

/* --- Registering --- */

/* The stack's part is new: those who wait for the host's alone must wait for it, too. */
static void wake_waiters(struct plh_nuse *nuse, struct epoll *epoll)
{
	struct epoll_waiting *waiters = epoll->waiters;

	epoll->waiters = NULL;
	if (waiters)
		waiters->link = &waiters;
	while (waiters) {
		struct epoll_waiting *waiting = waiters;

		unlink_waiting(waiting);
		wait_again(nuse, waiting->request);
	}
}

/* An epoll in an epoll is registered on both sides: here, and then by the host's kernel. */
static int nest(struct plh_nuse *nuse, const struct request *request,
		const struct epoll_event *event)
{
	const int op = (int)request->args[1], number = (int)request->args[2];
	struct epoll *outer = epoll_of(nuse, request, (int)request->args[0], true);
	struct epoll *inner = outer ? epoll_of(nuse, request, number, true) : NULL;
	struct epoll_entry *entry;
	bool made;
	int error;

	if (!inner || inner == outer)
		return 0; /* the host's kernel says why not */
	error = epoll_need_stack(nuse, inner, &made);
	if (!error && made)
		wake_waiters(nuse, inner);
	if (!error)
		error = epoll_need_stack(nuse, outer, &made);
	if (error)
		return error;
	outer->nests = true;
	entry = epoll_find(outer, inner->node.key, number);
	if (op == EPOLL_CTL_ADD && !entry)
		error = epoll_add(nuse, outer, inner->node.key, number, inner->stack_fd,
				  &inner->registered, event);
	else if (op == EPOLL_CTL_MOD && entry)
		error = epoll_modify(nuse, entry, event);
	else if (op == EPOLL_CTL_DEL && entry)
		error = epoll_delete(nuse, entry);
	if (made)
		wake_waiters(nuse, outer);
	return error;
}

static int control_object(struct plh_nuse *nuse, const struct request *request, struct epoll *epoll,
			  struct object *object, const struct epoll_event *event)
{
	const int number = (int)request->args[2];
	struct epoll_entry *entry = epoll_find(epoll, object->node.key, number);

	switch ((int)request->args[1]) {
	case EPOLL_CTL_ADD:
		return entry ? -EEXIST :
			       epoll_add(nuse, epoll, object->node.key, number, object->stack_fd,
					 &object->registered, event);
	case EPOLL_CTL_MOD:
		return entry ? epoll_modify(nuse, entry, event) : -ENOENT;
	case EPOLL_CTL_DEL:
		return entry ? epoll_delete(nuse, entry) : -ENOENT;
	}
	return -EINVAL;
}

void call_epoll_ctl(struct plh_nuse *nuse, struct request *request)
{
	struct object *object = NULL;
	enum fd_kind kind = fd_kind(nuse, request->thread, (int)request->args[2], &object);
	struct epoll_event event = { 0 };
	struct epoll *epoll;
	bool made = false;
	int error = 0;

	if (kind == FD_HOST) {
		request_pass(nuse, request);
		return;
	}
	if ((int)request->args[1] != EPOLL_CTL_DEL)
		error = memory_read(request, &event, request->args[3], sizeof(event));
	if (kind == FD_EPOLL) {
		error = error ? error : nest(nuse, request, &event);
		if (error)
			request_answer(nuse, request, error);
		else
			request_pass(nuse, request);
		return;
	}
	epoll = epoll_of(nuse, request, (int)request->args[0], true);
	if (!epoll && (errno == EINVAL || errno == EBADF)) {
		request_pass(nuse, request); /* to hear of its error */
		return;
	}
	if (!error)
		error = epoll ? epoll_need_stack(nuse, epoll, &made) : -ENOMEM;
	if (!error)
		error = control_object(nuse, request, epoll, object, &event);
	request_answer(nuse, request, error);
	if (made)
		wake_waiters(nuse, epoll);
}
