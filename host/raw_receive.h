/* SPDX-License-Identifier: GPL-2.0-only */
/* Frames that come to a raw device. */
#ifndef PLH_RAW_RECEIVE_H
#define PLH_RAW_RECEIVE_H

#include "device.h"
#include "raw.h"

#pragma GCC visibility push(hidden)

/* Deliver what has come to a queue, one batch at most; how many frames it was. */
uint32_t raw_receive_queue(struct plh_device *device, uint32_t number);
/* Take the errors (ENETDOWN) that sockets hold, or they poll readable for ever. */
void raw_clear_errors(const struct raw_state *state);

#pragma GCC visibility pop

#endif
