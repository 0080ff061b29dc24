// SPDX-License-Identifier: GPL-2.0-only
/*
 * The server's loop.  It alone waits: for notifications, for programs that end, for
 * the devices of its kernel, and until the kernel's next deadline.
 */
#include <errno.h>
#include <fcntl.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "../clock.h"
#include "../error.h"
#include "epoll.h"
#include "nuse.h"

#define MAX_EVENTS 64

/* --- What the loop waits for --- */

int watch_add(struct plh_nuse *nuse, struct watch *watch, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	watch->fd = fd;
	if (!epoll_ctl(nuse->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		return 0;
	watch->fd = -1;
	close(fd);
	return -errno;
}

void watch_remove(struct plh_nuse *nuse, struct watch *watch)
{
	if (watch->fd < 0)
		return;
	epoll_ctl(nuse->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	close(watch->fd);
	watch->fd = -1;
}

void watch_free(struct plh_nuse *nuse, struct watch *watch)
{
	watch->fd = -1;
	watch->next_dead = nuse->dead;
	nuse->dead = watch;
}

static void free_dead(struct plh_nuse *nuse)
{
	while (nuse->dead) {
		struct watch *watch = nuse->dead;

		/* The first member of what it belongs to. */
		nuse->dead = watch->next_dead;
		free(watch);
	}
}

/* --- Listeners --- */

struct closing {
	struct plh_nuse *nuse;
	const struct listener *listener;
};

static void abandon_of(struct node *node, void *opaque)
{
	const struct closing *closing = opaque;
	struct nuse_thread *thread =
		(struct nuse_thread *)((char *)node - offsetof(struct nuse_thread, node));

	if (thread->request && thread->request->listener == closing->listener)
		request_abandon(closing->nuse, thread->request);
	if (thread->parked && thread->parked->listener == closing->listener)
		request_abandon(closing->nuse, thread->parked);
}

static void listener_close(struct plh_nuse *nuse, struct listener *listener)
{
	struct closing closing = { nuse, listener };

	/* Its programs have ended, though their own descriptors may tell so later. */
	table_each(&nuse->threads, abandon_of, &closing);
	*listener->link = listener->next;
	if (listener->next)
		listener->next->link = listener->link;
	nuse->stats.listeners--;
	watch_remove(nuse, &listener->watch);
	watch_free(nuse, &listener->watch);
}

static void listener_ready(struct plh_nuse *nuse, struct watch *watch, uint32_t events)
{
	struct listener *listener = (struct listener *)watch;

	if (events & EPOLLIN) {
		memset(nuse->notif, 0, nuse->notif_bytes);
		/* ENOENT: a signal took the caller away again.  Else it is no listener. */
		if (!ioctl(watch->fd, SECCOMP_IOCTL_NOTIF_RECV, nuse->notif)) {
			/* What was closed before this call is closed for it. */
			if (nuse->stats.sockets)
				objects_reap(nuse);
			serve_notification(nuse, listener, nuse->notif);
		} else if (errno != ENOENT && errno != EINTR && errno != EAGAIN) {
			listener_close(nuse, listener);
		}
	} else {
		/* The last of its programs has ended; or it is no listener, and in error. */
		listener_close(nuse, listener);
	}
}

int plh_nuse_add(struct plh_nuse *nuse, int listener_fd)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	int error;

	if (!listener) {
		close(listener_fd);
		return -ENOMEM;
	}
	listener->watch.ready = listener_ready;
	error = watch_add(nuse, &listener->watch, listener_fd, EPOLLIN);
	if (error) {
		plh_set_error("The listener of a program cannot be watched (%s).",
			      plh_errno_text(error));
		free(listener);
		return error;
	}
	listener->link = &nuse->listeners;
	listener->next = nuse->listeners;
	if (listener->next)
		listener->next->link = &listener->next;
	nuse->listeners = listener;
	nuse->stats.listeners++;
	return 0;
}

/* --- The loop --- */

static void hangups_ready(struct plh_nuse *nuse, struct watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
	objects_reap(nuse);
}

static void woken(struct plh_nuse *nuse, struct watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
	nuse->woken = true;
}

/* The world runs in each turn of the loop. */
static void world_ready(struct plh_nuse *nuse, struct watch *watch, uint32_t events)
{
	(void)nuse;
	(void)watch;
	(void)events;
}

/* Everything that can run does; false if the kernel is dead. */
static bool run_world(struct plh_nuse *nuse)
{
	plh_task *task;
	int64_t ret;
	bool again;

	do {
		int status = plh_world_run(nuse->world, plh_world_now_ns(nuse->world), 0, 1);

		again = false;
		if (status == PLH_FORKED || plh_kernel_state(nuse->kernel) != PLH_KERNEL_RUNNING)
			return false;
		while ((task = plh_world_next_done(nuse->world))) {
			struct worker *worker = plh_task_opaque(task);

			again = true;
			if (plh_poll(nuse->kernel, task, &ret) == PLH_OK && worker)
				request_ended(nuse, worker, ret);
		}
	} while (again);
	return true;
}

/* For a while after the last work, lest each call pays for two threads that wake up. */
static int spin(struct plh_nuse *nuse, struct epoll_event *events, uint64_t next_ns)
{
	uint64_t end_ns = clock_monotonic_ns(NULL) + nuse->config.spin_ns;
	int count;

	if (end_ns > next_ns)
		end_ns = next_ns;
	do
		count = epoll_wait(nuse->epoll_fd, events, MAX_EVENTS, 0);
	while (!count && clock_monotonic_ns(NULL) < end_ns);
	return count;
}

static int wait_for_events(struct plh_nuse *nuse, struct epoll_event *events)
{
	uint64_t next_ns = plh_world_next_ns(nuse->world);
	int count = nuse->config.spin_ns ? spin(nuse, events, next_ns) : 0;
	uint64_t now_ns = next_ns == LL_NEVER ? 0 : clock_monotonic_ns(NULL);
	uint64_t left_ns = next_ns > now_ns ? next_ns - now_ns : 0;
	struct timespec left = { (time_t)(left_ns / NS_PER_S), (long)(left_ns % NS_PER_S) };

	if (count)
		return count;
	return epoll_pwait2(nuse->epoll_fd, events, MAX_EVENTS, next_ns == LL_NEVER ? NULL : &left,
			    NULL);
}

int plh_nuse_run(struct plh_nuse *nuse, int wake_fd, int until_empty)
{
	struct epoll_event events[MAX_EVENTS];
	int status = PLH_OK, count;
	int copy = wake_fd < 0 ? -1 : dup(wake_fd);

	nuse->woken = false;
	nuse->wake_watch.ready = woken;
	nuse->wake_watch.fd = -1;
	if (copy >= 0 && watch_add(nuse, &nuse->wake_watch, copy, EPOLLIN)) {
		plh_set_error("The descriptor %d cannot be waited for.", wake_fd);
		return PLH_ERROR;
	}
	for (;;) {
		if (!run_world(nuse)) {
			plh_set_error("The kernel of the stack is dead; its log says why.");
			status = PLH_DEAD;
			break;
		}
		if (nuse->woken)
			break;
		if (until_empty && !nuse->listeners) {
			status = PLH_TIMEOUT;
			break;
		}
		count = wait_for_events(nuse, events);
		if (count < 0 && errno == EINTR) {
			status = PLH_SIGNAL;
			break;
		}
		for (int i = 0; i < count; i++) {
			struct watch *watch = events[i].data.ptr;

			/* An event before may have closed it. */
			if (watch->fd >= 0)
				watch->ready(nuse, watch, events[i].events);
		}
		free_dead(nuse);
	}
	watch_remove(nuse, &nuse->wake_watch);
	return status;
}

/* --- Beginning and end --- */

/* As many placeholders as the host allows. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* What all tasks inherit: one table of descriptors, no end by SIGPIPE. */
static int prepare_root(struct plh_nuse *nuse)
{
	/* As rt_sigaction(2) has it: handler, flags, restorer, mask. */
	const uint64_t ignore[4] = { (uint64_t)SIG_IGN };
	const struct rlimit files = { 1 << 20, 1 << 20 };
	struct timespec now;
	int64_t ret;

	/* For the names of network namespaces. */
	stack_call(nuse, SYS_mkdirat, (uint64_t)AT_FDCWD, (uint64_t)"/run", 0755, 0, 0, 0);
	/* Programs that open it get the stack's, which needs a name first. */
	stack_call(nuse, SYS_mkdirat, (uint64_t)AT_FDCWD, (uint64_t)"/dev", 0755, 0, 0, 0);
	stack_call(nuse, SYS_mkdirat, (uint64_t)AT_FDCWD, (uint64_t)"/dev/net", 0755, 0, 0, 0);
	stack_call(nuse, SYS_mknodat, (uint64_t)AT_FDCWD, (uint64_t)"/dev/net/tun", S_IFCHR | 0666,
		   makedev(10, 200), 0, 0);
	stack_call(nuse, SYS_rt_sigaction, SIGPIPE, (uint64_t)ignore, 0, 8, 0, 0);
	stack_call(nuse, SYS_rt_sigaction, SIGURG, (uint64_t)ignore, 0, 8, 0, 0);
	/* Time stamps of packets are compared with gettimeofday(2). */
	clock_gettime(CLOCK_REALTIME, &now);
	stack_call(nuse, SYS_clock_settime, CLOCK_REALTIME, (uint64_t)&now, 0, 0, 0, 0);
	ret = stack_call(nuse, SYS_prlimit64, 0, RLIMIT_NOFILE, (uint64_t)&files, 0, 0, 0);
	return ret < 0 ? (int)ret : 0;
}

static int open_tables(struct plh_nuse *nuse)
{
	struct seccomp_notif_sizes sizes;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes))
		return -errno;
	nuse->notif_bytes = sizes.seccomp_notif > sizeof(struct seccomp_notif) ?
				    sizes.seccomp_notif :
				    sizeof(struct seccomp_notif);
	nuse->notif = calloc(1, nuse->notif_bytes);
	nuse->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	nuse->hangup_fd = epoll_create1(EPOLL_CLOEXEC);
	if (nuse->epoll_fd < 0 || nuse->hangup_fd < 0)
		return -errno;
	if (epolls_init(nuse) || pipe2(nuse->scratch, O_CLOEXEC | O_NONBLOCK))
		return -ENOMEM;
	if (!nuse->notif || table_init(&nuse->programs) || table_init(&nuse->threads) ||
	    table_init(&nuse->objects))
		return -ENOMEM;
	nuse->hangup_watch.ready = hangups_ready;
	nuse->world_watch.ready = world_ready;
	if (watch_add(nuse, &nuse->hangup_watch, dup(nuse->hangup_fd), EPOLLIN) ||
	    watch_add(nuse, &nuse->world_watch, dup(plh_world_device_fd(nuse->world)), EPOLLIN))
		return -EMFILE;
	return 0;
}

