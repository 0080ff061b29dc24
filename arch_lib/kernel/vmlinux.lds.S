/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A shared object with two segments: text and constants, which all kernels of a
 * process share, and data, of which each has its own.
 */
#include <asm/page.h>
#include <asm/cache.h>
#include <asm/thread_info.h>
#include <asm-generic/vmlinux.lds.h>

#ifdef CONFIG_LIB_X86_64
OUTPUT_ARCH(i386:x86-64)
#else
OUTPUT_ARCH(aarch64)
#endif

PHDRS
{
	text PT_LOAD FLAGS(5);
	data PT_LOAD FLAGS(6);
	dynamic PT_DYNAMIC FLAGS(6);
	gnu_stack PT_GNU_STACK FLAGS(6);
}

jiffies = jiffies_64;

SECTIONS
{
	/*
	 * Its self-test at boot measures how a clock jitters, and takes for ever
	 * with one that stands still.  Random numbers come from the host.
	 */
	/DISCARD/ : { *jitterentropy-kcapi.o(.initcall*) }

	. = SIZEOF_HEADERS;

	.hash : { *(.hash) } :text
	.gnu.hash : { *(.gnu.hash) }
	.dynsym : { *(.dynsym) }
	.dynstr : { *(.dynstr) }
	.gnu.version : { *(.gnu.version) }
	.gnu.version_d : { *(.gnu.version_d) }
	.gnu.version_r : { *(.gnu.version_r) }
	.rela.dyn : { *(.rela .rela.*) }
	.relr.dyn : { *(.relr.dyn) }

	. = ALIGN(PAGE_SIZE);
	_text = .;
	_stext = .;
	.text : {
		TEXT_TEXT
		SCHED_TEXT
		LOCK_TEXT
		KPROBES_TEXT
		IRQENTRY_TEXT
		SOFTIRQENTRY_TEXT
		*(.text.fixup)
		*(.fixup)
	} :text
	.init.text : {
		_sinittext = .;
		INIT_TEXT
		EXIT_TEXT
		_einittext = .;
	} :text
	_etext = .;

	/*
	 * Constants with addresses in them are relocated when a kernel is
	 * loaded, so they cannot stand in the shared segment: all of RO_DATA
	 * goes to the data segment.
	 */
	. = ALIGN(PAGE_SIZE);
	_sdata = .;
	.data : {
		INIT_TASK_DATA(THREAD_SIZE)
		NOSAVE_DATA
		PAGE_ALIGNED_DATA(PAGE_SIZE)
		CACHELINE_ALIGNED_DATA(L1_CACHE_BYTES)
		READ_MOSTLY_DATA(L1_CACHE_BYTES)
		DATA_DATA
		*(.data.rel .data.rel.local .data.rel.local.*)
		CONSTRUCTORS
	} :data
	BUG_TABLE
	RO_DATA(PAGE_SIZE)
	EXCEPTION_TABLE(16)
	.dynamic : { *(.dynamic) } :data :dynamic
	.got : { *(.got.plt) *(.got) } :data
	/* Some linkers reserve four words. */
	ASSERT(SIZEOF(.got) <= 0x20, "a symbol is reached through the GOT")

	. = ALIGN(PAGE_SIZE);
	__init_begin = .;
	.init.data : {
		INIT_DATA
		INIT_SETUP(16)
		INIT_CALLS
		CON_INITCALL
		INIT_RAM_FS
	}
	.exit.data : { EXIT_DATA }
	PERCPU_SECTION(L1_CACHE_BYTES)
	. = ALIGN(PAGE_SIZE);
	__init_end = .;
	_edata = .;

	BSS_SECTION(0, PAGE_SIZE, 0)
	_end = .;

	STABS_DEBUG
	DWARF_DEBUG
	ELF_DETAILS
	DISCARDS
}
