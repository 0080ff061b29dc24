/* SPDX-License-Identifier: GPL-2.0-only */
/* The last error of each thread, a whole sentence that says what to do. */
#ifndef PLH_ERROR_H
#define PLH_ERROR_H

#include "pylibos_host.h"

/* Store the sentence that plh_error() returns for this thread. */
void plh_set_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "Operation not permitted" of a negative errno value; never NULL. */
const char *plh_errno_text(int negative_errno);

#endif
