/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checksums that their sender left to the hardware, and that no hardware has finished: so
 * frames come out of a veth when XDP takes them, without a word of it.
 */
#ifndef PLH_UNFINISHED_H
#define PLH_UNFINISHED_H

#include "liblinux.h"

#pragma GCC visibility push(hidden)

/*
 * If the frame is TCP or UDP and its checksum covers the pseudo-header only, say in the
 * metadata that it is not finished.  One in 65,536 finished ones looks like that, too, and
 * is then not verified.
 */
void unfinished_checksum(const uint8_t *frame, uint32_t bytes, struct ll_desc *meta);

#pragma GCC visibility pop

#endif
