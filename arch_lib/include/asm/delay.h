/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LIB_DELAY_H
#define _ASM_LIB_DELAY_H
void ll_delay(unsigned long long delay_ns);
#define udelay(n) ll_delay((n) * 1000ULL)
#define ndelay(n) ll_delay(n)
#endif
