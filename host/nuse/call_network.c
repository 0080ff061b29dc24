// SPDX-License-Identifier: GPL-2.0-only
/*
 * Network namespaces: those of the stack, never the host's.  What ip-netns(8) does to
 * the host's file system to name them it does to the stack's.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nuse.h"

void call_change_path(struct plh_nuse *nuse, struct request *request)
{
	const __u64 *args = request->data.args;
	bool with_folder = true;
	uint64_t nr = (uint64_t)request->data.nr;
	char path[PATH_MAX];
	uint64_t last;

#ifdef SYS_mkdir
	with_folder = nr != SYS_mkdir && nr != SYS_unlink && nr != SYS_rmdir;
#endif
	if (path_of(nuse, request, with_folder ? (int)args[0] : AT_FDCWD, args[with_folder],
		    path) != PLACE_STACK) {
		request_pass(nuse, request);
		return;
	}
	last = args[with_folder + 1]; /* mode, or flags */
#ifdef SYS_mkdir
	if (nr == SYS_mkdir)
		nr = SYS_mkdirat;
	if (nr == SYS_unlink || nr == SYS_rmdir) {
		last = nr == SYS_rmdir ? 0x200 : 0; /* AT_REMOVEDIR */
		nr = SYS_unlinkat;
	}
#endif
	request_answer(nuse, request,
		       program_call(nuse, request->thread->program, nr, (uint64_t)AT_FDCWD,
				    (uint64_t)path, last, 0, 0, 0));
}

void call_mount(struct plh_nuse *nuse, struct request *request)
{
	const __u64 *args = request->data.args;
	bool unmount = request->data.nr == SYS_umount2;
	char from[PATH_MAX] = "none", to[PATH_MAX];
	int64_t ret;

	if (path_of(nuse, request, AT_FDCWD, args[unmount ? 0 : 1], to) != PLACE_STACK ||
	    strncmp(to, "/run/netns", strlen("/run/netns"))) {
		request_pass(nuse, request);
		return;
	}
	if (unmount) {
		ret = program_call(nuse, request->thread->program, SYS_umount2, (uint64_t)to,
				   args[1], 0, 0, 0, 0);
	} else {
		/* A namespace, or that folder itself. */
		if (path_of(nuse, request, AT_FDCWD, args[0], from) == PLACE_HOST)
			strcpy(from, "none");
		ret = program_call(nuse, request->thread->program, SYS_mount, (uint64_t)from,
				   (uint64_t)to, (uint64_t)"none", args[3], 0, 0);
	}
	request_answer(nuse, request, ret);
}

void call_unshare(struct plh_nuse *nuse, struct request *request)
{
	uint64_t flags = request->data.args[0];

	if (!(flags & CLONE_NEWNET))
		request_pass(nuse, request);
	else if (flags != CLONE_NEWNET)
		request_refuse(nuse, request, -EINVAL,
			       "a network namespace together with others; make it by a call of its "
			       "own");
	else
		request_answer(nuse, request,
			       program_change_network(nuse, request->thread->program, SYS_unshare,
						      CLONE_NEWNET, 0));
}

/* A namespace of the host that is a network's. */
static bool is_hosts_network(const struct request *request, int fd)
{
	char link[64], target[64];
	ssize_t bytes;

	snprintf(link, sizeof(link), "/proc/%d/fd/%d", request->thread->tid, fd);
	bytes = readlink(link, target, sizeof(target) - 1);
	return bytes > 4 && !memcmp(target, "net:", 4);
}

void call_setns(struct plh_nuse *nuse, struct request *request)
{
	int fd = (int)request->data.args[0];
	uint64_t type = request->data.args[1];

	request_hold(request, object_of(nuse, request->thread, fd));
	if (request->object)
		request_answer(nuse, request,
			       program_change_network(nuse, request->thread->program, SYS_setns,
						      (uint64_t)request->object->stack_fd, type));
	else if (type & CLONE_NEWNET || is_hosts_network(request, fd))
		request_refuse(nuse, request, -EPERM, "the way into a network of the host");
	else
		request_pass(nuse, request);
}

void call_clone(struct plh_nuse *nuse, struct request *request)
{
	request_refuse(nuse, request, -EINVAL,
		       "a process in a new network namespace; let it call unshare(2) itself");
}
