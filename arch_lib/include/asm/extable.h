/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LIB_EXTABLE_H
#define _ASM_LIB_EXTABLE_H
#ifndef __ASSEMBLY__
/* Relative, so that the table needs no relocations. */
struct exception_table_entry {
	int insn, fixup;
};
#define ARCH_HAS_RELATIVE_EXTABLE

#define ll_extable(insn, fixup)            \
	".pushsection __ex_table, \"a\"\n" \
	".balign 4\n"                      \
	".long (" insn ") - .\n"           \
	".long (" fixup ") - .\n"          \
	".popsection\n"
#endif
#endif
