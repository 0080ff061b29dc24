/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An epoll of programs.  Its descriptor is a real one of the host, in which descriptors
 * of the host are registered as ever; those of the stack are in a second epoll, in the
 * kernel.
 */
#ifndef NUSE_EPOLL_H
#define NUSE_EPOLL_H

#include <sys/epoll.h>

#include "nuse.h"

#pragma GCC visibility push(hidden)

/* A descriptor of the stack in an epoll, under one of the program's numbers. */
struct epoll_entry {
	struct node node; /* epoll->entries, by what and by which number */
	struct epoll *epoll;
	struct epoll_entry *next, **link; /* of the object (or epoll) that is registered */
	struct epoll_event event;
	int stack_fd;
	bool own_fd; /* a duplicate on the stack, for a second number of the same object */
};

struct epoll {
	struct node node; /* nuse->epolls, by the inode of the marker */
	/*
	 * A socket of the server's that is registered in the host's epoll, where /proc
	 * shows its inode: so any descriptor is known for this epoll's.
	 */
	int marker_fd;
	uint64_t marker_device;
	int host_fd; /* a duplicate, -1 since it was looked for the last close */
	int stack_fd; /* -1: nothing of the stack has been registered yet */
	struct table entries;
	struct epoll_entry *registered; /* this epoll, in others */
	struct epoll_waiting *waiters;
	struct epoll_event *kept; /* of the host, taken for one who did not wait any more */
	uint32_t kept_count;
	bool host_first; /* is asked first the next time */
	bool nests; /* an epoll is registered in it, once for each side */
	bool alive;
};

/*
 * The epoll that a program's descriptor stands for.  NULL and errno: EINVAL if it is
 * none, or not known and not to be made known.
 */
struct epoll *epoll_of(struct plh_nuse *nuse, const struct request *request, int fd, bool create);
/* Its part on the stack, made if there is none: 0 or -errno; *made: it was. */
int epoll_need_stack(struct plh_nuse *nuse, struct epoll *epoll, bool *made);

/* The server's beginning and end. */
int epolls_init(struct plh_nuse *nuse);
void epolls_free(struct plh_nuse *nuse);
/* Forget those that were this process's alone. */
void epolls_program_ended(struct plh_nuse *nuse, pid_t tgid);

struct epoll_entry *epoll_find(const struct epoll *epoll, uint64_t what, int number);
/* 0 or -errno of epoll_ctl(2) on the stack; list: of what is registered. */
int epoll_add(struct plh_nuse *nuse, struct epoll *epoll, uint64_t what, int number, int stack_fd,
	      struct epoll_entry **list, const struct epoll_event *event);
int epoll_modify(struct plh_nuse *nuse, struct epoll_entry *entry, const struct epoll_event *event);
int epoll_delete(struct plh_nuse *nuse, struct epoll_entry *entry);
/* What was registered is closed. */
void epoll_entry_gone(struct plh_nuse *nuse, struct epoll_entry *entry);
/* Let the stack tell these events again, which nobody has heard. */
void epoll_rearm(struct plh_nuse *nuse, struct epoll *epoll, const struct epoll_event *events,
		 uint32_t count);

#pragma GCC visibility pop

#endif
