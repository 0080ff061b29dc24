/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the host knows about a task whose call did not end at once; found through
 * ll_task.opaque.
 */
#ifndef PLH_CALL_H
#define PLH_CALL_H

#include "kernel.h"

#pragma GCC visibility push(hidden)

enum call_state {
	CALL_NONE, /* the task is outside, nothing to tell */
	CALL_FLIGHT, /* inside the kernel */
	CALL_ENDED, /* ret is valid and not taken yet */
};

struct call {
	struct plh_kernel *kernel;
	plh_task *task;
	struct event deadline; /* EVENT_CALL */
	struct call *next, **link; /* kernel->calls_known */
	struct call *next_done, **done_link; /* world->done; done_link NULL: not on it */
	struct wait *wait; /* the thread that waits for it, or NULL */
	int64_t ret;
	enum call_state state;
	bool timed_out; /* its deadline came */
	void *opaque; /* plh_task_attach() */
	uint64_t (*copy)(void *opaque, void *local, uint64_t remote, uint64_t bytes, int to_task);
};

/* The task's, made if there is none; NULL and an error. */
struct call *call_of_task(struct plh_kernel *kernel, plh_task *task);
/* As above, but NULL if there is none. */
static inline struct call *call_known(const plh_task *task)
{
	return (struct call *)task->opaque;
}
/* The task has ended and nobody waits for it: its structure goes back to the kernel. */
void call_give_back(struct plh_kernel *kernel, plh_task *task);
/* Take the result of a call that has ended. */
int call_take(struct call *call, int64_t *ret);
/* Off the list of calls that ended. */
void call_forget_done(struct call *call);
/* Put the task on ll_machine.submitted. */
void call_enqueue(struct plh_kernel *kernel, plh_task *task);
/* Outside of a call, and no other thread is about to take the result of one. */
static inline bool call_is_free(const plh_task *task)
{
	const struct call *call = call_known(task);

	return task->state == LL_TASK_USER && !(call && call->wait);
}
/*
 * The kernel left with an exit after a call was started: PLH_OK with ret, or
 * PLH_PENDING with a struct call that says what we wait for.
 */
int call_go_on(struct plh_kernel *kernel, plh_task *task, int exit, int64_t *ret);
/* Nothing is to be done after entry_call() but to take the result. */
static inline bool call_is_over(const struct plh_kernel *kernel, const plh_task *task, int exit)
{
	const struct ll_machine *machine = kernel->machine;

	return exit == LL_EXIT_DONE && machine->done == task && !machine->tx_kicks &&
	       task->state == LL_TASK_USER && kernel->queued &&
	       kernel->world->fast_calls + 1 < WORLD_FAST_CALLS;
}
/* Ask the kernel to end the call in flight. */
void call_request_interrupt(struct call *call);

#pragma GCC visibility pop

#endif
