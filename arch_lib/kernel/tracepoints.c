// SPDX-License-Identifier: GPL-2.0-only
/* The one tracepoint that is used without tracers, but defined only with them. */
#define CREATE_TRACE_POINTS
#include <trace.h>
