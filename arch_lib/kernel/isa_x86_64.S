/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Moving between the host's stack and the kernel's, and between kernel stacks.
 *
 * Entering saves the host's callee-saved registers on its stack and the pointer
 * in ll_machine->host_sp.  Leaving always goes through .Lleave, whoever entered
 * last: a call that blocked may return to the host from another entry than the
 * one that started it.  A call that does not block pairs each call with its
 * return, so that the processor's return predictor stays right; context switches
 * jump instead of returning for the same reason.
 */
#include <linux/linkage.h>
#include <asm/extable.h>

#define HOST_SP		ll_host_sp(%rip)
#define KERNEL_SP	ll_kernel_sp(%rip)

.macro save_registers
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
.endm

.macro restore_registers
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
.endm

	.text

/* int ll_entry_call(task, stack_top) */
SYM_FUNC_START(ll_entry_call)
	save_registers
	movq	%rsp, HOST_SP
	movq	%rsi, %rsp
	xorl	%ebp, %ebp
	call	ll_call_on_stack
.Lleave:
	movq	HOST_SP, %rsp
	restore_registers
	ret
SYM_FUNC_END(ll_entry_call)

/* int ll_entry_boot(stack_top) */
SYM_FUNC_START(ll_entry_boot)
	save_registers
	movq	%rsp, HOST_SP
	movq	%rdi, %rsp
	xorl	%ebp, %ebp
	call	ll_boot_on_stack
	jmp	.Lleave
SYM_FUNC_END(ll_entry_boot)

/* int ll_entry_user(stack_top) */
SYM_FUNC_START(ll_entry_user)
	save_registers
	movq	%rsp, HOST_SP
	movq	%rdi, %rsp
	xorl	%ebp, %ebp
	call	ll_user_on_stack
	jmp	.Lleave
SYM_FUNC_END(ll_entry_user)

/* int ll_entry_fault(fault, stack_top) */
SYM_FUNC_START(ll_entry_fault)
	save_registers
	movq	%rsp, HOST_SP
	movq	%rsi, %rsp
	xorl	%ebp, %ebp
	call	ll_fault_on_stack
	jmp	.Lleave
SYM_FUNC_END(ll_entry_fault)

/* int ll_entry_resume(void) */
SYM_FUNC_START(ll_entry_resume)
	save_registers
	movq	%rsp, HOST_SP
	movq	KERNEL_SP, %rsp
	movq	$0, KERNEL_SP
	restore_registers
	popq	%rcx
	jmp	*%rcx
SYM_FUNC_END(ll_entry_resume)

/* void ll_exit(reason) */
SYM_FUNC_START(ll_exit)
	save_registers
	movq	%rsp, KERNEL_SP
	movl	%edi, %eax
	jmp	.Lleave
SYM_FUNC_END(ll_exit)

/* void *ll_switch_stacks(save, sp, prev) */
SYM_FUNC_START(ll_switch_stacks)
	save_registers
	movq	%rsp, (%rdi)
	movq	%rsi, %rsp
	movq	%rdx, %rax
	restore_registers
	popq	%rcx
	jmp	*%rcx
SYM_FUNC_END(ll_switch_stacks)

/* A new task: prev in %rax, the stack is aligned. */
SYM_FUNC_START(ll_task_start)
	movq	%rax, %rdi
	xorl	%ebp, %ebp
	call	ll_task_begin
	jmp	.Lleave
SYM_FUNC_END(ll_task_start)

/*
 * unsigned long ll_copy_local(to, from, n): returns how many bytes were not
 * copied.  A fault in the wide loops goes on bytewise, to be exact.
 */
SYM_FUNC_START(ll_copy_local)
	cmpq	$16, %rdx
	jb	3f
	cmpq	$2048, %rdx
	jae	.Lbytes
1:	cmpq	$32, %rdx
	jb	2f
10:	movups	(%rsi), %xmm0
11:	movups	16(%rsi), %xmm1
12:	movups	%xmm0, (%rdi)
13:	movups	%xmm1, 16(%rdi)
	addq	$32, %rsi
	addq	$32, %rdi
	subq	$32, %rdx
	jmp	1b
2:	cmpq	$16, %rdx
	jb	3f
14:	movups	(%rsi), %xmm0
15:	movups	%xmm0, (%rdi)
	addq	$16, %rsi
	addq	$16, %rdi
	subq	$16, %rdx
3:	testb	$8, %dl
	jz	4f
16:	movq	(%rsi), %rax
17:	movq	%rax, (%rdi)
	addq	$8, %rsi
	addq	$8, %rdi
	subq	$8, %rdx
4:	testb	$4, %dl
	jz	5f
18:	movl	(%rsi), %eax
19:	movl	%eax, (%rdi)
	addq	$4, %rsi
	addq	$4, %rdi
	subq	$4, %rdx
5:	testq	%rdx, %rdx
	jz	7f
6:	movb	(%rsi), %al
20:	movb	%al, (%rdi)
	incq	%rsi
	incq	%rdi
	decq	%rdx
	jnz	6b
7:	xorl	%eax, %eax
	ret
.Lbytes:
	movq	%rdx, %rcx
21:	rep movsb
	xorl	%eax, %eax
	ret
.Lbyteend:
	movq	%rcx, %rax
	ret
.Llast:
	movq	%rdx, %rax
	ret
.macro extable insn, fixup
	.pushsection __ex_table, "a"
	.balign 4
	.long (\insn) - .
	.long (\fixup) - .
	.popsection
.endm
	extable 10b, .Lbytes
	extable 11b, .Lbytes
	extable 12b, .Lbytes
	extable 13b, .Lbytes
	extable 14b, .Lbytes
	extable 15b, .Lbytes
	extable 16b, .Lbytes
	extable 17b, .Lbytes
	extable 18b, .Lbytes
	extable 19b, .Lbytes
	extable 6b, .Llast
	extable 20b, .Llast
	extable 21b, .Lbyteend
SYM_FUNC_END(ll_copy_local)

/* unsigned long ll_clear_local(to, n): returns how many bytes were not cleared */
SYM_FUNC_START(ll_clear_local)
	movq	%rsi, %rcx
	xorl	%eax, %eax
1:	rep stosb
2:	movq	%rcx, %rax
	ret
	extable 1b, 2b
SYM_FUNC_END(ll_clear_local)

	.section .note.GNU-stack, "", @progbits
