/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Nothing interrupts the kernel: events are taken in where the host enters and
 * where the kernel asks.  So the interrupt flag is a plain variable.
 */
#ifndef _ASM_LIB_IRQFLAGS_H
#define _ASM_LIB_IRQFLAGS_H

extern unsigned long ll_irq_enabled;

static __always_inline unsigned long arch_local_save_flags(void)
{
	return *(volatile unsigned long *)&ll_irq_enabled;
}
#define arch_local_save_flags arch_local_save_flags

static __always_inline void arch_local_irq_restore(unsigned long flags)
{
	*(volatile unsigned long *)&ll_irq_enabled = flags;
}
#define arch_local_irq_restore arch_local_irq_restore

#include <asm-generic/irqflags.h>
#endif
