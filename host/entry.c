// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entering a kernel, and the exits that are requests: a log line, random bytes,
 * a stack.  They are served here, on the host's stack, and the kernel goes on.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "call.h"
#include "clock.h"
#include "device.h"
#include "error.h"
#include "kernel.h"

/* The kernel's own: reported when a fault threw its execution away. */
#define EXIT_FAULT (-0x1000)
/* Idle exits with a deadline in the past before we stop believing them. */
#define MAX_SPINS      1000
#define BOOT_LOG_LEVEL 4 /* KERN_WARNING */

enum entry {
	ENTRY_BOOT,
	ENTRY_ENTER,
	ENTRY_FAULT,
};

/*
 * The two functions that call into a kernel.  A fault that the kernel cannot
 * repair jumps back to the __builtin_setjmp(), see faults.c: the stack frames of
 * the kernel are then simply left behind.
 */
static __attribute__((noinline)) int enter_guarded(struct plh_kernel *kernel, enum entry how)
{
	int exit;

	if (!faults_stack_ready)
		faults_make_stack();
	if (__builtin_setjmp(kernel->escape))
		return EXIT_FAULT;
	faults_inside = kernel;
	if (how == ENTRY_ENTER)
		exit = kernel->enter();
	else if (how == ENTRY_BOOT)
		exit = kernel->boot(kernel->machine);
	else
		exit = kernel->table->fault(&kernel->fault);
	faults_inside = NULL;
	return exit;
}

__attribute__((noinline)) int entry_call(struct plh_kernel *kernel, struct ll_task *task)
{
	int exit;

	if (__builtin_expect(!faults_stack_ready, 0))
		faults_make_stack();
	if (__builtin_setjmp(kernel->escape))
		return EXIT_FAULT;
	faults_inside = kernel;
	exit = kernel->call(task);
	faults_inside = NULL;
	return exit;
}

/* --- Requests --- */

static void serve_log(struct plh_kernel *kernel)
{
	const struct ll_machine *machine = kernel->machine;
	const char *text = (const char *)machine->exit_args[0];
	uint64_t bytes = machine->exit_args[1];
	int level = (int)machine->exit_args[2];

	log_add(&kernel->log, text, bytes);
	if (!kernel->config.log)
		return;
	if (!kernel->booted && !kernel->config.boot_log && level > BOOT_LOG_LEVEL)
		return;
	kernel->world->callbacks++;
	kernel->config.log(kernel->config.opaque, level, text, bytes);
	kernel->world->callbacks--;
}

static void serve_random(struct plh_kernel *kernel)
{
	void *buffer = (void *)kernel->machine->exit_args[0];
	uint64_t bytes = kernel->machine->exit_args[1];

	if (!kernel->config.random) {
		random_bytes(&kernel->random, buffer, bytes);
		return;
	}
	kernel->world->callbacks++;
	kernel->config.random(kernel->config.opaque, buffer, bytes);
	kernel->world->callbacks--;
}

static void serve_stack(struct plh_kernel *kernel)
{
	uint64_t number = kernel->machine->exit_args[0];
	int result = arena_use_stack(&kernel->arena, number);

	if (!result && kernel->stacks_used <= number)
		kernel->stacks_used = number + 1;
	kernel->machine->exit_ret = (uint64_t)(int64_t)result;
}

/* A task whose memory is elsewhere: whoever attached it knows the way. */
static void serve_copy(struct plh_kernel *kernel)
{
	struct ll_machine *machine = kernel->machine;
	const uint64_t *args = machine->exit_args;
	const struct call *call = args[0] ? call_known((const plh_task *)args[0]) : NULL;

	machine->exit_ret = args[3];
	if (!call || !call->copy)
		return;
	kernel->world->callbacks++;
	machine->exit_ret =
		call->copy(call->opaque, (void *)args[1], args[2], args[3], (int)args[4]);
	kernel->world->callbacks--;
}

static int serve_fault(struct plh_kernel *kernel)
{
	char words[256];
	int bytes;

	faults_inside = NULL;
	if (!kernel->reporting) {
		kernel->reporting = true;
		return enter_guarded(kernel, ENTRY_FAULT);
	}
	/* Not even the report works: say what the handler saw. */
	bytes = snprintf(words, sizeof(words),
			 "fault (signal %u) at address %#llx, pc %#llx (image + %#llx), while a "
			 "fault was being reported",
			 kernel->fault.signal, (unsigned long long)kernel->fault.address,
			 (unsigned long long)kernel->fault.pc,
			 (unsigned long long)(kernel->fault.pc - kernel->loaded.bias));
	kernel_die(kernel, PLH_KERNEL_PANICKED, words, (uint64_t)bytes);
	return LL_EXIT_PANIC;
}

