/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Found before the kernel's own header of this name.  That one makes trace events
 * of tracepoints, for tracers to read; with CONFIG_LIB_TRACEPOINTS alone there are
 * none, and the tracepoints are all that is wanted.
 */
#ifdef CONFIG_EVENT_TRACING
#include_next <trace/trace_events.h>
#endif
