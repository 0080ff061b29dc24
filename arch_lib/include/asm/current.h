/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LIB_CURRENT_H
#define _ASM_LIB_CURRENT_H
#ifndef __ASSEMBLY__
struct task_struct;
extern struct task_struct *ll_current;
#define get_current() ll_current
#define current	      get_current()
#endif
#endif
