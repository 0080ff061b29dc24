// SPDX-License-Identifier: GPL-2.0-only
/* The image's one exported symbol, and the entries behind it. */
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/kasan.h>
#include <linux/extable.h>
#include <linux/sizes.h>
#include <linux/stringify.h>
#include <linux/utsname.h>
#include <generated/utsrelease.h>
#include <asm/sections.h>
#include <asm/extable.h>
#include <asm/syscall.h>
#include <asm/unistd.h>
#include "kernel.h"

/* Written by isa_*.S, which reaches them relative to the program counter. */
unsigned long ll_host_sp, ll_kernel_sp;

unsigned long ll_memory_start, ll_memory_end;
EXPORT_SYMBOL(ll_memory_start);
EXPORT_SYMBOL(ll_memory_end);

/* An arena below this does not get through the boot of the smallest profile. */
#define LL_MEMORY_MIN SZ_2M

static int ll_boot(struct ll_machine *machine)
{
	if (ll_machine)
		return -EBUSY;
	if (machine->abi_version != LL_ABI_VERSION || machine->machine_bytes != sizeof(*machine))
		return -EPROTO;
	if (machine->memory % PAGE_SIZE || machine->memory_bytes % PAGE_SIZE ||
	    machine->memory_bytes < LL_MEMORY_MIN)
		return -EINVAL;
	if (machine->stack_bytes < SZ_16K || (machine->stack_bytes & (machine->stack_bytes - 1)) ||
	    machine->stacks % PAGE_SIZE || machine->stack_count < 8)
		return -EINVAL;
	if (!machine->clock_word && !machine->clock_ns && !(machine->flags & LL_CLOCK_BY_EXIT))
		return -EINVAL;

	ll_machine = machine;
	ll_memory_start = machine->memory;
	ll_memory_end = machine->memory + machine->memory_bytes;
	machine->deadline_ns = LL_NEVER;
	machine->entries = 1;
	return ll_entry_boot(machine->stacks + machine->stack_bytes);
}

static int ll_enter(void)
{
	struct ll_machine *m = ll_machine;

	m->entries++;
	if (ll_kernel_sp)
		return ll_entry_resume();
	return ll_entry_user(ll_user_task->stack_top);
}

static int ll_call(struct ll_task *task)
{
	task->state = LL_TASK_SUBMITTED;
	if (likely(task == ll_user_task && !ll_kernel_sp)) {
		ll_machine->entries++;
		return ll_entry_call(task, task->stack_top);
	}
	if (!(task->flags & LL_TASK_QUEUED)) {
		task->flags |= LL_TASK_QUEUED;
		task->next = ll_machine->submitted;
		ll_machine->submitted = task;
	}
	return ll_enter();
}

static u64 ll_fixup(u64 pc)
{
	const struct exception_table_entry *e = search_exception_tables(pc);

	return e ? (unsigned long)&e->fixup + e->fixup : 0;
}

static int ll_fault(const struct ll_fault *fault)
{
	/* Stack 1 serves nothing else. */
	return ll_entry_fault(fault, ll_machine->stacks + 2 * (u64)ll_machine->stack_bytes);
}

__visible __attribute__((visibility("default"), used)) const struct ll_image liblinux_image = {
	.magic = LL_MAGIC,
	.abi_version = LL_ABI_VERSION,
	.image_bytes = sizeof(struct ll_image),
	.machine_bytes = sizeof(struct ll_machine),
	.task_bytes = sizeof(struct ll_task),
	.netdev_bytes = sizeof(struct ll_netdev),
	.desc_bytes = sizeof(struct ll_desc),
	.syscalls = NR_syscalls,
	.release = UTS_RELEASE,
	.profile = CONFIG_LIB_PROFILE,
	.banner = linux_banner,
	.text_start = (unsigned long)_stext,
	.text_end = (unsigned long)_etext,
#ifdef CONFIG_KASAN
	.shadow_offset = KASAN_SHADOW_OFFSET,
#endif
	.memory_min_bytes = LL_MEMORY_MIN,
	.boot = ll_boot,
	.enter = ll_enter,
	.call = ll_call,
	.fixup = ll_fixup,
	.fault = ll_fault,
};
