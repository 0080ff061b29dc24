// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls and steps of a world as structures: for interpreters, to which each
 * argument of a function costs more than a system call does.
 */
#include <string.h>

#include "call.h"
#include "clock.h"
#include "fork.h"

static __attribute__((noinline)) int64_t submit_slowly(struct plh_request *request)
{
	int64_t ret = PLH_UNFINISHED;
	int status = plh_submit(request->kernel, request->task, request->nr, request->args, &ret);

	request->status = (uint64_t)status;
	return status == PLH_OK ? ret : PLH_UNFINISHED;
}

/* The call was started, but more is to be done than to take its result. */
static __attribute__((noinline)) int64_t submit_finish(struct plh_request *request, int exit)
{
	int64_t ret = PLH_UNFINISHED;
	int status = call_go_on(request->kernel, request->task, exit, &ret);

	world_end(request->kernel->world);
	request->status = (uint64_t)status;
	return status == PLH_OK ? ret : PLH_UNFINISHED;
}

int64_t plh_request_submit(struct plh_request *request)
{
	struct plh_kernel *kernel = request->kernel;
	struct plh_world *world = kernel->world;
	plh_task *task = request->task;
	int exit;

	if (__builtin_expect(world->generation != fork_generation || !lock_enter(&world->lock), 0))
		return submit_slowly(request);
	if (__builtin_expect(
		    !kernel->ready || !call_is_free(task) || world->leader || world->fd_used, 0)) {
		world_unlock(world);
		return submit_slowly(request);
	}
	kernel->calls++;
	task->nr = request->nr;
	memcpy(task->args, request->args, sizeof(task->args));
	exit = entry_call(kernel, task);
	if (__builtin_expect(!call_is_over(kernel, task, exit), 0))
		return submit_finish(request, exit);
	world->fast_calls++;
	lock_leave_biased(&world->lock);
	return task->ret;
}

plh_task *plh_world_step(struct plh_step *step)
{
	struct plh_world *world = step->world;
	const struct call *call;
	bool alone;
	int status;

	step->task = NULL;
	step->more = 0;
	status = world_begin(world);
	step->status = (uint32_t)status;
	if (status)
		return NULL;
	status = plh_world_run(world, step->until_ns, step->budget_ns, 1);
	step->status = (uint32_t)status;
	step->now_ns = world_now(world);
	call = world->done;
	/* Whoever waits for a kernel that has died finds that out by itself. */
	if (call && call_ended(call)) {
		step->task = plh_world_next_done(world);
		step->ret = call->ret;
		step->progress_ns = step->now_ns;
	}
	step->more = world->done != NULL;
	alone = !step->more && step->now_ns < step->until_ns;
	world_end(world);
	return alone ? step->task : NULL;
}
