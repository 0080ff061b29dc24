// SPDX-License-Identifier: GPL-2.0-only
/* The boot: memory, command line, what start_kernel() asks of an architecture. */
#include <linux/init.h>
#include <linux/kasan.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/panic_notifier.h>
#include <linux/sched/task_stack.h>
#include <linux/start_kernel.h>
#include <linux/seq_file.h>
#include <linux/vmalloc.h>
#include <asm/sections.h>
#include <asm/setup.h>
#include "kernel.h"

#ifdef LL_GENERIC_ZERO_PAGE
/* The one in the image would not do: it is not in the arena. */
void __init arch_setup_zero_pages(void)
{
	__zero_page = virt_to_page(memblock_alloc(PAGE_SIZE, PAGE_SIZE));
}
#else
struct page *ll_zero_page;
EXPORT_SYMBOL(ll_zero_page);
#endif

asmlinkage int __ref ll_boot_on_stack(void)
{
	init_task.thread.stack = ll_machine->stacks;
	ll_clock_init();
	start_kernel();
	unreachable();
}

/* The shadow is there: its host has mapped it, see struct ll_image. */
static void __init ll_kasan_init(void)
{
#ifdef LL_KASAN_INIT_GENERIC
	kasan_init_generic();
#elif defined(CONFIG_KASAN)
	init_task.kasan_depth = 0;
	pr_info("KernelAddressSanitizer initialized\n");
#endif
}

#ifdef CONFIG_KASAN
/* mm/kasan/shadow.c asks for it on behalf of modules, which there are none of. */
struct vm_struct *find_vm_area(const void *addr)
{
	return NULL;
}
#endif

void __init setup_arch(char **cmdline_p)
{
	/* The console learns each line's level by its prefix, see console.c. */
	scnprintf(boot_command_line, COMMAND_LINE_SIZE, "console_msg_format=syslog %s",
		  ll_machine->cmdline ?: "");
	*cmdline_p = boot_command_line;

	setup_initial_init_mm(_stext, _etext, _edata, _end);
	memblock_add(0, ll_machine->memory_bytes);
	memblock_reserve(0, PAGE_SIZE);
	min_low_pfn = 0;
	max_low_pfn = max_pfn = ll_machine->memory_bytes >> PAGE_SHIFT;
	high_memory = __va(ll_machine->memory_bytes);
	ll_paging_init();
	ll_kasan_init();
	parse_early_param();
}

/* Between 6.12 and 7.3 generic code took over free_area_init(). */
#ifdef LL_ARCH_ZONE_LIMITS
void __init arch_zone_limits_init(unsigned long *max_zone_pfns)
{
	max_zone_pfns[ZONE_NORMAL] = max_low_pfn;
}

void __init ll_paging_init(void)
{
}
#else
void __init ll_paging_init(void)
{
	unsigned long max_zone_pfns[MAX_NR_ZONES] = { [ZONE_NORMAL] = max_low_pfn };

	free_area_init(max_zone_pfns);
#ifndef LL_GENERIC_ZERO_PAGE
	ll_zero_page = virt_to_page(memblock_alloc(PAGE_SIZE, PAGE_SIZE));
#endif
}
#endif

#ifdef LL_ARCH_MEM_INIT
void __init mem_init(void)
{
	memblock_free_all();
}
#endif

/* Kept: the image is shared, its pages cannot be given back. */
void free_initmem(void)
{
}

static int cpuinfo_show(struct seq_file *m, void *v)
{
	seq_printf(m, "processor\t: 0\nmodel name\t: liblinux\n");
	return 0;
}

static void *cpuinfo_start(struct seq_file *m, loff_t *pos)
{
	return *pos ? NULL : (void *)1;
}

static void *cpuinfo_next(struct seq_file *m, void *v, loff_t *pos)
{
	++*pos;
	return NULL;
}

static void cpuinfo_stop(struct seq_file *m, void *v)
{
}

const struct seq_operations cpuinfo_op = {
	.start = cpuinfo_start,
	.next = cpuinfo_next,
	.stop = cpuinfo_stop,
	.show = cpuinfo_show,
};