static int serve_unknown(struct plh_kernel *kernel, int exit)
{
	char words[96];
	int bytes = snprintf(words, sizeof(words),
			     exit < 0 ? "the kernel refused to run: error %d" :
					"the kernel left with exit %d, which this host does not "
					"know",
			     exit);

	kernel_die(kernel, PLH_KERNEL_PANICKED, words, (uint64_t)bytes);
	return LL_EXIT_PANIC;
}

int kernel_serve(struct plh_kernel *kernel, int exit)
{
	struct ll_machine *machine = kernel->machine;

	for (;;) {
		switch (exit) {
		case LL_EXIT_IDLE:
		case LL_EXIT_DONE:
		case LL_EXIT_BUSY:
			kernel->busy = exit == LL_EXIT_BUSY;
			kernel->ready = kernel->booted && !kernel->busy;
			return exit;
		case LL_EXIT_LOG:
			serve_log(kernel);
			break;
		case LL_EXIT_RANDOM:
			serve_random(kernel);
			break;
		case LL_EXIT_CLOCK:
			machine->exit_ret = world_now(kernel->world);
			break;
		case LL_EXIT_STACK:
			serve_stack(kernel);
			break;
		case LL_EXIT_COPY:
			serve_copy(kernel);
			break;
		case LL_EXIT_PANIC:
			kernel_die(kernel, PLH_KERNEL_PANICKED, (const char *)machine->exit_args[0],
				   machine->exit_args[1]);
			return exit;
		case LL_EXIT_HALT:
			kernel_die(kernel, PLH_KERNEL_HALTED, "", 0);
			return exit;
		case EXIT_FAULT:
			exit = serve_fault(kernel);
			continue;
		default:
			return serve_unknown(kernel, exit);
		}
		exit = enter_guarded(kernel, ENTRY_ENTER);
	}
}

int kernel_enter(struct plh_kernel *kernel, struct ll_task *task)
{
	if (task)
		return kernel_serve(kernel, entry_call(kernel, task));
	if (!kernel->entered) {
		kernel->entered = true;
		return kernel_serve(kernel, enter_guarded(kernel, ENTRY_BOOT));
	}
	return kernel_serve(kernel, enter_guarded(kernel, ENTRY_ENTER));
}

/* --- After it left --- */

/*
 * A deadline that has passed asks to be entered again at once.  Under a clock
 * that stands still that may go on for ever: then time passes all the same.
 */
static uint64_t believable_deadline(struct plh_kernel *kernel, uint64_t deadline_ns)
{
	/* A lower bound of the time, and 0 in real time, which passes by itself. */
	uint64_t now_ns = kernel->world->clock_word;

	if (deadline_ns > now_ns) {
		kernel->spins = 0;
		return deadline_ns;
	}
	if (++kernel->spins < MAX_SPINS)
		return deadline_ns;
	kernel->spins = 0;
	return now_ns + 1;
}

void kernel_left(struct plh_kernel *kernel, int exit)
{
	struct plh_world *world = kernel->world;
	struct ll_machine *machine = kernel->machine;

	if (machine->tx_kicks)
		devices_kicked(kernel);
	if (kernel->devices_stalled)
		devices_retry(kernel);
	switch (exit) {
	case LL_EXIT_IDLE:
		heap_set(&world->heap, &kernel->event,
			 believable_deadline(kernel, machine->deadline_ns));
		if (!machine->submitted && !machine->rx_kicks)
			world_forget_runnable(world, kernel);
		break;
	case LL_EXIT_DONE:
		if (machine->work_pending)
			world_make_runnable(world, kernel);
		/* The kernel may have set a timer and gone on with its call. */
		if (kernel->event.time_ns > machine->deadline_ns)
			heap_set(&world->heap, &kernel->event, machine->deadline_ns);
		break;
	case LL_EXIT_BUSY:
		world->clock->busy(world, kernel, machine->exit_args[0]);
		break;
	}
}
