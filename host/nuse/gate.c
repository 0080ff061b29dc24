// SPDX-License-Identifier: GPL-2.0-only
/*
 * A page at an address that the filter exempts, with one function: a system call.
 * What we do between installing the filter and execve() goes through it.  It is no
 * security boundary: a program that knows of it can use it, too.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "nuse.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* The C calling convention for (nr, six arguments) to that of the kernel, and back. */
#ifdef __x86_64__
asm(".pushsection .text\n"
    ".globl plh_gate_code, plh_gate_end\n"
    ".hidden plh_gate_code, plh_gate_end\n"
    "plh_gate_code:\n"
    "	mov %rdi, %rax\n"
    "	mov %rsi, %rdi\n"
    "	mov %rdx, %rsi\n"
    "	mov %rcx, %rdx\n"
    "	mov %r8, %r10\n"
    "	mov %r9, %r8\n"
    "	mov 8(%rsp), %r9\n"
    "	syscall\n"
    "	ret\n"
    "plh_gate_end:\n"
    ".popsection\n");
#elif defined(__aarch64__)
asm(".pushsection .text\n"
    ".globl plh_gate_code, plh_gate_end\n"
    ".hidden plh_gate_code, plh_gate_end\n"
    "plh_gate_code:\n"
    "	mov x8, x0\n"
    "	mov x0, x1\n"
    "	mov x1, x2\n"
    "	mov x2, x3\n"
    "	mov x3, x4\n"
    "	mov x4, x5\n"
    "	mov x5, x6\n"
    "	svc #0\n"
    "	ret\n"
    "plh_gate_end:\n"
    ".popsection\n");
#else
#error "Write the gate for this ISA."
#endif

extern const char plh_gate_code[], plh_gate_end[];

int gate_open(void)
{
	void *page = mmap((void *)GATE_ADDRESS, GATE_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (page == MAP_FAILED)
		return errno == EEXIST ? 0 : -errno; /* ours, of a run before */
	if (page != (void *)GATE_ADDRESS)
		return -EADDRNOTAVAIL; /* a kernel that does not know MAP_FIXED_NOREPLACE */
	memcpy(page, plh_gate_code, (size_t)(plh_gate_end - plh_gate_code));
	__builtin___clear_cache(page, (char *)page + GATE_BYTES);
	if (mprotect(page, GATE_BYTES, PROT_READ | PROT_EXEC))
		return -errno;
	return 0;
}

int64_t gate_call(uint64_t nr, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
		  uint64_t a5)
{
	int64_t (*gate)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) =
		(void *)GATE_ADDRESS;

	return gate(nr, a0, a1, a2, a3, a4, a5);
}
