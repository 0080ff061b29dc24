/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A caller's memory.  Of a task in this process it is reached directly, and a
 * bad pointer faults; the host then asks ll_image.fixup() where to go on.  Of a
 * task elsewhere (LL_TASK_REMOTE) the host copies.
 */
#ifndef _ASM_LIB_UACCESS_H
#define _ASM_LIB_UACCESS_H

#include <linux/compiler.h>
#include <linux/string.h>
#include <asm/extable.h>

/* Both return the number of bytes that were not copied. */
unsigned long ll_copy_local(void *to, const void *from, unsigned long n);
unsigned long ll_copy_remote(void *local, unsigned long remote, unsigned long n, int to_task);
unsigned long ll_clear_local(void *to, unsigned long n);
extern bool ll_remote; /* the current task's memory is elsewhere */

static __always_inline __must_check unsigned long
raw_copy_from_user(void *to, const void __user *from, unsigned long n)
{
	if (unlikely(ll_remote))
		return ll_copy_remote(to, (unsigned long)from, n, 0);
	return ll_copy_local(to, (const void __force *)from, n);
}

static __always_inline __must_check unsigned long
raw_copy_to_user(void __user *to, const void *from, unsigned long n)
{
	if (unlikely(ll_remote))
		return ll_copy_remote((void *)from, (unsigned long)to, n, 1);
	return ll_copy_local((void __force *)to, from, n);
}
#define INLINE_COPY_FROM_USER
#define INLINE_COPY_TO_USER

#ifdef __x86_64__
#define ll_load(sfx, type, to, from, err)                                      \
	asm volatile("1: mov" sfx " %[mem], %[reg]\n"                          \
		     "2:\n"                                                    \
		     ".pushsection .text.fixup, \"ax\"\n"                      \
		     "3: mov %[fault], %[e]\n xor %k[reg], %k[reg]\n jmp 2b\n" \
		     ".popsection\n" ll_extable("1b", "3b")                    \
		     : [reg] "=q"(*(type *)(to)), [e] "+r"(err)                \
		     : [mem] "m"(*(const type *)(from)), [fault] "i"(-EFAULT))
#define ll_store(sfx, type, to, from, err)                      \
	asm volatile("1: mov" sfx " %[reg], %[mem]\n"           \
		     "2:\n"                                     \
		     ".pushsection .text.fixup, \"ax\"\n"       \
		     "3: mov %[fault], %[e]\n jmp 2b\n"         \
		     ".popsection\n" ll_extable("1b", "3b")     \
		     : [mem] "=m"(*(type *)(to)), [e] "+r"(err) \
		     : [reg] "q"(*(const type *)(from)), [fault] "i"(-EFAULT))

static __always_inline int ll_get_local(unsigned long size, const void *from, void *to)
{
	int err = 0;

	switch (size) {
	case 1:
		ll_load("b", u8, to, from, err);
		break;
	case 2:
		ll_load("w", u16, to, from, err);
		break;
	case 4:
		ll_load("l", u32, to, from, err);
		break;
	case 8:
		ll_load("q", u64, to, from, err);
		break;
	}
	return err;
}

static __always_inline int ll_put_local(unsigned long size, void *to, const void *from)
{
	int err = 0;

	switch (size) {
	case 1:
		ll_store("b", u8, to, from, err);
		break;
	case 2:
		ll_store("w", u16, to, from, err);
		break;
	case 4:
		ll_store("l", u32, to, from, err);
		break;
	case 8:
		ll_store("q", u64, to, from, err);
		break;
	}
	return err;
}
#else
static __always_inline int ll_get_local(unsigned long size, const void *from, void *to)
{
	return ll_copy_local(to, from, size) ? -EFAULT : 0;
}

static __always_inline int ll_put_local(unsigned long size, void *to, const void *from)
{
	return ll_copy_local(to, from, size) ? -EFAULT : 0;
}
#endif

static __always_inline int ll_get_user(unsigned long size, const void __user *from, void *to)
{
	if (unlikely(ll_remote))
		return ll_copy_remote(to, (unsigned long)from, size, 0) ? -EFAULT : 0;
	return ll_get_local(size, (const void __force *)from, to);
}
#define __get_user_fn(size, from, to) ll_get_user(size, from, to)

static __always_inline int ll_put_user(unsigned long size, void __user *to, const void *from)
{
	if (unlikely(ll_remote))
		return ll_copy_remote((void *)from, (unsigned long)to, size, 1) ? -EFAULT : 0;
	return ll_put_local(size, (void __force *)to, from);
}
#define __put_user_fn(size, to, from) ll_put_user(size, to, from)

static __always_inline unsigned long ll_clear_user(void __user *to, unsigned long n)
{
	if (unlikely(ll_remote)) {
		static const char zeroes[256];

		while (n) {
			unsigned long part = n < sizeof(zeroes) ? n : sizeof(zeroes);
			unsigned long left =
				ll_copy_remote((void *)zeroes, (unsigned long)to, part, 1);

			n -= part - left;
			if (left)
				break;
			to += part;
		}
		return n;
	}
	return ll_clear_local((void __force *)to, n);
}
#define __clear_user ll_clear_user

#define __get_kernel_nofault(dst, src, type, err_label)                             \
	do {                                                                        \
		if (ll_get_local(sizeof(type), (const void *)(src), (void *)(dst))) \
			goto err_label;                                             \
	} while (0)

#define __put_kernel_nofault(dst, src, type, err_label)                             \
	do {                                                                        \
		if (ll_put_local(sizeof(type), (void *)(dst), (const void *)(src))) \
			goto err_label;                                             \
	} while (0)

#include <asm-generic/uaccess.h>
#endif
