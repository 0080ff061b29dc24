/* SPDX-License-Identifier: GPL-2.0-only */
/* The newest part of a kernel's log, kept where a panic cannot take it away. */
#ifndef PLH_LOG_H
#define PLH_LOG_H

#include <stdint.h>

#pragma GCC visibility push(hidden)

struct log_ring {
	char *buffer; /* LOG_BYTES of the kernel's reservation */
	uint64_t written; /* bytes ever */
};

void log_add(struct log_ring *log, const char *text, uint64_t bytes);
uint64_t log_read(const struct log_ring *log, char *buffer, uint64_t bytes);

#pragma GCC visibility pop

#endif
