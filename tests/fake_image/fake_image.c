// SPDX-License-Identifier: GPL-2.0-only
/*
 * A liblinux.so without a kernel: it speaks the boundary of abi/liblinux.h, so
 * that tests of the host side need no kernel build, and tells lies on demand
 * (FAKE_*), so that they can see them refused.
 *
 *	gcc -shared -nostdlib -fPIC -fvisibility=hidden -Wl,-z,noseparate-code ...
 *
 * It has no stacks of its own: a call is a small state machine, and a request to
 * the host (log, random bytes) ends the call when the host comes back.
 */
#include <errno.h>
#include <stddef.h>

#include "liblinux.h"

#ifndef FAKE_MAGIC
#define FAKE_MAGIC LL_MAGIC
#endif
#ifndef FAKE_ABI_VERSION
#define FAKE_ABI_VERSION LL_ABI_VERSION
#endif
#ifndef FAKE_TASK_BYTES
#define FAKE_TASK_BYTES sizeof(struct ll_task)
#endif
#ifndef FAKE_SYMBOL
#define FAKE_SYMBOL liblinux_image
#endif

#define MAX_TASKS 64

/* What the fake's system calls do; tests/unit/fake_image.py has the same names. */
enum fake_call {
	FAKE_ADD_ONE = 0, /* returns its argument + 1 */
	FAKE_SLEEP = 1, /* so many ns */
	FAKE_LOG = 2, /* text, bytes, level */
	FAKE_RANDOM = 3, /* returns 63 random bits */
	FAKE_CRASH = 4, /* null dereference */
	FAKE_PANIC = 5,
	FAKE_BLOCK = 6, /* for ever */
	FAKE_SPIN = 7, /* until the clock has moved on by so many ns */
	FAKE_REBOOT = 8,
	FAKE_CLOCK = 9, /* returns the clock */
	FAKE_HANDLED_CRASH = 10, /* the report of the fault is a fault itself */
	FAKE_TICK = 11, /* from now on a timer of the kernel's own, so many ns apart */
};

static struct ll_machine *machine;
static struct ll_task tasks[MAX_TASKS];
static uint64_t wake_ns[MAX_TASKS]; /* of those in a call */
static struct ll_task *requester; /* its call ends when the host comes back */
static struct ll_task *spinner;
static uint64_t tick_ns, next_tick_ns;
static uint64_t random_word;
static int32_t last_pid;
static int crash_in_report;
static volatile int *volatile nowhere;

static uint64_t now(void)
{
	if (machine->clock_word)
		return *(volatile const uint64_t *)machine->clock_word;
	return machine->clock_ns ? machine->clock_ns(machine->clock_opaque) : 0;
}

static struct ll_task *new_task(void)
{
	for (int i = 0; i < MAX_TASKS; i++) {
		struct ll_task *task = &tasks[i];

		if (task->pid)
			continue;
		*task = (struct ll_task){ .pid = ++last_pid, .tgid = last_pid };
		wake_ns[i] = LL_NEVER;
		return task;
	}
	return NULL;
}

static int done(struct ll_task *task, int64_t ret)
{
	wake_ns[task - tasks] = LL_NEVER;
	task->ret = ret;
	task->flags &= ~LL_TASK_INTERRUPT;
	task->state = LL_TASK_USER;
	machine->done = task;
	machine->work_pending = 0;
	return LL_EXIT_DONE;
}

static int idle(void)
{
	uint64_t deadline = tick_ns ? next_tick_ns : LL_NEVER;

	for (int i = 0; i < MAX_TASKS; i++)
		if (tasks[i].state == LL_TASK_CALL && wake_ns[i] < deadline)
			deadline = wake_ns[i];
	machine->deadline_ns = deadline;
	return LL_EXIT_IDLE;
}

static int panic(const char *words, uint64_t bytes)
{
	machine->exit_args[0] = (uint64_t)words;
	machine->exit_args[1] = bytes;
	return LL_EXIT_PANIC;
}

static int spin(struct ll_task *task)
{
	if (now() >= wake_ns[task - tasks]) {
		spinner = NULL;
		return done(task, 0);
	}
	spinner = task;
	machine->exit_args[0] = wake_ns[task - tasks];
	return LL_EXIT_BUSY;
}

static int create(struct ll_task *task)
{
	struct ll_task *child = new_task();

	if (!child)
		return done(task, -ENOMEM);
	*(struct ll_task **)task->args[1] = child;
	return done(task, child->pid);
}

