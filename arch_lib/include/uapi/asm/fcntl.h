/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
#ifdef __aarch64__
#include <include/uapi/asm/fcntl.h> /* of arch/arm64, see the Makefile */
#else
#include <asm-generic/fcntl.h>
#endif
