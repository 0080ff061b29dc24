/* SPDX-License-Identifier: GPL-2.0-only */
/* Descriptors of a program that poll(2) or select(2) waits for, of host and stack mixed. */
#ifndef NUSE_POLL_SET_H
#define NUSE_POLL_SET_H

#include "waiting.h"

#pragma GCC visibility push(hidden)

struct poll_set {
	struct waiting wait;
	struct pollfd *fds; /* as the program names them; revents as asked last */
	uint32_t count;
	/* Of them the stack's, with its descriptors, and which of fds each is. */
	struct pollfd *stack;
	uint32_t *stack_at;
	uint32_t stack_count;
	/* And the host's, with duplicates. */
	struct pollfd *host;
	uint32_t *host_at;
	uint32_t host_count;
	uint64_t timeout_at; /* where the rest of the time is told; 0: nowhere */
	bool timeval; /* it is one, else a timespec */
	/* How many descriptors (or bits) are ready. */
	uint32_t (*ready)(struct poll_set *set);
	/* Write the results, not the time; 0 or -errno. */
	int (*finish)(const struct request *request, struct poll_set *set);
	void *own; /* of the caller, freed with the set */
};

/* The request's state, with room for count descriptors; NULL: answered. */
struct poll_set *poll_set_create(struct plh_nuse *nuse, struct request *request, uint32_t count);
/* The timeout's address (0: for ever) and the mask's; false: answered. */
bool poll_set_times(struct plh_nuse *nuse, struct request *request, uint64_t timeout, bool timeval,
		    uint64_t mask, uint64_t mask_bytes);
/* Wait for set->fds and answer. */
void poll_set_wait(struct plh_nuse *nuse, struct request *request);

#pragma GCC visibility pop

#endif
