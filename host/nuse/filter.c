// SPDX-License-Identifier: GPL-2.0-only
/*
 * The seccomp filter: which system calls become notifications.  Numbers that are not
 * in the table are allowed by the first comparisons alone, so that the kernel's own
 * cache of constant answers makes them free.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nuse.h"

#ifdef __x86_64__
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#else
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#define X32_BIT 0x40000000u

#define OFFSET(member) ((uint32_t)offsetof(struct seccomp_data, member))

static struct sock_filter load(uint32_t offset)
{
	return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset);
}

static struct sock_filter jump_if(uint16_t test, uint32_t value, uint8_t yes, uint8_t no)
{
	return (struct sock_filter)BPF_JUMP(BPF_JMP | test | BPF_K, value, yes, no);
}

static struct sock_filter answer(uint32_t value)
{
	return (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, value);
}

/* Of instructions for one call, and for all together. */
#define MOST_EACH 5
#define MOST_ELSE 16

/*
 * Jumps to an answer are far, and conditional ones reach 255 only: each call has an
 * unconditional one, which is aimed when the place of the answer is known.
 */
static uint32_t build(struct sock_filter *code)
{
	uint32_t n = 0, asked;

	code[n++] = load(OFFSET(arch));
	code[n++] = jump_if(BPF_JEQ, NATIVE_ARCH, 1, 0);
	code[n++] = answer(SECCOMP_RET_USER_NOTIF); /* 32-bit programs: refused by name */
	code[n++] = load(OFFSET(nr));
	/* Numbers of x32 are large; no real one is. */
	code[n++] = jump_if(BPF_JGE, X32_BIT, 0, 1);
	code[n++] = answer(SECCOMP_RET_USER_NOTIF);
	/* Its flags are in memory; every C library goes on with clone(2) then. */
	code[n++] = jump_if(BPF_JEQ, SYS_clone3, 0, 1);
	code[n++] = answer(SECCOMP_RET_ERRNO | ENOSYS);
	asked = n;
	for (uint32_t i = 0; i < nuse_call_count; i++) {
		uint32_t flags = nuse_calls[i].flags;

		code[n++] = jump_if(BPF_JEQ, nuse_calls[i].number, 0, flags ? 4 : 1);
		if (flags) {
			code[n++] = load(OFFSET(args)); /* the lower half, as flags are */
			code[n++] = jump_if(BPF_JSET, flags, 1, 0);
			code[n++] = answer(SECCOMP_RET_ALLOW);
		}
		code[n++] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0);
	}
	code[n++] = answer(SECCOMP_RET_ALLOW);
	for (; asked < n; asked++)
		if (code[asked].code == (BPF_JMP | BPF_JA))
			code[asked].k = n - asked - 1;
	/* One of ours: allowed if it comes from the gate. */
	code[n++] = load(OFFSET(instruction_pointer) + 4);
	code[n++] = jump_if(BPF_JEQ, (uint32_t)(GATE_ADDRESS >> 32), 0, 4);
	code[n++] = load(OFFSET(instruction_pointer));
	code[n++] = jump_if(BPF_JGE, (uint32_t)GATE_ADDRESS, 0, 2);
	code[n++] = jump_if(BPF_JGE, (uint32_t)(GATE_ADDRESS + GATE_BYTES), 1, 0);
	code[n++] = answer(SECCOMP_RET_ALLOW);
	code[n++] = answer(SECCOMP_RET_USER_NOTIF);
	return n;
}

int filter_install(void)
{
	struct sock_filter *code;
	struct sock_fprog program;
	long listener;

	code = calloc(MOST_EACH * nuse_call_count + MOST_ELSE, sizeof(*code));
	if (!code)
		return -ENOMEM;
	program.len = (unsigned short)build(code);
	program.filter = code;
	/* Without this right no_new_privs is the condition, and set-user-id is off. */
	listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			   &program);
	if (listener < 0 && errno == EACCES && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				   SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	if (listener < 0)
		listener = -errno;
	free(code);
	return (int)listener;
}
