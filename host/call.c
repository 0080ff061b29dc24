// SPDX-License-Identifier: GPL-2.0-only
/* The state of calls: started, in flight, ended, taken. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "call.h"
#include "error.h"

struct call *call_of_task(struct plh_kernel *kernel, plh_task *task)
{
	struct plh_world *world = kernel->world;
	struct call *call = call_known(task);

	if (call)
		return call;
	call = calloc(1, sizeof(*call));
	if (!call || heap_add_source(&world->heap)) {
		free(call);
		plh_set_error("There is no memory to keep track of the system calls of task %d.",
			      task->pid);
		return NULL;
	}
	call->kernel = kernel;
	call->task = task;
	/* The number only breaks ties, and no two tasks get the same. */
	event_init(&call->deadline, EVENT_CALL, world->call_number++);
	call->next = kernel->calls_known;
	call->link = &kernel->calls_known;
	if (call->next)
		call->next->link = &call->next;
	kernel->calls_known = call;
	task->opaque = (uint64_t)call;
	return call;
}

static void call_free(struct call *call)
{
	call_forget_done(call);
	heap_remove_source(&call->kernel->world->heap, &call->deadline);
	*call->link = call->next;
	if (call->next)
		call->next->link = call->link;
	free(call);
}

bool call_ended(const struct call *call)
{
	return call->state == CALL_ENDED;
}

/* --- The list of calls that ended while nobody waited --- */

static void add_done(struct plh_world *world, struct call *call)
{
	if (call->done_link)
		return;
	call->next_done = NULL;
	call->done_link = world->done_end;
	*world->done_end = call;
	world->done_end = &call->next_done;
	wait_wake_kernel(world, NULL);
}

void call_forget_done(struct call *call)
{
	struct plh_world *world = call->kernel->world;

	if (!call->done_link)
		return;
	*call->done_link = call->next_done;
	if (call->next_done)
		call->next_done->done_link = call->done_link;
	else
		world->done_end = call->done_link;
	call->done_link = NULL;
}

plh_task *plh_world_next_done(struct plh_world *world)
{
	struct call *call;
	plh_task *task = NULL;

	world_lock(world);
	call = world->done;
	if (call) {
		call_forget_done(call);
		task = call->task;
	}
	world_unlock(world);
	return task;
}

/* --- The end of a call --- */

static void finish(struct call *call, int64_t ret)
{
	struct plh_world *world = call->kernel->world;

	call->ret = ret;
	call->state = CALL_ENDED;
	heap_set(&world->heap, &call->deadline, LL_NEVER);
	world_progress(world);
	if (!call->wait)
		add_done(world, call);
	else if (call->wait != world->leader)
		wait_wake(call->wait);
	else if (world->leader_sleeps)
		wait_wake_kernel(world, call->kernel);
}

void call_done(struct plh_kernel *kernel, struct ll_task *task)
{
	struct call *call;

	if (!kernel->booted) {
		kernel->booted = kernel->ready = true;
		kernel->init_task = task;
		return;
	}
	call = call_known(task);
	if (call && call->state == CALL_FLIGHT)
		finish(call, task->state == LL_TASK_DEAD ? -ESRCH : task->ret);
}

int call_take(struct call *call, int64_t *ret)
{
	int status = call->timed_out && call->ret == -EINTR ? PLH_TIMEOUT : PLH_OK;

	if (ret)
		*ret = call->ret;
	call->state = CALL_NONE;
	call->timed_out = false;
	call_forget_done(call);
	return status;
}

/* --- Telling the kernel about a task --- */

void call_enqueue(struct plh_kernel *kernel, plh_task *task)
{
	if (!(task->flags & LL_TASK_QUEUED)) {
		task->flags |= LL_TASK_QUEUED;
		task->next = kernel->machine->submitted;
		kernel->machine->submitted = task;
	}
	world_make_runnable(kernel->world, kernel);
}

void call_request_interrupt(struct call *call)
{
	call->task->flags |= LL_TASK_INTERRUPT;
	call_enqueue(call->kernel, call->task);
}

void call_give_back(struct plh_kernel *kernel, plh_task *task)
{
	struct call *call = call_known(task);

	if (call)
		call_free(call);
	task->opaque = 0;
	task->flags |= LL_TASK_RELEASE;
	call_enqueue(kernel, task);
}

void call_deadline(struct event *event)
{
	struct call *call = (struct call *)((char *)event - offsetof(struct call, deadline));

	if (call->state != CALL_FLIGHT || call->kernel->state != PLH_KERNEL_RUNNING)
		return;
	call->timed_out = true;
	call_request_interrupt(call);
}

/* --- The end of the kernel --- */

/* Those who poll for ended calls must learn that these never will. */
void calls_abandon(struct plh_kernel *kernel)
{
	struct plh_world *world = kernel->world;

	for (struct call *call = kernel->calls_known; call; call = call->next) {
		heap_set(&world->heap, &call->deadline, LL_NEVER);
		if (call->state == CALL_FLIGHT && !call->wait)
			add_done(world, call);
	}
}

void calls_free(struct plh_kernel *kernel)
{
	while (kernel->calls_known)
		call_free(kernel->calls_known);
}
