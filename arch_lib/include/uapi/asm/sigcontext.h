/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
#ifndef _UAPI_ASM_LIB_SIGCONTEXT_H
#define _UAPI_ASM_LIB_SIGCONTEXT_H
/* Signal frames are built by the host, if it wants any. */
struct sigcontext {
	unsigned long reserved;
};
#endif
