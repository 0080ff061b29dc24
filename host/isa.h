/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Everything in the host side that depends on the instruction set: the machine
 * of an image, its relative relocation, and the registers in a signal context.
 */
#ifndef PLH_ISA_H
#define PLH_ISA_H

#include <elf.h>
#include <stdint.h>
#include <ucontext.h>

#if defined(__x86_64__)

#define ISA_NAME	   "x86-64"
#define ISA_ELF_MACHINE	   EM_X86_64
#define ISA_RELOC_RELATIVE R_X86_64_RELATIVE

/* In a loop that waits for memory to change. */
static inline void isa_relax(void)
{
	__builtin_ia32_pause();
}

static inline uint64_t isa_context_pc(const ucontext_t *context)
{
	return (uint64_t)context->uc_mcontext.gregs[REG_RIP];
}

static inline uint64_t isa_context_sp(const ucontext_t *context)
{
	return (uint64_t)context->uc_mcontext.gregs[REG_RSP];
}

static inline uint64_t isa_context_fp(const ucontext_t *context)
{
	return (uint64_t)context->uc_mcontext.gregs[REG_RBP];
}

static inline void isa_context_set_pc(ucontext_t *context, uint64_t pc)
{
	context->uc_mcontext.gregs[REG_RIP] = (greg_t)pc;
}

#elif defined(__aarch64__)

#define ISA_NAME	   "aarch64"
#define ISA_ELF_MACHINE	   EM_AARCH64
#define ISA_RELOC_RELATIVE R_AARCH64_RELATIVE

/* In a loop that waits for memory to change. */
static inline void isa_relax(void)
{
	__asm__ volatile("isb");
}

static inline uint64_t isa_context_pc(const ucontext_t *context)
{
	return context->uc_mcontext.pc;
}

static inline uint64_t isa_context_sp(const ucontext_t *context)
{
	return context->uc_mcontext.sp;
}

static inline uint64_t isa_context_fp(const ucontext_t *context)
{
	return context->uc_mcontext.regs[29];
}

static inline void isa_context_set_pc(ucontext_t *context, uint64_t pc)
{
	context->uc_mcontext.pc = pc;
}

#else
#error "pylibos runs on x86-64 and aarch64; port host/isa.h to build it elsewhere"
#endif

#endif
