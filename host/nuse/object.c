// SPDX-License-Identifier: GPL-2.0-only
/*
 * Open files of the stack and the placeholders that stand for them in programs.
 * A placeholder is an ordinary descriptor, so the host's kernel does all that
 * programs do with descriptors: dup, fork, exec, passing on, /proc/self/fd.  Which
 * object it is is told by its inode alone; that the last copy was closed by the
 * other end of the pair, the server's, which hangs up.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "epoll.h"
#include "nuse.h"

#define MAX_HANGUPS 64

struct object *object_create(struct plh_nuse *nuse, enum object_kind kind, int stack_fd,
			     bool nonblock)
{
	struct object *object = calloc(1, sizeof(*object));
	struct epoll_event event = { .events = EPOLLRDHUP, .data.ptr = object };
	int pair[2] = { -1, -1 };
	struct stat status;
	int error;

	/* The placeholder's flag is what F_GETFL shows. */
	if (!object ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0), 0,
		       pair))
		goto fail;
	if (fstat(pair[1], &status) || epoll_ctl(nuse->hangup_fd, EPOLL_CTL_ADD, pair[0], &event))
		goto fail;
	object->watch.fd = pair[0];
	object->kind = kind;
	object->stack_fd = stack_fd;
	object->nonblock = nonblock;
	object->spare = pair[1];
	table_add(&nuse->objects, &object->node, status.st_ino);
	nuse->stats.sockets++;
	return object;
fail:
	error = errno ? errno : ENOMEM;
	if (pair[0] >= 0) {
		close(pair[0]);
		close(pair[1]);
	}
	free(object);
	stack_call(nuse, SYS_close, (uint64_t)stack_fd, 0, 0, 0, 0, 0);
	errno = error;
	return NULL;
}

static void object_end(struct plh_nuse *nuse, struct object *object)
{
	stack_call(nuse, SYS_close, (uint64_t)object->stack_fd, 0, 0, 0, 0, 0);
	watch_free(nuse, &object->watch);
}

void object_free(struct plh_nuse *nuse, struct object *object)
{
	table_remove(&nuse->objects, &object->node);
	nuse->stats.sockets--;
	/* Closing it takes it out of the set. */
	close(object->watch.fd);
	object->watch.fd = -1;
	if (object->spare >= 0)
		close(object->spare);
	while (object->accepted) {
		struct object *accepted = object->accepted;

		object->accepted = accepted->next_accepted;
		object_free(nuse, accepted);
	}
	while (object->registered)
		epoll_entry_gone(nuse, object->registered);
	object->closed = true;
	if (!object->holders)
		object_end(nuse, object);
}

void object_release(struct plh_nuse *nuse, struct object *object)
{
	if (!--object->holders && object->closed)
		object_end(nuse, object);
}

void objects_reap(struct plh_nuse *nuse)
{
	struct epoll_event events[MAX_HANGUPS];
	int count;

	do {
		count = epoll_wait(nuse->hangup_fd, events, MAX_HANGUPS, 0);
		for (int i = 0; i < count; i++) {
			struct object *object = events[i].data.ptr;

			if (object->watch.fd >= 0)
				object_free(nuse, object);
		}
	} while (count == MAX_HANGUPS);
}

static void free_one(struct node *node, void *opaque)
{
	object_free(opaque, (struct object *)((char *)node - offsetof(struct object, node)));
}

void objects_free(struct plh_nuse *nuse)
{
	/* A listener takes others with it: begin again until none is left. */
	while (nuse->objects.used)
		for (uint32_t i = 0; i < nuse->objects.size; i++)
			if (nuse->objects.heads[i])
				free_one(nuse->objects.heads[i], nuse);
}

enum fd_kind fd_kind(struct plh_nuse *nuse, struct nuse_thread *thread, int fd,
		     struct object **object)
{
	static const char prefix[] = "socket:[", epoll[] = "anon_inode:[eventpoll]";
	char name[16], target[64];
	struct node *node;
	ssize_t bytes;

	if (fd < 0)
		return FD_HOST;
	snprintf(name, sizeof(name), "%d", fd);
	bytes = readlinkat(thread->fd_folder, name, target, sizeof(target) - 1);
	if (bytes <= (ssize_t)sizeof(prefix))
		return FD_HOST;
	target[bytes] = 0;
	if (!strcmp(target, epoll))
		return FD_EPOLL;
	if (memcmp(target, prefix, sizeof(prefix) - 1))
		return FD_HOST;
	node = table_find(&nuse->objects, strtoull(target + sizeof(prefix) - 1, NULL, 10));
	if (!node)
		return FD_HOST;
	if (object)
		*object = (struct object *)((char *)node - offsetof(struct object, node));
	return FD_OBJECT;
}

struct object *object_of(struct plh_nuse *nuse, struct nuse_thread *thread, int fd)
{
	struct object *object = NULL;

	return fd_kind(nuse, thread, fd, &object) == FD_OBJECT ? object : NULL;
}
