// SPDX-License-Identifier: GPL-2.0-only
/* Making and ending tasks. */
#include <errno.h>

#include "call.h"
#include "error.h"

/* A task that is gone may have lain where the new one lies now. */
static void forget_dead(struct plh_kernel *kernel, const plh_task *task)
{
	struct call *next;

	for (struct call *call = kernel->calls_dead; call; call = next) {
		next = call->next;
		if (call->task == task && !call->wait)
			call_take(call, NULL);
	}
}

plh_task *plh_task_create(struct plh_kernel *kernel, plh_task *parent, uint64_t clone_flags,
			  int64_t *error)
{
	plh_task *task = NULL;
	const uint64_t args[6] = { clone_flags, (uint64_t)&task };
	int64_t ret = -EIO;
	int status;

	if (!parent)
		parent = kernel->host_task ? kernel->host_task : kernel->init_task;
	status = plh_call(kernel, parent, LL_SYS_TASK_CREATE, args, LL_NEVER, &ret);
	if (status == PLH_OK && ret >= 0 && task) {
		world_lock(kernel->world);
		forget_dead(kernel, task);
		world_unlock(kernel->world);
		return task;
	}
	if (status == PLH_OK) {
		plh_set_error("The kernel cannot make a task (%s): boot it with more memory_bytes or "
			      "stack_count, or end other tasks.",
			      plh_errno_text((int)ret));
	} else if (ret >= 0) {
		ret = status == PLH_BUSY ? -EBUSY : -EIO;
	}
	if (error)
		*error = ret;
	return NULL;
}

int plh_task_exit(struct plh_kernel *kernel, plh_task *task, int wait_status)
{
	const uint64_t args[6] = { (uint64_t)(int64_t)wait_status };
	int64_t ret;
	int status;

	if (task == kernel->host_task) {
		plh_set_error("This task belongs to the library.");
		return PLH_ERROR;
	}
	if (__atomic_load_n(&task->state, __ATOMIC_ACQUIRE) != LL_TASK_USER) {
		status = plh_interrupt(kernel, task, &ret);
		if (status != PLH_OK && status != PLH_TIMEOUT)
			return status;
	}
	return plh_call(kernel, task, LL_SYS_TASK_EXIT, args, LL_NEVER, &ret);
}
