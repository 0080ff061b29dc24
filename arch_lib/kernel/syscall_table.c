// SPDX-License-Identifier: GPL-2.0-only
/* The ISA's own system call table; what a library cannot do is refused. */
#include <linux/linkage.h>
#include <linux/syscalls.h>
#include <asm/syscall.h>
#include <asm/unistd.h>

SYSCALL_DEFINE6(mmap, unsigned long, addr, unsigned long, len, unsigned long, prot, unsigned long,
		flags, unsigned long, fd, unsigned long, off)
{
	if (off & ~PAGE_MASK)
		return -EINVAL;
	return ksys_mmap_pgoff(addr, len, prot, flags, fd, off >> PAGE_SHIFT);
}

SYSCALL_DEFINE0(rt_sigreturn)
{
	return -ENOSYS; /* signal frames are the host's */
}

/* The host has no way to continue a program twice: see LL_SYS_TASK_CREATE. */
#define sys_fork   sys_ni_syscall
#define sys_vfork  sys_ni_syscall
#define sys_clone  sys_ni_syscall
#define sys_clone3 sys_ni_syscall

#ifdef __x86_64__
/* x86-64's table names what only its processors have. */
#define sys_arch_prctl	     sys_ni_syscall
#define sys_ioperm	     sys_ni_syscall
#define sys_iopl	     sys_ni_syscall
#define sys_modify_ldt	     sys_ni_syscall
#define sys_map_shadow_stack sys_ni_syscall
#define sys_uretprobe	     sys_ni_syscall
#define sys_uprobe	     sys_ni_syscall
#endif

#define __SYSCALL_WITH_COMPAT(nr, native, compat) __SYSCALL(nr, native)
#define __SYSCALL_NORETURN(nr, call)		  __SYSCALL(nr, call)
#define __SYSCALL(nr, call)			  [nr] = (void *)call,

void *const sys_call_table[NR_syscalls] = {
	[0 ... NR_syscalls - 1] = (void *)sys_ni_syscall,
#include <asm/syscall_table_64.h>
};
