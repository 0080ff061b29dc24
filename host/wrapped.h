/* SPDX-License-Identifier: GPL-2.0-only */
/* What lies round a backend, see wrapped.c. */
#ifndef PLH_WRAPPED_H
#define PLH_WRAPPED_H

#include "device.h"

#pragma GCC visibility push(hidden)

/* device_kick() for a device that has a wrapper and no kernel of its own. */
void wrapped_kick(struct plh_device *inner);

#pragma GCC visibility pop

#endif