static int start(struct ll_task *task)
{
	uint64_t *wake = &wake_ns[task - tasks];

	task->state = LL_TASK_CALL;
	switch (task->nr) {
	case FAKE_ADD_ONE:
		return done(task, (int64_t)task->args[0] + 1);
	case FAKE_SLEEP:
		*wake = now() + task->args[0];
		return idle();
	case FAKE_LOG:
		for (int i = 0; i < 3; i++)
			machine->exit_args[i] = task->args[i];
		requester = task;
		return LL_EXIT_LOG;
	case FAKE_RANDOM:
		machine->exit_args[0] = (uint64_t)&random_word;
		machine->exit_args[1] = sizeof(random_word);
		requester = task;
		return LL_EXIT_RANDOM;
	case FAKE_HANDLED_CRASH:
		crash_in_report = 1;
		/* fall through */
	case FAKE_CRASH:
		*nowhere = 1;
		return idle();
	case FAKE_PANIC:
		return panic("fake panic\n", 11);
	case FAKE_BLOCK:
		*wake = LL_NEVER;
		return idle();
	case FAKE_SPIN:
		*wake = now() + task->args[0];
		return spin(task);
	case FAKE_REBOOT:
		return LL_EXIT_HALT;
	case FAKE_CLOCK:
		return done(task, (int64_t)now());
	case FAKE_TICK:
		tick_ns = task->args[0];
		next_tick_ns = now() + tick_ns;
		return done(task, 0);
	case LL_SYS_TASK_CREATE:
		return create(task);
	case LL_SYS_TASK_EXIT:
		done(task, 0);
		task->state = LL_TASK_DEAD;
		return LL_EXIT_DONE;
	default:
		return done(task, -ENOSYS);
	}
}

static int fake_boot(struct ll_machine *given)
{
	machine = given;
	if (given->abi_version != LL_ABI_VERSION)
		return -EPROTO;
	given->done = new_task();
	return LL_EXIT_DONE;
}

static int fake_enter(void)
{
	struct ll_task *task = requester;

	machine->entries++;
	if (task) {
		requester = NULL;
		return done(task, task->nr == FAKE_RANDOM ? (int64_t)(random_word >> 1) : 0);
	}
	if (spinner)
		return spin(spinner);
	while ((task = machine->submitted)) {
		machine->submitted = task->next;
		task->flags &= ~LL_TASK_QUEUED;
		if (task->state == LL_TASK_DEAD)
			task->pid = 0; /* given back */
		if (task->state == LL_TASK_CALL && task->flags & LL_TASK_INTERRUPT)
			return done(task, -EINTR);
		if (task->state == LL_TASK_SUBMITTED)
			return start(task);
	}
	while (tick_ns && next_tick_ns <= now())
		next_tick_ns += tick_ns;
	for (int i = 0; i < MAX_TASKS; i++)
		if (tasks[i].state == LL_TASK_CALL && wake_ns[i] <= now())
			return done(&tasks[i], 0);
	return idle();
}

static int fake_call(struct ll_task *task)
{
	machine->entries++;
	return start(task);
}

static uint64_t fake_fixup(uint64_t pc)
{
	(void)pc;
	return 0;
}

static int fake_fault(const struct ll_fault *fault)
{
	(void)fault;
	if (crash_in_report)
		*nowhere = 1;
	return panic("fake fault\n", 11);
}

extern char __ehdr_start[] __attribute__((visibility("hidden")));

__attribute__((visibility("default"))) struct ll_image FAKE_SYMBOL = {
	.magic = FAKE_MAGIC,
	.abi_version = FAKE_ABI_VERSION,
	.image_bytes = sizeof(struct ll_image),
	.machine_bytes = sizeof(struct ll_machine),
	.task_bytes = FAKE_TASK_BYTES,
	.netdev_bytes = sizeof(struct ll_netdev),
	.desc_bytes = sizeof(struct ll_desc),
	.syscalls = 12,
	.release = "0.0-fake",
	.profile = "fake",
	.banner = "A fake kernel for tests\n",
	.text_start = (uint64_t)__ehdr_start,
	.text_end = (uint64_t)__ehdr_start + 0x2000,
	.memory_min_bytes = 1 << 20,
	.boot = fake_boot,
	.enter = fake_enter,
	.call = fake_call,
	.fixup = fake_fixup,
	.fault = fake_fault,
};

#ifdef FAKE_FOREIGN_RELOCATION
/* A symbol that others might define needs a relocation that is not relative. */
extern char somebody_elses[] __attribute__((weak, visibility("default")));
char *wants_a_linker __attribute__((visibility("default"))) = somebody_elses;
#endif
