// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults inside a kernel.  Accesses to a caller's memory are repaired where they
 * stand (EFAULT); any other fault in a kernel, a stack overflow above all, ends
 * that kernel and nothing else.  Faults that are not ours go to whoever handled
 * them before, Python's faulthandler for instance.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "fork.h"
#include "isa.h"
#include "kernel.h"

#define ALTERNATE_STACK_BYTES (64u << 10)

__thread struct plh_kernel *faults_inside __attribute__((tls_model("initial-exec")));
__thread bool faults_stack_ready __attribute__((tls_model("initial-exec")));

static const int fault_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
#define FAULT_SIGNALS (sizeof(fault_signals) / sizeof(fault_signals[0]))
static struct sigaction previous[FAULT_SIGNALS];

/* --- Not ours --- */

static void die_by_default(int signal_number)
{
	struct sigaction action = { .sa_handler = SIG_DFL };

	/* The instruction faults again when the handler returns. */
	sigaction(signal_number, &action, NULL);
}

static void pass_on(int signal_number, siginfo_t *info, void *context)
{
	static __thread bool passing;
	const struct sigaction *action = NULL;
	bool sent = info->si_code <= 0; /* by kill(2), not by a fault */

	for (size_t i = 0; i < FAULT_SIGNALS; i++)
		if (fault_signals[i] == signal_number)
			action = &previous[i];
	/* A handler installed after ours may well call ours again. */
	if (!action || passing || action->sa_handler == SIG_DFL ||
	    (action->sa_handler == SIG_IGN && !sent)) {
		die_by_default(signal_number);
		if (sent)
			raise(signal_number);
		return;
	}
	if (action->sa_handler == SIG_IGN)
		return;
	passing = true;
	if (action->sa_flags & SA_SIGINFO)
		action->sa_sigaction(signal_number, info, context);
	else
		action->sa_handler(signal_number);
	passing = false;
}

/* --- Ours --- */

static bool belongs_to(const struct plh_kernel *kernel, uint64_t pc, uint64_t sp)
{
	const struct arena *arena = &kernel->arena;

	return pc - kernel->loaded.base < kernel->loaded.bytes ||
	       sp - arena->stacks < arena->stack_count * arena->stack_bytes;
}

static void on_fault(int signal_number, siginfo_t *info, void *opaque)
{
	struct plh_kernel *kernel = faults_inside;
	ucontext_t *context = opaque;
	uint64_t pc = isa_context_pc(context);
	uint64_t sp = isa_context_sp(context);
	uint64_t go_on;

	if (!kernel || info->si_code <= 0 || !belongs_to(kernel, pc, sp)) {
		pass_on(signal_number, info, opaque);
		return;
	}
	if (pc - kernel->table->text_start < kernel->table->text_end - kernel->table->text_start) {
		/* A fault in fixup() itself must not come back here for ever. */
		faults_inside = NULL;
		go_on = kernel->table->fixup(pc);
		faults_inside = kernel;
		if (go_on) {
			isa_context_set_pc(context, go_on);
			return;
		}
	}
	kernel->fault = (struct ll_fault){
		.pc = pc,
		.sp = sp,
		.fp = isa_context_fp(context),
		.address = (uint64_t)info->si_addr,
		.signal = (uint32_t)signal_number,
		.code = (uint32_t)info->si_code,
	};
	/*
	 * Nothing is blocked (SA_NODEFER, an empty mask), so that jumping out
	 * of the handler leaves the signal mask as it was.
	 */
	__builtin_longjmp(kernel->escape, 1);
}

void faults_install(void)
{
	struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	action.sa_sigaction = on_fault;
	sigemptyset(&action.sa_mask);
	pthread_mutex_lock(&process_mutex);
	/* Again at each boot, in case that somebody has taken them since. */
	for (size_t i = 0; i < FAULT_SIGNALS; i++) {
		struct sigaction now;

		if (sigaction(fault_signals[i], NULL, &now))
			continue;
		if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_fault)
			continue;
		previous[i] = now;
		sigaction(fault_signals[i], &action, NULL);
	}
	pthread_mutex_unlock(&process_mutex);
}

/* --- The stack of the handler --- */

static pthread_key_t stack_key;

static void free_stack(void *memory)
{
	stack_t off = { .ss_flags = SS_DISABLE };
	stack_t now;

	if (!sigaltstack(NULL, &now) && now.ss_sp == memory)
		sigaltstack(&off, NULL);
	munmap(memory, ALTERNATE_STACK_BYTES);
	faults_stack_ready = false;
}

static void make_key(void)
{
	if (pthread_key_create(&stack_key, free_stack))
		abort(); /* a process has 1024 keys, and nothing works without any */
}

void faults_make_stack(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	stack_t stack;
	void *memory;

	pthread_once(&once, make_key);
	faults_stack_ready = true;
	if (sigaltstack(NULL, &stack) || !(stack.ss_flags & SS_DISABLE))
		return; /* the thread has one already */
	memory = mmap(NULL, ALTERNATE_STACK_BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return; /* a stack overflow then ends the process */
	stack = (stack_t){ .ss_sp = memory, .ss_size = ALTERNATE_STACK_BYTES };
	if (sigaltstack(&stack, NULL) || pthread_setspecific(stack_key, memory))
		munmap(memory, ALTERNATE_STACK_BYTES);
}
