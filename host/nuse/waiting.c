// SPDX-License-Identifier: GPL-2.0-only
/*
 * A request that waits for descriptors of the stack and of the host at once, for its
 * time to be over, and for signals that only its own mask lets through.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "../clock.h"
#include "waiting.h"

/* How often signals are looked for, which nothing tells us of. */
#define TICK_NS	    20000000l
#define MAX_SILENCE 64

/* It outlives the request as long as an event at hand may name it. */
struct wait_watch {
	struct watch watch;
	struct request *request;
};

static struct wait_watch *
watch_for(struct plh_nuse *nuse, struct request *request, int fd, uint32_t events,
	  void (*ready)(struct plh_nuse *nuse, struct watch *watch, uint32_t events))
{
	struct wait_watch *watch = calloc(1, sizeof(*watch));

	if (!watch) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	watch->request = request;
	watch->watch.ready = ready;
	if (!watch_add(nuse, &watch->watch, fd, events))
		return watch;
	free(watch);
	return NULL;
}

static void watch_drop(struct plh_nuse *nuse, struct wait_watch **watch)
{
	if (!*watch)
		return;
	watch_remove(nuse, &(*watch)->watch);
	watch_free(nuse, &(*watch)->watch);
	*watch = NULL;
}

void wait_end(struct plh_nuse *nuse, struct request *request)
{
	struct waiting *wait = request->state;

	watch_drop(nuse, &wait->host);
	watch_drop(nuse, &wait->tick);
	if (request->worker)
		request_stop(nuse, request);
}

void wait_again(struct plh_nuse *nuse, struct request *request)
{
	struct waiting *wait = request->state;

	wait_end(nuse, request);
	if (request->keeps || request_valid(nuse, request))
		wait->again(nuse, request);
	else
		request_abandon(nuse, request);
}

static void host_ready(struct plh_nuse *nuse, struct watch *watch, uint32_t events)
{
	(void)events;
	wait_again(nuse, ((struct wait_watch *)watch)->request);
}

/* --- Signals --- */

/* A line of /proc/TID/status, "SigBlk:\t0123456789abcdef". */
static uint64_t status_value(const char *text, const char *name, int base)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, base) : 0;
}

static int read_status(pid_t tid, char *text, size_t bytes)
{
	char path[32];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -ESRCH;
	got = read(fd, text, bytes - 1);
	close(fd);
	text[got < 0 ? 0 : got] = 0;
	return 0;
}

uint32_t wait_table_size(const struct request *request)
{
	char text[4096];

	if (read_status(request->thread->tid, text, sizeof(text)))
		return 0;
	return (uint32_t)status_value(text, "\nFDSize:", 10);
}

bool signal_kills(pid_t tid, int number)
{
	char text[4096];

	if (read_status(tid, text, sizeof(text)))
		return false;
	return !((status_value(text, "\nSigBlk:", 16) | status_value(text, "\nSigIgn:", 16) |
		  status_value(text, "\nSigCgt:", 16)) >>
			 (number - 1) &
		 1);
}

int wait_set_mask(const struct request *request, struct waiting *wait, uint64_t address,
		  uint64_t bytes)
{
	char text[4096];
	uint64_t mask;

	if (!address)
		return 0;
	if (bytes != sizeof(mask))
		return -EINVAL;
	if (memory_read(request, &mask, address, sizeof(mask)))
		return -EFAULT;
	if (read_status(request->thread->tid, text, sizeof(text)))
		return -ESRCH;
	wait->allowed = status_value(text, "\nSigBlk:", 16) & ~mask;
	return 0;
}

/* A signal would end the call, if it were the host's kernel that waits. */
static bool signal_waits(const struct request *request, const struct waiting *wait)
{
	char text[4096];

	if (!wait->allowed || read_status(request->thread->tid, text, sizeof(text)))
		return false;
	return (status_value(text, "\nSigPnd:", 16) | status_value(text, "\nShdPnd:", 16)) &
	       wait->allowed;
}

