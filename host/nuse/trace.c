// SPDX-License-Identifier: GPL-2.0-only
/* Lines about calls: what was refused, and with a trace what was made. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../error.h"
#include "nuse.h"

static void say(int fd, const char *format, ...)
{
	char line[512];
	va_list args;
	int bytes;

	va_start(args, format);
	bytes = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	if (bytes < 0)
		return;
	if (bytes > (int)sizeof(line) - 2)
		bytes = sizeof(line) - 2;
	line[bytes++] = '\n';
	/* Nobody to read it is no reason to stop. */
	if (write(fd, line, (size_t)bytes) < 0)
		return;
}

void log_refused(struct plh_nuse *nuse, const struct request *request, const char *why)
{
	if (nuse->config.log_fd >= 0)
		say(nuse->config.log_fd, "pylibos: process %d: %s is refused: %s",
		    request->thread->program->tgid, call_of(&request->data)->name, why);
}

void trace_answer(struct plh_nuse *nuse, const struct request *request, const char *target,
		  int64_t ret)
{
	const __u64 *args = request->data.args;
	char result[64];

	if (nuse->config.trace_fd < 0)
		return;
	if (!strcmp(target, "host"))
		snprintf(result, sizeof(result), "?");
	else if (ret < 0 && ret > -4096)
		snprintf(result, sizeof(result), "-1 (%s)", plh_errno_text((int)ret));
	else
		snprintf(result, sizeof(result), "%lld", (long long)ret);
	say(nuse->config.trace_fd, "[%d] %s(%#llx, %#llx, %#llx, %#llx, %#llx, %#llx) = %s [%s]",
	    request->thread->tid, call_of(&request->data)->name, (unsigned long long)args[0],
	    (unsigned long long)args[1], (unsigned long long)args[2], (unsigned long long)args[3],
	    (unsigned long long)args[4], (unsigned long long)args[5], result, target);
}
