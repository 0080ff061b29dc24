// SPDX-License-Identifier: GPL-2.0-only
/* System calls: the fast path, and waiting for those that take it no further. */
#include <errno.h>
#include <string.h>

#include "call.h"
#include "clock.h"
#include "error.h"
#include "fork.h"

#define HOST_TASK_PAUSE_NS 50000

static int busy_world(void)
{
	plh_set_error("Another thread waits in this world, whose time only one can move: wait with "
		      "one thread, or give each its own world.");
	return PLH_BUSY;
}

static int check_kernel(const struct plh_kernel *kernel)
{
	if (kernel->state == PLH_KERNEL_RUNNING)
		return PLH_OK;
	plh_set_error("The kernel %s: halt it and boot another one.",
		      kernel->state == PLH_KERNEL_HALTED ? "was halted by reboot(2)" :
							   "has panicked and its log says why");
	return PLH_DEAD;
}

static int begin(struct plh_kernel *kernel)
{
	int status = world_begin(kernel->world);

	if (status)
		return status;
	status = check_kernel(kernel);
	if (status)
		world_unlock(kernel->world);
	return status;
}

static int begin_call(struct plh_kernel *kernel, plh_task *task)
{
	int status = begin(kernel);

	if (status)
		return status;
	if (task->state == LL_TASK_DEAD) {
		plh_set_error("Task %d has ended: give it back with plh_task_exit() and make "
			      "another "
			      "one.",
			      task->pid);
		status = PLH_ERROR;
	} else if (!call_is_free(task)) {
		plh_set_error("Task %d is inside a call already: wait for it, or make the call on "
			      "another task.",
			      task->pid);
		status = PLH_BUSY;
	} else if (kernel->world->leader && !kernel->world->clock->shared_wait) {
		status = busy_world();
	}
	if (status)
		world_unlock(kernel->world);
	return status;
}

/* --- Starting --- */

static int in_flight(struct plh_kernel *kernel, plh_task *task)
{
	struct call *call = call_of_task(kernel, task);

	if (!call)
		return PLH_ERROR;
	/* Nobody asked for the result of the one before. */
	if (call->state == CALL_ENDED)
		call_take(call, NULL);
	call->state = CALL_FLIGHT;
	kernel->world->worked = true;
	return PLH_PENDING;
}

int call_go_on(struct plh_kernel *kernel, plh_task *task, int exit, int64_t *ret)
{
	struct plh_world *world = kernel->world;

	exit = kernel_serve(kernel, exit);
	world_progress(world);
	if (exit == LL_EXIT_DONE && kernel->machine->done != task) {
		/* Ours blocks and the call of another task has ended: who waits for it goes first. */
		call_done(kernel, kernel->machine->done);
		world_make_runnable(world, kernel);
	} else if (exit == LL_EXIT_DONE) {
		/* A call that ends its task, or during which a signal ends it, has no result. */
		*ret = task->state == LL_TASK_DEAD ? -ESRCH : task->ret;
		kernel_left(kernel, exit);
		/* Timers that the call set are only told by an idle exit. */
		world_settle_later(world, kernel);
		if (++world->fast_calls >= WORLD_FAST_CALLS)
			world_after_fast_calls(world, kernel);
		return PLH_OK;
	}
	kernel_left(kernel, exit);
	if (kernel->state != PLH_KERNEL_RUNNING)
		return check_kernel(kernel);
	return in_flight(kernel, task);
}

/* The kernel was left in the middle of something: the call joins the queue. */
static int start_later(struct plh_kernel *kernel, plh_task *task)
{
	task->state = LL_TASK_SUBMITTED;
	call_enqueue(kernel, task);
	return in_flight(kernel, task);
}

static int start(struct plh_kernel *kernel, plh_task *task, int64_t *ret)
{
	kernel->calls++;
	if (!kernel->ready)
		return start_later(kernel, task);
	return call_go_on(kernel, task, entry_call(kernel, task), ret);
}

/* --- Waiting --- */

static int wait_for(struct call *call, uint64_t deadline_ns, int64_t *ret)
{
	struct plh_kernel *kernel = call->kernel;
	struct wait wait = {
		.call = call,
		.kernel = kernel,
		.until_ns = LL_NEVER,
	};
	int status;

	if (call->wait) {
		plh_set_error("Another thread waits for the call of task %d already.",
			      call->task->pid);
		return PLH_BUSY;
	}
	heap_set(&kernel->world->heap, &call->deadline, deadline_ns);
	call->wait = &wait;
	kernel->waits++;
	status = world_wait(kernel->world, &wait);
	kernel->waits--;
	call->wait = NULL;
	if (status == PLH_DEAD)
		check_kernel(kernel);
	if (status == PLH_SIGNAL)
		plh_set_error("A signal arrived while the call of task %d was in flight.",
			      call->task->pid);
	return status == PLH_OK ? call_take(call, ret) : status;
}

static int call_and_wait(struct plh_kernel *kernel, plh_task *task, uint64_t deadline_ns,
			 int64_t *ret)
{
	int status = start(kernel, task, ret);

	if (status == PLH_PENDING)
		status = wait_for((struct call *)task->opaque, deadline_ns, ret);
	return status;
}

/* Another thread's call by the host's task is short, and rare enough to poll for. */
static int await_host_task(struct plh_kernel *kernel)
{
	const struct timespec pause = { .tv_nsec = HOST_TASK_PAUSE_NS };
	struct plh_world *world = kernel->world;

	if (world->leader && !world->clock->shared_wait)
		return busy_world();
	kernel->waits++;
	while (kernel->state == PLH_KERNEL_RUNNING && !call_is_free(kernel->host_task)) {
		uint32_t depth = lock_release_all(&world->lock);

		nanosleep(&pause, NULL);
		lock_restore(&world->lock, depth);
	}
	kernel->waits--;
	return check_kernel(kernel);
}