static void ticked(struct plh_nuse *nuse, struct watch *watch, uint32_t events)
{
	struct request *request = ((struct wait_watch *)watch)->request;
	struct waiting *wait = request->state;
	uint64_t ticks;

	(void)events;
	if (read(watch->fd, &ticks, sizeof(ticks)) < 0)
		return;
	if (signal_waits(request, wait)) {
		wait_end(nuse, request);
		wait->interrupted(nuse, request);
	} else if (wait->ticks) {
		wait_again(nuse, request);
	}
}

static int start_tick(struct plh_nuse *nuse, struct request *request, struct waiting *wait)
{
	const struct itimerspec every = { { 0, TICK_NS }, { 0, TICK_NS } };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0 || timerfd_settime(fd, 0, &every, NULL)) {
		close(fd);
		return -EMFILE;
	}
	wait->tick = watch_for(nuse, request, fd, EPOLLIN, ticked);
	return wait->tick ? 0 : -ENOMEM;
}

/* --- The wait --- */

static void stack_ready(struct plh_nuse *nuse, struct request *request, int64_t ret)
{
	if (ret >= 0) {
		wait_again(nuse, request);
		return;
	}
	wait_end(nuse, request);
	request_answer_once(nuse, request, ret);
}

void wait_begin(struct plh_nuse *nuse, struct request *request, int host_fd, uint32_t events)
{
	struct waiting *wait = request->state;
	uint64_t args[6] = { (uint64_t)wait->fds, wait->count };
	uint64_t now_ns;

	if (wait->allowed && signal_waits(request, wait)) {
		if (host_fd >= 0)
			close(host_fd);
		wait->interrupted(nuse, request);
		return;
	}
	if (host_fd >= 0)
		wait->host = watch_for(nuse, request, host_fd, events, host_ready);
	if ((host_fd >= 0 && !wait->host) ||
	    ((wait->allowed || wait->ticks) && start_tick(nuse, request, wait))) {
		wait_end(nuse, request);
		request_answer_once(nuse, request, -ENOMEM);
		return;
	}
	if (request->deadline_ns != LL_NEVER) {
		now_ns = clock_monotonic_ns(NULL);
		now_ns = request->deadline_ns > now_ns ? request->deadline_ns - now_ns : 0;
		wait->left.tv_sec = (time_t)(now_ns / NS_PER_S);
		wait->left.tv_nsec = (long)(now_ns % NS_PER_S);
		args[2] = (uint64_t)&wait->left;
	}
	request_call_local(nuse, request, SYS_ppoll, args, stack_ready);
}

bool wait_is_over(const struct request *request)
{
	return request->deadline_ns != LL_NEVER && clock_monotonic_ns(NULL) >= request->deadline_ns;
}

int wait_set_timeout(struct request *request, const struct timespec *timeout)
{
	uint64_t now_ns = clock_monotonic_ns(NULL);

	if (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= (long)NS_PER_S)
		return -EINVAL;
	/* Ten thousand years are for ever. */
	if ((uint64_t)timeout->tv_sec < (LL_NEVER - now_ns) / NS_PER_S - 1)
		request->deadline_ns =
			now_ns + (uint64_t)timeout->tv_sec * NS_PER_S + (uint64_t)timeout->tv_nsec;
	return 0;
}

/* --- Descriptors of programs --- */

int wait_duplicate(const struct request *request, int fd)
{
	int copy = (int)syscall(SYS_pidfd_getfd, request->thread->program->watch.fd, fd, 0);

	return copy < 0 ? -errno : copy;
}

void wait_silence(const struct request *request, int fd, struct object *object)
{
	struct pollfd writable = { .events = POLLOUT };
	struct stat status;
	int smallest = 1;

	if (object->silent)
		return;
	writable.fd = wait_duplicate(request, fd);
	if (writable.fd < 0)
		return;
	/* The program may have put another one in its place. */
	if (!fstat(writable.fd, &status) && status.st_ino == object->node.key) {
		setsockopt(writable.fd, SOL_SOCKET, SO_SNDBUF, &smallest, sizeof(smallest));
		for (int i = 0; i < MAX_SILENCE && poll(&writable, 1, 0) == 1; i++)
			if (send(writable.fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
				break;
		object->silent = poll(&writable, 1, 0) == 0;
	}
	close(writable.fd);
}
