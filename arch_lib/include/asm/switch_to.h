/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LIB_SWITCH_TO_H
#define _ASM_LIB_SWITCH_TO_H

struct task_struct;
struct task_struct *ll_switch(struct task_struct *prev, struct task_struct *next);
#define switch_to(prev, next, last) ((last) = ll_switch((prev), (next)))

/* Tasks that keep each other busy must not keep the host out for ever. */
#define LL_BUSY_SWITCHES 100000
extern unsigned int ll_switches; /* since the kernel was last idle */
void ll_switched(void);
#define finish_arch_post_lock_switch()                         \
	do {                                                   \
		if (unlikely(ll_switches >= LL_BUSY_SWITCHES)) \
			ll_switched();                         \
	} while (0)

#endif
