/* SPDX-License-Identifier: GPL-2.0-only */
/* What a network card would do to a frame before it goes on a wire. */
#ifndef PLH_CHECKSUM_H
#define PLH_CHECKSUM_H

#include <stdint.h>

#include "liblinux.h"

#pragma GCC visibility push(hidden)

/* Fill in the checksum that LL_CSUM_NEEDED asks for, if it does. */
void checksum_fill(uint8_t *frame, uint32_t bytes, const struct ll_desc *meta);

/* Bytes on the wire, once the frame's segments have a header each. */
uint32_t segmented_bytes(const uint8_t *frame, uint32_t bytes, const struct ll_desc *meta);

#pragma GCC visibility pop

#endif
