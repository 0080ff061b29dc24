/* SPDX-License-Identifier: GPL-2.0-only */
/* Requests that wait for descriptors of host and stack, for time, and for signals. */
#ifndef NUSE_WAITING_H
#define NUSE_WAITING_H

#include <poll.h>
#include <time.h>

#include "nuse.h"

#pragma GCC visibility push(hidden)

/* The first member of the state of a request that waits; zeroed, and wait_end() at its end. */
struct waiting {
	struct pollfd *fds; /* of the stack */
	uint32_t count;
	/* Goes on when something may be ready, or wait_is_over(). */
	void (*again)(struct plh_nuse *nuse, struct request *request);
	/* A signal that only the call's own mask lets through: the host's kernel must see it. */
	void (*interrupted)(struct plh_nuse *nuse, struct request *request);
	uint64_t allowed; /* such signals */
	bool ticks; /* again() also every 20 ms, for what cannot be watched */
	struct wait_watch *host, *tick;
	struct timespec left;
};
/* The mask that is in force while the call waits; address 0: none.  0 or -errno */
int wait_set_mask(const struct request *request, struct waiting *wait, uint64_t address,
		  uint64_t bytes);
/* From now on; 0 or -EINVAL. */
int wait_set_timeout(struct request *request, const struct timespec *timeout);
bool wait_is_over(const struct request *request);
/*
 * Wait for wait->fds, the request's deadline, and until host_fd (closed at the end; -1:
 * none) has events.  The request may be gone when this returns.
 */
void wait_begin(struct plh_nuse *nuse, struct request *request, int host_fd, uint32_t events);
void wait_end(struct plh_nuse *nuse, struct request *request);
/* End the wait and go on, for what came otherwise. */
void wait_again(struct plh_nuse *nuse, struct request *request);
/* A program's descriptor as one of ours, or -errno; a kept one hides its close. */
int wait_duplicate(const struct request *request, int fd);
/* Let the placeholder poll neither readable nor writable, for a call left to the host. */
void wait_silence(const struct request *request, int fd, struct object *object);
/* The thread neither handles nor ignores nor blocks it. */
bool signal_kills(pid_t tid, int number);
/* How many descriptors its table has room for; 0 if it is gone. */
uint32_t wait_table_size(const struct request *request);

#pragma GCC visibility pop

#endif
