/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LIB_STRING_H
#define _ASM_LIB_STRING_H
#define __HAVE_ARCH_MEMCPY
#define __HAVE_ARCH_MEMMOVE
#define __HAVE_ARCH_MEMSET
#define __HAVE_ARCH_MEMCMP
extern void *memcpy(void *to, const void *from, __kernel_size_t n);
extern void *memmove(void *to, const void *from, __kernel_size_t n);
extern void *memset(void *to, int c, __kernel_size_t n);
extern int memcmp(const void *a, const void *b, __kernel_size_t n);
#ifdef CONFIG_KASAN
/* As they are; mm/kasan/shadow.c puts its checks in front of them. */
extern void *__memcpy(void *to, const void *from, __kernel_size_t n);
extern void *__memmove(void *to, const void *from, __kernel_size_t n);
extern void *__memset(void *to, int c, __kernel_size_t n);
#ifndef __SANITIZE_ADDRESS__
#define memcpy(to, from, n)  __memcpy(to, from, n)
#define memmove(to, from, n) __memmove(to, from, n)
#define memset(to, c, n)     __memset(to, c, n)
#ifndef __NO_FORTIFY
#define __NO_FORTIFY
#endif
#endif
#endif
#endif
