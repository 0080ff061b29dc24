// SPDX-License-Identifier: GPL-2.0-only
/* Making and ending tasks. */
#include <errno.h>

#include "call.h"
#include "error.h"

static int create_by_host(struct plh_kernel *kernel, const uint64_t args[6], int64_t *ret)
{
	int status = world_begin(kernel->world);

	if (status)
		return status;
	status = call_by_host(kernel, LL_SYS_TASK_CREATE, args[0], args[1], ret);
	world_end(kernel->world);
	return status;
}

plh_task *plh_task_create(struct plh_kernel *kernel, plh_task *parent, uint64_t clone_flags,
			  int64_t *error)
{
	plh_task *task = NULL;
	const uint64_t args[6] = { clone_flags, (uint64_t)&task };
	int64_t ret = -EIO;
	int status;

	if (parent)
		status = plh_call(kernel, parent, LL_SYS_TASK_CREATE, args, LL_NEVER, &ret);
	else
		status = create_by_host(kernel, args, &ret);
	if (status == PLH_OK && ret >= 0 && task)
		return task;
	if (status == PLH_OK)
		plh_set_error("The kernel cannot make a task (%s): boot it with more memory_bytes "
			      "or "
			      "stack_count, or end other tasks.",
			      plh_errno_text((int)ret));
	else
		ret = status == PLH_BUSY ? -EBUSY : -EIO;
	if (error)
		*error = ret;
	return NULL;
}

/* It has ended, by itself or at our request: let the kernel free its structure. */
static int give_back(struct plh_kernel *kernel, plh_task *task)
{
	const struct call *call;
	int status = world_begin(kernel->world);

	if (status)
		return status;
	call = call_known(task);
	if (kernel->state != PLH_KERNEL_RUNNING) {
		status = PLH_DEAD;
	} else if (call && call->wait) {
		plh_set_error("Another thread waits for a call of task %d: end the task again when "
			      "that has returned.",
			      task->pid);
		status = PLH_BUSY;
	} else {
		call_give_back(kernel, task);
	}
	world_end(kernel->world);
	return status;
}

int plh_task_exit(struct plh_kernel *kernel, plh_task *task, int wait_status)
{
	const uint64_t args[6] = { (uint64_t)(int64_t)wait_status };
	uint32_t state = __atomic_load_n(&task->state, __ATOMIC_ACQUIRE);
	int64_t ret;
	int status;

	if (task == kernel->host_task) {
		plh_set_error("This task belongs to the library.");
		return PLH_ERROR;
	}
	if (state == LL_TASK_CALL || state == LL_TASK_SUBMITTED) {
		status = plh_interrupt(kernel, task, &ret);
		if (status != PLH_OK && status != PLH_TIMEOUT)
			return status;
		state = __atomic_load_n(&task->state, __ATOMIC_ACQUIRE);
	}
	if (state != LL_TASK_DEAD) {
		status = plh_call(kernel, task, LL_SYS_TASK_EXIT, args, LL_NEVER, &ret);
		if (status != PLH_OK)
			return status;
	}
	return give_back(kernel, task);
}

int plh_task_attach(struct plh_kernel *kernel, plh_task *task, void *opaque,
		    uint64_t (*copy)(void *opaque, void *local, uint64_t remote, uint64_t bytes,
				     int to_task))
{
	int status = world_begin(kernel->world);
	struct call *call;

	if (status)
		return status;
	call = call_of_task(kernel, task);
	if (call) {
		call->opaque = opaque;
		call->copy = copy;
		if (copy)
			task->flags |= LL_TASK_REMOTE;
	}
	world_unlock(kernel->world);
	return call ? PLH_OK : PLH_ERROR;
}

void *plh_task_opaque(const plh_task *task)
{
	const struct call *call = call_known(task);

	return call ? call->opaque : NULL;
}