struct plh_nuse *plh_nuse_create(struct plh_kernel *kernel, const struct plh_nuse_config *config)
{
	struct plh_nuse *nuse = calloc(1, sizeof(*nuse));
	int64_t error = -ENOMEM;

	if (!nuse)
		goto fail;
	nuse->kernel = kernel;
	nuse->world = plh_kernel_world(kernel);
	nuse->config = *config;
	nuse->epoll_fd = nuse->hangup_fd = nuse->epolls_fd = -1;
	nuse->scratch[0] = nuse->scratch[1] = -1;
	nuse->hangup_watch.fd = nuse->world_watch.fd = nuse->wake_watch.fd = -1;
	if (plh_world_device_fd(nuse->world) < 0) {
		plh_set_error("A stack for programs needs a world with the real clock.");
		free(nuse);
		return NULL;
	}
	raise_limit();
	nuse->root.task = plh_task_create(kernel, NULL, 0, &error);
	if (nuse->root.task)
		error = open_tables(nuse);
	if (!error)
		error = prepare_root(nuse);
	if (!error)
		return nuse;
	plh_nuse_destroy(nuse);
fail:
	plh_set_error("A server for programs cannot be made (%s).", plh_errno_text((int)error));
	return NULL;
}

void plh_nuse_destroy(struct plh_nuse *nuse)
{
	while (nuse->listeners)
		listener_close(nuse, nuse->listeners);
	if (nuse->programs.heads)
		programs_free(nuse);
	if (nuse->epolls.heads)
		epolls_free(nuse);
	if (nuse->objects.heads)
		objects_free(nuse);
	if (nuse->root.task)
		plh_task_exit(nuse->kernel, nuse->root.task, 0);
	watch_remove(nuse, &nuse->hangup_watch);
	watch_remove(nuse, &nuse->world_watch);
	free_dead(nuse);
	if (nuse->epoll_fd >= 0)
		close(nuse->epoll_fd);
	if (nuse->hangup_fd >= 0)
		close(nuse->hangup_fd);
	if (nuse->scratch[0] >= 0) {
		close(nuse->scratch[0]);
		close(nuse->scratch[1]);
	}
	table_free(&nuse->programs);
	table_free(&nuse->threads);
	table_free(&nuse->objects);
	redirects_free(nuse);
	tree_free(nuse);
	free(nuse->notif);
	free(nuse);
}

void plh_nuse_stats(const struct plh_nuse *nuse, struct plh_nuse_stats *stats)
{
	*stats = nuse->stats;
}
