/* SPDX-License-Identifier: GPL-2.0-only */
/* See isa_x86_64.S, which explains. */
#include <linux/linkage.h>
#include <asm/extable.h>

.macro address reg, symbol
	adrp	\reg, \symbol
	add	\reg, \reg, :lo12:\symbol
.endm

.macro save_registers
	sub	sp, sp, #160
	stp	x29, x30, [sp, #0]
	stp	x19, x20, [sp, #16]
	stp	x21, x22, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x25, x26, [sp, #64]
	stp	x27, x28, [sp, #80]
	stp	d8, d9, [sp, #96]
	stp	d10, d11, [sp, #112]
	stp	d12, d13, [sp, #128]
	stp	d14, d15, [sp, #144]
.endm

.macro restore_registers
	ldp	x29, x30, [sp, #0]
	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x25, x26, [sp, #64]
	ldp	x27, x28, [sp, #80]
	ldp	d8, d9, [sp, #96]
	ldp	d10, d11, [sp, #112]
	ldp	d12, d13, [sp, #128]
	ldp	d14, d15, [sp, #144]
	add	sp, sp, #160
.endm

.macro enter_from_host top
	save_registers
	address	x9, ll_host_sp
	mov	x10, sp
	str	x10, [x9]
	mov	sp, \top
	mov	x29, #0
.endm

	.text

SYM_FUNC_START(ll_entry_call)
	enter_from_host x1
	bl	ll_call_on_stack
ll_leave:
	address	x9, ll_host_sp
	ldr	x10, [x9]
	mov	sp, x10
	restore_registers
	ret
SYM_FUNC_END(ll_entry_call)

SYM_FUNC_START(ll_entry_boot)
	enter_from_host x0
	bl	ll_boot_on_stack
	b	ll_leave
SYM_FUNC_END(ll_entry_boot)

SYM_FUNC_START(ll_entry_user)
	enter_from_host x0
	bl	ll_user_on_stack
	b	ll_leave
SYM_FUNC_END(ll_entry_user)

SYM_FUNC_START(ll_entry_fault)
	enter_from_host x1
	bl	ll_fault_on_stack
	b	ll_leave
SYM_FUNC_END(ll_entry_fault)

SYM_FUNC_START(ll_entry_resume)
	save_registers
	address	x9, ll_host_sp
	mov	x10, sp
	str	x10, [x9]
	address	x9, ll_kernel_sp
	ldr	x10, [x9]
	mov	sp, x10
	str	xzr, [x9]
	restore_registers
	ret
SYM_FUNC_END(ll_entry_resume)

SYM_FUNC_START(ll_exit)
	save_registers
	address	x9, ll_kernel_sp
	mov	x10, sp
	str	x10, [x9]
	b	ll_leave
SYM_FUNC_END(ll_exit)

SYM_FUNC_START(ll_switch_stacks)
	save_registers
	mov	x10, sp
	str	x10, [x0]
	mov	sp, x1
	mov	x0, x2
	restore_registers
	ret
SYM_FUNC_END(ll_switch_stacks)

SYM_FUNC_START(ll_task_start)
	mov	x29, #0
	bl	ll_task_begin
	b	ll_leave
SYM_FUNC_END(ll_task_start)

.macro extable insn, fixup
	.pushsection __ex_table, "a"
	.balign 4
	.long (\insn) - .
	.long (\fixup) - .
	.popsection
.endm

SYM_FUNC_START(ll_copy_local)
1:	cmp	x2, #16
	b.lo	4f
2:	ldp	x3, x4, [x1]
3:	stp	x3, x4, [x0]
	add	x1, x1, #16
	add	x0, x0, #16
	sub	x2, x2, #16
	b	1b
4:	cbz	x2, 7f
5:	ldrb	w3, [x1]
6:	strb	w3, [x0]
	add	x1, x1, #1
	add	x0, x0, #1
	subs	x2, x2, #1
	b.ne	5b
7:	mov	x0, x2
	ret
	extable 2b, 5b
	extable 3b, 5b
	extable 5b, 7b
	extable 6b, 7b
SYM_FUNC_END(ll_copy_local)

SYM_FUNC_START(ll_clear_local)
	cbz	x1, 2f
1:	strb	wzr, [x0]
	add	x0, x0, #1
	subs	x1, x1, #1
	b.ne	1b
2:	mov	x0, x1
	ret
	extable 1b, 2b
SYM_FUNC_END(ll_clear_local)

	.section .note.GNU-stack, "", %progbits