int call_by_host3(struct plh_kernel *kernel, uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2,
		  int64_t *ret)
{
	plh_task *task = kernel->host_task;
	int status = await_host_task(kernel);

	if (status)
		return status;
	task->nr = nr;
	memset(task->args, 0, sizeof(task->args));
	task->args[0] = a0;
	task->args[1] = a1;
	task->args[2] = a2;
	status = call_and_wait(kernel, task, LL_NEVER, ret);
	/* Short, and half done of no use: no signal ends it.  The interpreter looks for its own. */
	while (status == PLH_SIGNAL)
		status = wait_for((struct call *)task->opaque, LL_NEVER, ret);
	return status;
}

int call_by_host(struct plh_kernel *kernel, uint64_t nr, uint64_t a0, uint64_t a1, int64_t *ret)
{
	return call_by_host3(kernel, nr, a0, a1, 0, ret);
}

/* --- API --- */

int plh_call(struct plh_kernel *kernel, plh_task *task, uint64_t nr, const uint64_t args[6],
	     uint64_t deadline_ns, int64_t *ret)
{
	int status = begin_call(kernel, task);

	if (status)
		return status;
	task->nr = nr;
	memcpy(task->args, args, sizeof(task->args));
	status = call_and_wait(kernel, task, deadline_ns, ret);
	world_end(kernel->world);
	return status;
}

int plh_submit(struct plh_kernel *kernel, plh_task *task, uint64_t nr, const uint64_t args[6],
	       int64_t *ret)
{
	int status = begin_call(kernel, task);

	if (status)
		return status;
	task->nr = nr;
	memcpy(task->args, args, sizeof(task->args));
	status = start(kernel, task, ret);
	world_end(kernel->world);
	return status;
}

static int no_call(void)
{
	plh_set_error("The task is not inside a call: there is nothing to wait for.");
	return PLH_ERROR;
}

int plh_wait(struct plh_kernel *kernel, plh_task *task, uint64_t deadline_ns, int64_t *ret)
{
	int status = begin(kernel);
	struct call *call;

	if (status)
		return status;
	call = call_known(task);
	if (!call || call->state == CALL_NONE)
		status = no_call();
	else if (call->state == CALL_ENDED)
		status = call_take(call, ret);
	else
		status = wait_for(call, deadline_ns, ret);
	world_end(kernel->world);
	return status;
}

int plh_poll(struct plh_kernel *kernel, plh_task *task, int64_t *ret)
{
	int status = world_begin(kernel->world);
	struct call *call;

	if (status)
		return status;
	call = call_known(task);
	if (call && call->state == CALL_ENDED)
		status = call_take(call, ret);
	else if (check_kernel(kernel))
		status = PLH_DEAD;
	else
		status = call && call->state == CALL_FLIGHT ? PLH_PENDING : no_call();
	world_unlock(kernel->world);
	return status;
}

int plh_interrupt(struct plh_kernel *kernel, plh_task *task, int64_t *ret)
{
	int status = begin(kernel);
	struct call *call;

	if (status)
		return status;
	call = call_known(task);
	if (!call || call->state == CALL_NONE) {
		status = no_call();
	} else if (call->state == CALL_ENDED) {
		status = call_take(call, ret);
	} else {
		call_request_interrupt(call);
		/* A thread that waits for it gets the result itself. */
		status = call->wait ? PLH_PENDING : wait_for(call, LL_NEVER, ret);
	}
	world_end(kernel->world);
	return status;
}

/* --- The fast path --- */

static __attribute__((noinline)) int64_t call6_slowly(struct plh_kernel *kernel, plh_task *task,
						      int *status, uint64_t nr,
						      const uint64_t args[6])
{
	int64_t ret = -EIO;
	int result = plh_call(kernel, task, nr, args, LL_NEVER, &ret);

	if (result != PLH_OK)
		*status = result;
	return ret;
}

/* The call was started, but more is to be done than to take its result. */
static __attribute__((noinline)) int64_t call6_finish(struct plh_kernel *kernel, plh_task *task,
						      int *status, int exit)
{
	int64_t ret = -EIO;
	int result = call_go_on(kernel, task, exit, &ret);

	if (result == PLH_PENDING)
		result = wait_for((struct call *)task->opaque, LL_NEVER, &ret);
	world_end(kernel->world);
	if (result != PLH_OK)
		*status = result;
	return ret;
}

int64_t plh_call6(struct plh_kernel *kernel, plh_task *task, int *status, uint64_t nr, uint64_t a0,
		  uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct plh_world *world = kernel->world;
	int exit;

	if (__builtin_expect(world->generation != fork_generation || !lock_enter(&world->lock), 0))
		return call6_slowly(kernel, task, status, nr,
				    (const uint64_t[6]){ a0, a1, a2, a3, a4, a5 });
	if (__builtin_expect(!kernel->ready || task->state != LL_TASK_USER || world->leader ||
				     world->fd_used,
			     0)) {
		world_unlock(world);
		return call6_slowly(kernel, task, status, nr,
				    (const uint64_t[6]){ a0, a1, a2, a3, a4, a5 });
	}
	kernel->calls++;
	task->nr = nr;
	task->args[0] = a0;
	task->args[1] = a1;
	task->args[2] = a2;
	task->args[3] = a3;
	task->args[4] = a4;
	task->args[5] = a5;
	exit = entry_call(kernel, task);
	if (__builtin_expect(!call_is_over(kernel, task, exit), 0))
		return call6_finish(kernel, task, status, exit);
	world->fast_calls++;
	lock_leave_biased(&world->lock);
	return task->ret;
}
